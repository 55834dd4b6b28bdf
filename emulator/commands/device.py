"""The device that a command works on, and how many threads of the processor."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

from emulator.commands.errors import InputError

DEVICES = ("auto", "cpu", "gpu")


def find_device(device: str, where: str) -> str:
    """What PyTorch calls a device of DEVICES: 'cuda' or 'cpu'; InputError, told of `where`, if there is none such."""
    gpu = device != "cpu" and torch.cuda.is_available()
    if device not in DEVICES or (device == "gpu" and not gpu):
        raise InputError(f"{where}: expected cpu or auto, got {device}, and there is none here")
    return "cuda" if gpu else "cpu"


@contextmanager
def processor_threads(count: int | None) -> Iterator[None]:
    """Work on so many threads, of PyTorch as of NumPy; None: on as many as there are already."""
    before = torch.get_num_threads()
    if count is None:
        yield
        return
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count):
            yield
    finally:
        torch.set_num_threads(before)

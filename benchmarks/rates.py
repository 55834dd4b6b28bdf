"""What a device can do, and how long work on it takes: the measure that all else is given in."""

import statistics
import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

ROUNDS = 7
LEAST_SECONDS = 0.02  # of work that is timed at a time: a clock's steps and a queue's end count for nothing beside it


def wait(device: torch.device) -> None:
    """Until a device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def median_seconds(work: Callable[[], object], device: torch.device) -> float:
    """Wall-clock seconds of a call: the median of ROUNDS means, each of as many calls as make LEAST_SECONDS.

    It is called three times before, which is when libraries choose how they compute.
    """
    for _ in range(3):
        work()
    calls, found = 1, []
    while len(found) < ROUNDS:
        wait(device)
        start = time.perf_counter()
        for _ in range(calls):
            work()
        wait(device)
        seconds = time.perf_counter() - start
        if seconds >= LEAST_SECONDS or found:
            found.append(seconds / calls)
        else:
            calls *= max(2, min(100, round(LEAST_SECONDS / max(seconds, 1e-9))))
    return statistics.median(found)


def product_rate(device: torch.device, size: int, dtype: torch.dtype = torch.float32) -> float:
    """Operations a second, an addition or a multiplication each, of a product of two matrices (size, size)."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in "ab")
    made = torch.empty(size, size, device=device, dtype=dtype)
    return 2 * size**3 / median_seconds(lambda: torch.mm(a, b, out=made), device)


def copy_rate(device: torch.device, numbers: int) -> float:
    """Bytes a second, read and written, of a copy of so many float32 numbers."""
    source = torch.randn(numbers, device=device)
    target = torch.empty_like(source)
    return 8 * numbers / median_seconds(lambda: target.copy_(source), device)


def operations_of(work: Callable[[], object]) -> int:
    """How many additions and multiplications the matrix products and convolutions of a call take."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()

"""How the processes of a training find each other, whoever starts them: srun, torchrun, or the first of them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from subprocess import DEVNULL
from typing import NamedTuple

import torch
from torch import distributed
from torch.distributed import Store, TCPStore  # type: ignore[attr-defined]  # its public names, which it lists nowhere
from torch.distributed.rendezvous import rendezvous

from emulator.commands.errors import InputError, first_line, refusing
from emulator.commands.ranks import ALONE, LostError, Ranks

HERE, BACKEND, FAILED = "here", "backend", "failed"  # what processes tell each other before they work, and after
ARRIVAL = timedelta(minutes=10)  # of all processes
WORK = timedelta(days=30)  # how long one may let the others wait: to pair a survey takes as long as it takes
FAREWELL = 10  # seconds for another one that failed to end
LOCAL = "127.0.0.1"


class Place(NamedTuple):
    """Which of so many `processes` this is, which of those on its machine, and where the first one listens."""

    number: int
    processes: int
    local: int
    host: str
    port: int
    by_torchrun: bool = False

    def store(self) -> Store:
        """What all of them can write to and read from; the first one has it."""
        if self.by_torchrun:  # which has it itself
            store = next(rendezvous("env://", timeout=ARRIVAL))[0]
        else:
            own = self.number == 0
            store = TCPStore(self.host, self.port, is_master=own, timeout=ARRIVAL, wait_for_workers=False)
        store.set_timeout(WORK)
        return store


def place_of_this() -> Place | None:
    """The place that srun or torchrun gave this process; None where neither started several.

    What srun sets is in https://slurm.schedmd.com/srun.html: a step has its own number of tasks, which a batch script
    that calls no srun lacks.
    """
    given = os.environ
    with refusing("environment: expected what srun or torchrun sets"):
        if int(given.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
            # Only here: it brings all of Lightning, for which the others would wait.
            from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

            host = given.get("MASTER_ADDR") or SLURMEnvironment.resolve_root_node_address(given["SLURM_STEP_NODELIST"])
            step = int(given["SLURM_JOB_ID"]) * 31 + int(given["SLURM_STEP_ID"])
            port = int(given.get("MASTER_PORT", 20000 + step % 20000))
            count = int(given["SLURM_STEP_NUM_TASKS"])
            return Place(int(given["SLURM_PROCID"]), count, int(given["SLURM_LOCALID"]), host, port)
        if distributed.is_torchelastic_launched() and int(given["WORLD_SIZE"]) > 1:
            number, count, local = (int(given[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
            return Place(number, count, local, given["MASTER_ADDR"], int(given["MASTER_PORT"]), by_torchrun=True)
    return None


@contextmanager
def leading(devices: int, nodes: int, device: str, command: str) -> Iterator[Callable[[], Ranks]]:
    """In the first process of a training on so many devices of as many machines: waits for the others when called.

    device: cpu or cuda; command: the module that is another process, where nobody else starts them. Raises InputError
    for more devices than there are, and for machines on which nobody started processes; LostError, which says what
    became of it, where another process ends before this one.
    """
    count = devices * nodes
    if count == 1:
        yield lambda: ALONE
        return
    place = place_of_this()
    if place is None and nodes > 1:
        raise InputError(f"config key 'trainer.nodes': expected 1 without srun or torchrun, got {nodes}")
    if place is not None and place.number > 0:
        raise InputError(
            f"config key 'trainer.devices': expected 1 in process {place.number} of a launcher, got {devices}"
        )
    if place is not None and place.processes != count:
        raise InputError(
            f"config keys 'trainer.devices', 'trainer.nodes': expected {place.processes} in all, as srun or torchrun"
            f" started processes, got {devices} x {nodes}"
        )
    if device == "cuda" and place is None and devices > (there := torch.cuda.device_count()):
        raise InputError(f"config key 'trainer.devices': expected at most {there}, the GPUs there are, got {devices}")
    children: list[subprocess.Popen[bytes]] = []
    store: Store
    if place is None:
        own = TCPStore(LOCAL, 0, is_master=True, wait_for_workers=False)
        children, store = _started(command, count, own.port), own
    else:
        store = place.store()

    def meet() -> Ranks:
        store.set(BACKEND, "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo")
        _wait_for_others(store, count, children)
        return _together(store, 0, count, local=0)

    try:
        yield meet
    except LostError as error:
        raise LostError(_what_became_of_it(store, count, children, error)) from error
    finally:
        _part(children)


def _started(command: str, count: int, port: int) -> list[subprocess.Popen[bytes]]:
    """Processes 1 to count - 1, each a module that takes its number, the count and the port of the first one."""
    return [
        subprocess.Popen(
            [sys.executable, "-m", command, str(number), str(count), str(port)],
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=DEVNULL,
        )
        for number in range(1, count)
    ]


def _wait_for_others(store: Store, count: int, children: Sequence[subprocess.Popen[bytes]]) -> None:
    missing = [f"{HERE} {number}" for number in range(1, count)]
    latest = time.monotonic() + ARRIVAL.total_seconds()
    while not store.check(missing):
        if time.monotonic() > latest or any(child.poll() is not None for child in children):
            raise LostError(f"no other process within {ARRIVAL}")
        time.sleep(0.02)


def _together(store: Store, number: int, count: int, local: int) -> Ranks:
    try:
        backend = store.get(BACKEND).decode()
        if "nccl" in backend:
            torch.cuda.set_device(local % torch.cuda.device_count())  # srun may show each process its own alone
        distributed.init_process_group(backend, store=store, rank=number, world_size=count, timeout=WORK)
    except RuntimeError as error:
        raise LostError(first_line(error)) from error
    return Ranks(number, count)


def _what_became_of_it(store: Store, count: int, children: Sequence[subprocess.Popen[bytes]], error: LostError) -> str:
    latest = time.monotonic() + FAREWELL
    while children and time.monotonic() < latest and all(child.poll() is None for child in children):
        time.sleep(0.02)
    told = [number for number in range(1, count) if store.check([f"{FAILED} {number}"])]
    if told:
        number, got = told[0], f"'{store.get(f'{FAILED} {told[0]}').decode()}'"
    elif ended := [number for number, child in enumerate(children, 1) if child.poll() is not None]:
        code = children[ended[0] - 1].returncode
        number, got = ended[0], f"signal {-code}" if code < 0 else f"exit code {code}"
    else:
        return f"expected all {count} processes to work to the end of the training, got {first_line(error)}"
    return f"process {number} of {count}: expected it to work to the end of the training, got {got}"


def _part(children: Sequence[subprocess.Popen[bytes]]) -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()
    for child in children:  # they have nothing to save
        child.kill()
        child.wait()


@contextmanager
def following(place: Place) -> Iterator[Ranks]:
    """In another process than the first: among all of them. What goes wrong here is the first one's to tell.

    Signals are the first one's as well: it saves what there is, and this one ends with it.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    try:
        store = place.store()
        store.set(f"{HERE} {place.number}", "")
        yield _together(store, place.number, place.processes, place.local)
    except (LostError, distributed.DistError):  # the first one ended, and says why
        raise SystemExit(1) from None
    except Exception as error:
        store.set(f"{FAILED} {place.number}", first_line(error))
        raise SystemExit(1) from None
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()

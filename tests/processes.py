"""Commands as processes of their own, with tiny sizes."""

import importlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from hydra._internal.hydra import Hydra
from hydra.types import RunMode
from matplotlib.figure import Figure

from cyclegan.pairing import independence

TINY = (
    "networks.shared=4",
    "networks.components=12",
    "networks.width=16",
    "domains.stars=96",
    "domains.matched_stars=40",
    "trainer.epochs=2",
    "trainer.steps=8",
    "trainer.batch_size=16",
    "trainer.log_every=2",
    "trainer.checkpoint_every=4",
    "trainer.accelerator=cpu",
    "trainer.keep=last",  # of so few steps the start would be kept
)
# The keys of `networks` are those of its kind.
TINY_CONV = (*(size for size in TINY if not size.startswith("networks.")), "networks=conv", "networks.channels=[4,8]")


def search_quickly() -> None:
    """To be called in a process that learns a population: whether it finds the right one is no matter there."""
    from cyclegan.pairing import search

    search.MORE_DRAWN, search.ROUNDS = 500, 2


def at_step(hook: str, step: int, act: Callable[[], None]) -> None:
    """Make the process do something when it enters a hook of the module after `step` batches."""
    from cyclegan.training.module import CycleGAN

    original = getattr(CycleGAN, hook)

    def hooked(self, *args):
        if self.global_step == step:
            act()
        return original(self, *args)

    setattr(CycleGAN, hook, hooked)


def signal_at(hook: str, step: int, number: int) -> None:
    """Make the process send itself a signal there."""
    at_step(hook, step, lambda: os.kill(os.getpid(), number))


class Command(NamedTuple):
    """A finished command, as `python -m cyclegan.train`: its exit code, what it printed, and the folder it ran in."""

    code: int
    out: str
    err: str
    folder: Path

    @property
    def run(self) -> Path:
        """The one run folder that it made."""
        (run,) = self.folder.glob("runs/*/*")
        return run


def run_command(module: str, arguments: list[str], folder: str, environment: dict[str, str], before: object) -> None:
    os.chdir(folder)
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it in what it runs in the background
    for name, stream in (("out", 1), ("err", 2)):
        os.dup2(os.open(Path(folder) / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    sys.argv = [module, *arguments]
    # Where labels go in a picture takes as long to find as all else that a tiny command does.
    Figure.set_layout_engine = lambda *_, **__: None
    if module == "cyclegan.train":  # what its pictures show is a matter of the tests of figures
        save = Figure.savefig
        Figure.savefig = lambda figure, file, **options: save(figure, file, **options | {"dpi": 10})
        if before is None and not environment:
            Figure.draw = lambda *_: None
        if not {"-m", "--multirun"} & set(arguments):
            Hydra.get_mode = lambda *_, **__: RunMode.RUN  # to find out, it composes the configuration once more
    independence.SEARCHES = 2  # what so few stars vary in is no matter
    if before is not None:
        before()
    from emulator.commands.running import run

    config_name = "emulator" if module == "emulator.train" else module.rpartition(".")[2]
    run(importlib.import_module(module).main, config_name)


class Started(NamedTuple):
    process: multiprocessing.Process
    folder: Path

    def wait(self) -> Command:
        self.process.join(timeout=120)
        assert self.process.exitcode is not None, "the command is still running after two minutes"
        return Command(
            self.process.exitcode, *(self.folder.joinpath(n).read_text() for n in ("out", "err")), self.folder
        )


def all_finished(begin: Callable[[str], Started], names: Iterable[str], at_once: int) -> dict[str, Command]:
    """The finished commands that begin(name) starts, so many at a time.

    All from one thread: multiprocessing looks after all processes whenever it starts one, and of two threads that ask
    for the same exit code one gets 255.
    """
    running, done = {}, {}
    for name in names:
        if len(running) == at_once:
            oldest = next(iter(running))
            done[oldest] = running.pop(oldest).wait()
        running[name] = begin(name)
    return done | {name: started.wait() for name, started in running.items()}

"""python tests/faults/fuzz.py CASES SEED [READER]: damaged files for every reader, and what became of them.

Each case damages a copy of a good file by a seed of its own; CASES of them are shared out among all readers, or are all
for one. A reader refuses a file by an InputError of one line, or takes it, and what it returns is sound. Anything else
is a fault, and is told with the seed that repeats it.
"""

import logging
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [path for path in (str(ROOT), str(ROOT / "tests")) if path not in sys.path]

from emulator.commands.errors import InputError  # noqa: E402
from emulator.commands.results import format_table  # noqa: E402
from faults.good_inputs import write_good_inputs  # noqa: E402
from faults.mutations import mutate  # noqa: E402
from faults.readers import READERS, Reader  # noqa: E402

SECONDS = 10  # of computing, that a file may take
PATIENCE = 60  # seconds by the clock, which other programs share
MEMORY = 2**31  # bytes, that a file may take
REFUSED, ACCEPTED = "refused", "accepted"


@dataclass
class Tally:
    """What became of the cases of a reader. faults: a text for each, with its seed; slowest: seconds; largest: MB."""

    cases: int = 0
    refused: int = 0
    accepted: int = 0
    slowest: float = 0.0
    largest: float = 0.0
    faults: list[str] = field(default_factory=list)


def run_case(reader: Reader, seed: int, good: Path, folder: Path) -> str:
    """Damage one of a reader's files by a seed and read it: REFUSED, ACCEPTED, or what is wrong."""
    chance = Random(f"{reader.name} {seed}")
    name = chance.choice(reader.files)
    path = folder / f"{seed}" / name  # a name of its own, as readers remember files
    path.parent.mkdir()
    shutil.copy(good / name, path)
    mutate(path, chance)
    try:
        with warnings.catch_warnings(record=True) as told, redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("always")
            reader.read(path)
    except InputError as error:
        return _fault_of_message(str(error)) or REFUSED
    except BaseException as error:  # whatever it is, it would have reached a user
        where = [f"{Path(step.filename).name}:{step.lineno}" for step in traceback.extract_tb(error.__traceback__)]
        return f"{type(error).__name__} {str(error)[:200]!r} at {' '.join(where[-4:])}, {name}"
    finally:
        shutil.rmtree(path.parent)
    return f"a warning: {told[0].message!s:.200}, {name}" if told else ACCEPTED


def _fault_of_message(message: str) -> str | None:
    if len(message.splitlines()) != 1:
        return f"a message that is not one line: {message!r:.200}"
    return None


def _work(reader: Reader, seeds: Sequence[int], good: Path, folder: Path, report: Connection) -> None:
    """Run cases in a process of its own, which may die of one; report each one's end, processor seconds, and MB."""
    logging.disable(logging.CRITICAL)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    for seed in seeds:
        start = _seconds()
        outcome = run_case(reader, seed, good, folder)
        most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        report.send((outcome, _seconds() - start, most / 1024))


def _seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def fuzz(reader: Reader, seeds: Sequence[int], good: Path) -> Tally:
    """Run the cases of a reader, whose processes are started again after one that dies."""
    tally, context = Tally(len(seeds)), multiprocessing.get_context("fork")
    left = list(seeds)
    while left:
        with tempfile.TemporaryDirectory() as folder:
            here, there = context.Pipe(duplex=False)
            worker = context.Process(target=_work, args=(reader, left, good, Path(folder), there))
            worker.start()
            there.close()
            try:
                while left:
                    if not here.poll(PATIENCE):
                        raise TimeoutError
                    outcome, seconds, most = here.recv()
                    _count(tally, left.pop(0), outcome, seconds, most)
            except (EOFError, TimeoutError) as error:
                worker.kill()
                worker.join()
                what = f"no end in {PATIENCE} s" if isinstance(error, TimeoutError) else f"died, {worker.exitcode}"
                tally.faults.append(f"seed {left.pop(0)}: {what}")
            worker.join()
    return tally


def _count(tally: Tally, seed: int, outcome: str, seconds: float, most: float) -> None:
    tally.refused += outcome == REFUSED
    tally.accepted += outcome == ACCEPTED
    tally.slowest, tally.largest = max(tally.slowest, seconds), max(tally.largest, most)
    if outcome not in (REFUSED, ACCEPTED):
        tally.faults.append(f"seed {seed}: {outcome}")
    elif seconds > SECONDS:
        tally.faults.append(f"seed {seed}: {outcome} after {seconds:.0f} s")


def shared_out(cases: int, readers: Sequence[Reader]) -> list[tuple[Reader, int]]:
    """Each reader with its number of cases."""
    each, more = divmod(cases, len(readers))
    return [(reader, each + (number < more)) for number, reader in enumerate(readers)]


def main(cases: int, seed: int, *names: str) -> int:
    """Fuzz readers, all or the named ones, print the table, and return how many faults there were."""
    readers = [reader for reader in READERS if not names or reader.name in names]
    total, rows, faults, start = Tally(), [], [], time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        good = write_good_inputs(Path(folder))
        for reader, count in shared_out(cases, readers):
            tally = fuzz(reader, range(seed, seed + count), good)
            rows.append(_row(reader.name, tally))
            faults += [f"{reader.name}, {fault}" for fault in tally.faults]
            for name in ("cases", "refused", "accepted"):
                setattr(total, name, getattr(total, name) + getattr(tally, name))
            total.slowest, total.largest = max(total.slowest, tally.slowest), max(total.largest, tally.largest)
    print(format_table([*rows, _row("all", total)]))
    print("\n".join([f"{len(faults)} faults in {time.monotonic() - start:.0f} s", *faults]))
    return len(faults)


def _row(name: str, tally: Tally) -> dict[str, str]:
    counts = {what: str(getattr(tally, what)) for what in ("cases", "refused", "accepted")}
    return {"reader": name, **counts, "slowest (s)": f"{tally.slowest:.2f}", "largest (MB)": f"{tally.largest:.0f}"}


if __name__ == "__main__":
    sys.exit(min(1, main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])))

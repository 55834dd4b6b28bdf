"""What each part costs beside a float32 product of matrices of the same arithmetic, measured in turns with it.

Processor seconds of one thread. Other work on the machine makes all of them longer at times, so that of several rounds
the shortest counts, of the products as of the parts.
"""

import json
import platform
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.rates import operations_of
from benchmarks.workloads import WORKLOADS, Work

KEPT = Path(__file__).parent / "kept.json"
SIZE = 1024  # of the matrices
LEAST_SECONDS = 0.02  # of what is timed at a time
WORSE = 1.25  # times the ratio that is kept: too much
TRIES = 3  # for a ratio that is too much


class Ratio(NamedTuple):
    """What a part takes.

    seconds: of one call; operations: additions and multiplications of its matrix products; times: how many times as
    long it takes as a product of so many, or, where most of it is no product, as one of two matrices of SIZE.
    """

    seconds: float
    operations: int | None
    times: float


def processor() -> str:
    """The machine's processor: its name, and the numbers of its kind, for clouds cut names short."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return platform.processor() or platform.machine()
    lines = (line.partition(":") for line in path.read_text().splitlines())
    told = {name.strip(): value.strip() for name, _, value in lines}
    return " ".join(told[name] for name in ("model name", "cpu family", "model") if name in told) or platform.machine()


def ratios(names: Iterable[str], folder: Path, rounds: int) -> dict[str, Ratio]:
    """Those of some WORKLOADS, by name; folder: for the files that they read."""
    a, b, made = (torch.randn(SIZE, SIZE) for _ in "abc")
    works, operations, calls = {}, {}, {}
    for name in names:
        work = works[name] = WORKLOADS[name].make(folder)
        work()
        operations[name] = operations_of(work) if WORKLOADS[name].products else None
        calls[name] = max(1, round(LEAST_SECONDS / max(_seconds(work, 1), 1e-4)))
    spent: dict[str, list[float]] = {name: [] for name in works}
    beside: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            beside[name].append(_seconds(lambda: torch.mm(a, b, out=made), 1))
            spent[name].append(_seconds(work, calls[name]))
    found = {}
    for name in works:
        seconds, share = min(spent[name]), (operations[name] or 2 * SIZE**3) / (2 * SIZE**3)
        found[name] = Ratio(seconds, operations[name], seconds / (share * min(beside[name])))
    return found


def _seconds(work: Work, calls: int) -> float:
    start = time.process_time()
    for _ in range(calls):
        work()
    return (time.process_time() - start) / calls


def kept() -> dict[str, dict[str, float]]:
    """The ratios that later ones are compared with, by processor: beside products, memory is faster on some."""
    return json.loads(KEPT.read_text()) if KEPT.exists() else {}


def keep(found: Mapping[str, Ratio]) -> None:
    """Make these the ratios that later ones on this processor are compared with."""
    times = {name: round(one.times, 3) for name, one in found.items()}
    KEPT.write_text(json.dumps(kept() | {processor(): times}, indent=2) + "\n")


def too_much(found: Mapping[str, Ratio], folder: Path, rounds: int) -> dict[str, str]:
    """Which ratios are too far above those kept, with what is said of each; measured anew before that is said.

    None where none are kept of this processor.
    """
    if processor() not in kept():
        return {}
    own = kept()[processor()]

    def above(some: Mapping[str, Ratio]) -> list[str]:
        return [name for name, one in some.items() if one.times > WORSE * own.get(name, 0.0)]

    best = dict(found)
    for _ in range(TRIES - 1):
        if not (suspects := above(best)):
            break
        for name, again in ratios(suspects, folder, 2 * rounds).items():
            best[name] = min(best[name], again, key=lambda one: one.times)
    return {
        name: f"{name}: expected at most {WORSE:g} times the {own.get(name, 0.0):g} kept, got {best[name].times:.3g}"
        for name in above(best)
    }


def rows(found: Mapping[str, Ratio]) -> list[dict[str, object]]:
    """Ratios as a table's."""
    return [
        {
            "what": name,
            "ms": f"{1e3 * one.seconds:.2f}",
            "GFLOP": f"{one.operations / 1e9:.2f}" if one.operations else "",
            "times as long as a product": f"{one.times:.2f}",
            "share of its rate": f"{100 / one.times:.0f} %" if one.operations else "",
        }
        for name, one in found.items()
    ]

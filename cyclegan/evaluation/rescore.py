"""What a checkpoint scores now beside what training logged."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cyclegan.domains.domains import Domains
from cyclegan.domains.from_file import HDF5Domain
from cyclegan.trained.run_folder import METRICS, SCORED, read_metrics, read_row, read_scores
from emulator.commands.results import format_table

log = logging.getLogger(__name__)

ROUNDING = 1e-5  # relative: what another processor or another build of torch may change in a score


class ScoresDifferError(RuntimeError):
    """A checkpoint does not score what training logged; the message names the first score and where to look."""


@dataclass
class Compared:
    """A score that training logged, and what the checkpoint scores now."""

    score: str
    logged_in: str
    logged: float
    rescored: float
    identical: bool


def logged_scores(folder: Path, step: int, kept_step: int | None = None) -> dict[str, dict[str, float]]:
    """What training logged of the val stars after `step` batches: by file, its scores. Empty where it logged none.

    kept_step: when the networks were what they are, if those of an earlier step were kept.
    """
    found: dict[str, dict[str, float]] = {}
    path = folder / SCORED
    if path.exists() and (scores := read_scores(path)).get("steps") == step:
        found[path.name] = {name: value for name, value in scores.items() if isinstance(value, float)}
    path = folder / METRICS
    for row in read_metrics(path):
        if int(row["step"]) == (step if kept_step is None else kept_step) - 1 and row.get("z_synth"):
            values = read_row(row, path)
            found[path.name] = {name: value for name, value in values.items() if not name.startswith("train/")}
    return found


def compare_scores(logged: dict[str, dict[str, float]], rescored: dict[str, float], exact: bool) -> list[Compared]:
    """Each logged score beside the one found now. metrics.csv holds single precision.

    exact: whether its rows were scored on a CPU, as they are here; otherwise they may differ by ROUNDING.
    """
    rows = []
    for file, scores in logged.items():
        for name, found in rescored.items():
            if name not in scores or math.isnan(found):
                continue
            if file == METRICS:
                found = float(np.float32(found))
            tolerance = 0.0 if exact or file == SCORED else ROUNDING
            identical = abs(found - scores[name]) <= tolerance * abs(scores[name])
            rows.append(Compared(name, file, scores[name], found, identical))
    return rows


def check_alike(compared: list[Compared], domains: Domains) -> None:
    """Print what was compared; raise ScoresDifferError if a score is another by more than rounding."""
    if not compared:
        log.warning("training logged no scores at this step: there is nothing to compare with")
        return
    rows = [
        {
            "score": row.score,
            "logged in": row.logged_in,
            "logged": repr(row.logged),
            "scored again": repr(row.rescored),
            "identical": "yes" if row.identical else "no",
        }
        for row in compared
    ]
    print(format_table(rows), flush=True)
    for row in compared:
        if abs(row.rescored - row.logged) > ROUNDING * abs(row.logged):
            files = [str(domain.path) for domain in (domains.synth, domains.obs) if isinstance(domain, HDF5Domain)]
            where = f"in {' and '.join(files)}" if files else "from the emulator on the device of its training"
            raise ScoresDifferError(
                f"scores differ: {row.score} was {row.logged:.6g} in {row.logged_in}, is {row.rescored:.6g} now;"
                f" expected the spectra of the run's training {where}"
            )

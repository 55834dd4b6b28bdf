"""What lies in a run's folder, by its name, and reading it back."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from emulator.commands.errors import InputError, refusing

LAST, BEST = "last.ckpt", "best.ckpt"
MODEL = "model.safetensors"  # of a run that was shared
CONFIG, METRICS, SCORED, LOG = "config.yaml", "metrics.csv", "scores.json", "train.log"
LONGEST_STEP = 15  # digits
HIDDEN = "hidden_features_synth.csv"  # lines that theory was made to lack

History = dict[str, tuple[np.ndarray, np.ndarray]]  # by column: steps, values


def find_checkpoint(path: str | Path) -> Path:
    """The checkpoint at `path`, or in the folder of a run: its last one, or what was shared. InputError for none."""
    path = Path(path)
    found = next((path / name for name in (LAST, MODEL) if (path / name).is_file()), path)
    if not found.is_file():
        raise InputError(f"{path}: expected a checkpoint or a run's folder with {LAST} or {MODEL}, found none")
    return found


def read_metrics(path: Path) -> list[dict[str, str]]:
    """The rows of a run's metrics.csv; none where there is no file. A row that a kill cut short is left out."""
    if not path.exists():
        return []
    with refusing(f"{path}: expected the metrics of a run, a row for each step", "something else"):
        whole = path.read_text(encoding="utf-8").rpartition("\n")[0]
        rows = csv.DictReader(whole.splitlines())
        found = [row for row in rows if None not in (*row, *row.values()) and row["step"].isdecimal()]
        if any(len(row["step"]) > LONGEST_STEP for row in found):
            raise ValueError(f"a step of more than {LONGEST_STEP} digits")
        return found


def read_row(row: dict[str, str], path: Path) -> dict[str, float]:
    """The values of a row of `read_metrics` by column, where it has some; InputError naming the file for no numbers."""
    with refusing(f"{path}: expected numbers in the metrics of a run", "others"):
        return {name: float(value) for name, value in row.items() if value}


def read_history(path: Path) -> History:
    """Each column of a metrics.csv as (steps, values), where it has values."""
    columns: dict[str, list[tuple[int, float]]] = {}
    for row in read_metrics(path):
        for name, value in read_row(row, path).items():
            if name not in ("step", "epoch"):
                columns.setdefault(name, []).append((int(row["step"]), value))
    found = {name: np.array(points).T for name, points in columns.items()}
    return {name: (steps, values) for name, (steps, values) in found.items()}


def read_scores(path: Path) -> dict[str, Any]:
    """What a run's scores.json holds; InputError for another file."""
    with refusing(f"{path}: expected the scores of a run in JSON", "something else"):
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"a {type(found).__name__}")
        return found

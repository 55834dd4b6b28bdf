"""Tables in CSV files: a header of names, and a row a star or a line; rows that begin with # are comments."""

import csv
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from emulator.commands.errors import InputError
from emulator.payne import Payne

SENTINEL = -999.0  # labels below it stand for none, as APOGEE's -9999
# What a table of fitted labels holds beside them, and beside their errors, '<label>_err'.
STAR_COLUMNS, FIT_COLUMNS = ("subset", "id"), ("velocity", "chi2", "pixels", "converged", "at_bound", "agreeing")
FAMILIAR_COLUMNS = ("distance", "counterpart")  # of a run that keeps training stars


def read_table(path: str | Path, of: str = "star") -> dict[str, tuple[str, ...]]:
    """The columns of a table by their names, as texts; of: what a row is.

    Raises InputError where there is no row, one is short, or a name stands there twice.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            header, *rows = (row for row in csv.reader(line for line in file if not line.startswith("#")) if row)
    except (OSError, ValueError, csv.Error) as error:
        problem = error.strerror if isinstance(error, OSError) else "something else"
        raise InputError(f"{path}: expected a header of names and a row a {of}, got {problem}") from error
    header = [name.strip() for name in header]
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise InputError(f"{path}: expected each column once, got twice {', '.join(twice)}")
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise InputError(f"{path}: expected {len(header)} values in row {number}, got {len(row)}")
    if not rows:
        raise InputError(f"{path}: expected a row for each {of}, got none")
    return dict(zip(header, zip(*rows, strict=True), strict=True))


def check_names(found: Sequence[str], expected: Sequence[str], where: str, what: str = "the emulator's labels") -> None:
    """Raise InputError where names are missing or unknown; their order is free."""
    problems = {
        "no": [name for name in expected if name not in found],
        "unknown": [name for name in found if name not in expected],
    }
    if any(problems.values()):
        got = "; ".join(f"{problem} {', '.join(names)}" for problem, names in problems.items() if names)
        raise InputError(f"{where}: expected {what} {', '.join(expected)}, got {got}")


def check_label_columns(columns: Sequence[str], label_names: Sequence[str], where: str) -> None:
    """Raise InputError where a table lacks labels or has unknown columns; `cyclegan.fit` may have written it."""
    beside = {*STAR_COLUMNS, *FIT_COLUMNS, *FAMILIAR_COLUMNS, *(f"{name}_err" for name in label_names)}
    check_names([name for name in columns if name not in beside], label_names, where)


def numbers(texts: Sequence[str], expected: str) -> list[float]:
    """The numbers that texts stand for; InputError naming the first row (from 0) that stands for none."""
    values = []
    for row, text in enumerate(texts):
        try:
            values.append(float(text))
        except ValueError as error:
            raise InputError(f"{expected} in row {row}, got {text!r}") from error
    return values


def read_rows(texts: Sequence[str], spectra: int, column: str, where: str | Path) -> list[int]:
    """The rows of training spectra, from 0, that a column names; InputError for what is none of so many."""
    for row, text in enumerate(texts):
        if not (text.strip().isdecimal() and int(text) < spectra):
            raise InputError(
                f"{where}: expected in column '{column}' a row of the {spectra} training spectra, from 0, got {text!r}"
                f" in row {row}"
            )
    return [int(text) for text in texts]


def read_labels(columns: dict[str, tuple[str, ...]], emulator: Payne, where: str | Path) -> Tensor:
    """Labels (N, L) from the columns of a table that are named as the emulator's labels are.

    Raises InputError, naming the row (from 0), for what is no number and what the emulator does not take.
    """
    rows = [numbers(columns[name], f"{where}: expected a number for '{name}'") for name in emulator.label_names]
    labels = torch.tensor(rows).T
    try:
        emulator.check_labels(labels)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    return labels

"""Tables in CSV files: a header of names, and a row a star or a line; rows that begin with # are comments."""

import csv
import re
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path

import torch
from torch import Tensor

from emulator.commands.errors import InputError, refusing
from emulator.commands.writing import write_whole
from emulator.payne import Payne

MISREAD = ("=", "+", "-", "@", "\t", "\r", "#", "'")  # at the start of a text, by spreadsheets or by `read_table`
LONGEST = 1000  # characters of a text: more is no name
NAMELESS = re.compile(r"|Unnamed: \d+")  # pandas calls a column so which it read without a name
# What a table of fitted labels holds beside them, and beside their errors, '<label>_err'.
STAR_COLUMNS, FIT_COLUMNS = ("subset", "id"), ("velocity", "chi2", "pixels", "converged", "at_bound", "agreeing")
FAMILIAR_COLUMNS = ("distance", "counterpart")  # of a run that keeps training stars


def write_rows(path: str | Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table, all of it or nothing: names of columns, and rows of as many cells.

    Texts, which may be strangers', get a ' before them where a spreadsheet would take them for a formula, or
    `read_table` for a comment; it takes them off again. Numbers stay what they are.
    """
    text = StringIO(newline="")
    table = csv.writer(text)
    table.writerow([_quoted(name) for name in columns])
    table.writerows([_quoted(cell) for cell in row] for row in rows)
    write_whole(path, text.getvalue())


def _quoted(cell: object) -> object:
    if not (isinstance(cell, str) and cell.startswith(MISREAD)):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def read_table(path: str | Path, of: str = "star") -> dict[str, tuple[str, ...]]:
    """The columns of a table by their names, as texts without blanks around them; of: what a row is.

    Columns without a name that hold nothing, or no more than the numbers of rows, are left out, as other programs write
    them. Raises InputError where there is no row, one is short, a column has no name, or a name stands there twice.
    """
    expected = f"{path}: expected a header of names and a row a {of}, as text in UTF-8"
    with refusing(expected, "something else"):
        text = Path(path).read_bytes().decode("utf-8-sig")
        if "\0" in text:
            raise ValueError("a NUL in it")
        lines = (line for line in StringIO(text, newline="") if not line.startswith("#"))
        cells = [[_plain(cell.strip()) for cell in row] for row in csv.reader(lines)]
    header, *rows = [row for row in cells if any(row)] or [[]]
    if not header:
        raise InputError(f"{expected}, got an empty one")
    if long := next((cell for row in cells for cell in row if len(cell) > LONGEST), None):
        raise InputError(
            f"{path}: expected texts of at most {LONGEST} characters, got one of {len(long)}: {long[:40]!r}..."
        )
    for number, row in enumerate(rows):
        lacking = header[len(row) :]
        if any(lacking) or any(row[len(header) :]):
            raise InputError(f"{path}: expected {len(header)} values in row {number}, got {len(row)}")
        rows[number] = row[: len(header)] + lacking
    if not rows:
        raise InputError(f"{path}: expected a row for each {of}, got none")
    columns = [
        (number, name, values)
        for number, (name, values) in enumerate(zip(header, zip(*rows, strict=True), strict=True), start=1)
        if not (NAMELESS.fullmatch(name) and all(not value or value.isdecimal() for value in values))
    ]
    for number, name, values in columns:
        if not name:
            raise InputError(f"{path}: expected a name for column {number}, got none above {values[0]!r}")
    names = [name for _, name, _ in columns]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{path}: expected each column once, got twice {', '.join(twice)}")
    return {name: values for _, name, values in columns}


def _plain(text: str) -> str:
    """A text as it was before `write_rows`, or a spreadsheet, put a ' before it."""
    return text[1:] if text.startswith("'") and text[1:].startswith(MISREAD) else text


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
        if not (text.strip().isdecimal() and float(text) < spectra):
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

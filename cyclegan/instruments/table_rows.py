"""Rows of strangers' tables of stars: FITS, CSV or Parquet, as the content tells."""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from astropy.io import fits

from cyclegan.instruments.fits_files import PACKED, SIMPLE, opened_fits
from cyclegan.instruments.label_columns import PARAMETERS
from cyclegan.instruments.parquet_files import MAGIC, columns_of, opened_parquet, read_numbers, read_texts
from cyclegan.spectra.tables import numbers as as_numbers
from cyclegan.spectra.tables import read_table
from emulator.commands.errors import InputError, refusing

Rows: TypeAlias = fits.FITS_rec | np.ndarray
Wanted: TypeAlias = Callable[[Set[str]], Iterable[str]]
LONGEST_START = 4096  # bytes: a text has no NUL there
UNKNOWN = ("", "--", "null", "none", "n/a", "na")  # in capitals, too: cells without a number


def read_rows(path: Path, expected: str, texts: Sequence[str], numbers: Wanted) -> tuple[Rows, set[str]]:
    """The rows (n,) of a table in FITS, CSV or Parquet, and the names of all its columns, in capitals.

    texts: columns to read as such; numbers: those to read as numbers, of the columns that there are. FITS is mapped,
    not read, and has all. Of its HDUs the first table counts that has rows and is not of BOSS. Raises InputError,
    `expected` and why, for another file.
    """
    if not path.is_file():
        raise InputError(f"{expected}, found none")
    with refusing(expected), path.open("rb") as file:
        start = file.read(LONGEST_START)
    if start.startswith((SIMPLE, PACKED)):
        return _read_fits(path, expected)
    if start.startswith(MAGIC):
        return _read_parquet(path, expected, texts, numbers)
    if b"\0" in start:
        raise InputError(f"{expected}, got something else")
    return _read_csv(path, texts, numbers)


def _read_fits(path: Path, expected: str) -> tuple[fits.FITS_rec, set[str]]:
    with opened_fits(path, expected, mapped=True) as hdus:
        tables = [hdu for hdu in hdus[1:] if isinstance(hdu, fits.BinTableHDU)]
        if not tables:
            raise ValueError("no table in it")
        others = [table for table in tables if str(table.header.get("INSTRMNT")).strip().upper() != "BOSS"]
        filled = [table for table in others if table.header["NAXIS2"]]
        table = (filled or others or tables)[0]
        return table.data, {name.upper() for name in table.columns.names}


def _read_csv(path: Path, texts: Sequence[str], numbers: Wanted) -> tuple[np.ndarray, set[str]]:
    cells = _in_capitals(read_table(path), path)
    cells.pop(PARAMETERS, None)
    columns = {name: np.array(cells[name], str) for name in texts if name in cells}
    for name in numbers(set(cells)):
        told = ["nan" if cell.lower() in UNKNOWN else cell for cell in cells[name]]
        columns[name] = np.array(as_numbers(told, f"{path}: expected a number for '{name}'"))
    return _as_rows(columns), set(cells)


def _read_parquet(path: Path, expected: str, texts: Sequence[str], numbers: Wanted) -> tuple[np.ndarray, set[str]]:
    with opened_parquet(path, expected) as file:
        paths = _in_capitals(columns_of(file), path)
        paths.pop(PARAMETERS, None)
        columns = {name: read_texts(file, paths[name]) for name in texts if name in paths}
        columns |= {name: read_numbers(file, paths[name]) for name in numbers(set(paths))}
    return _as_rows(columns), set(paths)


def _in_capitals(columns: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Columns by their names in capitals; InputError where two differ by case alone."""
    found = {name.upper(): values for name, values in columns.items()}
    if twice := [name for name in columns if sum(other.upper() == name.upper() for other in columns) > 1]:
        raise InputError(f"{path}: expected each column once, in whatever case, got {', '.join(twice)}")
    return found


def _as_rows(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Rows (n,), with a field for each of some columns (n,)."""
    rows = np.empty(len(next(iter(columns.values()), ())), [(name, values.dtype) for name, values in columns.items()])
    for name, values in columns.items():
        rows[name] = values
    return rows

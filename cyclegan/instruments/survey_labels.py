"""Labels of stars from a table: of a survey in FITS, or anybody's in CSV or Parquet."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from cyclegan.instruments.fits_files import PACKED, SIMPLE, opened_fits, refusing_quietly
from cyclegan.instruments.label_columns import (
    ABOUT,
    NAMES,
    PARAMETERS,
    SDSS_ID,
    VELOCITIES,
    known,
    labels_of,
    number_columns,
    sources,
)
from cyclegan.instruments.names import plain_name
from cyclegan.instruments.parquet_files import MAGIC, columns_of, opened_parquet, read_numbers, read_texts
from cyclegan.spectra.tables import numbers, read_table
from emulator.commands.errors import InputError, refusing
from emulator.labels import LABELS

LONGEST_START = 4096  # bytes: a text has no NUL there
UNKNOWN = ("", "--", "null", "none", "n/a", "na")  # in capitals, too: cells without a number


class SurveyLabels:
    """The labels of stars from a table, as the columns LABELS.

    FITS: the survey's allStar, or a table of SDSS-V such as astraAllStarASPCAP, of whose HDUs the first counts that has
    rows and is not of BOSS. CSV and Parquet: a row a star. What the file is, its content tells. `label_columns` knows
    the columns, in whatever case. missing: the labels that the table has no column for. Values from -999 downwards mean
    unknown. FITS is mapped, not read: allStar has 3 GB. Raises InputError where the file is no such table.
    """

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        self.expected = f"{path}: expected a table of labels in FITS, CSV or Parquet"
        if not path.is_file():
            raise InputError(f"{self.expected}, found none")
        read = _reader_of(path, self.expected)
        self.table: fits.FITS_rec | np.ndarray
        self.columns: set[str]
        self.table, self.columns = read(path, self.expected)
        self.missing: Sequence[str] = [name for name in LABELS if not sources(name, self.columns)]
        if not self.columns.intersection(NAMES) or len(self.missing) == len(LABELS):
            got = ", ".join(sorted(self.columns)[:8])
            raise InputError(f"{path}: expected columns APOGEE_ID, TEFF, LOGG, FE_H, ..., got {got}")
        with refusing_quietly(self.expected):
            self.index = {name: _index(self.table[name]) for name in NAMES if name in self.columns}

    def find(self, names: np.ndarray, about: Mapping[str, np.ndarray]) -> np.ndarray:
        """Labels (n, len(LABELS)) of the stars of n spectra, NaN where unknown; names (n,); about: as in `Stars`.

        Of several rows with a star's name, the one of its telescope, field and file, then that of the highest SNR.
        """
        with refusing_quietly(self.expected):
            found, rows = self._rows(names, about)
            labels = np.full((len(names), len(LABELS)), np.nan, "float32")
            labels[found] = labels_of(rows, self.columns)
            return known(labels)

    def velocities(self, names: np.ndarray, about: Mapping[str, np.ndarray]) -> np.ndarray:
        """Velocities (n,) against the Sun in km/s, NaN where unknown, from the rows that `find` takes."""
        with refusing_quietly(self.expected):
            found, rows = self._rows(names, about)
            velocities = np.full(len(names), np.nan)
            for column in [name for name in VELOCITIES if name in self.columns][:1]:
                velocities[found] = rows[column]
            return known(velocities)

    def _rows(self, names: np.ndarray, about: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Which of n spectra are of stars in the table, (n,), and the rows of these."""
        keys = list(zip(names.tolist(), *(values.tolist() for values in about.values()), strict=True))
        of_star = {key: self._row(key[0], dict(zip(about, key[1:], strict=True))) for key in dict.fromkeys(keys)}
        rows = np.array([of_star[key] for key in keys], int)
        return rows >= 0, self.table[rows[rows >= 0]]

    def _row(self, name: str, about: Mapping[str, str]) -> int:
        """The number of a star's row, -1 where it has none."""
        for column, (sorted_names, order) in self.index.items():
            wanted = (about.get(SDSS_ID) if column == SDSS_ID else None) or name
            if len(wanted) > sorted_names.itemsize // 4:  # NumPy would widen all of them for the comparison
                continue
            first, last = (np.searchsorted(sorted_names, wanted, side) for side in ("left", "right"))
            if last > first:
                return self._best(order[first:last], about)
        return -1

    def _best(self, candidates: np.ndarray, about: Mapping[str, str]) -> int:
        if len(candidates) == 1:
            return int(candidates[0])
        rows, rank = self.table[candidates], np.zeros(len(candidates))
        for column in self.columns.intersection(ABOUT).intersection(about):
            rank += np.char.strip(np.asarray(rows[column]).astype(str)) == about[column]
        snr = np.asarray(rows["SNR"], float) if "SNR" in self.columns else rank
        return int(candidates[np.lexsort((np.nan_to_num(snr), rank))[-1]])


def _index(names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Names, sorted, and where each of them was."""
    texts = np.array([plain_name(name) for name in np.asarray(names).astype(str).tolist()], str)
    order = np.argsort(texts, kind="stable")
    return texts[order], order


def _reader_of(path: Path, expected: str) -> Callable[[Path, str], tuple[fits.FITS_rec | np.ndarray, set[str]]]:
    """What reads a table, by how its file begins."""
    with refusing(expected), path.open("rb") as file:
        start = file.read(LONGEST_START)
    if start.startswith((SIMPLE, PACKED)):
        return _read_fits
    if start.startswith(MAGIC):
        return _read_parquet
    if b"\0" in start:
        raise InputError(f"{expected}, got something else")
    return _read_csv


def _read_fits(path: Path, expected: str) -> tuple[fits.FITS_rec, set[str]]:
    with opened_fits(path, expected, mapped=True) as hdus:
        tables = [hdu for hdu in hdus[1:] if isinstance(hdu, fits.BinTableHDU)]
        if not tables:
            raise ValueError("no table in it")
        others = [table for table in tables if str(table.header.get("INSTRMNT")).strip().upper() != "BOSS"]
        filled = [table for table in others if table.header["NAXIS2"]]
        table = (filled or others or tables)[0]
        return table.data, {name.upper() for name in table.columns.names}


def _read_csv(path: Path, expected: str) -> tuple[np.ndarray, set[str]]:
    cells = _in_capitals(read_table(path), path)
    cells.pop(PARAMETERS, None)
    columns = {name: np.array(cells[name], str) for name in (*NAMES, *ABOUT) if name in cells}
    for name in number_columns(set(cells)):
        texts = ["nan" if cell.lower() in UNKNOWN else cell for cell in cells[name]]
        columns[name] = np.array(numbers(texts, f"{path}: expected a number for '{name}'"))
    return _as_rows(columns), set(cells)


def _read_parquet(path: Path, expected: str) -> tuple[np.ndarray, set[str]]:
    with opened_parquet(path, expected) as file:
        paths = _in_capitals(columns_of(file), path)
        paths.pop(PARAMETERS, None)
        columns = {name: read_texts(file, paths[name]) for name in (*NAMES, *ABOUT) if name in paths}
        columns |= {name: read_numbers(file, paths[name]) for name in number_columns(set(paths))}
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

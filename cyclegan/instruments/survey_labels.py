"""Labels of stars from a table: of a survey in FITS, or anybody's in CSV or Parquet."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cyclegan.instruments.fits_files import refusing_quietly
from cyclegan.instruments.label_columns import (
    ABOUT,
    NAMES,
    SDSS_ID,
    VELOCITIES,
    known,
    labels_of,
    number_columns,
    sources,
)
from cyclegan.instruments.names import plain_name
from cyclegan.instruments.table_rows import read_rows
from emulator.commands.errors import InputError
from emulator.labels import LABELS


class SurveyLabels:
    """The labels of stars from a table, as the columns LABELS.

    FITS: the survey's allStar, or a table of SDSS-V such as astraAllStarASPCAP. CSV and Parquet: a row a star. What the
    file is, its content tells. `label_columns` knows the columns, in whatever case. missing: the labels that the table
    has no column for. Values from -999 downwards mean unknown. Raises InputError where the file is no such table.
    """

    def __init__(self, path: str | Path) -> None:
        self.expected = f"{path}: expected a table of labels in FITS, CSV or Parquet"
        self.table, self.columns = read_rows(Path(path), self.expected, (*NAMES, *ABOUT), number_columns)
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

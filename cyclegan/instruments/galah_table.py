"""Labels and velocities of GALAH's stars, from the survey's tables allstar and allspec."""

from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path

import numpy as np

from cyclegan.instruments.fits_files import refusing_quietly
from cyclegan.instruments.label_columns import known
from cyclegan.instruments.table_rows import read_rows
from emulator.commands.errors import InputError

ELEMENTS = (
    *("li", "c", "n", "o", "na", "mg", "al", "si", "k", "ca", "sc", "ti", "v", "cr", "mn", "co", "ni", "cu", "zn"),
    *("rb", "sr", "y", "zr", "mo", "ru", "ba", "la", "ce", "nd", "sm", "eu"),
)
LABELS = ("teff", "logg", "vmic", "vbroad", "fe_h", *(f"{element}_h" for element in ELEMENTS))
IDENTIFIER, FLAG = "SOBJECT_ID", "FLAG_SP"
SPELLINGS = {"VBROAD": ("VBROAD", "VSINI"), "LI_FE": ("LI_FE", "NN_LI_FE")}  # in DR3, in DR4
VELOCITIES = ("RV_GALAH", "RV_GUESS", "RV_COMP_1")  # against the Sun, km/s: of DR3, of its allspec, of DR4


class GalahTable:
    """The labels of stars from GALAH's allstar or allspec tables of DR3 or DR4, as the columns LABELS.

    teff, logg, vmic, vbroad (in DR4 vsini), fe_h, and [X/H] = x_fe + fe_h. Where flag_sp is not 0 all of them are
    unknown, and [X/H] is where flag_x_fe is not 0, as the survey asks for. Names of columns may be in whatever case.
    Rows are found by sobject_id. missing: the labels that the table has no column for.
    Raises InputError where the file is no such table. https://www.galah-survey.org/dr4/table_schema, /dr3/table_schema.
    """

    def __init__(self, path: str | Path) -> None:
        self.expected = f"{path}: expected a table of GALAH's stars in FITS, CSV or Parquet"
        self.table, self.columns = read_rows(Path(path), self.expected, (IDENTIFIER,), _number_columns)
        self.missing: Sequence[str] = [name for name in LABELS if not _sources(name, self.columns)]
        with refusing_quietly(self.expected):
            told = self.table[IDENTIFIER] if IDENTIFIER in self.columns else np.empty(0)
            identifiers = np.asarray(told).astype("int64")
        if not len(identifiers) or len(self.missing) == len(LABELS):
            columns = ", ".join(sorted(self.columns)[:8])
            raise InputError(f"{path}: expected rows, and columns sobject_id, teff, logg, fe_h, ..., got {columns}")
        self.order = np.argsort(identifiers, kind="stable")
        self.identifiers = identifiers[self.order]

    def find(self, names: np.ndarray, about: Mapping[str, np.ndarray]) -> np.ndarray:
        """Labels (n, len(LABELS)) of n spectra, NaN where unknown, by `sobject_id` of about."""
        with refusing_quietly(self.expected):
            return self._of_rows(about, [_sources(label, self.columns) for label in LABELS])

    def velocities(self, names: np.ndarray, about: Mapping[str, np.ndarray]) -> np.ndarray:
        """Velocities (n,) against the Sun in km/s, NaN where unknown, by `sobject_id` of about."""
        with refusing_quietly(self.expected):
            told = [name for name in VELOCITIES if name in self.columns]
            return self._of_rows(about, [told[:1]])[:, 0]

    def _of_rows(self, about: Mapping[str, np.ndarray], wanted: Sequence[Sequence[str]]) -> np.ndarray:
        """Sums of columns (n, len(wanted)) in the rows of n spectra; NaN where there is no row, or no column."""
        asked = about["sobject_id"].astype("int64")
        place = np.searchsorted(self.identifiers, asked).clip(max=len(self.identifiers) - 1)
        there = self.identifiers[place] == asked
        found = np.full((len(asked), len(wanted)), np.nan, "float32")
        if there.any():
            rows = self.table[self.order[place[there]]]
            found[there] = np.stack([self._sum(rows, columns) for columns in wanted], axis=1)
        return found

    def _sum(self, rows: np.ndarray, columns: Sequence[str]) -> np.ndarray:
        if not columns:
            return np.full(len(rows), np.nan)
        total = known(np.stack([np.asarray(rows[name], float) for name in columns])).sum(axis=0)
        flags = self.columns.intersection(_flags(columns))
        return np.where(np.any([np.asarray(rows[flag]) != 0 for flag in flags], axis=0), np.nan, total)


def _sources(label: str, columns: Set[str]) -> list[str]:
    """The columns whose sum is a label, of those that there are; none where they do not tell it."""
    element = label.removesuffix("_h")
    wanted = [f"{element}_fe", "fe_h"] if element in ELEMENTS else [label]
    spellings = (SPELLINGS.get(name.upper(), (name.upper(),)) for name in wanted)
    there = [next((name for name in names if name in columns), "") for names in spellings]
    return there if all(there) else []


def _flags(columns: Iterable[str]) -> set[str]:
    """The columns of the survey's warnings of a sum of others; it has none of velocities."""
    abundances = {f"FLAG_{name}" for name in columns if name.endswith("_FE")}
    return abundances | {FLAG} if not set(columns).intersection(VELOCITIES) else set()


def _number_columns(columns: Set[str]) -> list[str]:
    """Those of the columns that labels and velocities are made from, and the flags of these."""
    wanted = {name for label in LABELS for name in _sources(label, columns)}
    return sorted(wanted | columns & ({*VELOCITIES} | _flags(wanted)))

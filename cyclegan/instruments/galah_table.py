"""Labels and velocities of GALAH's stars, from the survey's tables allstar and allspec."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from cyclegan.instruments.fits_files import opened_fits, refusing_quietly
from emulator.commands.errors import InputError
from emulator.labels import is_known

ELEMENTS = (
    *("li", "c", "n", "o", "na", "mg", "al", "si", "k", "ca", "sc", "ti", "v", "cr", "mn", "co", "ni", "cu", "zn"),
    *("rb", "sr", "y", "zr", "mo", "ru", "ba", "la", "ce", "nd", "sm", "eu"),
)
LABELS = ("teff", "logg", "vmic", "vbroad", "fe_h", *(f"{element}_h" for element in ELEMENTS))
COLUMNS = {"vbroad": ("vbroad", "vsini"), "li_fe": ("li_fe", "nn_li_fe")}  # by what DR3 calls it, and DR4
VELOCITIES = ("rv_galah", "rv_guess", "rv_comp_1")  # against the Sun, km/s: of DR3, of its allspec, of DR4


class GalahTable:
    """The labels of stars from GALAH's allstar or allspec tables of DR3 or DR4, as the columns LABELS.

    teff, logg, vmic, vbroad (in DR4 vsini), fe_h, and [X/H] = x_fe + fe_h. Where flag_sp is not 0 all of them are
    unknown, and [X/H] is where flag_x_fe is not 0, as the survey asks for. Names of columns may be in whatever case.
    Rows are found by sobject_id. missing: the labels that the table has no column for. The table is mapped, not read.
    Raises InputError where the file is no such table. https://www.galah-survey.org/dr4/table_schema, /dr3/table_schema.
    """

    def __init__(self, path: str | Path) -> None:
        self.expected = f"{path}: expected a table of GALAH's stars in FITS"
        with opened_fits(Path(path), self.expected, mapped=True) as hdus:
            self.table = hdus[1].data
            self.columns = {name.lower() for name in hdus[1].columns.names}
            identifiers = self.table["sobject_id"] if "sobject_id" in self.columns else []
            identifiers = np.asarray(identifiers).astype("int64")
        self.missing: Sequence[str] = [name for name in LABELS if not self._sources(name)]
        if not len(identifiers) or len(self.missing) == len(LABELS):
            columns = ", ".join(sorted(self.columns)[:8])
            raise InputError(f"{path}: expected rows, and columns sobject_id, teff, logg, fe_h, ..., got {columns}")
        self.order = np.argsort(identifiers, kind="stable")
        self.identifiers = identifiers[self.order]

    def find(self, names: np.ndarray, about: Mapping[str, np.ndarray]) -> np.ndarray:
        """Labels (n, len(LABELS)) of n spectra, NaN where unknown, by `sobject_id` of about."""
        with refusing_quietly(self.expected):
            return self._of_rows(about, [self._sources(label) for label in LABELS])

    def velocities(self, names: np.ndarray, about: Mapping[str, np.ndarray]) -> np.ndarray:
        """Velocities (n,) against the Sun in km/s, NaN where unknown, by `sobject_id` of about."""
        with refusing_quietly(self.expected):
            return self._of_rows(about, [[name] for name in VELOCITIES if name in self.columns][:1] or [[]])[:, 0]

    def _of_rows(self, about: Mapping[str, np.ndarray], wanted: Sequence[Sequence[str]]) -> np.ndarray:
        """Sums of columns (n, len(wanted)) in the rows of n spectra; NaN where there is no row, or no column."""
        asked = about["sobject_id"].astype("int64")
        place = np.searchsorted(self.identifiers, asked).clip(max=len(self.identifiers) - 1)
        known = self.identifiers[place] == asked
        found = np.full((len(asked), len(wanted)), np.nan, "float32")
        if known.any():
            rows = self.table[self.order[place[known]]]
            found[known] = np.stack([self._sum(rows, columns) for columns in wanted], axis=1)
        return found

    def _sources(self, label: str) -> list[str]:
        """The columns to add up."""
        element = label.removesuffix("_h")
        wanted = [f"{element}_fe", "fe_h"] if element in ELEMENTS else [label]
        there = [next((name for name in COLUMNS.get(one, (one,)) if name in self.columns), "") for one in wanted]
        return there if all(there) else []

    def _sum(self, rows: np.ndarray, columns: Sequence[str]) -> np.ndarray:
        if not columns:
            return np.full(len(rows), np.nan)
        values = np.stack([np.asarray(rows[name], float) for name in columns])
        total = np.where(is_known(torch.from_numpy(values)).numpy(), values, np.nan).sum(axis=0)
        flags = [f"flag_{name}" for name in columns if name.endswith("_fe")]
        flags = [flag for flag in (*flags, "flag_sp") if flag in self.columns and columns[0] not in VELOCITIES]
        return np.where(np.any([np.asarray(rows[flag]) != 0 for flag in flags], axis=0), np.nan, total)

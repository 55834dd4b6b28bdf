"""Labels of APOGEE's stars, from the survey's allStar table."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from astropy.io import fits

from cyclegan.instruments.fits_files import opened_fits, refusing_quietly
from emulator.commands.errors import InputError
from emulator.labels import ABUNDANCES, LABELS, is_known


class AllStar:
    """The labels of stars from the survey's allStar table, as the columns LABELS.

    TEFF, LOGG, VMICRO, VMACRO, FE_H and X_FE, with [X/H] = X_FE + FE_H. In DR12 [X/H] is a column of its own and the
    microturbulence is 10^PARAM[2]. Names of columns may be in whatever case. missing: the labels that the table has no
    column for. Values from -999 downwards mean unknown. The table is mapped, not read: it has 3 GB.
    Raises InputError where the file is no such table.
    """

    def __init__(self, path: str | Path) -> None:
        self.expected = f"{path}: expected an allStar table in FITS"
        with opened_fits(Path(path), self.expected, mapped=True) as hdus:
            self.table = hdus[1].data
            self.columns = {name.upper() for name in hdus[1].columns.names}
            named = self.table["APOGEE_ID"] if "APOGEE_ID" in self.columns else []
            names = np.char.strip(np.asarray(named).astype(str))
        self.missing: Sequence[str] = [name for name in LABELS if not self._sources(name)]
        if "APOGEE_ID" not in self.columns or len(self.missing) == len(LABELS):
            columns = ", ".join(sorted(self.columns)[:8])
            raise InputError(f"{path}: expected columns APOGEE_ID, TEFF, LOGG, FE_H, ..., got {columns}")
        self.order = np.argsort(names, kind="stable")
        self.names = names[self.order]

    def _sources(self, label: str) -> list[str]:
        """The columns to add up."""
        if label in ABUNDANCES:
            choices = [[label.upper()], [label.upper().replace("_H", "_FE"), "FE_H"]]
        else:
            named = {"vmic": "VMICRO", "vmacro": "VMACRO"}.get(label, label.upper())
            choices = [[named], ["PARAM"]] if label == "vmic" else [[named]]
        return next((choice for choice in choices if self.columns.issuperset(choice)), [])

    def find(self, names: np.ndarray, about: Mapping[str, np.ndarray]) -> np.ndarray:
        """Labels (n, len(LABELS)) of the stars of n spectra, NaN where unknown; names (n,); about: as in `Stars`.

        Of several rows with a star's name, the one of its telescope, field and file, then that of the highest SNR.
        """
        with refusing_quietly(self.expected):
            keys = list(zip(names.tolist(), *(values.tolist() for values in about.values()), strict=True))
            rows = {key: self._row(key[0], dict(zip(about, key[1:], strict=True))) for key in dict.fromkeys(keys)}
            found = [rows[key] for key in keys]
            known = [number for number, row in enumerate(found) if row is not None]
            labels = np.full((len(keys), len(LABELS)), np.nan, "float32")
            if known:
                picked = self.table[[found[number] for number in known]]
                labels[known] = np.stack([self._values(picked, name) for name in LABELS], axis=1)
            return _or_nan(labels)

    def _row(self, name: str, about: Mapping[str, str]) -> int | None:
        first, last = (np.searchsorted(self.names, name, side) for side in ("left", "right"))
        candidates = self.order[first:last]
        if len(candidates) == 0:
            return None
        rows, rank = self.table[candidates], np.zeros(len(candidates))
        for column, value in about.items():
            if column in self.columns:
                rank += np.char.strip(np.asarray(rows[column]).astype(str)) == value
        snr = np.asarray(rows["SNR"], float) if "SNR" in self.columns else rank
        return int(candidates[np.lexsort((np.nan_to_num(snr), rank))[-1]])

    def _values(self, rows: fits.FITS_rec, label: str) -> np.ndarray:
        if not (sources := self._sources(label)):
            return np.full(len(rows), np.nan)
        values = np.stack([np.asarray(rows[s][:, 2] if s == "PARAM" else rows[s], float) for s in sources])
        values = _or_nan(values).sum(axis=0)
        return 10**values if sources == ["PARAM"] else values


def _or_nan(labels: np.ndarray) -> np.ndarray:
    """Labels (...), NaN where they are unknown."""
    return np.where(is_known(torch.from_numpy(labels)).numpy(), labels, np.nan)

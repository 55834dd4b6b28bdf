"""Columns of tables of labels: what surveys and people call the names of stars and their labels, in capitals.

allStar: https://data.sdss.org/datamodel/files/APOGEE_ASPCAP/APRED_VERS/ASPCAP_VERS/allStar.html; the tables of SDSS-V:
astraAllStarASPCAP.md and its neighbours in datamodel/products/md of https://github.com/sdss/datamodel.
"""

from collections.abc import Iterable, Mapping, Sequence, Set

import numpy as np
import torch

from emulator.labels import ABUNDANCES, LABELS, is_known

SDSS_ID = "SDSS_ID"  # a number that SDSS-V has for each star, beside its name
NAMES = (
    *("APOGEE_ID", "SDSS4_APOGEE_ID", "OBJ", SDSS_ID, "OBJECT_ID"),
    *("ID", "NAME", "STAR", "STAR_ID", "STAR_NAME", "OBJID", "OBJECT"),
)
ABOUT = ("TELESCOPE", "FIELD", "LOCATION_ID", "FILE")  # which of several rows of a star a spectrum belongs to
SPELLINGS: Mapping[str, Sequence[str]] = {
    "teff": ("TEFF", "T_EFF"),
    "logg": ("LOGG", "LOG_G"),
    "vmic": ("VMIC", "VMICRO", "V_MICRO", "V_TURB"),
    "vmacro": ("VMACRO", "V_MACRO"),
}
VELOCITIES = ("VHELIO_AVG", "V_RAD")  # of a star against the Sun, km/s: of allStar, of SDSS-V
PARAMETERS = "PARAM"  # DR12, in FITS alone: an array, of which [2] is the logarithm of the microturbulence


def sources(label: str, columns: Set[str]) -> list[str]:
    """The columns whose sum is a label, of those that there are; none where they do not tell it.

    [X/H] is X_H, or X_FE + FE_H.
    """
    choices = [[name] for name in SPELLINGS.get(label, (label.upper(),))]
    if label in ABUNDANCES:
        choices.append([label.upper().replace("_H", "_FE"), "FE_H"])
    if label == "vmic":
        choices.append([PARAMETERS])
    return next((choice for choice in choices if columns >= set(choice)), [])


def has_labels(columns: Set[str]) -> bool:
    """Whether columns tell any label."""
    return any(sources(label, columns) for label in LABELS)


def number_columns(columns: Set[str]) -> list[str]:
    """Those of the columns that labels are made from, velocities, and the signal to noise."""
    wanted = {name for label in LABELS for name in sources(label, columns)}
    return sorted(wanted | columns & {"SNR", *VELOCITIES})


def labels_of(rows: Mapping[str, np.ndarray] | np.ndarray, columns: Set[str]) -> np.ndarray:
    """Labels (n, len(LABELS)) of n rows, which have their columns by name; NaN where unknown."""
    found = [_label(rows, sources(label, columns)) for label in LABELS]
    count = next((len(values) for values in found if values is not None), 0)
    return known(np.stack([np.full(count, np.nan) if values is None else values for values in found], axis=1))


def _label(rows: Mapping[str, np.ndarray] | np.ndarray, names: Iterable[str]) -> np.ndarray | None:
    parts = [np.asarray(rows[name][:, 2] if name == PARAMETERS else rows[name], float) for name in names]
    if not parts:
        return None
    values = known(np.stack(parts)).sum(axis=0)
    return 10**values if list(names) == [PARAMETERS] else values


def known(labels: np.ndarray) -> np.ndarray:
    """Labels (...), NaN where they are unknown."""
    return np.where(is_known(torch.from_numpy(labels)).numpy(), labels, np.nan)

"""What can be flux over a continuum of 1."""

from typing import TypeVar

import numpy as np
from torch import Tensor

from emulator.commands.errors import InputError

FLUX_LEVELS = (0.2, 2.0)  # the median flux of spectra whose continuum is 1, however deep and many their lines are
LEVEL_SPECTRA = 32  # that are looked at for it
FLUX_RANGE = (-1.0, 100.0)  # of a pixel, however strong its emission, and however noisy it is
Values = TypeVar("Values", np.ndarray, Tensor)


def is_flux(values: Values) -> Values:
    """Which values (...) can be flux over a continuum of 1, within FLUX_RANGE: NaN and infinity are none."""
    return (values >= FLUX_RANGE[0]) & (values <= FLUX_RANGE[1])


def check_flux(spectra: np.ndarray, where: str) -> None:
    """Raise InputError, told of `where`, for spectra (n, P) that are not flux over a continuum of 1.

    Their median, of a few, is within FLUX_LEVELS, and each pixel within FLUX_RANGE.
    """
    if (wrong := ~is_flux(spectra)).any():
        low, high = FLUX_RANGE
        row, pixel = np.argwhere(wrong)[0].tolist()
        got = f"{spectra[row, pixel]:g} at pixel {pixel} of row {row}"
        raise InputError(f"{where}: expected flux of {low:g} to {high:g} of the continuum, got {got}")
    level = float(np.median(spectra[:: 1 + len(spectra) // LEVEL_SPECTRA]))
    if not FLUX_LEVELS[0] <= level <= FLUX_LEVELS[1]:
        raise InputError(f"{where}: expected flux normalised to a continuum of 1, got a median of {level:.4g}")

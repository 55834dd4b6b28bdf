"""Detector chips, the pieces of a spectrum without a gap, and polynomials along them."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.polynomial.chebyshev import chebvander
from torch import Tensor

from emulator.wavelength import chip_starts


def chip_slices(wavelength: np.ndarray, starts: Sequence[int] | np.ndarray | None = None) -> list[slice]:
    """The pixels of each chip of a grid (P,); starts: the first pixels of all chips but the first, if not its gaps."""
    bounds = np.r_[0, chip_starts(wavelength) if starts is None else starts, len(wavelength)]
    edges = np.unique(bounds.astype(int)).tolist()
    return [slice(first, last) for first, last in pairwise(edges)]


def chip_polynomials(wavelength: np.ndarray, degree: int) -> np.ndarray:
    """Chebyshev polynomials of degrees 0 to `degree` at a chip's wavelengths (p,), (p, degree + 1).

    The wavelengths run from -1 to 1, where these polynomials are close to orthogonal.
    """
    middle, half = (wavelength[-1] + wavelength[0]) / 2, (wavelength[-1] - wavelength[0]) / 2
    return chebvander((wavelength - middle) / (half or 1.0), degree)


def polynomials_of_all_chips(wavelength: Tensor, degree: int) -> Tensor:
    """`chip_polynomials` of each chip of a grid (P,), (C, P): each is 0 on all other chips."""
    values = wavelength.cpu().numpy()
    blocks = [torch.from_numpy(chip_polynomials(values[chip], degree).T).float() for chip in chip_slices(values)]
    return torch.block_diag(*blocks)

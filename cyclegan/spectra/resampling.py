"""Spectra on another grid of wavelengths, with the flux conserved."""

import numpy as np
import torch
from torch import Tensor

from cyclegan.spectra.spectra import Spectra
from emulator.commands.errors import InputError
from emulator.wavelength import chip_starts, nearest_pixels

SLIVER = 1e-6  # of a pixel's width: what is less is the rounding of edges


def pixel_edges(wavelength: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The blue and the red edges (P,) of pixels centred at wavelength (P,): half-way between neighbours, chip by chip.

    The outer edges of a chip lie as far from the last centre as the inner ones.
    """
    middle = (wavelength[1:] + wavelength[:-1]) / 2
    blue, red = np.append(np.nan, middle), np.append(middle, np.nan)
    starts = np.append(0, chip_starts(wavelength))
    ends = np.append(starts[1:], len(wavelength)) - 1
    blue[starts] = 2 * wavelength[starts] - red[starts]
    red[ends] = 2 * wavelength[ends] - blue[ends]
    return blue, red


class Resampler:
    """Spectra from the grid `source` (P,) to the grid `target` (Q,), both ascending, in Angstrom.

    A target pixel j takes from each source pixel i the share of its own width that both cover:
        w_ji = overlap_ij / width_j,    flux_j = sum_i w_ji flux_i,    error_j^2 = sum_i w_ji^2 error_i^2,
    so the integral of flux over wavelength stays as it is (the scheme of SpectRes, Carnall 2017, arXiv:1705.05165).
    The errors of neighbours are then correlated, which is not recorded. A target pixel is usable where all that it
    takes from is usable and covers it wholly. Where every target wavelength that the source covers is also one of the
    source, and the target is not a coarser grid, the pixels are picked as they are. taken: the source pixels that
    matter; whole (Q,): the target pixels that are covered.
    Raises InputError where the grids have no wavelength in common.
    """

    def __init__(self, source: np.ndarray, target: np.ndarray) -> None:
        self.weight: Tensor | None = None
        self.taken, self.whole = nearest_pixels(torch.from_numpy(target), torch.from_numpy(source))
        coarser = np.median(np.diff(target)) > 1.5 * np.median(np.diff(source))
        if self.whole.all() and not coarser:
            return
        (blue, red), (target_blue, target_red) = pixel_edges(source), pixel_edges(target)
        # Between neighbouring edges, of either grid, lies one piece of at most one pixel of each.
        edges = np.unique(np.concatenate([blue, red, target_blue, target_red]))
        middle, length = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
        i, j = np.searchsorted(blue, middle) - 1, np.searchsorted(target_blue, middle) - 1
        width = target_red - target_blue
        shared = (i >= 0) & (j >= 0) & (middle < red[i]) & (middle < target_red[j]) & (length > SLIVER * width[j])
        if not shared.any():
            raise InputError(
                f"expected spectra that cover some of {target[0]:.1f} to {target[-1]:.1f} A,"
                f" got {source[0]:.1f} to {source[-1]:.1f} A"
            )
        i, j, length = i[shared], j[shared], length[shared]
        covered = torch.from_numpy(np.bincount(j, length, minlength=len(target)) / width)
        if not coarser and torch.equal(self.whole, covered > 0.5):
            return
        self.whole = covered > 1 - SLIVER
        taken, column = np.unique(i, return_inverse=True)
        self.taken = torch.from_numpy(taken)
        self.weight = torch.sparse_coo_tensor(
            torch.from_numpy(np.stack([j, column])),
            torch.from_numpy(length / width[j]),
            (len(target), len(taken)),
            check_invariants=True,
        ).coalesce()

    def __call__(self, spectra: Spectra) -> Spectra:
        """Spectra (B, P) on the source grid -> (B, Q) on the target grid."""
        flux, error, mask = (tensor[:, self.taken] for tensor in spectra)
        if self.weight is None:
            return Spectra(flux, error, mask & self.whole)
        variance = error.double().nan_to_num(0.0, 0.0, 0.0).square()
        flux_there = (self.weight @ flux.double().nan_to_num(0.0, 0.0, 0.0).T).T
        error_there = (self.weight.square() @ variance.T).T.sqrt()
        from_unusable = (self.weight @ (~mask).double().T).T > 0
        return Spectra(flux_there.to(flux), error_there.to(error), ~from_unusable & self.whole)

"""Spectra with their errors and masks."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

ERROR_FLOOR = 0.005  # of continuum-normalised flux, as APOGEE's pipeline has it: errors below it are not believed
BLUR = 1.4  # line widths, 1 sigma: of APOGEE's 20 km/s; what stars and spectrographs do to lines is narrower
WORST_ERROR = 0.05  # of the continuum: a pixel less certain says nothing, and is masked; domains.worst_error is another
CACHED = 2**19  # numbers at a time: more leave the processor's caches, and take up to three times as long each
SCORE_BATCH = 100  # stars that are scored at a time: what a batch of pixels takes in memory, and no more
# Spectra of each subset that training can do with: 10 of 'train' were translated worse than by a mean shift
# (docs/few-stars.md), and `separation.quick_auc` shows a half of those of 'val' as real, and trains on half of these.
FEWEST = {"train": 20, "val": 4, "test": 1}


class Spectra(NamedTuple):
    """Spectra of B stars of one domain, on P pixels.

    In a network's own space (`Components`, `Pixels`) the same three hold coordinates instead of flux.

    Attributes:
        flux: (B, P), normalised to a continuum of 1.
        error: (B, P), 1 sigma, in the unit of flux.
        mask: (B, P), True = usable.
    """

    flux: Tensor
    error: Tensor
    mask: Tensor

    def rows(self, index: Tensor | slice | int) -> "Spectra":
        """Those of some stars.

        Args:
            index: which stars: their numbers, True and False for all, a slice, or one number.

        Returns:
            Their spectra; of one number those of one star, without the first dimension.
        """
        return Spectra(*(tensor[index] for tensor in self))

    def chunks(self, size: int) -> list["Spectra"]:
        """The same in pieces.

        Args:
            size: stars in each piece, at most.

        Returns:
            The pieces, in order.
        """
        return [self.rows(slice(first, first + size)) for first in range(0, len(self.flux), size)]

    def to(self, device: torch.device | str) -> "Spectra":
        """The same on a device."""
        return Spectra(*(tensor.to(device) for tensor in self))


def at_a_time(pixels: int) -> int:
    """How many spectra of so many pixels are worked on at a time."""
    return max(1, CACHED // pixels)


def masked_mean(spectra: Spectra) -> Tensor:
    """The mean flux (P,) over the stars whose pixel is usable; 1, the continuum, where none is."""
    count, total = _sums(spectra, lambda some: some.flux)
    return torch.where(count > 0, total / count.clamp_min(1), 1.0)


def typical_weight(spectra: Spectra) -> Tensor:
    """1 over the typical error (P,): the root mean inverse square over usable stars, errors floored at ERROR_FLOOR.

    Where no star has a usable pixel, that of WORST_ERROR.
    """
    count, total = _sums(spectra, lambda some: 1 / some.error.clamp_min(ERROR_FLOOR).square())
    return torch.where(total > 0, (total / count.clamp_min(1)).sqrt(), 1 / WORST_ERROR)


def _sums(spectra: Spectra, of: Callable[[Spectra], Tensor]) -> tuple[Tensor, Tensor]:
    """How many stars have each pixel usable, and the sum over these of what `of` makes (B, P) of spectra: (P,) both."""
    count, total = spectra.flux.new_zeros(2, spectra.flux.shape[1])
    for some in spectra.chunks(at_a_time(len(total))):
        count += some.mask.sum(dim=0)
        total += torch.where(some.mask, of(some), 0.0).sum(dim=0)
    return count, total


def line_width(mean: Tensor) -> float:
    """How wide the lines of a mean spectrum (P,) are, in pixels: its spread over that of its slope."""
    return (mean.std() / mean.diff().std().clamp_min(1e-12)).item()


def told_difference(a: Spectra, b: Spectra) -> Tensor:
    """How far the mean flux of a (N, P) is from that of b (M, P), in typical errors of b, (P,).

    0 where most stars of either have no usable pixel: what is left there is mostly what masks missed.
    """
    seen = (a.mask.double().mean(dim=0) > 0.5) & (b.mask.double().mean(dim=0) > 0.5)
    return torch.where(seen, (masked_mean(a) - masked_mean(b)).abs() * typical_weight(b), 0.0)


def exact(flux: Tensor) -> Spectra:
    """Flux (B, P) that has no noise, every pixel of it usable, as spectra with the least error."""
    return Spectra(flux, torch.full_like(flux, ERROR_FLOOR), torch.ones_like(flux, dtype=torch.bool))


def noise_of(spectra: Spectra) -> Tensor:
    """The noise (B, P), 1 sigma, of usable pixels; none for others, whose errors may be any number."""
    return torch.where(spectra.mask, spectra.error, 0.0)

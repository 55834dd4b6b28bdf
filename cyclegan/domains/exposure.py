"""Spectra on their way from the star to the file, and the effects that they meet."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cyclegan.spectra.spectra import ERROR_FLOOR, WORST_ERROR, Spectra

STARS_AT_ONCE = 100  # for the steps that need many times the memory of their spectra


class Exposure(NamedTuple):
    """Spectra (B, P) on their way from the star to the file.

    flux: what an endless exposure would give; noise: what comes on top by chance; error: 1 sigma, as a pipeline would
    state it; mask: True = usable.
    """

    flux: Tensor
    noise: Tensor
    error: Tensor
    mask: Tensor

    def scaled(self, factor: Tensor) -> "Exposure":
        """All but the mask times a factor (B, P)."""
        return Exposure(self.flux * factor, self.noise * factor, self.error * factor, self.mask)

    def spectra(self) -> Spectra:
        """What lies in the file in the end, (B, P)."""
        return Spectra(self.flux + self.noise, self.error, self.mask)


class Effect(nn.Module, ABC):
    """One thing that happens to spectra on their way."""

    @abstractmethod
    def forward(self, exposure: Exposure, generator: torch.Generator) -> Exposure:
        """The exposure of B stars after it; what is random comes from the generator, star by star."""


class Observation(nn.Module):
    """Effects, one after the other. Without any, spectra are exact, and their error is ERROR_FLOOR."""

    def __init__(self, effects: Iterable[Effect] = ()) -> None:
        super().__init__()
        self.effects = nn.ModuleList(effects)

    def forward(self, flux: Tensor, seed: int) -> Exposure:
        """Flux (B, P) as observed; the same seed gives the same draws. Errors above WORST_ERROR mask a pixel."""
        generator = torch.Generator(flux.device).manual_seed(seed)
        error, usable = torch.full_like(flux, ERROR_FLOOR), torch.ones_like(flux, dtype=torch.bool)
        exposure = Exposure(flux, flux.new_zeros(()).expand_as(flux), error, usable)
        for effect in self.effects:
            exposure = effect(exposure, generator)
        return exposure._replace(mask=exposure.mask & (exposure.error <= WORST_ERROR))

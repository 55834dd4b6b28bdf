"""What a spectrograph and its pipeline are to this program: numbers, all in one place."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Instrument:
    """A spectrograph, and the grid on which its pipeline delivers stars in their rest frame.

    wavelength (P,): vacuum Angstrom, of all pixels; cuts: by name, which pixels of them its chips keep, the default
    first; chip_bounds: wavelengths between its chips. resolution: wavelength over the full width at half maximum of the
    line spread function. signal_to_noise: per pixel, from and to. bits: names of the bits of its mask, from bit 0 on;
    bad_bits: those that mask a pixel, as a number.
    """

    name: str
    wavelength: np.ndarray
    cuts: Mapping[str, np.ndarray]
    chip_bounds: tuple[float, ...]
    resolution: float
    signal_to_noise: tuple[float, float]
    bits: tuple[str, ...]
    bad_bits: int

    def cut(self, name: str | None = None) -> np.ndarray:
        """The wavelengths (p,) that chips keep, vacuum Angstrom; name: one of `cuts`, None for the default."""
        return self.wavelength[self.cuts[next(iter(self.cuts)) if name is None else name]]

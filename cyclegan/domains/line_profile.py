"""Line widths and velocities: one convolution for each chip."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor, nn

from cyclegan.domains.exposure import STARS_AT_ONCE, Effect, Exposure
from cyclegan.spectra.chips import chip_slices
from emulator.commands.errors import InputError
from emulator.instruments import instrument_of
from emulator.wavelength import LIGHT_SPEED

Value = TypeVar("Value", Tensor, float)
WIDTH = float(LIGHT_SPEED / (8 * np.log(2)) ** 0.5)  # km/s: of a line spread function, 1 sigma, times its resolution


def uniform(bounds: Sequence[float], stars: int, generator: torch.Generator) -> Tensor:
    """One number (stars, 1) for each star, drawn evenly between two bounds, on the generator's device."""
    low, high = bounds
    return low + (high - low) * torch.rand(stars, 1, generator=generator, device=generator.device)


def added_variance(resolution: Value, macroturbulence: Value, own: float) -> Value:
    """The variance of a line, in (km/s)^2, that comes on top of that at the resolution `own`: see `LineProfile`."""
    return WIDTH**2 * (resolution**-2 - own**-2) + macroturbulence**2 / 2


class LineProfile(Effect):
    """Each star's own line width and radial-velocity error, as one convolution for each chip.

    The kernel is a Gaussian in velocity: sigma^2 = WIDTH^2 (1/R^2 - 1/R_0^2) + zeta^2 / 2, with R_0 the resolution of
    the instrument whose wavelengths these are, which theory is taken to have; R drawn from `resolution`, None for R_0;
    and zeta, the most probable speed of an isotropic macroturbulence (as the emulator's vmacro), from
    `macroturbulence` (km/s); it is centred on an error drawn from N(0, `velocity`^2) (km/s, away from us positive).
    Its Fourier transform is exact for any width, below a pixel too. Beyond the ends of a chip the flux is taken to
    stay as it is at the end. Raises InputError for wavelengths that are not uniform in their logarithm, and for a
    resolution above R_0.
    """

    def __init__(
        self,
        wavelength: Tensor,
        resolution: Sequence[float] | None = None,
        macroturbulence: Sequence[float] = (0.0, 0.0),
        velocity: float = 0.0,
    ) -> None:
        super().__init__()
        values = wavelength.cpu().numpy()
        instrument = instrument_of(values)
        self.own = instrument.resolution
        self.resolution, self.macroturbulence, self.velocity = (
            resolution or (self.own, self.own),
            macroturbulence,
            velocity,
        )
        if (most := max(self.resolution)) > self.own:
            expected = f"a resolution of at most {self.own:g}, which theory has at the wavelengths of {instrument.name}"
            raise InputError(f"effects of line profiles: expected {expected}, got {most:g}")
        self.chips: list[tuple[int, float]] = []  # pixels, km/s a pixel
        for chip in (values[pixels] for pixels in chip_slices(values)):
            logarithm, pixels = np.log(chip), len(chip)
            even = np.linspace(logarithm[0], logarithm[-1], pixels)
            step = (even[-1] - even[0]) / max(pixels - 1, 1)
            if (off := abs(logarithm - even).max()) > 0.05 * step:
                raise InputError(
                    f"effects of line profiles: expected wavelengths uniform in their logarithm within a chip, got"
                    f" {chip[0]:.2f} to {chip[-1]:.2f} Angstrom off by {off / step:.2g} pixels"
                )
            self.chips.append((pixels, LIGHT_SPEED * step))
        self.reach = (
            5 * added_variance(min(self.resolution), max(macroturbulence), self.own) ** 0.5 + 6 * velocity
        )  # km/s

    def forward(self, exposure: Exposure, generator: torch.Generator) -> Exposure:
        """Widen and shift the lines of each star by what is drawn for it."""
        stars = len(exposure.flux)
        resolution = uniform(self.resolution, stars, generator)
        variance = added_variance(resolution, uniform(self.macroturbulence, stars, generator), self.own).clamp_min(0)
        shift = self.velocity * torch.randn(stars, 1, generator=generator, device=generator.device)
        pieces = zip(*(values.split(STARS_AT_ONCE) for values in (exposure.flux, variance, shift)), strict=True)
        return exposure._replace(flux=torch.cat([self.convolve(*piece) for piece in pieces]))

    def convolve(self, flux: Tensor, variance: Tensor, shift: Tensor) -> Tensor:
        """Flux (B, P) with lines wider by variance (B, 1), in (km/s)^2, and further red by shift (B, 1), in km/s."""
        done, sizes = [], [pixels for pixels, _ in self.chips]
        for chip, (pixels, step) in zip(flux.split(sizes, dim=1), self.chips, strict=True):
            margin = int(self.reach / step) + 2
            length = next_fast_len(pixels + 2 * margin, real=True)
            padded = nn.functional.pad(chip[:, None], (margin, length - pixels - margin), mode="replicate")[:, 0]
            frequency = 2 * torch.pi * torch.fft.rfftfreq(length, device=flux.device) / step
            transfer = torch.polar(torch.exp(-0.5 * variance * frequency**2), -frequency * shift)
            convolved = torch.fft.irfft(torch.fft.rfft(padded) * transfer, n=length)
            done.append(convolved[:, margin : margin + pixels])
        return torch.cat(done, dim=1)

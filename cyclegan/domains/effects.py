"""What a telescope and its pipeline do to spectra: small modules on batches, on the device, in physical order."""

from pathlib import Path

import torch
from torch import Tensor

from cyclegan.domains.exposure import Effect, Exposure, Observation
from cyclegan.domains.line_profile import LineProfile
from cyclegan.domains.schema import EffectsConfig
from cyclegan.domains.sky import Atmosphere
from cyclegan.spectra.chips import chip_slices, polynomials_of_all_chips
from cyclegan.spectra.files import SpectraFile
from cyclegan.spectra.spectra import Spectra
from emulator.commands.errors import InputError
from emulator.instruments import instrument_of
from emulator.wavelength import same_wavelengths

PHOTON = "photon"  # the `noise` that is drawn and not read from a file
CONTINUUM_DEGREE = 2  # of the Chebyshev polynomials in each chip
RUN = 3  # pixels that go bad together


def chip_profile(wavelength: Tensor) -> Tensor:
    """How the error grows from the middle of each chip (1) to its ends (1.5), (P,): fewer photons reach the ends."""
    sizes = [chip.stop - chip.start for chip in chip_slices(wavelength.cpu().numpy())]
    profile = [1 + 0.5 * torch.linspace(-1, 1, pixels) ** 4 for pixels in sizes]
    return torch.cat(profile).to(wavelength.device)


class PhotonNoise(Effect):
    """Gaussian noise, with the errors that a pipeline would state.

    Each star has its own signal to noise, log-uniform over the instrument's range; the error follows
    `chip_profile` and scatters by 15 % from pixel to pixel.
    """

    profile: Tensor

    def __init__(self, wavelength: Tensor) -> None:
        super().__init__()
        self.low, self.high = instrument_of(wavelength.cpu().numpy()).signal_to_noise
        self.register_buffer("profile", chip_profile(wavelength))

    def forward(self, exposure: Exposure, generator: torch.Generator) -> Exposure:
        """Draw each star's signal to noise, its errors, and noise by them."""
        flux = exposure.flux
        stars, pixels = flux.shape
        ratio = torch.rand(stars, 1, generator=generator, device=flux.device)
        snr = self.low * (self.high / self.low) ** ratio
        scatter = torch.randn(stars, pixels, generator=generator, device=flux.device).mul_(0.15).add_(1).abs_()
        error = self.profile * scatter / snr + 1e-3
        noise = torch.randn(stars, pixels, generator=generator, device=flux.device)
        return exposure._replace(noise=noise.mul_(error), error=error)


class RecordedNoise(Effect):
    """Gaussian noise with the errors, and the mask, of real spectra (N, P): each star takes those of one, at random."""

    error: Tensor
    mask: Tensor

    def __init__(self, recorded: Spectra) -> None:
        super().__init__()
        self.register_buffer("error", recorded.error)
        self.register_buffer("mask", recorded.mask)

    @classmethod
    def from_file(cls, path: str | Path, wavelength: Tensor) -> "RecordedNoise":
        """The errors of `spectra_err train`; InputError where there are none, or for other wavelengths than (P,)."""
        with SpectraFile(path, normalised=False) as file:
            if not file.has_errors:
                raise InputError(f"{path}: expected errors, 'spectra_err train', to draw noise by, got a file without")
            here, there = wavelength.cpu(), file.wavelength
            if not same_wavelengths(here, there):
                found, expected = (f"{len(w)} from {w[0]:.2f} to {w[-1]:.2f} Angstrom" for w in (there, here))
                raise InputError(f"{path}: expected errors on the emulator's pixels, {expected}, got {found}")
            recorded = file.read("train")
        seen = recorded.mask.any(dim=1)
        if not seen.any():
            raise InputError(f"{path}: expected usable pixels in 'spectra train', got none")
        return cls(recorded.rows(seen))

    def forward(self, exposure: Exposure, generator: torch.Generator) -> Exposure:
        """Give each star the errors and the mask of a real spectrum, and noise by them."""
        stars = (len(exposure.flux),)
        row = torch.randint(len(self.error), stars, generator=generator, device=generator.device)
        error = self.error[row]
        noise = torch.randn(error.shape, generator=generator, device=generator.device)
        return exposure._replace(noise=noise.mul_(error), error=error, mask=exposure.mask & self.mask[row])


class ContinuumError(Effect):
    """A continuum found wrong: each chip divided by its own polynomial, errors with it.

    The factor is 1 + sum of c_k T_k(x), T_k Chebyshev's of degree 0 to CONTINUUM_DEGREE, x from -1 to 1 along a chip,
    c_k drawn from N(0, amplitude^2) for each star and chip.
    """

    basis: Tensor

    def __init__(self, wavelength: Tensor, amplitude: float) -> None:
        super().__init__()
        self.register_buffer("basis", amplitude * polynomials_of_all_chips(wavelength, CONTINUUM_DEGREE))

    def forward(self, exposure: Exposure, generator: torch.Generator) -> Exposure:
        """Multiply each chip of each star by its own polynomial."""
        size = len(exposure.flux), len(self.basis)
        coefficients = torch.randn(size, generator=generator, device=generator.device)
        return exposure.scaled(1 + coefficients @ self.basis)


class BadPixels(Effect):
    """A share of the pixels, in runs of RUN or longer where runs meet, hold garbage and are masked."""

    def __init__(self, share: float) -> None:
        super().__init__()
        # A pixel is good if no run begins at it or at one of the RUN - 1 before it.
        self.start = 1 - (1 - share) ** (1 / RUN)

    def forward(self, exposure: Exposure, generator: torch.Generator) -> Exposure:
        """Put garbage into runs of pixels, and mask them."""
        stars, pixels = exposure.flux.shape
        starts = torch.rand(stars, pixels + RUN - 1, generator=generator, device=generator.device) < self.start
        bad = starts[:, :pixels].clone()
        for before in range(1, RUN):
            bad |= starts[:, before : before + pixels]
        garbage = torch.randn(int(bad.sum()), generator=generator, device=generator.device)
        noise = exposure.noise.clone()
        noise[bad] = garbage
        return exposure._replace(noise=noise, mask=exposure.mask & ~bad)


def make_observation(config: EffectsConfig, wavelength: Tensor) -> Observation:
    """The effects that a domain's `effects` ask for, null ones left out, on spectra at wavelength (P,).

    The order is that in which they happen: the star and the spectrograph shape its lines, photons are counted, the
    pipeline subtracts the sky and divides by telluric absorption, the continuum is divided out, bad pixels are found.
    """
    effects: list[Effect] = []
    if any(value is not None for value in (config.resolution, config.macroturbulence, config.velocity)):
        macroturbulence = config.macroturbulence or (0.0, 0.0)
        effects.append(LineProfile(wavelength, config.resolution, macroturbulence, config.velocity or 0.0))
    if config.noise is not None:
        photons = config.noise == PHOTON
        if not photons and not Path(config.noise).is_file():
            raise InputError(f"{config.noise}: expected a file of spectra, or {PHOTON} for noise, found no such file")
        effects.append(PhotonNoise(wavelength) if photons else RecordedNoise.from_file(config.noise, wavelength))
    if config.sky is not None or config.tellurics is not None:
        effects.append(Atmosphere(wavelength, config.sky or 0.0, config.tellurics or 0.0, config.observer_velocity))
    if config.continuum is not None:
        effects.append(ContinuumError(wavelength, config.continuum))
    if config.bad_pixels is not None:
        effects.append(BadPixels(config.bad_pixels))
    return Observation(effects).to(wavelength.device)

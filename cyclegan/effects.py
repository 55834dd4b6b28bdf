"""What a telescope and its pipeline do to spectra: small modules on batches, on the device, in physical order."""

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.polynomial.chebyshev import chebvander
from omegaconf import DictConfig
from scipy.constants import speed_of_light
from scipy.fft import next_fast_len
from torch import Tensor, nn

from cyclegan.files import SpectraFile
from cyclegan.spectra import ERROR_FLOOR, WORST_ERROR, Spectra
from emulator.command import InputError
from emulator.synthesis import RESOLUTION
from emulator.wavelength import chip_starts

PHOTON = "photon"  # the `noise` that is drawn and not read from a file

SNR_LOW, SNR_HIGH = 60.0, 300.0  # per pixel: the range of APOGEE's combined spectra
LIGHT_SPEED = speed_of_light / 1e3  # km/s
WIDTH = LIGHT_SPEED / (8 * np.log(2)) ** 0.5  # km/s: of a line spread function, 1 sigma, times its resolution
CONTINUUM_DEGREE = 2  # of the Chebyshev polynomials in each chip
TELLURICS = ("CO2", "CH4", "H2O")
RUN = 3  # pixels that go bad together
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
        return Exposure(self.flux * factor, self.noise * factor, self.error * factor, self.mask)

    def spectra(self) -> Spectra:
        return Spectra(self.flux + self.noise, self.error, self.mask)


class Effect(Protocol):
    """One thing that happens to an exposure; what is random comes from the generator, star by star."""

    def __call__(self, exposure: Exposure, generator: torch.Generator) -> Exposure: ...


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


def uniform(bounds: tuple[float, float], stars: int, generator: torch.Generator) -> Tensor:
    low, high = bounds
    return low + (high - low) * torch.rand(stars, 1, generator=generator, device=generator.device)


def chips(wavelength: Tensor) -> list[np.ndarray]:
    """The wavelengths (P,) of each detector chip."""
    values = wavelength.cpu().numpy()
    return np.split(values, chip_starts(values))


class LineProfile(nn.Module):
    """Each star's own line width and radial-velocity error, as one convolution for each chip.

    The kernel is a Gaussian in velocity: sigma^2 = WIDTH^2 (1/R^2 - 1/RESOLUTION^2) + zeta^2 / 2, with R drawn from
    `resolution` and zeta, the most probable speed of an isotropic macroturbulence (as the emulator's vmacro), from
    `macroturbulence` (km/s); it is centred on an error drawn from N(0, `velocity`^2) (km/s, away from us positive).
    Its Fourier transform is exact for any width, below a pixel too. Beyond the ends of a chip the flux is taken to
    stay as it is at the end. Raises InputError for wavelengths that are not uniform in their logarithm.
    """

    def __init__(
        self,
        wavelength: Tensor,
        resolution: tuple[float, float] = (RESOLUTION, RESOLUTION),
        macroturbulence: tuple[float, float] = (0.0, 0.0),
        velocity: float = 0.0,
    ) -> None:
        super().__init__()
        self.resolution, self.macroturbulence, self.velocity = resolution, macroturbulence, velocity
        self.chips = []  # (pixels, km/s a pixel)
        for chip in chips(wavelength):
            logarithm, pixels = np.log(chip), len(chip)
            even = np.linspace(logarithm[0], logarithm[-1], pixels)
            step = (even[-1] - even[0]) / max(pixels - 1, 1)
            if (off := abs(logarithm - even).max()) > 0.05 * step:
                raise InputError(
                    f"effects of line profiles: expected wavelengths uniform in their logarithm within a chip, got"
                    f" {chip[0]:.2f} to {chip[-1]:.2f} Angstrom off by {off / step:.2g} pixels"
                )
            self.chips.append((pixels, LIGHT_SPEED * step))
        self.reach = 5 * self._variance(min(resolution), max(macroturbulence)) ** 0.5 + 6 * velocity  # km/s

    @staticmethod
    def _variance(resolution: Tensor | float, macroturbulence: Tensor | float) -> Tensor | float:
        return WIDTH**2 * (resolution**-2 - RESOLUTION**-2) + macroturbulence**2 / 2

    def forward(self, exposure: Exposure, generator: torch.Generator) -> Exposure:
        stars = len(exposure.flux)
        resolution = uniform(self.resolution, stars, generator)
        variance = self._variance(resolution, uniform(self.macroturbulence, stars, generator)).clamp_min(0)
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


def chip_profile(wavelength: Tensor) -> Tensor:
    """How the error grows from the middle of each chip (1) to its ends (1.5), (P,): fewer photons reach the ends."""
    profile = [1 + 0.5 * torch.linspace(-1, 1, len(chip)) ** 4 for chip in chips(wavelength)]
    return torch.cat(profile).to(wavelength.device)


class PhotonNoise(nn.Module):
    """Gaussian noise, with the errors that an APOGEE pipeline would state.

    Each star has its own signal to noise, log-uniform from SNR_LOW to SNR_HIGH; the error follows `chip_profile` and
    scatters by 15 % from pixel to pixel.
    """

    def __init__(self, wavelength: Tensor) -> None:
        super().__init__()
        self.register_buffer("profile", chip_profile(wavelength))

    def forward(self, exposure: Exposure, generator: torch.Generator) -> Exposure:
        flux = exposure.flux
        stars, pixels = flux.shape
        ratio = torch.rand(stars, 1, generator=generator, device=flux.device)
        snr = SNR_LOW * (SNR_HIGH / SNR_LOW) ** ratio
        scatter = torch.randn(stars, pixels, generator=generator, device=flux.device).mul_(0.15).add_(1).abs_()
        error = self.profile * scatter / snr + 1e-3
        noise = torch.randn(stars, pixels, generator=generator, device=flux.device)
        return exposure._replace(noise=noise.mul_(error), error=error)


class RecordedNoise(nn.Module):
    """Gaussian noise with the errors, and the mask, of real spectra (N, P): each star takes those of one, at random."""

    def __init__(self, recorded: Spectra) -> None:
        super().__init__()
        self.register_buffer("error", recorded.error)
        self.register_buffer("mask", recorded.mask)

    @classmethod
    def from_file(cls, path: str | Path, wavelength: Tensor) -> "RecordedNoise":
        """The errors of `spectra_err train`; InputError where the file is on other wavelengths than (P,)."""
        with SpectraFile(path, normalised=False) as file:
            here, there = wavelength.cpu(), file.wavelength
            if len(here) != len(there) or not torch.allclose(here, there, rtol=1e-6, atol=0):
                found, expected = (f"{len(w)} from {w[0]:.2f} to {w[-1]:.2f} Angstrom" for w in (there, here))
                raise InputError(f"{path}: expected errors on the emulator's pixels, {expected}, got {found}")
            recorded = file.read("train")
        seen = recorded.mask.any(dim=1)
        if not seen.any():
            raise InputError(f"{path}: expected usable pixels in 'spectra train', got none")
        return cls(recorded.rows(seen))

    def forward(self, exposure: Exposure, generator: torch.Generator) -> Exposure:
        stars = (len(exposure.flux),)
        row = torch.randint(len(self.error), stars, generator=generator, device=generator.device)
        error = self.error[row]
        noise = torch.randn(error.shape, generator=generator, device=generator.device)
        return exposure._replace(noise=noise.mul_(error), error=error, mask=exposure.mask & self.mask[row])


class Atmosphere(nn.Module):
    """What the subtraction of the sky's OH lines and the division by telluric absorption leave behind.

    Lines lie at their wavelengths in the observer's frame, so that in a star's rest frame they move by its velocity,
    drawn from N(0, velocity^2) (km/s); they are as wide as the spectrograph makes them. Each star has one residual for
    OH and one for each of TELLURICS: N(0, sky^2) of the continuum in the strongest sky line, N(0, tellurics^2) of the
    flux in a saturated telluric line, of either sign, and in proportion in all others. The error grows by as much, 1
    sigma. The tables of lines give their sources.
    """

    def __init__(self, wavelength: Tensor, sky: float, tellurics: float, velocity: float) -> None:
        super().__init__()
        self.velocity = velocity
        width = WIDTH / RESOLUTION / LIGHT_SPEED
        self.step = width / 32  # of the templates, in ln wavelength: a star's are read off at the nearest, 0.1 km/s off
        logarithm = wavelength.cpu().double().log()
        margin = 6 * velocity / LIGHT_SPEED
        grid = torch.arange(logarithm[0] - margin, logarithm[-1] + margin, self.step, dtype=torch.float64)
        self.register_buffer("position", ((logarithm - grid[0]) / self.step).float())
        templates = sky_templates(grid, width) * torch.tensor([[sky], *[[tellurics]] * len(TELLURICS)])
        together = templates[1:].square().sum(dim=0, keepdim=True).sqrt()
        self.register_buffer("templates", torch.cat([templates, together]))

    def forward(self, exposure: Exposure, generator: torch.Generator) -> Exposure:
        stars = len(exposure.flux)
        velocity = self.velocity * torch.randn(stars, 1, generator=generator, device=generator.device)
        residual = torch.randn(stars, 1 + len(TELLURICS), generator=generator, device=generator.device)
        place = torch.log1p(velocity / LIGHT_SPEED) / self.step
        pieces = zip(*(values.split(STARS_AT_ONCE) for values in (*exposure, place, residual)), strict=True)
        done = [self._correct(Exposure(*piece[:4]), *piece[4:]) for piece in pieces]
        return Exposure(*(torch.cat(tensors) for tensors in zip(*done, strict=True)))

    def _correct(self, exposure: Exposure, place: Tensor, residual: Tensor) -> Exposure:
        """An exposure (B, P) with lines moved by place (B, 1), in steps of the templates, and residuals (B, 1 + 3)."""
        index = (self.position + place).round_().long().clamp_(0, self.templates.shape[1] - 1)
        sky, *absorption, together = (template.take(index) for template in self.templates)
        flux = exposure.flux + sky * residual[:, :1]
        error = (exposure.error.square() + sky.square() + (flux * together).square()).sqrt()
        factor = 1 + sum(line * size[:, None] for line, size in zip(absorption, residual.T[1:], strict=True))
        return exposure._replace(flux=flux, error=error).scaled(factor)


def sky_templates(logarithm: Tensor, width: float) -> Tensor:
    """OH emission and the absorption of each of TELLURICS (1 + 3, F) at ln of vacuum wavelengths (F,) in Angstrom.

    Gaussians of `width`, 1 sigma in ln wavelength; the strongest line is 1 deep, or high.
    """
    folder = files("cyclegan") / "tables"
    tables = [np.genfromtxt(folder / f"{name}_lines.csv", delimiter=",", dtype=str)[1:] for name in ("sky", "telluric")]
    wavelength, species, strength = np.concatenate(tables).T
    templates = torch.zeros(1 + len(TELLURICS), len(logarithm))
    for centre, name, height in zip(wavelength, species, strength, strict=True):
        near = slice(*torch.searchsorted(logarithm, np.log(float(centre)) + width * torch.tensor([-6, 6])).tolist())
        profile = torch.exp(-0.5 * ((logarithm[near] - np.log(float(centre))) / width) ** 2)
        templates[("OH", *TELLURICS).index(name), near] += float(height) * profile.float()
    return templates


class ContinuumError(nn.Module):
    """A continuum found wrong: each chip divided by its own polynomial, errors with it.

    The factor is 1 + sum of c_k T_k(x), T_k Chebyshev's of degree 0 to CONTINUUM_DEGREE, x from -1 to 1 along a chip,
    c_k drawn from N(0, amplitude^2) for each star and chip.
    """

    def __init__(self, wavelength: Tensor, amplitude: float) -> None:
        super().__init__()
        blocks = [chebvander(np.linspace(-1, 1, len(chip)), CONTINUUM_DEGREE).T for chip in chips(wavelength)]
        basis = torch.block_diag(*(torch.from_numpy(block).float() for block in blocks))
        self.register_buffer("basis", amplitude * basis)

    def forward(self, exposure: Exposure, generator: torch.Generator) -> Exposure:
        size = len(exposure.flux), len(self.basis)
        coefficients = torch.randn(size, generator=generator, device=generator.device)
        return exposure.scaled(1 + coefficients @ self.basis)


class BadPixels(nn.Module):
    """A share of the pixels, in runs of RUN or longer where runs meet, hold garbage and are masked."""

    def __init__(self, share: float) -> None:
        super().__init__()
        # A pixel is good if no run begins at it or at one of the RUN - 1 before it.
        self.start = 1 - (1 - share) ** (1 / RUN)

    def forward(self, exposure: Exposure, generator: torch.Generator) -> Exposure:
        stars, pixels = exposure.flux.shape
        starts = torch.rand(stars, pixels + RUN - 1, generator=generator, device=generator.device) < self.start
        bad = starts[:, :pixels].clone()
        for before in range(1, RUN):
            bad |= starts[:, before : before + pixels]
        garbage = torch.randn(int(bad.sum()), generator=generator, device=generator.device)
        noise = exposure.noise.clone()
        noise[bad] = garbage
        return exposure._replace(noise=noise, mask=exposure.mask & ~bad)


def make_observation(config: DictConfig, wavelength: Tensor) -> Observation:
    """The effects that a domain's `effects` ask for, null ones left out, on spectra at wavelength (P,).

    The order is that in which they happen: the star and the spectrograph shape its lines, photons are counted, the
    pipeline subtracts the sky and divides by telluric absorption, the continuum is divided out, bad pixels are found.
    """
    effects: list[Effect] = []
    profile = {key: config[key] for key in ("resolution", "macroturbulence", "velocity") if config[key] is not None}
    if profile:
        effects.append(LineProfile(wavelength, **profile))
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

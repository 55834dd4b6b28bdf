"""What the sky and the atmosphere leave in spectra."""

from importlib.resources import files

import numpy as np
import torch
from torch import Tensor

from cyclegan.domains.exposure import STARS_AT_ONCE, Effect, Exposure
from cyclegan.domains.line_profile import WIDTH
from emulator.commands.errors import InputError
from emulator.instruments import instrument_of
from emulator.wavelength import LIGHT_SPEED

TELLURICS = ("CO2", "CH4", "H2O")


class Atmosphere(Effect):
    """What the subtraction of the sky's OH lines and the division by telluric absorption leave behind.

    Lines lie at their wavelengths in the observer's frame, so that in a star's rest frame they move by its velocity,
    drawn from N(0, velocity^2) (km/s); they are as wide as the spectrograph makes them. Each star has one residual for
    OH and one for each of TELLURICS: N(0, sky^2) of the continuum in the strongest sky line, N(0, tellurics^2) of the
    flux in a saturated telluric line, of either sign, and in proportion in all others. The error grows by as much, 1
    sigma. The tables of lines give their sources. Raises InputError for wavelengths without any of them.
    """

    position: Tensor
    templates: Tensor

    def __init__(self, wavelength: Tensor, sky: float, tellurics: float, velocity: float) -> None:
        super().__init__()
        self.velocity = velocity
        width = WIDTH / instrument_of(wavelength.cpu().numpy()).resolution / LIGHT_SPEED
        self.step = width / 32  # of the templates, in ln wavelength: a star's are read off at the nearest, 0.1 km/s off
        logarithm = wavelength.cpu().double().log()
        margin = 6 * velocity / LIGHT_SPEED
        first, last = logarithm[0].item() - margin, logarithm[-1].item() + margin
        grid = torch.arange(first, last, self.step, dtype=torch.float64)
        self.register_buffer("position", ((logarithm - grid[0]) / self.step).float())
        lines = sky_templates(grid, width)
        if not lines.any():
            expected = "lines of the sky, which are known in the H band, or sky=null and tellurics=null"
            found = f"{wavelength[0]:.1f} to {wavelength[-1]:.1f} Angstrom"
            raise InputError(f"effects of the atmosphere: expected {expected}, got {found}")
        templates = lines * torch.tensor([[sky], *[[tellurics]] * len(TELLURICS)])
        together = templates[1:].square().sum(dim=0, keepdim=True).sqrt()
        self.register_buffer("templates", torch.cat([templates, together]))

    def forward(self, exposure: Exposure, generator: torch.Generator) -> Exposure:
        """Leave residuals of sky and telluric lines in each star, as large as is drawn for it."""
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
    folder = files("cyclegan.domains") / "tables"
    tables = []
    for name in ("sky", "telluric"):
        with (folder / f"{name}_lines.csv").open() as file:
            tables.append(np.genfromtxt(file, delimiter=",", dtype=str)[1:])
    wavelength, species, strength = np.concatenate(tables).T
    templates = torch.zeros(1 + len(TELLURICS), len(logarithm))
    for centre, name, height in zip(wavelength, species, strength, strict=True):
        near = slice(*torch.searchsorted(logarithm, np.log(float(centre)) + width * torch.tensor([-6, 6])).tolist())
        profile = torch.exp(-0.5 * ((logarithm[near] - np.log(float(centre))) / width) ** 2)
        templates[("OH", *TELLURICS).index(name), near] += float(height) * profile.float()
    return templates

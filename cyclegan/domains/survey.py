"""The population of a survey of the Galactic disc."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cyclegan.domains.population import Population, inside
from emulator.labels import ABUNDANCES
from emulator.payne import Payne


@dataclass(frozen=True)
class Survey(Population):
    """Stars as a survey of the Galactic disc would meet them; those outside the emulator's range are left out.

    Labels that `sample_survey_labels` does not know are drawn uniformly over the emulator's range, each on its own.
    """

    def sample(self, emulator: Payne, stars: int, generator: torch.Generator) -> Tensor:
        """Labels (stars, L); InputError where next to no survey star lies within the emulator's range."""
        low, high = emulator.label_low.cpu(), emulator.label_high.cpu()

        def draw() -> Tensor:
            survey = sample_survey_labels(stars, generator)
            columns = [
                survey[name] if name in survey else low[i] + (high[i] - low[i]) * torch.rand(stars, generator=generator)
                for i, name in enumerate(emulator.label_names)
            ]
            return torch.stack(columns, dim=1)

        return inside(emulator, stars, draw, "survey stars")


def sample_survey_labels(n: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Each label (n,) of stars as a survey of the Galactic disc would meet them: 60 % red giants, 40 % dwarfs.

    Gravity follows temperature along the giant branch and the main sequence, with scatter; alpha elements rise
    towards low [Fe/H]; every element scatters by 0.08 dex on its own.
    """

    def normal(centre: Tensor | float, spread: float) -> Tensor:
        return centre + spread * torch.randn(n, generator=generator)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, generator=generator)

    giant = torch.rand(n, generator=generator) < 0.6
    teff = torch.where(giant, uniform(4300, 5200), uniform(4600, 6500))
    fe_h = normal(-0.2, 0.25).clamp(-0.9, 0.4)
    branch = 1.3 + (teff - 4300) / 450 - 0.6 * fe_h
    labels = {
        "teff": teff,
        "logg": torch.where(giant, normal(branch, 0.2).clamp(1.0, 3.6), normal(4.45, 0.12).clamp(4.0, 4.8)),
        "vmic": torch.where(giant, normal(1.6, 0.2), normal(1.1, 0.2)).clamp(0.6, 2.3),
        "vmacro": torch.where(giant, normal(5.0, 1.0), normal(4.0, 1.2)).clamp(1.5, 9.0),
        "fe_h": fe_h,
    }
    alpha = normal(-0.15 * fe_h, 0.05)
    for name in ABUNDANCES[1:]:
        trend = alpha if name in ("o_h", "mg_h", "si_h", "s_h", "ca_h", "ti_h") else torch.zeros(n)
        if name in ("c_h", "n_h"):  # the first dredge-up turns carbon of giants into nitrogen
            trend = torch.where(giant, -0.08 if name == "c_h" else 0.12, 0.0)
        labels[name] = fe_h + normal(trend, 0.08).clamp(-0.27, 0.37)
    return labels

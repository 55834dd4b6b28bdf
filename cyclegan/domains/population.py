"""Which stars an emulated domain is made of."""

import torch
from torch import Tensor

from emulator.commands.errors import InputError
from emulator.labels import ABUNDANCES
from emulator.payne import Payne

DRAWS = 100  # of as many stars as are wanted, before an emulator's range counts as not a survey's


def sample_labels(emulator: Payne, n: int, generator: torch.Generator) -> Tensor:
    """Labels (n, L) of survey stars within an emulator's range, on the CPU: those outside are left out.

    Labels that `sample_survey_labels` does not know are drawn uniformly over the emulator's range, each on its own.
    Raises InputError where next to no survey star lies within it.
    """
    low, high = emulator.label_low.cpu(), emulator.label_high.cpu()
    stars = torch.empty(0, len(low))
    for _ in range(DRAWS):
        survey = sample_survey_labels(n, generator)
        columns = [
            survey[name] if name in survey else low[i] + (high[i] - low[i]) * torch.rand(n, generator=generator)
            for i, name in enumerate(emulator.label_names)
        ]
        drawn = torch.stack(columns, dim=1)
        inside = (drawn >= low) & (drawn <= high)
        stars = torch.cat([stars, drawn[inside.all(dim=1)]])
        if len(stars) >= n:
            return stars[:n]
    column = int(inside.sum(dim=0).argmin())
    worst = f"label '{emulator.label_names[column]}' of {low[column]:.6g} to {high[column]:.6g}"
    share = f"{len(stars)} of {DRAWS * n} stars inside, fewest by its {worst}"
    raise InputError(f"emulator: expected a range of labels in which survey stars lie, got {share}")


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

"""Populations that fill a range."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cyclegan.domains.population import Population, inside, make_population
from emulator.commands.errors import InputError
from emulator.labels import ABUNDANCES
from emulator.payne import Payne

IRON_SCALED = (-0.3, 0.4)  # [X/Fe] of the built-in grid: outside it [X/H] and [Fe/H] are far apart in no star


def uniform(low: Tensor, high: Tensor, stars: int, generator: torch.Generator) -> Tensor:
    """Labels (stars, L), each uniform from low to high (L,)."""
    return low + (high - low) * torch.rand(stars, len(low), generator=generator)


@dataclass(frozen=True)
class Uniform(Population):
    """Each label on its own, uniform over the emulator's range, or between the bounds that `low` and `high` give."""

    low: dict[str, float] | None = None
    high: dict[str, float] | None = None

    def settled(self, emulator: Payne) -> Population:
        """The same; InputError for bounds of no label, outside the emulator's range or the wrong way round."""
        low, high = self._bounds(emulator)
        for i, name in enumerate(emulator.label_names):
            least, most = emulator.label_low[i].item(), emulator.label_high[i].item()
            if not least <= low[i] < high[i] <= most:
                raise InputError(
                    f"config key 'domains.population': expected bounds of '{name}' within {least:.6g} to {most:.6g},"
                    f" the range the emulator was trained on, got {low[i]:.6g} to {high[i]:.6g}"
                )
        for key, bounds in (("low", self.low), ("high", self.high)):
            if unknown := sorted((bounds or {}).keys() - set(emulator.label_names)):
                raise InputError(
                    f"config key 'domains.population.{key}.{unknown[0]}': expected one of the emulator's labels"
                    f" {', '.join(emulator.label_names)}, got another"
                )
        return self

    def _bounds(self, emulator: Payne) -> tuple[Tensor, Tensor]:
        low, high = emulator.label_low.cpu().clone(), emulator.label_high.cpu().clone()
        for i, name in enumerate(emulator.label_names):
            low[i], high[i] = (self.low or {}).get(name, low[i]), (self.high or {}).get(name, high[i])
        return low, high

    def sample(self, emulator: Payne, stars: int, generator: torch.Generator) -> Tensor:
        """Labels (stars, L)."""
        return uniform(*self._bounds(emulator), stars, generator)


@dataclass(frozen=True)
class Learned(Population):
    """Whatever the observed stars are found to be, which `pairing.search` does before training; until then, any star.

    Any star is uniform over the emulator's range; abundances [X/H] beside [Fe/H] are within IRON_SCALED of it.
    known: a table of what is known of the labels of observed training stars, if anything is (docs/populations.md).
    """

    known: str | None = None

    def sample(self, emulator: Payne, stars: int, generator: torch.Generator) -> Tensor:
        """Labels (stars, L) of any stars."""
        low, high = emulator.label_low.cpu(), emulator.label_high.cpu()
        names = emulator.label_names
        follow = [i for i, name in enumerate(names) if name in ABUNDANCES[1:] and "fe_h" in names]

        def draw() -> Tensor:
            labels = uniform(low, high, stars, generator)
            if follow:
                iron = labels[:, names.index("fe_h"), None]
                # Within the emulator's range from the start: of fifteen abundances one is nearly always outside.
                least = (iron + IRON_SCALED[0]).clamp(low[follow], high[follow])
                most = (iron + IRON_SCALED[1]).clamp(low[follow], high[follow])
                labels[:, follow] = least + (most - least) * torch.rand(stars, len(follow), generator=generator)
            return labels

        return inside(emulator, stars, draw, "stars")


def is_learned(settings: Mapping[str, Any]) -> bool:
    """Whether a configuration's `domains.population` is to be found from the observed stars."""
    return isinstance(make_population(settings), Learned)

"""Which stars an emulated domain is made of.

A kind of population is a dataclass: its fields are the keys that the configuration's `domains.population` takes.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from emulator.commands.errors import InputError
from emulator.commands.schema import make_kind
from emulator.payne import Payne

DRAWS = 100  # of as many stars as are wanted, before a population counts as outside an emulator's range


class Population(ABC):
    """Which stars an emulated domain is made of."""

    @abstractmethod
    def sample(self, emulator: Payne, stars: int, generator: torch.Generator) -> Tensor:
        """Labels (stars, L) within an emulator's range, in its order, on the CPU.

        Raises InputError where next to none of the population lies within it.
        """

    def settled(self, emulator: Payne) -> "Population":
        """The same, checked against an emulator, with all that it needs read. Raises InputError for what cannot be."""
        return self


def make_population(settings: Mapping[str, Any], imported_only: bool = False) -> Population:
    """The population that a configuration's `domains.population` describes.

    imported_only: of the kinds that others define take only those whose module has been imported. Raises InputError for
    what is no kind, and for keys that it does not take.
    """
    # Population is abstract, and no instance of it is ever made here: only of its kinds.
    what = "a kind of population"
    return make_kind(settings, Population, "domains.population", what, imported_only)  # type: ignore[type-abstract]


@dataclass(frozen=True, eq=False)
class Drawn(Population):
    """Stars like those of a table, which is drawn from at random.

    labels (n, L): of the table, in the emulator's order. smoothing: the Gaussian kernel about each star has this share
    of the table's spread, with its correlations; means and covariances stay as they are (Silverman 1986, section
    6.4.1). scatter (L,): by how much stars scatter besides, 1 sigma, each label on its own.
    """

    labels: Tensor
    smoothing: float
    scatter: Tensor

    def sample(self, emulator: Payne, stars: int, generator: torch.Generator) -> Tensor:
        """Labels (stars, L); stars that the kernel puts outside the emulator's range are drawn again."""
        mean, width = self.labels.mean(dim=0), self.labels.shape[1]
        spread = torch.cov(self.labels.T.double()).view(width, width)
        spread.diagonal().add_(1e-9 * spread.diagonal().clamp_min(1e-12))  # labels may depend on one another
        root = torch.linalg.cholesky(spread).to(self.labels)

        def draw() -> Tensor:
            rows = torch.randint(len(self.labels), (stars,), generator=generator)
            kernel, own = (torch.randn(stars, width, generator=generator) for _ in range(2))
            smoothed = self.labels[rows] - mean + self.smoothing * kernel @ root.T
            return mean + smoothed / (1 + self.smoothing**2) ** 0.5 + own * self.scatter

        return inside(emulator, stars, draw, "stars of the table")

    def contents(self) -> dict[str, Any]:
        """Tensors and plain types, for a checkpoint."""
        return {"labels": self.labels, "smoothing": self.smoothing, "scatter": self.scatter}

    @classmethod
    def from_contents(cls, contents: Mapping[str, Any]) -> Self:
        """The inverse of `contents`; ValueError for what is no table of labels."""
        labels, smoothing, scatter = (contents[name] for name in ("labels", "smoothing", "scatter"))
        if labels.ndim != 2 or scatter.shape != labels.shape[1:] or len(labels) < 2:
            raise ValueError(f"labels of shape {tuple(labels.shape)}, scatter of {tuple(scatter.shape)}")
        sound = labels.isfinite().all() and scatter.isfinite().all() and (scatter >= 0).all()
        if not (sound and 0 <= float(smoothing) < math.inf):
            raise ValueError("numbers that are not finite or not from 0 on")
        return cls(labels.float(), float(smoothing), scatter.float())


def inside(emulator: Payne, stars: int, draw: Callable[[], Tensor], what: str) -> Tensor:
    """Labels (stars, L) within an emulator's range, of those that draw() gives, (n, L) at a time; what: they are.

    Raises InputError where next to none lies within it.
    """
    low, high = emulator.label_low.cpu(), emulator.label_high.cpu()
    found = torch.empty(0, len(low))
    for _ in range(DRAWS):
        drawn = draw()
        fits = (drawn >= low) & (drawn <= high)
        found = torch.cat([found, drawn[fits.all(dim=1)]])
        if len(found) >= stars:
            return found[:stars]
    column = int(fits.sum(dim=0).argmin())
    worst = f"label '{emulator.label_names[column]}' of {low[column]:.6g} to {high[column]:.6g}"
    share = f"{len(found)} of {DRAWS * len(drawn)} stars inside, fewest by its {worst}"
    raise InputError(f"emulator: expected a range of labels in which {what} lie, got {share}")

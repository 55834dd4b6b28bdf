"""A theory that lacks some lines of the toy emulator, which are known to the pixel and by their makers."""

from collections.abc import Callable

import torch
from skies import PIXELS, line_pixels
from torch import Tensor

from emulator.payne import Payne

HIDDEN = {"fe_h": 2, "si_h": 1, "mg_h": 0}  # which of an element's lines theory lacks


def hidden_places() -> dict[str, int]:
    """The middle pixel of each line that theory lacks, by its label."""
    return {name: line_pixels()[name][which] for name, which in HIDDEN.items()}


def random_labels(payne: Payne, n: int, seed: int = 0) -> Tensor:
    """Labels (n, L) over the whole range of an emulator."""
    random = torch.rand(n, len(payne.label_names), generator=torch.Generator().manual_seed(seed))
    return payne.label_low + random * (payne.label_high - payne.label_low)


def lacking_theory(payne: Payne) -> Callable[[Tensor], Tensor]:
    """The toy emulator without some lines, set to the continuum, as a map from labels (B, L) to flux (B, P)."""
    mask = torch.zeros(PIXELS, dtype=torch.bool)
    for centre in hidden_places().values():
        mask[centre - 3 : centre + 4] = True
    return lambda stars: payne(stars).masked_fill(mask, 1.0)

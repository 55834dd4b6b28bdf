"""How far the labels of all stars alike may be off, and what would tell."""

import torch
from torch import Tensor

from cyclegan.pairing.search import Found
from emulator.labels import UNITS

HALF = 0.5  # of what the gap suggests: so calibrated by searches for stars that are known (docs/populations.md)
THIRD = 3.0  # known labels help where the error of their mean is a third of the offset that may be
ROUGH = {"K": 100.0, "dex": 0.1, "km/s": 0.5}  # errors of labels as photometry and parallaxes give them


def offset_covariance(found: Found, error: Tensor) -> Tensor:
    """Covariance (L, L) of a common offset of the labels of all stars, in their units.

    error (L,): of the offset of each label as known labels tell it, inf where none is known. A part of the gap that
    looks like a change of labels is taken for one. How large that part may be, the gap says: HALF of its root mean
    square in all directions, sigma, gives sigma^2 (effect effect^T)^-1, as least squares would; and no label is off by
    more than theory's range.
    """
    scaled = found.effect.double() * found.width[:, None]
    variance = HALF**2 * found.gap.double().square().mean()
    told = 1 + (found.width / error).square()
    covariance = torch.linalg.inv(scaled @ scaled.T / variance.clamp_min(1e-12) + torch.diag(told))
    return (covariance * found.width[:, None] * found.width).float()


def describe_offset(names: tuple[str, ...], covariance: Tensor) -> str:
    """A line on what may be wrong with the labels of all stars alike, and which known labels would help most."""
    error = covariance.diagonal().sqrt()
    units = [UNITS.get(name, "dex") for name in names]
    told = ", ".join(
        f"{name} {value:.2g} {unit}" for name, value, unit in zip(names, error.tolist(), units, strict=True)
    )
    # The label whose knowledge takes most of the others' variances, each in units of its own.
    taken = (covariance.square() / covariance.diagonal()[:, None] / covariance.diagonal()).sum(dim=1)
    best = int(taken.argmax())
    rough = ROUGH.get(units[best], 0.1)
    stars = max(3, round((THIRD * rough / error[best].item()) ** 2))
    return (
        f"labels of all stars alike may be off by (1 sigma): {told}; what would help: {names[best]} of {stars} stars to"
        f" {rough:g} {units[best]} (domains.population.known)"
    )

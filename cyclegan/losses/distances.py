"""Distances of spectra and of latents: pure functions of tensors."""

import torch
from torch import Tensor

from cyclegan.spectra.spectra import Spectra

DEAD_SPREAD = 1e-2  # of a latent variable, which starts with one of 1: a smaller one is no unit to measure by


def distance(prediction: Tensor, target: Spectra) -> Tensor:
    """The distance of spectra, in units of their errors.

    Args:
        prediction: coordinates (..., B, K).
        target: coordinates (..., B, K) with their errors and mask.

    Returns:
        The mean over usable coordinates of ((prediction - target) / error)^2, a scalar.
    """
    squared = torch.where(target.mask, (prediction - target.flux) / target.error, 0.0).square()
    return squared.sum() / target.mask.sum().clamp_min(1)


def spread_root(latents: Tensor) -> Tensor:
    """The Cholesky factor of the covariance of latents.

    In every direction they spread by DEAD_SPREAD at least, and by that share of their mean spread.

    Args:
        latents: (..., B, Z), of more stars than variables.

    Returns:
        (..., Z, Z), lower triangular.
    """
    centred = latents - latents.mean(dim=-2, keepdim=True)
    covariance = centred.mT @ centred / (latents.shape[-2] - 1)  # torch.cov makes a device wait
    floor = DEAD_SPREAD**2 * covariance.diagonal(dim1=-2, dim2=-1).mean(dim=-1).clamp_min(1)[..., None, None]
    return torch.linalg.cholesky_ex(covariance + floor * torch.eye(latents.shape[-1], device=latents.device)).L


def explained(a: Tensor, b: Tensor) -> Tensor:
    """The share of the variance of b that linear combinations of a explain.

    That is the mean over the n principal axes of b, in units of b's spread along each: the mean squared canonical
    correlation (Hotelling 1936), which no mixing of either's variables changes.

    Args:
        a: (..., B, m).
        b: (..., B, n).

    Returns:
        A scalar from 0 to 1, the mean over members if there are; 0 where n is 0.
    """
    if b.shape[-1] == 0:
        return a.new_zeros(())
    a, b = (
        torch.linalg.solve_triangular(spread_root(x), (x - x.mean(dim=-2, keepdim=True)).mT, upper=False)
        for x in (a, b)
    )
    return (a @ b.mT / (a.shape[-1] - 1)).square().sum(dim=(-2, -1)).mean() / b.shape[-2]


def latent_distance(a: Tensor, b: Tensor) -> Tensor:
    """How far latents lie from those they should be.

    The square of Mahalanobis' distance over Z: no scaling or mixing of the variables of both changes it.

    Args:
        a: latents (..., B, Z).
        b: latents (..., B, Z), what they should be.

    Returns:
        The mean squared difference, in units of b's spread in each direction, a scalar.
    """
    return torch.linalg.solve_triangular(spread_root(b), (a - b).mT, upper=False).square().mean()

"""The losses: pure functions of tensors."""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from cyclegan.spectra import Spectra

DEAD_SPREAD = 1e-2  # of a latent variable, which starts with one of 1: a smaller one is no unit to measure by


def distance(prediction: Tensor, target: Spectra) -> Tensor:
    """Mean over usable coordinates of ((prediction - target) / error)^2, a scalar; prediction is (B, K)."""
    squared = torch.where(target.mask, (prediction - target.flux) / target.error, 0.0).square()
    return squared.sum() / target.mask.sum().clamp_min(1)


def spread_root(latents: Tensor) -> Tensor:
    """The Cholesky factor (Z, Z) of the covariance of latents (B, Z), of more stars than variables.

    In every direction they spread by DEAD_SPREAD at least, and by that share of their mean spread.
    """
    centred = latents - latents.mean(dim=0)
    covariance = centred.T @ centred / (len(latents) - 1)  # torch.cov makes a device wait
    floor = DEAD_SPREAD**2 * covariance.diagonal().mean().clamp_min(1)
    return torch.linalg.cholesky_ex(covariance + floor * torch.eye(len(covariance), device=latents.device)).L


def explained(a: Tensor, b: Tensor) -> Tensor:
    """The share of the variance of b (B, n) that linear combinations of a (B, m) explain, a scalar from 0 to 1.

    That is the mean over the n principal axes of b, in units of b's spread along each: the mean squared canonical
    correlation (Hotelling 1936), which no mixing of either's variables changes. 0 where n is 0.
    """
    if b.shape[1] == 0:
        return a.new_zeros(())
    a, b = (torch.linalg.solve_triangular(spread_root(x), (x - x.mean(dim=0)).T, upper=False) for x in (a, b))
    return (a @ b.T / (a.shape[1] - 1)).square().sum() / len(b)


def latent_distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference of latents a (B, Z) from b (B, Z), in units of b's spread in each direction, a scalar.

    The square of Mahalanobis' distance over Z: no scaling or mixing of the variables of both changes it.
    """
    return torch.linalg.solve_triangular(spread_root(b), (a - b).T, upper=False).square().mean()


def judge(logits: Tensor, real: bool) -> Tensor:
    """Binary cross-entropy of logits (B, 1) with real = 1, fake = 0 (Goodfellow et al. 2014, arXiv:1406.2661).

    A logit of 0 is undecided.
    """
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))

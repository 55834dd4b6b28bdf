"""The losses: pure functions of tensors."""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from cyclegan.spectra import Spectra


def distance(prediction: Tensor, target: Spectra) -> Tensor:
    """Mean over usable coordinates of ((prediction - target) / error)^2, a scalar; prediction is (B, K)."""
    squared = torch.where(target.mask, (prediction - target.flux) / target.error, 0.0).square()
    return squared.sum() / target.mask.sum().clamp_min(1)


def covariance(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared correlation of the columns of a (B, m) with those of b (B, n), a scalar: 0 where n is 0."""
    if b.shape[1] == 0:
        return a.new_zeros(())
    a, b = (x - x.mean(dim=0) for x in (a, b))
    correlation = a.T @ b / (a.norm(dim=0)[:, None] * b.norm(dim=0) + 1e-6)
    return correlation.square().mean()


def judge_bce(logits: Tensor, real: bool) -> Tensor:
    """Binary cross-entropy of logits (B, 1) with real = 1, fake = 0 (Goodfellow et al. 2014, arXiv:1406.2661)."""
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def judge_least_squares(logits: Tensor, real: bool) -> Tensor:
    """Squared distance of the judgement from 1 for real, 0 for fake (Mao et al. 2017, arXiv:1611.04076)."""
    return (logits - float(real)).square().mean()


def judge_hinge(logits: Tensor, real: bool) -> Tensor:
    """A soft hinge at a margin of 1 (after Lim & Ye 2017, arXiv:1705.02894), smooth: targets can be switched."""
    return softplus(1 - logits if real else 1 + logits).mean()


UNDECIDED = {"bce": 0.0, "least_squares": 0.5, "hinge": 0.0}  # the logit that is as far from real as from fake
GAN_LOSSES = {"bce": judge_bce, "least_squares": judge_least_squares, "hinge": judge_hinge}

"""Gaussian optimal transport: the linear map that makes one set's covariance another's and moves the stars least."""

from typing import NamedTuple

import torch
from torch import Tensor

from cyclegan.linear.maps import LinearMaps

NO_VARIANCE = 1e-7  # of the largest variance
WHITENED = 0.25  # the power of the pooled covariance in whose units the two are compared: half-way to white


class Transport(NamedTuple):
    """Maps, one the other's inverse; trust, 0 to 1: how much of the difference of the covariances they believe."""

    maps: LinearMaps
    trust: float


def gaussian_transport(synth: Tensor, obs: Tensor) -> Transport:
    """The transport between coordinates (n, K) and (m, K) of unpaired stars of one population.

    Only how they scatter about their means is asked: the origins of the two spaces are taken for each other.

    Between Gaussians of covariance A and B the optimal map is A^-1/2 (A^1/2 B A^1/2)^1/2 A^-1/2 (Knott & Smith 1984).
    It is symmetric, as broadening and a continuum are, and needs no pairs. But covariances of few stars differ by
    chance: both are shrunk towards their mean, by the share of their squared difference that chance makes (as Ledoit &
    Wolf 2004 shrink one covariance). With few stars the maps come to be the identity, which is the mean shift.
    """
    a, b = ((side - side.mean(dim=0)).double() for side in (synth, obs))
    first, second = a.T @ a / len(a), b.T @ b / len(b)
    pooled = (first + second) / 2
    values, vectors = torch.linalg.eigh(pooled)
    varied = values > NO_VARIANCE * values[-1]  # in other directions nothing moves
    values, vectors = values[varied], vectors[:, varied]
    a, b = a @ vectors, b @ vectors
    first, second, pooled = (vectors.T @ own @ vectors for own in (first, second, pooled))
    white = values.pow(-WHITENED).diag()
    difference = (white @ (second - first) @ white).square().sum()
    chance = _chance(a @ white) + _chance(b @ white)
    trust = (1 - chance / difference.clamp_min(1e-30)).clamp(0, 1)
    first, second = (torch.lerp(pooled, own, trust) for own in (first, second))
    root, inverse = _roots(first)
    middle, other = _roots(root @ second @ root)
    here = torch.eye(len(values), dtype=torch.double)
    rest = torch.eye(len(vectors), dtype=torch.double)
    forward, back = (
        rest + vectors @ (one - here) @ vectors.T for one in (inverse @ middle @ inverse, root @ other @ root)
    )
    still = torch.zeros(len(vectors)).to(synth)
    return Transport(LinearMaps(forward.to(synth), still, back.to(synth), still), trust.item())


def _chance(stars: Tensor) -> Tensor:
    """The expected squared error, summed over elements, of the covariance of centred stars (n, K)."""
    covariance = stars.T @ stars / len(stars)
    return (stars.square().sum(dim=1).square().mean() - covariance.square().sum()).clamp_min(0) / len(stars)


def _roots(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The square root of a positive matrix (K, K), and its inverse."""
    values, vectors = torch.linalg.eigh(matrix)
    values = values.clamp_min(1e-12 * values[-1]).sqrt()
    return (vectors * values) @ vectors.T, (vectors / values) @ vectors.T

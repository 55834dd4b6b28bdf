"""What tells the two latent spaces apart: pseudo-pairs by optimal transport, and the sliced Wasserstein distance.

Reconstruction and cycle losses are indifferent to how the latent spaces of the two domains are matched. Pairs of a
synthetic and an observed star that look alike, once each domain's mean is taken off, break that indifference.
"""

from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


class Pairs(NamedTuple):
    """Rows of synthetic stars and of observed ones, (n,) each: pair i is (synth[i], obs[i])."""

    synth: Tensor
    obs: Tensor


def _cover(stars: int, places: int, generator: torch.Generator) -> Tensor:
    """Indices (places,) of `stars` stars in random order, each as often as any other, give or take one."""
    rounds = -(-places // stars)
    return torch.cat([torch.randperm(stars, generator=generator) for _ in range(rounds)])[:places]


def random_pairs(synth: int, obs: int, generator: torch.Generator) -> Pairs:
    """Every star once at least, paired at random: what the method has where nothing aligns it."""
    places = max(synth, obs)
    return Pairs(_cover(synth, places, generator), _cover(obs, places, generator))


def transport_pairs(synth: Tensor, obs: Tensor, block: int, share: float, generator: torch.Generator) -> Pairs:
    """One-to-one assignment of least total squared distance in random blocks of `block` stars.

    synth (n, K) and obs (m, K) are in a space whose Euclidean distance says how unlike two stars are. Each block has
    `share` times as many observed as synthetic stars: below 1 the synthetic stars least like any stay unpaired
    (partial transport). Every star is in a block at least. The Hungarian method of scipy, O(block^3).
    """
    block = min(block, len(synth), len(obs))
    in_block = max(1, round(share * block))
    blocks = max(-(-len(synth) // block), -(-len(obs) // in_block))
    rows = _cover(len(synth), blocks * block, generator).view(blocks, block)
    columns = _cover(len(obs), blocks * in_block, generator).view(blocks, in_block)
    pairs = []
    for row, column in zip(rows, columns, strict=True):
        cost = torch.cdist(synth[row], obs[column]).square().cpu().numpy()
        left, right = linear_sum_assignment(cost)
        pairs.append((row[torch.from_numpy(left)], column[torch.from_numpy(right)]))
    return Pairs(*(torch.cat(side) for side in zip(*pairs, strict=True)))


def gap_metric(gap: Tensor) -> Tensor:
    """W (K, K) such that |W a - W b| measures how unlike two stars are beside what the gap itself makes unlike.

    gap (n, K): observed minus synthetic partners, in units of the noise. Its covariance S is that of the gap between
    theory and data, of what only observed spectra vary in, and of noise; W^T W = S^-1, the metric of generalised
    least squares (Aitken 1935): where theory errs counts for little, where the domains agree decides who is alike.
    """
    spread = torch.cov(gap.T.double())
    # A direction in which partners never differ would rule all others out; a tenth of the noise is as sure as can be.
    spread = spread + 0.01 * torch.eye(len(spread), dtype=spread.dtype, device=spread.device)
    values, vectors = torch.linalg.eigh(spread)
    return ((vectors / values.sqrt()) @ vectors.T).to(gap.dtype)


def sliced_wasserstein(a: Tensor, b: Tensor, directions: int, generator: torch.Generator | None = None) -> Tensor:
    """Mean squared 2-Wasserstein distance of a (B, K) and b (B, K) along random directions, a scalar.

    Along a line the optimal transport of equal samples pairs them in order (Bonneel et al. 2015).
    """
    lines = torch.randn(a.shape[1], directions, generator=generator).to(a)
    lines = lines / lines.norm(dim=0)
    return ((a @ lines).sort(dim=0).values - (b @ lines).sort(dim=0).values).square().mean()

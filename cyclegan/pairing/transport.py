"""Pseudo-pairs by optimal transport.

Reconstruction and cycle losses are indifferent to how the latent spaces of the two domains are matched. Pairs of a
synthetic and an observed star that look alike, once each domain's mean is taken off, break that indifference.
"""

import math
from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

CELL, ROUNDS = 90, 8  # pairs at least that exchange partners among themselves; how often, with other neighbours each
WORK = 3 * 10**7  # of stars times the square of pairs in a cell: fewer stars exchange in larger cells in the same time


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


def transport_pairs(
    synth: Tensor, obs: Tensor, share: float, generator: torch.Generator, most: int | None = None
) -> Pairs:
    """One-to-one assignment of nearly the least total squared distance (of spectra, to 1 to 3 %), in random sets.

    synth (n, K) and obs (m, K) are in a space whose Euclidean distance says how unlike two stars are. A set has `share`
    times as many observed as synthetic stars: below 1 the synthetic stars least like any stay unpaired (partial
    transport). A set is as large as the domains allow. most: observed stars of a set, where that would be more. Every
    star is in one set at least.
    """
    synth, obs = synth.cpu(), obs.cpu()  # where scipy assigns
    chosen = max(1, min(len(obs), round(share * len(synth))))
    chosen = chosen if most is None else min(chosen, most)
    size = max(chosen, min(len(synth), round(chosen / share)))
    sets = max(-(-len(synth) // size), -(-len(obs) // chosen))
    rows = _cover(len(synth), sets * size, generator).view(sets, size)
    columns = _cover(len(obs), sets * chosen, generator).view(sets, chosen)
    pairs = []
    for row, column in zip(rows, columns, strict=True):
        partner = _partners(synth[row], obs[column], generator)
        paired = partner >= 0
        pairs.append((row[paired], column[partner[paired]]))
    return Pairs(*(torch.cat(side) for side in zip(*pairs, strict=True)))


def _partners(synth: Tensor, obs: Tensor, generator: torch.Generator) -> Tensor:
    """Which of obs (m, K) each of synth (n, K) is paired with, (n,); -1 for none. m is at most n; both in random order.

    The Hungarian method takes O(n^3). So stars exchange partners with their neighbours only, of whom there are others
    in every round.
    """
    partner = torch.cat([torch.arange(len(obs)), torch.full((len(synth) - len(obs),), -1)])
    pairs = max(CELL, math.isqrt(WORK // len(obs)))
    size = pairs * len(synth) // len(obs)  # of which so many have a partner
    for _ in range(ROUNDS if len(synth) >= 2 * size else 1):
        places = torch.where((partner >= 0)[:, None], (synth + obs[partner]) / 2, synth)
        for cell in _cells(places, size, generator):
            free = partner[cell]
            free = free[free >= 0]
            left, right = linear_sum_assignment(torch.cdist(synth[cell], obs[free]).square().numpy())
            partner[cell] = -1
            partner[cell[torch.from_numpy(left)]] = free[torch.from_numpy(right)]
    return partner


def _cells(places: Tensor, size: int, generator: torch.Generator) -> list[Tensor]:
    """Rows of places (n, K), halved along random lines into cells of neighbours; `size` to twice that in each."""
    cells = [torch.arange(len(places))]
    while len(cells[0]) >= 2 * size:
        halves: list[Tensor] = []
        for cell in cells:
            line = torch.randn(places.shape[1], generator=generator)
            halves += cell[(places[cell] @ line).argsort()].tensor_split(2)
        cells = halves
    return cells


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

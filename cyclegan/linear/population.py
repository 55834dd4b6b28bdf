"""How much of the difference of two mean spectra is of the stars, and not of the instrument."""

import math

import torch
from torch import Tensor

from cyclegan.spectra.spaces import Components, projected_on
from cyclegan.spectra.spectra import Spectra, line_width, masked_mean

KERNEL_REACH = 3.0  # line widths to either side
SMOOTH = 100.0  # line widths: half the shortest wave of a continuum; lines are no part of it
ROUNDS = 30  # of weights and fit, which settle long before


def population_shift(synth: Spectra, obs: Spectra, space: Components) -> Tensor:
    """By how much the mean synthetic spectrum (P,) would change if its stars were drawn as the observed ones were.

    Of few stars, two draws of one population differ, most along what stars vary most in; the difference of mean spectra
    has that in it. An instrument differs in other ways: by its line profile, which is the same at every line, and by a
    smooth factor. So the difference d is fitted as
        d = J theta + V a + rest,
    J (P, q): the mean spectrum convolved by pixels near by, and times slow waves; V (P, K): components of the stars,
    whose means have a prior of the covariance C (1/n + 1/m) that chance gives them. Pixels where one domain alone has
    lines are outliers, and count for little (Cauchy weights). What J leaves may be theory's fault and still look like
    stars: any of it may lie along each component. Where it is much, a is not believed.

    synth, obs: training spectra (n, P), (m, P); space: components of both, of unit noise in each weighted pixel.
    """
    weight, basis = space.weight.double(), space.basis.double()
    first, second = masked_mean(synth).double(), masked_mean(obs).double()
    chance = 1 / len(synth.flux) + 1 / len(obs.flux)
    variance, turned = _star_components(synth, obs, space)
    stars = basis @ turned  # (P, K)
    gap = (second - first) * weight
    design = _instrument((first + second) / 2, weight)
    prior = variance * chance
    matrix = torch.cat([design, stars], dim=1)
    rest, unexplained = gap, torch.zeros((), dtype=torch.double)
    scatter = gap.square().mean().clamp_min(chance)  # of a set beside itself there is no gap
    for _ in range(ROUNDS):
        weighted = matrix.T / (scatter + rest.square() / 4)
        penalty = torch.cat([torch.full((design.shape[1],), 1e-9, dtype=torch.double), 1 / (prior + unexplained)])
        normal = weighted @ matrix
        normal.diagonal().add_(penalty)
        fitted = torch.linalg.solve(normal, weighted @ gap)
        rest = gap - matrix @ fitted
        scatter = (1.4826 * rest.abs().median()).square().clamp_min(chance)
        unexplained = len(gap) * (scatter - chance)
    means = fitted[design.shape[1] :] * prior / (prior + unexplained).clamp_min(1e-30)
    return ((stars @ means) / weight).to(synth.flux)


def _star_components(synth: Spectra, obs: Spectra, space: Components) -> tuple[Tensor, Tensor]:
    """Variances (K,) of what stars of both domains vary in, and the (K, K) that turns coordinates onto it."""
    covariance = sum(torch.cov(projected_on(space, side).flux.T.double()) for side in (synth, obs)) / 2
    values, vectors = torch.linalg.eigh(torch.as_tensor(covariance))
    return values.clamp_min(0), vectors


def _instrument(mean: Tensor, weight: Tensor) -> Tensor:
    """What an instrument may do to a mean spectrum (P,): columns (P, q) of unit length, in weighted pixels."""
    width, pixels = line_width(mean), len(mean)
    place = torch.arange(pixels)
    waves = 2 * math.ceil(pixels / (SMOOTH * width)) + 1
    columns = [mean * (math.pi * wave * place / (pixels - 1)).cos() for wave in range(waves)]
    for step in range(1, math.ceil(KERNEL_REACH * width) + 1):
        left, right = mean[(place - step).clamp_min(0)], mean[(place + step).clamp_max(pixels - 1)]
        columns += [left + right - 2 * mean, left - right]
    design = torch.stack(columns, dim=1) * weight[:, None]
    return design / design.norm(dim=0).clamp_min(1e-30)

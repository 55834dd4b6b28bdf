"""Rivals that need no more than means and covariances, and one that is told which stars are the same."""

import torch
from torch import Tensor

from benchmarks.rivals.sets import Maps, Sets, as_pair
from cyclegan.linear.gaussian_transport import gaussian_transport
from cyclegan.linear.maps import LinearMaps, ridge_maps

FOLDS = 10


def mean_shift(synth: Tensor, obs: Tensor) -> Maps:
    """The difference of the means of coordinates (n, K) and (m, K) is added."""
    gap = obs.mean(dim=0) - synth.mean(dim=0)
    return lambda x: x + gap, lambda x: x - gap


def gaussian(synth: Tensor, obs: Tensor) -> Maps:
    """Gaussian optimal transport of coordinates (n, K) and (m, K), as the networks of a run of ours start."""
    maps = gaussian_transport(synth, obs).maps
    first, second = synth.mean(dim=0), obs.mean(dim=0)
    forward_shift, back_shift = second - first @ maps.forward, first - second @ maps.back
    return as_pair(LinearMaps(maps.forward, forward_shift, maps.back, back_shift))


def supervised(sets: Sets) -> tuple[Tensor, Tensor]:
    """Translations (n, K) of the stars that are scored, by ridges on true pairs: of all of them but a tenth, each tenth
    in turn.
    """
    synth, obs = sets.seen()
    fold = torch.arange(len(synth)) % FOLDS
    synth_obs, obs_synth = torch.empty_like(obs), torch.empty_like(synth)
    for number in range(FOLDS):
        forward, back = as_pair(ridge_maps(synth[fold != number], obs[fold != number]))
        synth_obs[fold == number], obs_synth[fold == number] = forward(synth[fold == number]), back(obs[fold == number])
    return synth_obs, obs_synth

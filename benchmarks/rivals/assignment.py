"""Rivals that pair each star with one of the other set, at the least total squared distance, and fit ridges to that."""

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from benchmarks.rivals.sets import Maps, as_pair
from cyclegan.linear.maps import ridge_maps


def assignment(synth: Tensor, obs: Tensor, share: float = 1.0) -> Maps:
    """Ridges on the pairs of coordinates (n, K) and (m, K) of the least total squared distance, found exactly.

    share: observed stars of a set per synthetic one. Below 1 the synthetic ones least like any have no partner.
    """
    first, second = compared(synth, obs, share == 1)
    rows, columns = [], []
    for some in torch.arange(len(obs)).split(max(1, round(share * len(synth)))):
        row, column = linear_sum_assignment(torch.cdist(first, second[some]).square().numpy())
        rows.append(torch.from_numpy(row))
        columns.append(some[torch.from_numpy(column)])
    return as_pair(ridge_maps(synth[torch.cat(rows)], obs[torch.cat(columns)]))


def compared(synth: Tensor, obs: Tensor, same: bool) -> tuple[Tensor, Tensor]:
    """Coordinates (n, K), (m, K) in which stars are compared.

    same: whether both sets are of one kind of stars, so that their means differ by what is looked for. If not, spectra
    are compared as they are.
    """
    return (synth - synth.mean(dim=0), obs - obs.mean(dim=0)) if same else (synth, obs)

"""Rivals that share each star out among those of the other set, by an entropic plan, and fit ridges to that."""

import warnings

import torch
from torch import Tensor

from benchmarks.rivals.assignment import compared
from benchmarks.rivals.sets import Maps, as_pair
from cyclegan.linear.maps import LinearMaps, ridge_maps
from emulator.commands.errors import InputError

ITERATIONS = 300
LEAST = 600.0  # the logarithm of the least that is not rounded to 0
MET = 0.5  # of what each star has to give, at least: those that give less have no counterpart


def plan(synth: Tensor, obs: Tensor, blur: float, reach: float | None) -> Tensor:
    """The entropic plan (n, m) between coordinates (n, K) and (m, K) (Cuturi 2013); the mean of a row's sum is 1.

    In units of the median squared distance of a star from the nearest of the other set: blur, the entropy's weight;
    reach, that of what each star is to give (Chizat et al. 2018), None where each has to give all. Raises InputError
    where POT is not installed.
    """
    try:
        import ot
    except ImportError as error:
        text = "expected POT, which computes plans of optimal transport, found none: pip install '.[rivals]'"
        raise InputError(text) from error
    cost = torch.cdist(*compared(synth, obs, reach is None)).square().double()
    cost = (cost / cost.amin(dim=1).median()).clamp_max(LEAST * blur)
    here, there = (torch.full((size,), 1 / size, dtype=torch.double) for size in cost.shape)
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # of what "entropy" means
        if reach is None:
            found = ot.bregman.sinkhorn_knopp(here, there, cost, blur, numItermax=ITERATIONS, warn=False)
        else:
            found = ot.unbalanced.sinkhorn_knopp_unbalanced(
                here, there, cost, blur, reach, reg_type="entropy", numItermax=ITERATIONS
            )
    return found.float() * len(synth)


def sinkhorn(synth: Tensor, obs: Tensor, blur: float = 0.1, reach: float | None = None) -> Maps:
    """Ridges on stars, coordinates (n, K) and (m, K), and the mean partner of each in the `plan`."""
    weights = plan(synth, obs, blur, reach)
    given, taken = weights.sum(dim=1), weights.sum(dim=0) * len(obs) / len(synth)
    some, others = given > MET * given.median(), taken > MET * taken.median()
    partners = weights[some] @ obs / given[some, None]
    partners_back = weights[:, others].T @ synth / weights[:, others].sum(dim=0)[:, None]
    forward, back = ridge_maps(synth[some], partners), ridge_maps(partners_back, obs[others])
    return as_pair(LinearMaps(forward.forward, forward.forward_shift, back.back, back.back_shift))

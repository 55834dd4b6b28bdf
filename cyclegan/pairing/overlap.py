"""How much two sets of stars overlap, neither of which need hold the other."""

from typing import NamedTuple

import torch
from torch import Tensor

from cyclegan.pairing.transport import transport_pairs

PROBES = (0.1, 0.05)  # observed stars per synthetic one of a set: so few find those that are most like them
PROBE_SET = 1000
ALIKE = 1 / 3  # the gap between theory and data makes two draws of the same stars look as if they shared 0.4 to 0.5
FAR = 5.0  # sigma of the logarithm of distances: further off is no part of the same distribution
SPREAD = 0.3  # of that logarithm at least: the distances of stars that differ in line width alone spread so far


class Overlap(NamedTuple):
    """What two sets of stars share.

    share: how many observed stars there are room for beside each synthetic one; synth (n,), obs (m,) bool: which stars
    have a counterpart in the other set.
    """

    share: float
    synth: Tensor
    obs: Tensor


def find_overlap(synth: Tensor, obs: Tensor, generator: torch.Generator) -> Overlap:
    """What two sets share, from coordinates (n, K), (m, K) of spectra as they are.

    A star has no counterpart where those of the other set that are most like it are much further off than they are
    from other stars, once the typical gap is taken off.
    """
    near = transport_pairs(synth, obs, PROBES[0], generator, PROBE_SET)
    off = obs[near.obs] - synth[near.synth]
    gap = off.median(dim=0).values
    obs_met = ~far_off(_mean_square(off - gap, near.obs, len(obs)))
    back = transport_pairs(obs, synth, PROBES[0], generator, PROBE_SET)  # where the two change roles
    off = obs[back.synth] - synth[back.obs] - gap
    synth_met = ~far_off(_mean_square(off, back.obs, len(synth)))
    return Overlap(effective_share(synth[synth_met], obs[obs_met], generator), synth_met, obs_met)


def _mean_square(off: Tensor, rows: Tensor, stars: int) -> Tensor:
    """The mean squared length (stars,) of off (n, K), which are of the stars `rows` (n,)."""
    total, count = torch.zeros(stars), torch.zeros(stars)
    total.index_add_(0, rows, off.square().sum(dim=1))
    count.index_add_(0, rows, torch.ones(len(rows)))
    return total / count


def effective_share(synth: Tensor, obs: Tensor, generator: torch.Generator) -> float:
    """How many observed stars there are room for beside each synthetic one, 0 to 1, from coordinates (n, K), (m, K).

    Observed stars take the synthetic ones that are most like them, again and again where there are few. If c says how
    often each was taken, 1 / share = n sum c (c - 1) / (sum c)^2, Kish's (1965) effective share of a weighted sample,
    without what c has of chance; and over the same for synthetic stars in place of observed ones. What is found is
    to be twice the share of the probe at least, or the probe set it.
    """
    order = torch.randperm(len(synth), generator=generator)
    half = len(synth) // 2
    others, base = synth[order[:half]], synth[order[half:]]
    count = min(half, len(obs))
    seen = obs[torch.randperm(len(obs), generator=generator)[:count]]
    for probe in PROBES:
        found, expected = (_effective(base, side, probe, generator) for side in (seen, others[:count]))
        if (share := found / expected) >= 2 * probe:
            break
    return min(1.0, share)


def _effective(synth: Tensor, obs: Tensor, probe: float, generator: torch.Generator) -> float:
    # In a set a star is taken once at most: there have to be many sets, however few stars there are.
    pairs = transport_pairs(synth, obs, probe, generator, max(1, round(probe * len(obs))))
    taken = torch.bincount(pairs.synth, minlength=len(synth)).double()
    again = (taken * (taken - 1)).sum().clamp_min(1.0)
    return (taken.sum().square() / (len(synth) * again)).item()


def far_off(distance: Tensor) -> Tensor:
    """Which stars, (n,) bool, are further off than others are, from distances (n,) above 0."""
    logarithm = distance.clamp_min(1e-30).log()
    kept = torch.ones_like(logarithm, dtype=torch.bool)
    for _ in range(5):  # each time without those that were found before
        middle = logarithm[kept].median()
        spread = 1.4826 * (logarithm[kept] - middle).abs().median()
        kept = logarithm <= middle + FAR * spread.clamp_min(SPREAD)
    return ~kept

"""Two files of spectra as coordinates, in which rivals translate, and how good a translation is."""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.steps import config_of
from cyclegan.domains.domains import Domains, Stars
from cyclegan.domains.survey import Survey
from cyclegan.linear.maps import LinearMaps
from cyclegan.linear.sizes import find_sizes
from cyclegan.scores.scores import control_scores
from cyclegan.spectra.spaces import Components, pooled_components, projected_on
from cyclegan.training.build import build_domains
from cyclegan.training.data import SpectraData
from cyclegan.training.schema import TrainConfig
from cyclegan.training.theory import Theory
from emulator.commands.errors import InputError

Map = Callable[[Tensor], Tensor]  # coordinates (n, K) of one domain to those of the other
Maps = tuple[Map, Map]  # from theory to observations, and back

THEORY = Theory(None, {}, Survey())  # of files: nothing is emulated


class Sets(NamedTuple):
    """Stars in K components that both domains share, with one origin for both.

    synth (N, K), obs (M, K): of training, unpaired; spaces: of theory and of observations; val: spectra (n, P) of the
    same stars in both; seconds: of the processor, which finding the components took.
    """

    synth: Tensor
    obs: Tensor
    spaces: tuple[Components, Components]
    val: Stars
    seconds: float

    def seen(self) -> tuple[Tensor, Tensor]:
        """Coordinates (n, K) of the stars that are scored, of either domain."""
        synth, obs = (projected_on(space, side).flux for space, side in zip(self.spaces, self.val, strict=True))
        return synth, obs

    def score(self, synth_obs: Tensor, obs_synth: Tensor) -> tuple[float, float]:
        """x_synth_obs and x_obs_synth of translations (n, K) of `seen`."""
        space_s, space_o = self.spaces
        found = control_scores(*self.val, {"x": (space_o.restore(synth_obs), space_s.restore(obs_synth))}, None)
        return found["x_synth_obs"], found["x_obs_synth"]


def configuration(synth: str, obs: str, seed: int, overrides: list[str]) -> TrainConfig:
    """What the training command would be told of two files."""
    return config_of([f"domains.synth.path={synth}", f"domains.obs.path={obs}", f"seed={seed}", *overrides])


def domains_of(config: TrainConfig) -> Domains:
    """The two files; InputError where a training could not use them."""
    return build_domains(config, THEORY, torch.device("cpu"))


def read_sets(config: TrainConfig) -> Sets:
    """Two files in as many components as a run of ours finds in them; InputError where it could not use them."""
    domains = domains_of(config)
    if not domains.matched:
        raise InputError(
            "domains.matched: expected true, as only the same stars in both files can be scored, got false"
        )
    data = SpectraData(domains, 1, config.seed)
    start, stars = time.process_time(), data.stars(epoch=0)
    space_s, space_o = pooled_components(*stars, find_sizes(stars).components)
    # One origin: what the means differ by within the components is the rivals' to find.
    gap = (space_o.mean - space_s.mean) * space_s.weight @ space_s.basis
    space_o.mean.sub_(space_s.moved(gap))
    synth, obs = (projected_on(*pair).flux for pair in zip((space_s, space_o), stars, strict=True))
    return Sets(synth, obs, (space_s, space_o), data.scored(), time.process_time() - start)


def as_pair(maps: LinearMaps) -> Maps:
    """Linear maps as functions."""
    return lambda x: x @ maps.forward + maps.forward_shift, lambda x: x @ maps.back + maps.back_shift


def share_of(seconds: float) -> Iterator[float]:
    """Which share of so many seconds of the processor is over, 0 to 1, again and again until all are."""
    start = time.process_time()
    while (share := (time.process_time() - start) / seconds) < 1:
        yield share

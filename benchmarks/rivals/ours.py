"""Our own method beside its rivals: its pairs with a ridge in place of networks, and the whole of it."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.rivals.sets import THEORY, Sets, as_pair, domains_of
from cyclegan.domains.domains import Stars
from cyclegan.linear.maps import ridge_maps
from cyclegan.pairing.transport import Pairs
from cyclegan.scores.scores import control_scores
from cyclegan.trained.loading import load
from cyclegan.trained.run_folder import LAST, SCORED
from cyclegan.training.build import build
from cyclegan.training.data import SpectraData
from cyclegan.training.schema import TrainConfig
from cyclegan.training.sizing import settled
from cyclegan.translator.translator import Translator
from emulator.commands.errors import InputError

ROUNDS, POOLED = 12, 8  # of which the last ones' pairs are fitted together


class Scored(NamedTuple):
    """x_synth_obs at the mean split latent, as one who has theory alone translates; x_obs_synth; x_synth_obs with each
    observed star's own split latent, None for rivals that know of none; seconds of the processor.
    """

    x_synth_obs: float
    x_obs_synth: float
    own_split: float | None
    seconds: float


def pairs_and_ridge(config: TrainConfig, val: Stars) -> Scored:
    """Our pairs, each round's sharpening the metric of the next, and a ridge on the last; val: spectra (n, P).

    What only observed stars vary in is sought as in a run of ours. The networks stay as linear as they start: after
    each round least squares on its pairs take the place of their training.
    """
    domains = domains_of(config)
    data = SpectraData(domains, 1, config.seed)
    start, stars = time.process_time(), data.stars(epoch=0)
    module, _ = build(settled(config, domains, stars), domains, THEORY, stars)
    t, seen = module.translator, module.seen(stars)
    synth, obs, own = seen.synth.flux, seen.obs.flux, torch.empty(seen.obs.flux.shape[1], 0)
    found: list[Pairs] = []
    for number in range(ROUNDS):
        module.start_epoch(stars, number)
        assert module.pairing.pairs is not None
        assert module.pairing.own is not None
        found.append(module.pairing.pairs)
        own = module.pairing.own
        _fit(t, synth[found[-1].synth], obs[found[-1].obs], own)
    rows, columns = (torch.cat(side) for side in zip(*found[-POOLED:], strict=True))
    forward, back = as_pair(ridge_maps(synth[rows], obs[columns]))
    with_split, _ = as_pair(ridge_maps(torch.cat([synth[rows], obs[columns] @ own], dim=1), obs[columns]))
    sets = Sets(synth, obs, (t.space_s, t.space_o), val, time.process_time() - start)
    x_s, x_o = sets.seen()
    own_split = with_split(torch.cat([x_s, x_o @ own], dim=1))
    return Scored(*sets.score(forward(x_s), back(x_o)), sets.score(own_split, back(x_o))[0], sets.seconds)


@torch.no_grad()
def _fit(t: Translator, synth: Tensor, obs: Tensor, own: Tensor) -> None:
    """Have dense networks without hidden layers be the least-squares fits of partners (n, K) on each other.

    own: of what only observed stars vary in, obs @ own (K, r), which becomes their split latent.
    """
    scale, shared, split = t.encoder_o.scale, t.encode_synth(synth), obs @ own
    t.encoder_o.shared_linear.weight.copy_((ridge_maps(obs, shared).forward * scale[:, None]).T)
    t.encoder_o.split_linear.weight.zero_()[: own.shape[1]] = (own * scale[:, None]).T
    effect = ridge_maps(torch.cat([shared, split], dim=1), obs).forward / scale
    t.generator_o.shared_linear.weight.copy_(effect[: shared.shape[1]].T)
    t.generator_o.split_linear.weight.zero_()[:, : own.shape[1]] = effect[shared.shape[1] :].T


def whole_run(synth: str, obs: str, seed: int, overrides: list[str], folder: Path, val: Stars) -> Scored:
    """A run of the training command on two files, into a folder; val: spectra (n, P).

    Raises InputError where it ends otherwise than it should.
    """
    given = [f"domains.synth.path={synth}", f"domains.obs.path={obs}", f"seed={seed}", f"hydra.run.dir={folder}"]
    command = [sys.executable, "-m", "cyclegan.train", "+experiment=theory2data", *given, "logger.wandb=false"]
    done = subprocess.run([*command, *overrides], capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"{synth}, {obs}: expected a finished run, got: {done.stderr.strip().splitlines()[-1]}")
    found = json.loads((folder / SCORED).read_text())
    model = load(folder / LAST, "cpu")
    with torch.no_grad():
        made = model.translator.synth_to_obs(val.synth, model.mean_split()), model.translator.obs_to_synth(val.obs)
    at_mean = control_scores(*val, {"x": made}, None)["x_synth_obs"]
    return Scored(at_mean, found["x_obs_synth"], found["x_synth_obs"], found["cpu_seconds"])

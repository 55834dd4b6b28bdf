"""Sizes, steps and regularisation that follow from the stars of a run, where its configuration leaves them open."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cyclegan.domains.domains import Domain, Domains, Stars
from cyclegan.linear.sizes import find_sizes
from cyclegan.training.schema import TrainConfig
from emulator.commands.errors import InputError

log = logging.getLogger(__name__)

AUTO = "auto"
SIZES = ("components", "shared", "split")
ENOUGH = 4000  # stars: more take no more steps
STEPS = 150  # an epoch of so many stars
DECAY = 1000.0  # over the number of stars
FEWEST = 20  # different training stars: 10 were translated worse than by a mean shift (docs/few-stars.md)
# How far translations of stars like MILES' and of theory2data's come: stars, x_synth_obs over that of the mean shift.
ALLOW = ((50, 0.75, 0.82), (100, 0.74, 0.67), (250, 0.64, 0.62), (500, 0.55, 0.54), (1000, 0.5, 0.52))


def different_stars(domain: Domain, count: int, epochs: int) -> int:
    """How many different stars a domain that draws `count` shows in a run: emulated ones are new in every epoch."""
    return count if domain.fixed else count * epochs


def without_auto(networks: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of networks with the least that is allowed in place of AUTO, for those who need no sizes."""
    return {name: 1 if value == AUTO else value for name, value in networks.items()}


def settled(config: TrainConfig, domains: Domains, stars: Stars) -> TrainConfig:
    """The configuration with nothing left open; stars (N, P), (M, P): of the first epoch, on the CPU.

    The steps grow as the square root of the number of stars: few stars are learnt sooner, and by heart in the end. The
    weights' decay falls with it, as that of a prior beside data. Raises InputError where there are too few stars.
    """
    trainer = config.trainer
    sides = zip(("synth", "obs"), domains[:2], stars, strict=True)
    counts = {name: different_stars(domain, len(side.flux), trainer.epochs) for name, domain, side in sides}
    poorer = min(counts, key=lambda name: counts[name])
    count = counts[poorer]
    if count < FEWEST:
        raise InputError(
            f"domains.{poorer}: expected at least {FEWEST} training stars, as fewer are translated worse than by a mean"
            f" shift, got {count}"
        )
    steps = max(1, round(STEPS * min(1.0, count / ENOUGH) ** 0.5)) if trainer.steps is None else trainer.steps
    decay = DECAY / count if trainer.weight_decay is None else trainer.weight_decay
    networks = dict(config.networks)
    if open_sizes := [name for name in SIZES if networks.get(name) == AUTO]:
        found = find_sizes(stars)._asdict()
        networks |= {name: found[name] for name in open_sizes}
        latents = [networks[name] for name in ("shared", "split")]
        if "components" in open_sizes and all(isinstance(number, int) for number in latents):
            networks["components"] = max(networks["components"], sum(latents))
        log.info("networks: %s", ", ".join(f"{name} {networks[name]}" for name in SIZES if name in networks))
    return replace(config, networks=networks, trainer=replace(trainer, steps=steps, weight_decay=decay))

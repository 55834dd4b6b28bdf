"""Sizes, steps and regularisation that follow from the stars of a run, where its configuration leaves them open."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cyclegan.domains.domains import Domain, Domains, Stars
from cyclegan.domains.from_file import HDF5Domain
from cyclegan.linear.sizes import find_sizes
from cyclegan.training.schema import TrainConfig
from cyclegan.translator.networks import make_networks

log = logging.getLogger(__name__)

AUTO = "auto"
SIZES = ("components", "shared", "split")
ENOUGH = 4000  # stars: more take no more steps
DECAY = 1000.0  # over the number of stars
# x_synth_obs over that of a mean shift, by the number of training stars (docs/few-stars.md): of theory2data, and of the
# MILES library, whose stars differ in more ways. The noiseless truth has 0.42 and 0.32.
ALLOWED = {50: (0.84, 0.71), 100: (0.79, 0.75), 250: (0.64, 0.62), 500: (0.54, None), 1000: (0.52, None)}


def different_stars(domain: Domain, count: int, epochs: int) -> int:
    """How many different stars a domain that draws `count` shows in a run: emulated ones are new in every epoch."""
    if domain.fixed:
        return count
    return min(count * epochs, domain.count("train")) if isinstance(domain, HDF5Domain) else count * epochs


def without_auto(networks: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of networks with the least that is allowed in place of AUTO, for those who need no sizes."""
    return {name: 1 if value == AUTO else value for name, value in networks.items()}


def settled(config: TrainConfig, domains: Domains, stars: Stars) -> TrainConfig:
    """The configuration with nothing left open; stars (N, P), (M, P): of the first epoch.

    The steps grow as the square root of the number of stars: few stars are learnt sooner, and by heart in the end. The
    weights' decay falls with it, as that of a prior beside data.
    """
    trainer = config.trainer
    sides = zip(domains[:2], stars, strict=True)
    count = min(different_stars(domain, len(side.flux), trainer.epochs) for domain, side in sides)
    warn_of_few(count)
    networks = dict(config.networks)
    kind = make_networks(without_auto(networks))
    rate = kind.learning_rate if trainer.learning_rate is None else trainer.learning_rate
    most = kind.epoch_steps
    steps = max(1, round(most * min(1.0, count / ENOUGH) ** 0.5)) if trainer.steps is None else trainer.steps
    decay = DECAY / count if trainer.weight_decay is None else trainer.weight_decay
    if open_sizes := [name for name in SIZES if networks.get(name) == AUTO]:
        found = find_sizes(stars.to("cpu"))._asdict()
        networks |= {name: found[name] for name in open_sizes}
        latents = [networks[name] for name in ("shared", "split")]
        if "components" in open_sizes and all(isinstance(number, int) for number in latents):
            networks["components"] = max(networks["components"], sum(latents))
        log.info("networks: %s", ", ".join(f"{name} {networks[name]}" for name in SIZES if name in networks))
    trainer = replace(trainer, steps=steps, learning_rate=rate, weight_decay=decay)
    return replace(config, networks=networks, trainer=trainer)


def warn_of_few(count: int) -> None:
    """Say what so many stars allow, where more would allow more."""
    if count > max(ALLOWED):
        return
    stars = min(ALLOWED, key=lambda number: abs(number - count))
    smooth, real = ALLOWED[stars]
    measured = f"{smooth:.2f} in theory2data" + ("" if real is None else f", {real:.2f} of real optical spectra")
    log.warning(
        "%d training stars are few: of a mean shift's x_synth_obs, %d left %s; 4000 leave 0.46 (docs/few-stars.md)",
        count,
        stars,
        measured,
    )

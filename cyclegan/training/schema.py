"""The schema of the training command's configuration: every key, its type and its range."""

from dataclasses import dataclass, field
from typing import Any

from cyclegan.domains.schema import DomainsConfig
from cyclegan.losses.terms import TERMS
from cyclegan.pairing.pairing import MOST_MEMBERS
from cyclegan.pairing.selection import CHOICES, DENSITY, DISCRIMINATOR
from emulator.commands.device import DEVICES
from emulator.commands.errors import InputError
from emulator.commands.schema import MOST_SEED

AGREEMENT, LAST = KEEP = ("agreement", "last")  # the networks that a run may end with


@dataclass
class PairsConfig:
    """Pseudo-pairs."""

    share: float | None = field(metadata={"above": 0.0, "maximum": 1.0})


@dataclass
class SelectionConfig:
    """Which synthetic stars are trained on."""

    by: str = field(metadata={"choices": CHOICES})
    pool: int = field(metadata={"minimum": 2})


@dataclass
class TrainerConfig:
    """How long, how fast and where."""

    epochs: int = field(metadata={"minimum": 1})
    steps: int | None = field(metadata={"minimum": 1})
    batch_size: int = field(metadata={"minimum": 2})
    warm_up: float = field(metadata={"minimum": 0.0, "maximum": 1.0})
    learning_rate: float | None = field(metadata={"above": 0.0})
    discriminator_learning_rate: float = field(metadata={"above": 0.0})
    weight_decay: float | None = field(metadata={"minimum": 0.0})
    keep: str = field(metadata={"choices": KEEP})
    accelerator: str = field(metadata={"choices": DEVICES})
    threads: int | None = field(metadata={"minimum": 1})
    log_every: int = field(metadata={"minimum": 1})
    checkpoint_every: int = field(metadata={"minimum": 1})
    # Runs of earlier versions have no such keys.
    requeue: bool = False
    devices: int = field(default=1, metadata={"minimum": 1})
    nodes: int = field(default=1, metadata={"minimum": 1})


@dataclass
class LoggerConfig:
    """Where metrics go."""

    project: str
    wandb: bool


@dataclass
class TrainConfig:
    """All of it. The keys of `networks` are those of the kind that it names, `losses` has one for each term."""

    name: str
    seed: int = field(metadata={"minimum": 0, "maximum": MOST_SEED})
    resume: str | None
    ensemble: int = field(metadata={"minimum": 1, "maximum": MOST_MEMBERS})
    domains: DomainsConfig
    networks: dict[str, Any]
    losses: dict[str, float] = field(metadata={"minimum": 0.0})
    pairs: PairsConfig
    selection: SelectionConfig
    trainer: TrainerConfig
    logger: LoggerConfig


def check_together(config: TrainConfig) -> None:
    """Raise InputError for values that are each in their range but do not go together."""
    if unknown := [name for name in config.losses if name not in TERMS]:
        raise InputError(f"unknown config key 'losses.{unknown[0]}': 'losses' has {', '.join(sorted(TERMS))}")
    processes, stars = config.trainer.devices * config.trainer.nodes, config.trainer.batch_size
    if processes > stars:
        raise InputError(
            f"config key 'trainer.devices': expected at most {stars} processes, the stars of a batch, got {processes}"
        )
    for name, side in config.domains.sides().items():
        bounds_of = {"resolution": side.effects.resolution, "macroturbulence": side.effects.macroturbulence}
        for key, bounds in bounds_of.items():
            if bounds is not None and (len(bounds) != 2 or bounds[0] > bounds[1]):
                raise InputError(f"config key 'domains.{name}.effects.{key}': expected [low, high], got {bounds}")
    needs = {DISCRIMINATOR: ("adversarial", "judges"), DENSITY: ("pairs", "pairs")}
    if config.selection.by in needs:
        weight, what = needs[config.selection.by]
        if not config.losses.get(weight):
            raise InputError(
                f"config key 'losses.{weight}': expected a weight above 0, as selection.by={config.selection.by} goes"
                f" by {what}, got 0"
            )
    lasting = [name for name, term in TERMS.items() if term.lasting]
    if not any(config.losses.get(name) for name in lasting):
        raise InputError(f"config key 'losses': expected a weight above 0 among {', '.join(lasting)}, got none")

"""The schema of the training command's configuration: every key, its type and its range."""

from dataclasses import dataclass, field

from omegaconf import DictConfig

from cyclegan.files import FEWEST
from cyclegan.selection import CHOICES, DENSITY, DISCRIMINATOR
from emulator.command import MOST_SEED, InputError
from emulator.synthesis import RESOLUTION


@dataclass
class EffectsConfig:
    resolution: list[float] | None = field(metadata={"above": 0.0, "maximum": RESOLUTION})
    macroturbulence: list[float] | None = field(metadata={"minimum": 0.0})
    velocity: float | None = field(metadata={"minimum": 0.0})
    noise: str | None
    sky: float | None = field(metadata={"minimum": 0.0})
    tellurics: float | None = field(metadata={"minimum": 0.0})
    observer_velocity: float = field(metadata={"minimum": 0.0})
    continuum: float | None = field(metadata={"minimum": 0.0, "maximum": 0.1})
    bad_pixels: float | None = field(metadata={"minimum": 0.0, "maximum": 0.5})


@dataclass
class SynthConfig:
    path: str | None
    hidden_share: float = field(metadata={"minimum": 0.0, "maximum": 1.0})
    effects: EffectsConfig


@dataclass
class ObsConfig:
    path: str | None
    effects: EffectsConfig


@dataclass
class DomainsConfig:
    synth: SynthConfig
    obs: ObsConfig
    wavelength: str | None
    skip_pixels: int = field(metadata={"minimum": 0})
    hidden_seed: int | None = field(metadata={"minimum": 0, "maximum": MOST_SEED})
    anchors: str | None
    emulator: str
    stars: int = field(metadata={"minimum": FEWEST["train"]})
    matched_stars: int = field(metadata={"minimum": FEWEST["val"]})
    matched: bool


@dataclass
class NetworksConfig:
    kind: str = field(metadata={"choices": ("dense", "conv")})
    shared: int = field(metadata={"minimum": 1})
    split: int = field(metadata={"minimum": 0})
    components: int | None = field(metadata={"minimum": 1})
    width: int | None = field(metadata={"minimum": 1})
    channels: list[int] | None = field(metadata={"minimum": 1})


@dataclass
class LossesConfig:
    synth: float = field(metadata={"minimum": 0.0})
    obs: float = field(metadata={"minimum": 0.0})
    adversarial: float = field(metadata={"minimum": 0.0})
    pairs: float = field(metadata={"minimum": 0.0})
    independence: float = field(metadata={"minimum": 0.0})
    latent_cycle: float = field(metadata={"minimum": 0.0})
    anchors: float = field(metadata={"minimum": 0.0})


@dataclass
class PairsConfig:
    share: float = field(metadata={"above": 0.0, "maximum": 1.0})


@dataclass
class SelectionConfig:
    by: str = field(metadata={"choices": CHOICES})
    pool: int = field(metadata={"minimum": 2})


@dataclass
class TrainerConfig:
    epochs: int = field(metadata={"minimum": 1})
    steps: int = field(metadata={"minimum": 1})
    batch_size: int = field(metadata={"minimum": 2})
    warm_up: float = field(metadata={"minimum": 0.0, "maximum": 1.0})
    learning_rate: float = field(metadata={"above": 0.0})
    discriminator_learning_rate: float = field(metadata={"above": 0.0})
    accelerator: str = field(metadata={"choices": ("auto", "cpu", "gpu")})
    log_every: int = field(metadata={"minimum": 1})
    checkpoint_every: int = field(metadata={"minimum": 1})


@dataclass
class LoggerConfig:
    project: str
    wandb: bool


@dataclass
class TrainConfig:
    name: str
    seed: int = field(metadata={"minimum": 0, "maximum": MOST_SEED})
    resume: str | None
    domains: DomainsConfig
    networks: NetworksConfig
    losses: LossesConfig
    pairs: PairsConfig
    selection: SelectionConfig
    trainer: TrainerConfig
    logger: LoggerConfig


def check_together(config: DictConfig) -> None:
    """Raise InputError for values that are each in their range but do not go together."""
    for kind, key in (("dense", "width"), ("conv", "channels")):
        if config.networks.kind == kind and not config.networks[key]:
            raise InputError(f"config key 'networks.{key}': expected a value for {kind} networks, got none")
    for name in ("synth", "obs"):
        for key in ("resolution", "macroturbulence"):
            bounds = config.domains[name].effects[key]
            if bounds is not None and (len(bounds) != 2 or bounds[0] > bounds[1]):
                raise InputError(f"config key 'domains.{name}.effects.{key}': expected [low, high], got {bounds}")
    needs = {DISCRIMINATOR: ("adversarial", "judges"), DENSITY: ("pairs", "pairs")}
    if config.selection.by in needs:
        weight, what = needs[config.selection.by]
        if not config.losses[weight]:
            raise InputError(
                f"config key 'losses.{weight}': expected a weight above 0, as selection.by={config.selection.by} goes"
                f" by {what}, got 0"
            )
    lasting = ("synth", "obs", "pairs")  # neither warm-up nor width silences them
    if not any(config.losses[name] for name in lasting):
        raise InputError(f"config key 'losses': expected a weight above 0 among {', '.join(lasting)}, got none")

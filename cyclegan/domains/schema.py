"""The schema of the configuration's `domains`: every key, its type and its range."""

from dataclasses import dataclass, field
from typing import Any

from cyclegan.spectra.spectra import FEWEST, WORST_ERROR
from emulator.commands.schema import MOST_SEED


@dataclass
class EffectsConfig:
    """What a telescope does to an emulated domain (docs/effects.md)."""

    resolution: list[float] | None = field(metadata={"above": 0.0})
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
    """The synthetic domain."""

    path: str | None
    hidden_share: float = field(metadata={"minimum": 0.0, "maximum": 1.0})
    effects: EffectsConfig
    emulator: str | None = None  # which older runs do not say


@dataclass
class ObsConfig:
    """The observed domain."""

    path: str | None
    effects: EffectsConfig
    emulator: str | None = None


@dataclass
class DomainsConfig:
    """Both domains; conf/domains says what each key is."""

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
    # Runs of version 0.2, which knew no other, do not say what follows.
    worst_error: float = field(default=WORST_ERROR, metadata={"above": 0.0})
    population: dict[str, Any] = field(default_factory=lambda: {"_target_": "cyclegan.domains.survey.Survey"})

    def sides(self) -> dict[str, SynthConfig | ObsConfig]:
        """The two domains by name."""
        return {"synth": self.synth, "obs": self.obs}

    def emulators(self) -> dict[str, str]:
        """The files of the emulators, by the names of the domains that are emulated."""
        sides = self.sides().items()
        return {
            name: self.emulator if side.emulator is None else side.emulator for name, side in sides if not side.path
        }

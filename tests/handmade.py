"""Checkpoints of networks that were made by hand, as a run would have left them."""

from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from cyclegan.domains.schema import DomainsConfig, EffectsConfig, ObsConfig, SynthConfig
from cyclegan.trained.checkpoint import Checkpoint
from cyclegan.trained.record import Record
from cyclegan.translator.networks import Networks
from cyclegan.translator.translator import Translator
from emulator.commands.schema import TARGET
from emulator.payne import Payne


def domains_of(synth: str | None, obs: str | None) -> dict:
    """A run's `domains`, from files or, where there is none, emulated with no effects."""
    effects = EffectsConfig(**dict.fromkeys(EffectsConfig.__dataclass_fields__) | {"observer_velocity": 0.0})
    config = DomainsConfig(
        synth=SynthConfig(synth, 0.0, effects),
        obs=ObsConfig(obs, effects),
        wavelength=None,
        skip_pixels=0,
        hidden_seed=None,
        anchors=None,
        emulator="payne.pt",
        stars=100,
        matched_stars=100,
        matched=True,
    )
    return asdict(config)


def make_checkpoint(
    translator: Translator,
    networks: Networks,
    wavelength: Tensor,
    split: Tensor,
    emulator: Payne | None = None,
) -> Checkpoint:
    """The checkpoint of a run after one step; between two files, or of two domains that one emulator makes."""
    paths = (None, None) if emulator is not None else ("synth.h5", "obs.h5")
    kind = type(networks)
    record = Record(
        config={
            "name": "by hand",
            "networks": {TARGET: f"{kind.__module__}.{kind.__name__}"} | asdict(networks),
            "domains": domains_of(*paths),
        },
        wavelength=wavelength,
        emulator=None if emulator is None else emulator.contents(),
        hidden={},
        continuum=None,
        matched=True,
        split=split,
    )
    weights = {f"translator.{name}": tensor for name, tensor in translator.state_dict().items()}
    return Checkpoint(1, weights, record, {}, {})


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> Path:
    """The same as a file."""
    step, weights, record, pairing, latest = checkpoint
    parts = {"global_step": step, "state_dict": weights, "record": record.to_plain(), "pairing": pairing}
    torch.save({**parts, "latest": latest}, path)
    return path

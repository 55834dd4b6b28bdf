"""Exposures, draws and settings for the tests of what a telescope does to spectra."""

import numpy as np
import torch

from cyclegan.domains.exposure import Exposure
from cyclegan.domains.schema import EffectsConfig
from emulator.apogee import apogee_wavelength

APOGEE = torch.from_numpy(apogee_wavelength())
FIRST_CHIP = APOGEE[:2920]
SURVEY = {
    "resolution": [19000.0, 22500.0],
    "macroturbulence": [0.0, 3.0],
    "velocity": 0.2,
    "noise": "photon",
    "sky": 1.0,
    "tellurics": 0.02,
    "continuum": 0.01,
    "bad_pixels": 0.02,
}


def effects(**given) -> EffectsConfig:
    """`effects` of a configuration: all null but those given."""
    return EffectsConfig(**{**dict.fromkeys(SURVEY), "observer_velocity": 40.0, **given})


def standard_error(draws: int) -> float:
    """Of the standard deviation of so many Gaussian draws, relative."""
    return 1 / np.sqrt(2 * draws)


def random(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def exposure_of(flux: torch.Tensor, error: float = 0.01) -> Exposure:
    return Exposure(flux, torch.zeros_like(flux), torch.full_like(flux, error), torch.ones_like(flux, dtype=torch.bool))

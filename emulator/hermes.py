"""HERMES, the spectrograph of the GALAH survey, whose files `cyclegan.instruments.galah` reads."""

import numpy as np

from emulator.instrument import Instrument
from emulator.wavelength import air_to_vacuum

# Of the four arms, Angstrom in air (De Silva et al. 2015, MNRAS 449, 2604).
ARMS = ((4713.0, 4903.0), (5648.0, 5873.0), (6478.0, 6737.0), (7585.0, 7887.0))
LOG_STEP = 4e-6  # in log10(wavelength), 2.76 km/s: the detectors' pixels are 2.85 km/s wide
OXYGEN = 7680.0  # Angstrom in air, to where oxygen of the Earth's air leaves little: the survey's fits begin there


def _arm(blue: float, red: float) -> np.ndarray:
    first, last = np.log10(air_to_vacuum(np.array([blue, red])))
    return 10 ** np.arange(first, last, LOG_STEP)


_WAVELENGTH = np.concatenate([_arm(*ends) for ends in ARMS])

HERMES = Instrument(
    name="HERMES",
    wavelength=_WAVELENGTH,
    cuts={
        "clear": np.flatnonzero((_WAVELENGTH < 7500) | (air_to_vacuum(np.array(OXYGEN)) < _WAVELENGTH)),
        "all": np.arange(len(_WAVELENGTH)),
    },
    chip_bounds=(5275.0, 6175.0, 7160.0),
    resolution=28000.0,
    # The survey aims at 100 per resolution element of 3.9 pixels (https://www.galah-survey.org/details/facilities).
    signal_to_noise=(25.0, 100.0),
    bits=(),
    bad_bits=0,
)

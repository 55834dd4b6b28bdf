"""The spectrographs whose numbers are known, and which of them wavelengths are of."""

from collections.abc import Sequence

import numpy as np

from emulator.apogee import APOGEE
from emulator.hermes import HERMES
from emulator.instrument import Instrument

INSTRUMENTS: tuple[Instrument, ...] = (APOGEE, HERMES)


def instrument_of(wavelength: np.ndarray, instruments: Sequence[Instrument] = INSTRUMENTS) -> Instrument:
    """The instrument among whose pixels most of these wavelengths (P,) lie, vacuum Angstrom; the first where few do."""
    for instrument in instruments:
        own = instrument.wavelength
        place = np.searchsorted(own, wavelength).clip(1, len(own) - 1)
        off = np.minimum(np.abs(wavelength - own[place - 1]), np.abs(wavelength - own[place]))
        if (off < 2 * np.median(np.diff(own))).mean() > 0.5:
            return instrument
    return instruments[0]

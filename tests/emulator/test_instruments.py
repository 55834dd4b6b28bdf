"""emulator/instruments.py and emulator/hermes.py: which spectrograph wavelengths are of, and what HERMES is."""

import numpy as np
import pytest

from emulator.apogee import APOGEE
from emulator.hermes import ARMS, HERMES
from emulator.instruments import INSTRUMENTS, instrument_of
from emulator.wavelength import LIGHT_SPEED, air_to_vacuum, chip_starts, velocity_step


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_wavelengths_are_those_of_the_instrument_among_whose_pixels_they_lie(instrument):
    for wavelength in (instrument.wavelength, instrument.cut()[::7], instrument.wavelength[300:500] + 0.03):
        assert instrument_of(wavelength) is instrument
    # Pixels between the arms are of none, though they lie in the range.
    assert instrument_of(np.r_[instrument.wavelength[:100], np.linspace(2e4, 3e4, 99)]) is instrument
    assert instrument_of(np.r_[instrument.wavelength[:99], np.linspace(5000, 5600, 101)]) is APOGEE
    assert instrument_of(np.linspace(4000, 6870, 3189), INSTRUMENTS[::-1]) is HERMES  # the first, for want of any


def test_hermes_is_what_the_survey_says():
    assert velocity_step(HERMES.wavelength) == pytest.approx(2.76, abs=0.01)
    ends = HERMES.wavelength[np.r_[0, chip_starts(HERMES.wavelength)]]
    np.testing.assert_allclose(ends, air_to_vacuum(np.array(ARMS)[:, 0]), rtol=1e-9)
    clear = HERMES.cut()
    assert not ((clear > 7400) & (clear < 7682)).any()  # vacuum: the survey leaves out what lies below 7680 in air
    assert len(chip_starts(clear)) == len(chip_starts(HERMES.wavelength)) == 3
    assert all(low < bound < high for low, bound, high in zip(ends, HERMES.chip_bounds, ends[1:], strict=False))
    element = LIGHT_SPEED / HERMES.resolution / velocity_step(HERMES.wavelength)  # in pixels
    assert np.mean(HERMES.signal_to_noise) * element**0.5 == pytest.approx(120, abs=10)

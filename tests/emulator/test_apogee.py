"""emulator/apogee.py and instrument.py: what APOGEE is to this program, against what its survey says of it."""

import numpy as np
import pytest
from reference import REFERENCE

from emulator.apogee import APOGEE, apogee_wavelength
from emulator.instrument import Instrument
from emulator.wavelength import chip_starts


def test_apogee_wavelengths_are_those_of_the_payne():
    wavelength = apogee_wavelength()
    assert wavelength.shape == (7214,)
    assert wavelength[[0, -1]] == pytest.approx([15168.1285, 16936.7470], abs=1e-4)
    steps = np.diff(np.log10(wavelength))
    assert np.flatnonzero(steps > 6.1e-6).tolist() == [2919, 5319]
    assert steps.min() == pytest.approx(6e-6)


@pytest.mark.reference
@pytest.mark.skipif(not REFERENCE.exists(), reason=f"REAL WAVELENGTHS NOT COMPARED: there is no {REFERENCE}")
def test_they_are_those_of_real_spectra():
    with np.load(REFERENCE / "apogee_wavelength.npz") as file:
        np.testing.assert_allclose(apogee_wavelength(), file["wavelength"], rtol=1e-7)


@pytest.mark.parametrize("name", ["7214", "7514", "8575"])
def test_a_cut_has_as_many_pixels_as_it_is_called_for(name):
    assert APOGEE.cut(name).shape == (int(name),)
    assert (np.diff(APOGEE.cut(name)) > 0).all()
    assert np.isin(APOGEE.cut(name), APOGEE.wavelength).all()


def test_there_are_no_other_cuts_and_the_first_is_the_default():
    assert list(APOGEE.cuts) == ["7214", "7514", "8575"]
    np.testing.assert_array_equal(APOGEE.cut(), APOGEE.cut("7214"))
    np.testing.assert_array_equal(APOGEE.cut(), apogee_wavelength())
    np.testing.assert_array_equal(APOGEE.cut("8575"), APOGEE.wavelength)


@pytest.mark.parametrize("name", ["7214", "7514"])
def test_the_chips_bounds_lie_in_the_gaps(name):
    wavelength = APOGEE.cut(name)
    starts = chip_starts(wavelength)
    assert len(starts) == len(APOGEE.chip_bounds) == 2
    for start, bound in zip(starts, APOGEE.chip_bounds, strict=True):
        assert wavelength[start - 1] < bound < wavelength[start]
    assert len(chip_starts(APOGEE.wavelength)) == 0  # without a cut only the bounds tell chips apart


def test_the_bits_that_mask_a_pixel_are_those_that_the_survey_calls_bad_and_residuals_of_the_sky():
    named = {name for bit, name in enumerate(APOGEE.bits) if APOGEE.bad_bits >> bit & 1}
    assert named == {
        *("BADPIX", "CRPIX", "SATPIX", "UNFIXABLE", "BADDARK", "BADFLAT", "BADERR", "NOSKY", "NOT_ENOUGH_PSF"),
        *("SIG_SKYLINE", "SIG_TELLURIC"),
    }
    assert APOGEE.bad_bits < 1 << len(APOGEE.bits)


def test_another_instrument_cuts_its_own_pixels():
    wavelength = np.linspace(4000.0, 4009.0, 10)
    other = Instrument(
        name="other",
        wavelength=wavelength,
        cuts={"ends": np.array([0, 9]), "all": np.arange(10)},
        chip_bounds=(),
        resolution=5000.0,
        signal_to_noise=(10.0, 20.0),
        bits=("BAD",),
        bad_bits=1,
    )
    assert other.cut().tolist() == other.cut("ends").tolist() == [4000.0, 4009.0]
    np.testing.assert_array_equal(other.cut("all"), wavelength)
    with pytest.raises(KeyError):
        other.cut("7214")

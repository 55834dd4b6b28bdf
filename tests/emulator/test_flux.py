"""emulator/flux.py: flux over a continuum of 1 is told from everything else."""

import numpy as np
import pytest

from emulator.commands.errors import InputError
from emulator.flux import check_flux


def test_deep_lines_emission_and_noise_are_flux():
    random = np.random.default_rng(0)
    for spectra in (random.uniform(0, 1, (3, 50)), random.normal(1, 0.3, (200, 50)), np.r_[np.ones(50), 60.0][None]):
        check_flux(spectra.astype("float32"), "a.h5")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -9999.0, 1e30])
def test_a_pixel_that_cannot_be_is_told(value):
    spectra = np.ones((100, 20), "float32")
    spectra[70, 3] = value
    with pytest.raises(InputError, match=r"^a.h5: expected flux of -1 to 100 .* at pixel 3 of row 70$"):
        check_flux(spectra, "a.h5")


@pytest.mark.parametrize("unit", [1e-14, 0.1, 10.0])
def test_flux_in_another_unit_is_told(unit):
    with pytest.raises(InputError, match=f"continuum of 1, got a median of {unit:.4g}"):
        check_flux(np.full((100, 20), unit, "float32"), "a.h5")

"""cyclegan/domains: the effects of another spectrograph, at whose wavelengths theory is."""

import numpy as np
import pytest
import torch
from exposures import effects

from cyclegan.domains.effects import make_observation
from cyclegan.domains.line_profile import WIDTH
from cyclegan.spectra.chips import chip_slices
from emulator.commands.errors import InputError
from emulator.hermes import HERMES
from emulator.wavelength import LIGHT_SPEED

WAVELENGTH = torch.from_numpy(HERMES.cut())
NO_SKY = (
    "lines of the sky, which are known in the H band, or sky=null and tellurics=null, got 4714.3 to 7889.2 Angstrom"
)


def lines(resolution):
    """A line in the middle of each arm (P,), 0.3 deep at the spectrograph's own resolution."""
    flux = torch.ones(len(WAVELENGTH), dtype=torch.float64)
    for chip in chip_slices(WAVELENGTH.numpy()):
        logarithm = WAVELENGTH[chip].log()
        offset = LIGHT_SPEED * (logarithm - logarithm[len(logarithm) // 2])
        flux[chip] -= 0.3 * resolution / HERMES.resolution * torch.exp(-0.5 * (offset * resolution / WIDTH) ** 2)
    return flux.float()


@pytest.mark.parametrize("resolution", [28000.0, 20000.0])
def test_lines_are_broadened_from_its_own_resolution(resolution):
    observe = make_observation(effects(resolution=[resolution, resolution]), WAVELENGTH)
    seen = observe(lines(HERMES.resolution)[None], 1).flux
    torch.testing.assert_close(seen[0], lines(resolution), atol=2e-4, rtol=0)


def test_noise_is_that_of_its_spectra_and_grows_towards_the_ends_of_its_arms():
    observe = make_observation(effects(noise="photon"), WAVELENGTH)
    error = observe(torch.ones(400, len(WAVELENGTH)), 1).error.numpy() - 1e-3
    for chip in chip_slices(HERMES.cut()):
        middle = len(HERMES.cut()[chip]) // 2
        ratio = 1 / error[:, chip][:, middle - 200 : middle + 200].mean(axis=1)
        assert ratio.min() == pytest.approx(25, rel=0.05)
        assert ratio.max() == pytest.approx(100, rel=0.05)
        assert np.median(error[:, chip][:, :5] * ratio[:, None]) == pytest.approx(1.5, abs=0.05)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            {"resolution": [2e4, 3e4]},
            "a resolution of at most 28000, which theory has at the wavelengths of HERMES, got 30000",
        ),
        ({"sky": 1.0}, NO_SKY),
        ({"tellurics": 0.02}, NO_SKY),
    ],
)
def test_what_it_does_not_have_is_refused(asked, words):
    with pytest.raises(InputError, match=f"^effects of .*: expected {words}$"):
        make_observation(effects(**asked), WAVELENGTH)

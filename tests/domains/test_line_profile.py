"""cyclegan/domains/line_profile.py: widths add, velocities shift, and nothing else happens to a line."""

import numpy as np
import pytest
import torch
from exposures import APOGEE, FIRST_CHIP, exposure_of, random, standard_error

from cyclegan.domains.line_profile import WIDTH, LineProfile
from cyclegan.domains.sky import Atmosphere
from emulator.commands.errors import InputError
from emulator.synthesis import RESOLUTION
from emulator.wavelength import LIGHT_SPEED

STEP = LIGHT_SPEED * 6e-6 * np.log(10)  # km/s a pixel


def gaussian_line(centre, width, depth=0.5, stars=1):
    """A line (stars, 2920) of the first chip: centre and width in km/s from the chip's middle."""
    velocity = STEP * (torch.arange(2920, dtype=torch.float64) - 1460)
    return (1 - depth * torch.exp(-0.5 * ((velocity - centre) / width) ** 2)).float().expand(stars, -1)


@pytest.mark.parametrize(("resolution", "zeta"), [(15000.0, 0.0), (RESOLUTION, 8.0), (18000.0, 5.0), (RESOLUTION, 0.5)])
def test_widths_add_in_quadrature_and_the_equivalent_width_stays(resolution, zeta):
    width = WIDTH / RESOLUTION  # of a line that only the spectrograph broadens, 5.66 km/s
    assert width == pytest.approx(5.66, abs=0.005)
    profile = LineProfile(FIRST_CHIP, resolution=(resolution, resolution), macroturbulence=(zeta, zeta))
    flux = profile(exposure_of(gaussian_line(12.3, width)), random()).flux
    # At a resolution R the spectrograph's width is WIDTH / R by itself.
    wider = np.sqrt((WIDTH / resolution) ** 2 + zeta**2 / 2)
    torch.testing.assert_close(flux, gaussian_line(12.3, wider, 0.5 * width / wider), atol=2e-6, rtol=0)
    before, after = ((1 - f[:, 1410:1510]).double().sum().item() for f in (gaussian_line(12.3, width), flux))
    assert after == pytest.approx(before, rel=1e-5)


def test_each_star_is_shifted_by_its_own_velocity_exactly():
    line = gaussian_line(0.0, 7.0, stars=600)
    flux = LineProfile(FIRST_CHIP, velocity=3.0)(exposure_of(line), random()).flux
    velocity = STEP * (torch.arange(2920, dtype=torch.float64) - 1460)
    near = velocity.abs() < 60
    depth = 1 - flux.double()[:, near]
    shifts = (depth * velocity[near]).sum(dim=1) / depth.sum(dim=1)
    assert shifts.std().item() == pytest.approx(3.0, rel=4 * standard_error(600))
    assert shifts.mean().item() == pytest.approx(0.0, abs=4 * 3.0 / np.sqrt(600))
    for star in range(3):
        torch.testing.assert_close(flux[star], gaussian_line(shifts[star], 7.0)[0], atol=5e-6, rtol=0)
    # The generator gives resolutions and macroturbulences first, then velocities; receding stars are redder.
    generator = random()
    torch.rand(2 * 600, generator=generator)
    torch.testing.assert_close(shifts.float(), 3.0 * torch.randn(600, generator=generator), atol=1e-3, rtol=0)


def test_resolutions_and_macroturbulence_are_uniform_between_their_bounds():
    width = WIDTH / RESOLUTION
    profile = LineProfile(FIRST_CHIP, resolution=(12000.0, 20000.0))
    depth = 1 - profile(exposure_of(gaussian_line(0.0, width, stars=2000)), random()).flux.amin(dim=1)
    resolution = (depth / 0.5 * RESOLUTION).numpy()  # a line as much shallower as it is wider
    assert resolution.min() == pytest.approx(12000, abs=40)
    assert resolution.max() == pytest.approx(20000, abs=40)
    assert resolution.mean() == pytest.approx(16000, abs=5 * 8000 / np.sqrt(12 * 2000))


def test_nothing_wraps_around_a_chip_or_reaches_another():
    flux = torch.ones(2, len(APOGEE))
    flux[0, 2915:2920] = 0.3  # the red end of the first chip
    flux[1] = 0.7
    changed = LineProfile(APOGEE, resolution=(8000.0, 8000.0), velocity=5.0)(exposure_of(flux), random()).flux
    torch.testing.assert_close(changed[0, :2800], torch.ones(2800), atol=1e-5, rtol=0)
    torch.testing.assert_close(changed[0, 2920:], torch.ones(len(APOGEE) - 2920), atol=1e-5, rtol=0)
    assert changed[0, 2890:2910].min() < 0.99
    torch.testing.assert_close(changed[1], flux[1], atol=1e-6, rtol=0)


def test_a_line_profile_at_the_emulators_resolution_changes_nothing():
    flux = 0.5 + 0.5 * torch.rand(3, len(APOGEE), generator=random())
    changed = LineProfile(APOGEE, resolution=(RESOLUTION, RESOLUTION))(exposure_of(flux), random())
    torch.testing.assert_close(changed.flux, flux, atol=1e-6, rtol=0)
    assert torch.equal(changed.error, exposure_of(flux).error)


def test_wavelengths_that_are_not_logarithmic_are_told():
    linear = torch.linspace(15150.0, 15800.0, 2920, dtype=torch.float64)
    with pytest.raises(InputError, match=r"expected wavelengths uniform in their logarithm .* got 15150.00"):
        LineProfile(linear, velocity=1.0)
    Atmosphere(linear, sky=1.0, tellurics=1.0, velocity=1.0)  # needs no such grid

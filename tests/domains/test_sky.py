"""cyclegan/domains/sky.py: residuals of sky and telluric lines, where they were measured and as large as asked for."""

import numpy as np
import pytest
import torch
from exposures import APOGEE, FIRST_CHIP, exposure_of, random, standard_error

from cyclegan.domains.line_profile import WIDTH
from cyclegan.domains.sky import TELLURICS, Atmosphere, sky_templates
from emulator.synthesis import RESOLUTION
from emulator.wavelength import LIGHT_SPEED

# Vacuum wavelengths (Angstrom) of OH lines that APOGEE measured against its arc lamps, as its pipeline lists them
# (sdss/apogee_drp, data/skylines, October 2018); blends of two equal components.
MEASURED = (15187.134, 15240.957, 15287.792, 15395.335, 15597.632, 15702.528, 15972.610, 16030.844, 16079.767)
MEASURED += (16194.627, 16502.363, 16553.817, 16840.504, 16903.682)


def test_sky_lines_are_where_apogee_measured_them():
    logarithm = torch.arange(np.log(15100.0), np.log(17000.0), 5e-7, dtype=torch.float64)
    template = sky_templates(logarithm, 1e-6)[0].double()
    for wavelength in MEASURED:
        near = (logarithm.exp() - wavelength).abs() < 0.45
        centre = (template[near] * logarithm[near].exp()).sum() / template[near].sum()
        assert centre.item() == pytest.approx(wavelength, abs=0.03), wavelength


@pytest.mark.parametrize(("origin", "from_to"), [(6347.8, (15680, 15870)), (6227.9, (15980, 16165))])
def test_carbon_dioxide_follows_the_rotational_formula(origin, from_to):
    # nu = G + B' x' - D' x'^2 - (B'' x'' - D'' x''^2), x = J (J + 1), even J'' only. Origins G of the bands 30012 and
    # 30013 <- 00001: Malathy Devi et al. 2007, J. Mol. Spectrosc. 245, 52; B'' of CO2 in its ground state is 0.3902.
    logarithm = torch.arange(*np.log(from_to), 2e-7, dtype=torch.float64)
    absorption = sky_templates(logarithm, 5e-7)[1 + TELLURICS.index("CO2")].numpy()
    peak = np.flatnonzero((absorption[1:-1] > absorption[:-2]) & (absorption[1:-1] >= absorption[2:])) + 1
    wavenumber = 1e8 / np.exp(logarithm.numpy()[peak])
    blue, red = np.sort(wavenumber[wavenumber > origin]), np.sort(wavenumber[wavenumber < origin])[::-1]
    assert len(blue) > 20
    assert len(red) > 20
    lower = np.r_[2.0 * np.arange(len(blue)), 2.0 + 2 * np.arange(len(red))]  # from R(0) and P(2) outwards
    upper = lower + np.repeat([1, -1], [len(blue), len(red)])
    x, y = lower * (lower + 1), upper * (upper + 1)
    formula = np.stack([np.ones(len(x)), y, -(y**2), -x, x**2], axis=1)
    observed = np.r_[blue, red]
    constants, *_ = np.linalg.lstsq(formula / abs(formula).max(axis=0), observed, rcond=None)
    residual = observed - formula / abs(formula).max(axis=0) @ constants
    assert np.abs(residual).max() < 0.02  # cm^-1, a quarter of a pixel
    band_origin, _, _, ground, _ = constants / abs(formula).max(axis=0)
    assert band_origin == pytest.approx(origin, abs=0.1)
    assert ground == pytest.approx(0.3902, abs=2e-4)


@pytest.fixture(scope="module")
def atmosphere():
    """2000 stars of flux 0.5 in the first chip, at rest."""
    sky = Atmosphere(FIRST_CHIP, sky=0.4, tellurics=0.1, velocity=0.0)
    return sky(exposure_of(torch.full((2000, 2920), 0.5)), random())


def pixel_of(wavelength):
    return int((APOGEE - wavelength).abs().argmin())


def test_residuals_are_gaussian_and_in_proportion_to_the_lines(atmosphere):
    oh, co2, other_oh = pixel_of(15287.79), pixel_of(15726.60), pixel_of(15395.335)
    templates = sky_templates(APOGEE.log(), WIDTH / RESOLUTION / LIGHT_SPEED)
    off = atmosphere.flux - 0.5
    tolerance = 5 * standard_error(2000)
    assert off[:, oh].std().item() == pytest.approx(0.4 * templates[0, oh].item(), rel=tolerance)
    assert off[:, co2].std().item() == pytest.approx(0.1 * 0.5 * templates[1, co2].item(), rel=tolerance)
    assert abs(off[:, oh].mean().item()) < 5 * off[:, oh].std().item() / np.sqrt(2000)
    # OH and CO2 differ from star to star each on its own; two lines of OH go together.
    correlation = np.corrcoef(off[:, [oh, co2, other_oh]].T)
    assert abs(correlation[0, 1]) < 5 / np.sqrt(2000)
    assert correlation[0, 2] > 0.999


def test_the_error_grows_by_what_the_residuals_scatter(atmosphere):
    scatter = (atmosphere.flux - 0.5).std(dim=0)
    error = atmosphere.error.square().mean(dim=0).sqrt()
    np.testing.assert_allclose(error.numpy(), torch.hypot(torch.tensor(0.01), scatter).numpy(), rtol=0.1)
    clear = scatter == 0
    assert 0.3 < clear.float().mean() < 0.9
    torch.testing.assert_close(atmosphere.error[:, clear], torch.full((2000, int(clear.sum())), 0.01))


def test_all_lines_of_a_star_move_with_its_velocity():
    sky = Atmosphere(FIRST_CHIP, sky=0.4, tellurics=0.0, velocity=30.0)
    off = (sky(exposure_of(torch.ones(800, 2920)), random()).flux - 1).double()
    # The generator gives the velocities first. In the rest frame of a receding star the lines move to the blue.
    velocity = 30 * torch.randn(800, generator=random())
    for wavelength in (15287.79, 15395.335):
        place = LIGHT_SPEED * (FIRST_CHIP / wavelength - 1)
        near = place.abs() < 150
        centre = (off[:, near] * place[near]).sum(dim=1) / off[:, near].sum(dim=1)
        torch.testing.assert_close(centre.float(), -velocity, atol=0.5, rtol=0)

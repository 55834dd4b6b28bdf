"""cyclegan/effects.py: every effect does what its formula says, no more, and the same again for the same seed."""

from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from conftest import PIXELS, toy_wavelength
from hydra import compose, initialize_config_dir
from scipy.stats import chi2

from cyclegan.config import TrainConfig, check_together
from cyclegan.domains import EmulatedDomain
from cyclegan.effects import (
    LIGHT_SPEED,
    RUN,
    SNR_HIGH,
    SNR_LOW,
    TELLURICS,
    WIDTH,
    Atmosphere,
    BadPixels,
    ContinuumError,
    Exposure,
    LineProfile,
    Observation,
    PhotonNoise,
    RecordedNoise,
    chip_profile,
    make_observation,
    sky_templates,
)
from cyclegan.spectra import ERROR_FLOOR, WORST_ERROR
from emulator.command import InputError, config_folder, validate
from emulator.synthesis import RESOLUTION

APOGEE = torch.from_numpy(10 ** (4.179 + 6e-6 * np.r_[322:3242, 3648:6048, 6412:8306]))
STEP = LIGHT_SPEED * 6e-6 * np.log(10)  # km/s a pixel
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here"))]
OFF = dict.fromkeys(
    ("resolution", "macroturbulence", "velocity", "noise", "sky", "tellurics", "continuum", "bad_pixels")
) | {"observer_velocity": 40.0}
SURVEY = OFF | {
    "resolution": (19000.0, 22500.0),
    "macroturbulence": (0.0, 3.0),
    "velocity": 0.2,
    "noise": "photon",
    "sky": 1.0,
    "tellurics": 0.02,
    "continuum": 0.01,
    "bad_pixels": 0.02,
}


def standard_error(draws):
    """Of the standard deviation of so many Gaussian draws, relative."""
    return 1 / np.sqrt(2 * draws)


def random(seed=1):
    return torch.Generator().manual_seed(seed)


def exposure_of(flux, error=0.01):
    return Exposure(flux, torch.zeros_like(flux), torch.full_like(flux, error), torch.ones_like(flux, dtype=torch.bool))


# Photon noise


def test_the_error_grows_by_half_towards_the_ends_of_each_chip():
    profile = chip_profile(toy_wavelength())
    for chip in (profile[:100], profile[100:]):
        assert chip[[0, -1]].tolist() == pytest.approx([1.5, 1.5])
        assert chip[len(chip) // 2].item() == pytest.approx(1.0, abs=1e-4)
        assert torch.equal(chip.diff().sign()[:49], -torch.ones(49))
        torch.testing.assert_close(chip, chip.flip(0))


@pytest.fixture(scope="module")
def noisy():
    noise = PhotonNoise(toy_wavelength())
    noise.profile = torch.ones(200)
    flux = torch.linspace(0.3, 1.0, 200).expand(3000, -1)
    return flux, noise(exposure_of(flux), random()).spectra()


def test_the_noise_is_gaussian_with_the_stated_errors(noisy):
    flux, spectra = noisy
    deviation = ((spectra.flux - flux) / spectra.error).double().numpy()
    # 600 000 draws: standard errors of mean, variance and kurtosis are 0.0013, 0.0018 and 0.0063.
    assert deviation.mean() == pytest.approx(0, abs=0.006)
    assert (deviation**2).mean() == pytest.approx(1, abs=0.008)
    assert (deviation**4).mean() == pytest.approx(3, abs=0.06)


def test_each_star_has_its_own_signal_to_noise(noisy):
    _, spectra = noisy
    ratio = 1 / (spectra.error.mean(dim=1).numpy() - 1e-3)
    assert SNR_LOW * 0.95 < ratio.min() < SNR_LOW * 1.05
    assert SNR_HIGH * 0.95 < ratio.max() < SNR_HIGH * 1.05
    # Log-uniform: the mean logarithm is in the middle, 3000 draws.
    assert np.log(ratio).mean() == pytest.approx(np.log(SNR_LOW * SNR_HIGH) / 2, abs=0.04)


def test_errors_scatter_from_pixel_to_pixel(noisy):
    _, spectra = noisy
    scatter = (spectra.error - 1e-3) / (spectra.error - 1e-3).mean(dim=1, keepdim=True)
    assert scatter.std().item() == pytest.approx(0.15, abs=0.002)
    assert (spectra.error > 0).all()


def test_errors_follow_the_profile():
    error = PhotonNoise(toy_wavelength())(exposure_of(torch.ones(4000, PIXELS)), random(2)).error - 1e-3
    profile = chip_profile(toy_wavelength())
    relative = error.mean(dim=0) / error.mean(dim=0)[50]
    np.testing.assert_allclose(relative.numpy(), (profile / profile[50]).numpy(), rtol=0.03)


# Noise from the errors of a file


@pytest.fixture
def recorded(tmp_path):
    """A file of 3 spectra whose errors tell the rows apart, and one masked pixel."""
    path = tmp_path / "errors.h5"
    with h5py.File(path, "w") as file:
        file["wavelength"] = toy_wavelength().numpy()
        for split in ("train", "val", "test"):
            file[f"spectra {split}"] = np.zeros((3, PIXELS), "float32")  # nobody asks for the flux
            error = np.array([[0.01], [0.02], [0.04]]) * np.linspace(0.9, 1.1, PIXELS)
            file[f"spectra_err {split}"] = error.astype("float32")
            file[f"mask {split}"] = np.arange(3 * PIXELS).reshape(3, -1) != PIXELS + 7
    return path


def test_each_star_takes_the_errors_and_the_mask_of_a_recorded_one(recorded):
    with h5py.File(recorded) as file:
        error, mask = file["spectra_err train"][()], file["mask train"][()]
    noise = RecordedNoise.from_file(recorded, toy_wavelength())
    spectra = noise(exposure_of(torch.full((3000, PIXELS), 0.8)), random()).spectra()
    row = np.searchsorted([0.015, 0.03], spectra.error[:, 0].numpy())
    np.testing.assert_array_equal(spectra.error.numpy(), error[row])
    np.testing.assert_array_equal(spectra.mask.numpy(), mask[row])
    assert chi2.sf(((np.bincount(row) - 1000) ** 2 / 1000).sum(), df=2) > 1e-4
    deviation = ((spectra.flux - 0.8) / spectra.error).numpy()
    assert deviation.std() == pytest.approx(1, rel=5 * standard_error(deviation.size))
    assert deviation.mean() == pytest.approx(0, abs=5 / np.sqrt(deviation.size))


def test_stars_without_a_usable_pixel_lend_nobody_their_errors(recorded):
    with h5py.File(recorded, "r+") as file:
        file["mask train"][1] = False
    noise = RecordedNoise.from_file(recorded, toy_wavelength())
    assert len(noise.error) == 2
    assert noise(exposure_of(torch.full((300, PIXELS), 0.8)), random()).spectra().mask.any(dim=1).all()
    with h5py.File(recorded, "r+") as file:
        file["mask train"][...] = False
    with pytest.raises(InputError, match="expected usable pixels in 'spectra train', got none"):
        RecordedNoise.from_file(recorded, toy_wavelength())


def test_a_missing_file_of_errors_is_told(tmp_path):
    with pytest.raises(InputError, match=r"nothing.h5: expected a file of spectra, or photon for noise"):
        make_observation(SimpleConfig(noise=str(tmp_path / "nothing.h5")), toy_wavelength())


@pytest.mark.parametrize("wavelength", [toy_wavelength() * 1.0001, toy_wavelength()[1:]])
def test_errors_on_other_wavelengths_are_told(recorded, wavelength):
    words = r"errors.h5: expected errors on the emulator's pixels, 20[23] from .* Angstrom, got 203 from 15135.61 to .*"
    with pytest.raises(InputError, match=words) as caught:
        RecordedNoise.from_file(recorded, wavelength)
    assert "\n" not in str(caught.value)


# Line profiles


class SimpleConfig(SimpleNamespace):
    """`effects` of a configuration: all null but those given."""

    def __init__(self, **given):
        super().__init__(**(OFF | given))

    def __getitem__(self, key):
        return getattr(self, key)


def gaussian_line(centre, width, depth=0.5, stars=1):
    """A line (stars, 2920) of the first chip: centre and width in km/s from the chip's middle."""
    velocity = STEP * (torch.arange(2920, dtype=torch.float64) - 1460)
    return (1 - depth * torch.exp(-0.5 * ((velocity - centre) / width) ** 2)).float().expand(stars, -1)


@pytest.mark.parametrize(("resolution", "zeta"), [(15000.0, 0.0), (RESOLUTION, 8.0), (18000.0, 5.0), (RESOLUTION, 0.5)])
def test_widths_add_in_quadrature_and_the_equivalent_width_stays(resolution, zeta):
    width = WIDTH / RESOLUTION  # of a line that only the spectrograph broadens, 5.66 km/s
    assert width == pytest.approx(5.66, abs=0.005)
    profile = LineProfile(APOGEE[:2920], resolution=(resolution, resolution), macroturbulence=(zeta, zeta))
    flux = profile(exposure_of(gaussian_line(12.3, width)), random()).flux
    # At a resolution R the spectrograph's width is WIDTH / R by itself.
    wider = np.sqrt((WIDTH / resolution) ** 2 + zeta**2 / 2)
    torch.testing.assert_close(flux, gaussian_line(12.3, wider, 0.5 * width / wider), atol=2e-6, rtol=0)
    before, after = ((1 - f[:, 1410:1510]).double().sum().item() for f in (gaussian_line(12.3, width), flux))
    assert after == pytest.approx(before, rel=1e-5)


def test_each_star_is_shifted_by_its_own_velocity_exactly():
    line = gaussian_line(0.0, 7.0, stars=600)
    flux = LineProfile(APOGEE[:2920], velocity=3.0)(exposure_of(line), random()).flux
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
    profile = LineProfile(APOGEE[:2920], resolution=(12000.0, 20000.0))
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


# Sky and telluric lines

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
    sky = Atmosphere(APOGEE[:2920], sky=0.4, tellurics=0.1, velocity=0.0)
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
    sky = Atmosphere(APOGEE[:2920], sky=0.4, tellurics=0.0, velocity=30.0)
    off = (sky(exposure_of(torch.ones(800, 2920)), random()).flux - 1).double()
    # The generator gives the velocities first. In the rest frame of a receding star the lines move to the blue.
    velocity = 30 * torch.randn(800, generator=random())
    for wavelength in (15287.79, 15395.335):
        place = LIGHT_SPEED * (APOGEE[:2920] / wavelength - 1)
        near = place.abs() < 150
        centre = (off[:, near] * place[near]).sum(dim=1) / off[:, near].sum(dim=1)
        torch.testing.assert_close(centre.float(), -velocity, atol=0.5, rtol=0)


# Continuum errors


def test_the_continuum_is_off_by_a_parabola_in_each_chip():
    flux = 0.5 + 0.5 * torch.rand(3000, PIXELS, generator=random())
    before = exposure_of(flux)._replace(noise=torch.full_like(flux, 0.1))
    after = ContinuumError(toy_wavelength(), 0.02)(before, random())
    factor = (after.flux / flux).double().numpy()
    coefficients = []
    for chip in (factor[:, :100], factor[:, 100:]):
        x = np.linspace(-1, 1, chip.shape[1])
        fit = np.polynomial.chebyshev.chebfit(x, chip.T, 2)
        np.testing.assert_allclose(np.polynomial.chebyshev.chebval(x, fit), chip, atol=1e-6)
        coefficients.append(fit - [[1], [0], [0]])
    stacked = np.concatenate(coefficients)
    np.testing.assert_allclose(stacked.std(axis=1), 0.02, rtol=5 * standard_error(3000))
    assert np.abs(np.corrcoef(stacked) - np.eye(6)).max() < 5 / np.sqrt(3000)
    np.testing.assert_allclose((after.error / before.error).numpy(), factor, rtol=1e-5)
    np.testing.assert_allclose((after.noise / before.noise).numpy(), factor, rtol=1e-5)


# Bad pixels


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3])
def test_a_share_of_the_pixels_goes_bad_in_runs(share):
    before = exposure_of(torch.ones(3000, PIXELS))
    after = BadPixels(share)(before, random())
    bad = ~after.mask
    # Runs make neighbours alike: as many draws as there could be runs.
    assert bad.float().mean().item() == pytest.approx(share, abs=5 * np.sqrt(share * RUN / bad.numel()))
    np.testing.assert_allclose(bad.float().mean(dim=0)[[0, 1, -2, -1]], share, atol=5 * np.sqrt(share / 3000))
    assert torch.equal(after.noise != 0, bad)
    assert torch.equal(after.flux, before.flux)
    inner = bad[:, RUN:-RUN]
    runs = torch.diff(torch.nn.functional.pad(inner.int(), (1, 1)).flatten())
    lengths = (runs == -1).nonzero() - (runs == 1).nonzero()
    whole = lengths[lengths >= RUN]
    assert len(whole) >= 0.95 * len(lengths)  # the others are cut by the ends of the part looked at


# All together


def test_without_effects_spectra_are_exact():
    flux = torch.rand(4, PIXELS, generator=random())
    spectra = make_observation(SimpleConfig(), toy_wavelength())(flux, 1).spectra()
    assert torch.equal(spectra.flux, flux)
    assert torch.equal(spectra.error, torch.full_like(flux, ERROR_FLOOR))
    assert spectra.mask.all()


def test_effects_happen_in_physical_order():
    kinds = [type(effect) for effect in make_observation(SimpleConfig(**SURVEY), toy_wavelength()).effects]
    assert kinds == [LineProfile, PhotonNoise, Atmosphere, ContinuumError, BadPixels]


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("resolution", LineProfile),
        ("macroturbulence", LineProfile),
        ("velocity", LineProfile),
        ("noise", PhotonNoise),
        ("sky", Atmosphere),
        ("tellurics", Atmosphere),
        ("continuum", ContinuumError),
        ("bad_pixels", BadPixels),
    ],
)
def test_each_effect_can_be_had_alone(key, kind):
    observation = make_observation(SimpleConfig(**{key: SURVEY[key]}), toy_wavelength())
    assert [type(effect) for effect in observation.effects] == [kind]
    flux = torch.rand(4, PIXELS, generator=random())
    exposure = observation(flux, 1)
    changed = not torch.equal(exposure.spectra().flux, flux)
    assert changed or key == "sky"  # no sky line on these pixels


@pytest.mark.parametrize("device", DEVICES)
def test_the_same_seed_gives_the_same_spectra_on_their_device(device):
    observation = make_observation(SimpleConfig(**SURVEY), APOGEE.to(device))
    flux = torch.rand(3, len(APOGEE), generator=random()).to(device)
    first, again, other = (observation(flux, seed).spectra() for seed in (1, 1, 2))
    for one, same, another in zip(first, again, other, strict=True):
        assert torch.equal(one, same)
        assert not torch.equal(one, another)
        assert one.device.type == device
    assert [tensor.dtype for tensor in first] == [torch.float32, torch.float32, torch.bool]


def test_pixels_that_say_nothing_are_masked():
    exposure = make_observation(SimpleConfig(**SURVEY | {"bad_pixels": None}), APOGEE)(torch.ones(50, len(APOGEE)), 1)
    assert torch.equal(exposure.mask, exposure.error <= WORST_ERROR)
    assert 0.01 < (~exposure.mask).float().mean() < 0.05  # the sky's strong lines


@pytest.mark.parametrize("given", [SURVEY | {"sky": None, "tellurics": None}, SURVEY | {"noise": None}])
def test_the_truth_is_what_is_observed_but_for_the_noise(payne, given):
    observation = make_observation(SimpleConfig(**given), payne.wavelength)
    domain = EmulatedDomain(payne, 10, 400, None, observation)
    truth, spectra = domain.truth("val"), domain.matched("val")
    exact = EmulatedDomain(payne, 10, 400, None, Observation()).truth("val")
    assert ((truth - exact).abs() > 1e-4).float().mean() > 0.9
    deviation = ((spectra.flux - truth) / spectra.error)[spectra.mask]
    expected = 0.0 if given["noise"] is None else 1.0
    assert deviation.square().mean().item() == pytest.approx(expected, abs=10 * standard_error(len(deviation)))
    assert torch.equal(domain.truth("val"), truth)
    assert (deviation[:1000].abs().max() > 1) == bool(expected)


# Configuration


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("sky=-0.1", "'domains.obs.effects.sky': expected at least 0.0, got -0.1"),
        ("continuum=0.5", "'domains.obs.effects.continuum': expected at most 0.1, got 0.5"),
        ("bad_pixels=1.5", "'domains.obs.effects.bad_pixels': expected at most 0.5, got 1.5"),
        ("velocity=-1", "'domains.obs.effects.velocity': expected at least 0.0, got -1.0"),
        ("resolution=[20000,30000]", "'domains.obs.effects.resolution': expected at most 22500.0, got 30000.0"),
        ("resolution=[0,20000]", "'domains.obs.effects.resolution': expected more than 0.0, got 0.0"),
        ("resolution=[20000,19000]", "'domains.obs.effects.resolution': expected [low, high], got [20000.0, 19000.0]"),
        ("macroturbulence=[3]", "'domains.obs.effects.macroturbulence': expected [low, high], got [3.0]"),
        ("tellurics=much", "'domains.obs.effects.tellurics': Value 'much'"),
    ],
)
def test_a_bad_amplitude_is_told_in_one_line(override, words):
    with initialize_config_dir(config_folder(), version_base="1.3"):
        config = compose("train", ["+experiment=payne2survey", f"domains.obs.effects.{override}"])
    with pytest.raises(InputError) as caught:
        check_together(validate(config, TrainConfig))
    assert f"config key {words}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_command_tells_a_missing_file_of_errors(start, payne_file, tmp_path):
    overrides = ("+experiment=payne2survey", f"domains.emulator={payne_file}", "domains.obs.effects.noise=nowhere.h5")
    command = start(tmp_path, *overrides).wait()
    assert command.code == 2
    assert command.err == "error: nowhere.h5: expected a file of spectra, or photon for noise, found no such file\n"

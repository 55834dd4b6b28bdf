"""cyclegan/domains/effects.py: every effect does what its formula says, no more, and the same again for a seed."""

import h5py
import numpy as np
import pytest
import torch
from exposures import APOGEE, SURVEY, effects, exposure_of, random, standard_error
from hydra import compose, initialize_config_dir
from scipy.stats import chi2
from skies import PIXELS, toy_wavelength

from cyclegan.domains.effects import (
    RUN,
    BadPixels,
    ContinuumError,
    PhotonNoise,
    RecordedNoise,
    chip_profile,
    make_observation,
)
from cyclegan.domains.emulated import EmulatedDomain
from cyclegan.domains.exposure import Observation
from cyclegan.domains.line_profile import LineProfile
from cyclegan.domains.sky import Atmosphere
from cyclegan.domains.survey import Survey
from cyclegan.spectra.spectra import ERROR_FLOOR, WORST_ERROR
from cyclegan.training.schema import TrainConfig, check_together
from emulator import apogee
from emulator.commands.config import config_folder, validate
from emulator.commands.errors import InputError

SNR_LOW, SNR_HIGH = apogee.APOGEE.signal_to_noise
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here"))]


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
        for subset in ("train", "val", "test"):
            file[f"spectra {subset}"] = np.zeros((3, PIXELS), "float32")  # nobody asks for the flux
            error = np.array([[0.01], [0.02], [0.04]]) * np.linspace(0.9, 1.1, PIXELS)
            file[f"spectra_err {subset}"] = error.astype("float32")
            file[f"mask {subset}"] = np.arange(3 * PIXELS).reshape(3, -1) != PIXELS + 7
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


def test_a_file_without_errors_lends_none(recorded):
    with h5py.File(recorded, "r+") as file:
        for subset in ("train", "val", "test"):
            del file[f"spectra_err {subset}"]
    with pytest.raises(InputError, match="expected errors, 'spectra_err train', to draw noise by, got a file without"):
        RecordedNoise.from_file(recorded, toy_wavelength())


def test_a_missing_file_of_errors_is_told(tmp_path):
    with pytest.raises(InputError, match=r"nothing.h5: expected a file of spectra, or photon for noise"):
        make_observation(effects(noise=str(tmp_path / "nothing.h5")), toy_wavelength())


@pytest.mark.parametrize("wavelength", [toy_wavelength() * 1.0001, toy_wavelength()[1:]])
def test_errors_on_other_wavelengths_are_told(recorded, wavelength):
    words = r"errors.h5: expected errors on the emulator's pixels, 20[23] from .* Angstrom, got 203 from 15135.61 to .*"
    with pytest.raises(InputError, match=words) as caught:
        RecordedNoise.from_file(recorded, wavelength)
    assert "\n" not in str(caught.value)


# Continuum errors


def test_the_continuum_is_off_by_a_parabola_in_each_chip():
    flux = 0.5 + 0.5 * torch.rand(3000, PIXELS, generator=random())
    before = exposure_of(flux)._replace(noise=torch.full_like(flux, 0.1))
    after = ContinuumError(toy_wavelength(), 0.02)(before, random())
    factor = (after.flux / flux).double().numpy()
    wavelength, coefficients = toy_wavelength().numpy(), []
    for pixels in (slice(0, 100), slice(100, PIXELS)):
        chip, lam = factor[:, pixels], wavelength[pixels]
        x = 2 * (lam - lam[0]) / (lam[-1] - lam[0]) - 1
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
    spectra = make_observation(effects(), toy_wavelength())(flux, 1).spectra()
    assert torch.equal(spectra.flux, flux)
    assert torch.equal(spectra.error, torch.full_like(flux, ERROR_FLOOR))
    assert spectra.mask.all()


def test_effects_happen_in_physical_order():
    kinds = [type(effect) for effect in make_observation(effects(**SURVEY), toy_wavelength()).effects]
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
    observation = make_observation(effects(**{key: SURVEY[key]}), toy_wavelength())
    assert [type(effect) for effect in observation.effects] == [kind]
    flux = torch.rand(4, PIXELS, generator=random())
    exposure = observation(flux, 1)
    changed = not torch.equal(exposure.spectra().flux, flux)
    assert changed or key == "sky"  # no sky line on these pixels


@pytest.mark.parametrize("device", DEVICES)
def test_the_same_seed_gives_the_same_spectra_on_their_device(device):
    observation = make_observation(effects(**SURVEY), APOGEE.to(device))
    flux = torch.rand(3, len(APOGEE), generator=random()).to(device)
    first, again, other = (observation(flux, seed).spectra() for seed in (1, 1, 2))
    for one, same, another in zip(first, again, other, strict=True):
        assert torch.equal(one, same)
        assert not torch.equal(one, another)
        assert one.device.type == device
    assert [tensor.dtype for tensor in first] == [torch.float32, torch.float32, torch.bool]


def test_pixels_that_say_nothing_are_masked():
    exposure = make_observation(effects(**SURVEY | {"bad_pixels": None}), APOGEE)(torch.ones(50, len(APOGEE)), 1)
    assert torch.equal(exposure.mask, exposure.error <= WORST_ERROR)
    assert 0.01 < (~exposure.mask).float().mean() < 0.05  # the sky's strong lines


@pytest.mark.parametrize("given", [SURVEY | {"sky": None, "tellurics": None}, SURVEY | {"noise": None}])
def test_the_truth_is_what_is_observed_but_for_the_noise(payne, given):
    observation = make_observation(effects(**given), payne.wavelength)
    domain = EmulatedDomain(payne, Survey(), 10, 400, None, observation)
    truth, spectra = domain.truth("val"), domain.matched("val")
    exact = EmulatedDomain(payne, Survey(), 10, 400, None, Observation()).truth("val")
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

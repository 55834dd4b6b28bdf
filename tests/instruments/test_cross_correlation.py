"""cyclegan/instruments/cross_correlation.py: velocities that are known are found, with errors that are true."""

import warnings
from contextlib import suppress

import h5py
import numpy as np
import pytest
import torch

from cyclegan.instruments.cross_correlation import TEMPLATES, Templates, _depths
from cyclegan.spectra.spectra import Spectra
from emulator.commands.errors import InputError
from emulator.payne import Payne
from emulator.wavelength import LIGHT_SPEED

THEORY = np.concatenate(
    [10 ** np.arange(np.log10(blue), np.log10(red), 6e-6) for blue, red in ((15200, 15420), (15480, 15700))]
)
# Of two detectors, as a star is seen: other pixels, and a little more than theory has.
SEEN = np.concatenate([np.linspace(15185, 15430, 1500), np.linspace(15470, 15715, 1500)])
LINES = np.random.default_rng(1).uniform(15200, 15700, (3, 120))
DEPTHS = np.random.default_rng(2).uniform(0.05, 0.4, (3, 120))


def theory(wavelength, template):
    """One of three spectra of theory, exactly, at whatever wavelengths (p,)."""
    profiles = np.exp(-0.5 * ((wavelength[:, None] - LINES[template]) / 0.35) ** 2)
    return np.exp(-(DEPTHS[template] * profiles).sum(axis=1))


@pytest.fixture(scope="module")
def templates():
    return Templates(THEORY, torch.from_numpy(np.stack([theory(THEORY, template) for template in range(3)])))


def seen(velocity, signal_to_noise, template=1, seed=0, wavelength=SEEN):
    """A star that recedes at a velocity, with noise, a slope and a tenth of its pixels masked."""
    rng = np.random.default_rng(seed)
    level = 500 * (wavelength / 15500) ** -8
    error = np.full(len(wavelength), 1 / signal_to_noise)
    flux = theory(wavelength / (1 + velocity / LIGHT_SPEED), template) + error * rng.standard_normal(len(wavelength))
    arrays = (flux * level, error * level, rng.random(len(wavelength)) > 0.1)
    return Spectra(*(torch.from_numpy(array)[None] for array in arrays))


@pytest.mark.parametrize("velocity", [-700.0, -37.3, 0.0, 0.5, 212.25, 950.0])
def test_a_star_without_noise_has_its_velocity(templates, velocity):
    found = templates.measure(SEEN, seen(velocity, 1e4))
    assert found.value == pytest.approx(velocity, abs=4 * found.error)
    assert 0 < found.error < 0.05


@pytest.mark.parametrize("signal_to_noise", [10, 100])
def test_errors_are_what_velocities_scatter_by(templates, signal_to_noise):
    velocities = np.random.default_rng(0).uniform(-300, 300, 40)
    found = [templates.measure(SEEN, seen(v, signal_to_noise, seed=seed)) for seed, v in enumerate(velocities)]
    values, errors = np.array(found).T
    pull = (values - velocities) / errors
    assert abs(pull.mean()) < 4 / 40**0.5
    assert 0.7 < pull.std() < 1.35
    assert errors.max() < 20 / signal_to_noise


def test_chi_square_is_that_of_a_fit_at_each_velocity(templates):
    depth, weight = _depths(SEEN, seen(30.0, 20))
    found = templates._reductions(np.log(SEEN), depth, weight)
    clean = np.stack([theory(THEORY, template) for template in range(3)]) - 1
    for velocity in (-40, 30, 33):
        column = velocity + templates.reach
        rest = SEEN / np.exp(velocity * templates.step)
        inside = np.any(
            [
                (rest > chip[0]) & (rest < chip[-1])
                for chip in np.split(THEORY, np.flatnonzero(np.diff(THEORY) > 9) + 1)
            ],
            axis=0,
        )
        use = inside & (weight > 0)
        for template in range(3):
            moved = np.interp(rest, THEORY, clean[template])
            design = np.stack([moved, np.ones(len(SEEN))], axis=1)[use] * np.sqrt(weight[use])[:, None]
            target = depth[use] * np.sqrt(weight[use])
            (scale, _), *_ = np.linalg.lstsq(design, target, rcond=None)
            flat = np.sum((target - np.sqrt(weight[use]) * np.average(depth[use], weights=weight[use])) ** 2)
            fitted = np.sum((target - design @ np.linalg.lstsq(design, target, rcond=None)[0]) ** 2)
            expected = flat - fitted if scale > 0 else 0.0
            assert float(found.gain[template, column]) == pytest.approx(expected, rel=0.05, abs=2.0)
        assert float(found.chi2[column]) == pytest.approx(flat, rel=0.01)


def test_masked_pixels_have_no_pull_and_units_make_no_difference(templates):
    spectra = seen(55.0, 30)
    spoilt = spectra._replace(flux=torch.where(spectra.mask, spectra.flux, torch.nan))
    spoilt.error[~spectra.mask] = 0
    expected = templates.measure(SEEN, spectra)
    assert templates.measure(SEEN, spoilt) == expected
    other = templates.measure(SEEN, spectra._replace(flux=spectra.flux * 1e-17, error=spectra.error * 1e-17))
    assert other == pytest.approx(expected, rel=1e-9)


def test_the_best_template_counts_and_spikes_do_not(templates):
    alone = Templates(THEORY, torch.from_numpy(theory(THEORY, 2))[None])
    spectra = seen(-120.0, 50, template=2)
    assert templates.measure(SEEN, spectra) == pytest.approx(alone.measure(SEEN, spectra), rel=1e-9)
    spiked = spectra._replace(flux=spectra.flux.clone())
    spiked.flux[0, 100::150] *= 9
    assert templates.measure(SEEN, spiked).value == pytest.approx(-120, abs=0.5)


@pytest.mark.parametrize("number", [1e300, 1e38, 1e4, -1e300, -1e38, -1e4, 1e-30, 1e-300])
@pytest.mark.parametrize("what", [0, 1])
def test_a_pixel_that_no_mask_marks_does_not_decide(templates, what, number):
    spectra = seen(-120.0, 50)
    spectra[what][0, 700] = number
    with warnings.catch_warnings(action="error"):
        assert templates.measure(SEEN, spectra).value == pytest.approx(-120, abs=0.3)
        spectra[what][0] = number
        with suppress(InputError):
            assert templates.measure(SEEN, spectra).value == pytest.approx(-120, abs=0.3)


@pytest.mark.parametrize("seed", range(5))
def test_without_lines_there_is_no_velocity(templates, seed):
    star = seen(0.0, 20, seed=seed)
    noise = star._replace(
        flux=(1 + 0.05 * torch.from_numpy(np.random.default_rng(seed).standard_normal((1, len(SEEN))))) * 500
    )
    with pytest.raises(InputError, match=r"better than all others by 25 of chi-square, got one that is by \d"):
        templates.measure(SEEN, noise)
    for nothing in (star._replace(mask=torch.zeros_like(star.mask)), star._replace(flux=star.flux * 0)):
        with pytest.raises(InputError, match=r"got one that is by 0\.0"):
            templates.measure(SEEN, nothing)
    with pytest.raises(InputError, match="got one that is by 0"):
        templates.measure(SEEN / 3, star)


def test_theory_comes_from_an_emulator_or_a_file_and_only_what_matters_of_it(templates, payne, payne_file, tmp_path):
    flux = np.stack([theory(THEORY, template) for template in range(3)]).astype("float32")
    path = tmp_path / "theory.h5"
    with h5py.File(path, "w") as file:
        file["wavelength"], file["spectra train"], file["spectra val"] = THEORY, flux, flux[:1]
    spectra = seen(70.0, 30)
    read = Templates.read(path, SEEN)
    assert read.measure(SEEN, spectra) == pytest.approx(templates.measure(SEEN, spectra), abs=1e-3)
    part = Templates.read(path, SEEN[:1500])
    assert part.points < 0.6 * read.points
    assert part.measure(SEEN[:1500], spectra_of(spectra, 1500)).value == pytest.approx(70, abs=1)
    own = Payne.load(payne_file)
    assert len(Templates.read(payne_file, own.wavelength.numpy()).lines) == TEMPLATES
    (tmp_path / "text.txt").write_text("neither")
    for bad, words in (
        (tmp_path / "text.txt", r"or a file of synthetic spectra in HDF5, got neither \(expected a file written by"),
        (tmp_path / "none.pt", "expected an emulator, or a file of synthetic spectra in HDF5, found none"),
        (path, r"expected spectra that cover some of 5061.7 to 5238.3 A, got 3 of 15200.0 to 15699"),
    ):
        with pytest.raises(InputError, match=words):
            Templates.read(bad, SEEN / 3)


def spectra_of(spectra, pixels):
    return Spectra(*(tensor[:, :pixels] for tensor in spectra))

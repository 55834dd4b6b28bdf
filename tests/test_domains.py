"""cyclegan/domains.py: what emulated spectra and files of spectra promise, and bad files told at the door."""

import logging
import math
from copy import deepcopy

import h5py
import numpy as np
import pytest
import torch
from conftest import PIXELS, linear_payne, toy_wavelength

from cyclegan.domains import EmulatedDomain, HDF5Domain, draw_stars, draw_survey_stars, leave_out_blind
from cyclegan.effects import Observation, PhotonNoise
from cyclegan.spectra import ERROR_FLOOR, WORST_ERROR
from emulator.command import InputError
from emulator.labels import LABELS

HIDDEN = torch.arange(PIXELS) % 10 < 3


@pytest.fixture
def theory(payne):
    return EmulatedDomain(payne, stars=50, matched_stars=30, hidden=HIDDEN, observation=Observation())


@pytest.fixture
def observed(payne):
    noise = Observation([PhotonNoise(payne.wavelength)])
    return EmulatedDomain(payne, stars=50, matched_stars=30, hidden=None, observation=noise)


def test_hidden_pixels_are_the_continuum_and_the_others_are_not(theory):
    flux = theory.draw(1).flux
    assert (flux[:, HIDDEN] == 1).all()
    assert (flux[:, ~HIDDEN] != 1).all()


def test_theory_is_exact_with_the_error_floor(theory, payne):
    spectra = theory.draw(1)
    stars = draw_stars(payne, 50, torch.Generator().manual_seed(1))
    assert torch.equal(spectra.flux[:, ~HIDDEN], payne(stars)[:, ~HIDDEN])
    assert (spectra.error == ERROR_FLOOR).all()
    assert spectra.mask.all()


def test_observed_spectra_scatter_about_the_truth_by_their_errors(observed):
    spectra, truth = observed.matched("val"), observed.truth("val")
    deviation = ((spectra.flux - truth) / spectra.error).square().mean().item()
    assert deviation == pytest.approx(1, abs=5 * math.sqrt(2 / (30 * PIXELS)))


def test_matched_stars_are_the_same_stars_in_both_domains(theory, observed):
    for split in ("val", "test"):
        assert torch.equal(theory.matched(split).flux[:, ~HIDDEN], observed.truth(split)[:, ~HIDDEN])
    noise = [observed.matched(split).flux - observed.truth(split) for split in ("val", "test")]
    assert not torch.equal(observed.truth("val"), observed.truth("test"))
    assert torch.corrcoef(torch.stack(noise).flatten(1))[0, 1].abs() < 0.1


def test_matched_stars_are_the_same_every_time_and_training_stars_are_not(observed):
    assert torch.equal(observed.matched("val").flux, observed.matched("val").flux)
    assert torch.equal(observed.draw(7).flux, observed.draw(7).flux)
    assert not torch.equal(observed.draw(7).flux, observed.draw(8).flux)


def test_the_emulator_is_frozen(theory, payne):
    assert not any(parameter.requires_grad for parameter in payne.parameters())
    assert not theory.draw(1).flux.requires_grad


def test_stars_outside_the_emulators_range_are_drawn_again(payne):
    narrow = deepcopy(payne)
    narrow.label_high[0] = 5000.0
    stars = draw_stars(narrow, 500, torch.Generator().manual_seed(3))
    every = draw_stars(payne, 2000, torch.Generator().manual_seed(3))
    narrow.check_labels(stars)
    assert stars.shape == (500, len(LABELS))
    # Whole stars are drawn again: what is left has the cool stars' share of giants, most of those below 5000 K.
    cool = every[every[:, 0] <= 5000]
    giants, expected = ((some[:, 1] < 3.8).float().mean().item() for some in (stars, cool))
    assert giants == pytest.approx(expected, abs=5 * math.sqrt(0.15 * (1 / 500 + 1 / len(cool))))


def test_a_range_without_survey_stars_is_told(payne):
    hot = deepcopy(payne)
    hot.label_low[0], hot.label_high[0] = 9000.0, 12000.0
    with pytest.raises(InputError, match=r"range of labels in which .* got 0 of 5000 .*'teff' of 9000 to 12000"):
        EmulatedDomain(hot, 50, 30, None, Observation()).draw(1)


def test_labels_that_no_survey_knows_are_drawn_over_the_emulators_range(payne):
    strange = deepcopy(payne)
    strange.label_names = (*LABELS[:-1], "c12_c13")
    strange.label_low[-1], strange.label_high[-1] = 10.0, 90.0
    stars, usual = (draw_stars(emulator, 4000, torch.Generator().manual_seed(1)) for emulator in (strange, payne))
    assert torch.equal(stars[:, :-1], usual[:, :-1])
    ratio = stars[:, -1]
    assert 10 <= ratio.min() < 11 < 89 < ratio.max() <= 90
    assert ratio.mean().item() == pytest.approx(50, abs=5 * 80 / math.sqrt(12 * 4000))
    assert torch.corrcoef(torch.stack([ratio, stars[:, 0]]))[0, 1].abs() < 5 / math.sqrt(4000)


def test_survey_stars_fill_the_built_in_range_with_giants_and_dwarfs():
    stars = draw_survey_stars(20000, torch.Generator().manual_seed(1))
    giant = stars["logg"] < 3.8
    assert giant.float().mean().item() == pytest.approx(0.6, abs=5 * math.sqrt(0.24 / 20000))
    assert stars["teff"][giant].max() < 5200.5
    # Along the giant branch hotter stars have more gravity.
    assert torch.corrcoef(torch.stack([stars["teff"], stars["logg"]])[:, giant])[0, 1] > 0.7
    scatter = stars["ni_h"] - stars["fe_h"]
    assert scatter.std().item() == pytest.approx(0.08, rel=0.03)
    assert torch.corrcoef(torch.stack([scatter, stars["mn_h"] - stars["fe_h"]]))[0, 1].abs() < 0.04


def test_labels_come_in_the_emulators_order():
    names = ("si_h", "logg", "teff")
    emulator = linear_payne(torch.zeros(PIXELS, 3), toy_wavelength(), names)
    every = draw_survey_stars(40, torch.Generator().manual_seed(3))
    stars = draw_stars(emulator, 40, torch.Generator().manual_seed(3))
    assert torch.equal(stars, torch.stack([every[name] for name in names], dim=1))


def test_an_emulator_of_fewer_labels_will_do():
    emulator = linear_payne(torch.zeros(PIXELS, 2), toy_wavelength(), ("teff", "fe_h"))
    flux = EmulatedDomain(emulator, 5, 5, None, Observation()).draw(1).flux
    torch.testing.assert_close(flux, torch.full((5, PIXELS), 0.9))


@pytest.fixture
def good(tmp_path):
    """A file of 6 training and 4 matched spectra of 20 pixels, open to be spoilt."""
    random = np.random.default_rng(0)
    with h5py.File(tmp_path / "stars.h5", "w") as file:
        file["wavelength"] = np.linspace(15000.0, 15019.0, 20)
        for split, n in (("train", 6), ("val", 4), ("test", 4)):
            file[f"spectra {split}"] = random.uniform(0.5, 1.0, (n, 20)).astype("float32")
            file[f"spectra_err {split}"] = random.uniform(0.006, 0.04, (n, 20)).astype("float32")
    return tmp_path / "stars.h5"


def test_a_file_is_read_as_it_is_less_the_skipped_pixels(good):
    domain = HDF5Domain(good, skip_pixels=3)
    with h5py.File(good) as file:
        np.testing.assert_array_equal(domain.wavelength.numpy(), file["wavelength"][3:])
        for split, spectra in (("train", domain.draw(0)), ("val", domain.matched("val"))):
            np.testing.assert_array_equal(spectra.flux.numpy(), file[f"spectra {split}"][:, 3:])
            np.testing.assert_array_equal(spectra.error.numpy(), file[f"spectra_err {split}"][:, 3:])
            assert spectra.mask.all()
    assert domain.truth("val") is None


def test_nan_and_infinite_pixels_are_masked_counted_and_reported(good, caplog):
    with h5py.File(good, "r+") as file:
        file["spectra train"][1, 4] = math.nan
        file["spectra train"][2, 5:7] = math.inf
        file["spectra_err train"][3, 8] = math.nan
    with caplog.at_level(logging.WARNING):
        spectra = HDF5Domain(good).draw(0)
    assert sorted(map(tuple, (~spectra.mask).nonzero().tolist())) == [(1, 4), (2, 5), (2, 6), (3, 8)]
    assert all(tensor.isfinite().all() for tensor in spectra[:2])
    (message,) = caplog.messages
    assert "masked 4 of 120 pixels in 'train'" in message
    assert str(good) in message


def test_pixels_that_say_nothing_are_masked(good):
    with h5py.File(good, "r+") as file:
        file["spectra_err train"][0, 3] = 2 * WORST_ERROR
    assert (~HDF5Domain(good).draw(0).mask).nonzero().tolist() == [[0, 3]]


def replace(name, values):
    def spoil(file):
        del file[name]
        file[name] = values

    return spoil


def remove(name):
    def spoil(file):
        del file[name]

    return spoil


def set_pixel(name, value):
    def spoil(file):
        file[name][2, 7] = value

    return spoil


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (remove("spectra val"), ["'spectra val'", "spectra train"]),
        (remove("spectra_err test"), ["'spectra_err test'"]),
        (remove("wavelength"), ["'wavelength'"]),
        (set_pixel("spectra_err train", 0.0), ["errors above 0", "'spectra_err train'", "got 0", "row 2, pixel 7"]),
        (set_pixel("spectra_err val", -0.01), ["errors above 0", "'spectra_err val'", "got -0.01"]),
        (replace("spectra train", np.ones((0, 20))), ["'spectra_err train'", "(0, 20)", "(6, 20)"]),
        (replace("spectra train", np.ones((6, 19))), ["'spectra train'", "(n, 20)", "(6, 19)"]),
        (replace("spectra_err train", np.ones((5, 20))), ["'spectra_err train'", "(6, 20)", "(5, 20)"]),
        (replace("spectra train", np.ones(20)), ["'spectra train'", "(20,)"]),
        (replace("spectra train", np.full((6, 20), math.nan)), ["usable pixels", "'spectra train'", "none"]),
        (replace("spectra_err train", np.ones((6, 20))), ["usable pixels", "'spectra train'", "none"]),
        (
            replace("wavelength", np.linspace(15019.0, 15000.0, 20)),
            ["ascending wavelengths", "15019.000 and 15018.000 from pixel 0"],
        ),
        (replace("wavelength", np.full(20, math.nan)), ["ascending wavelengths"]),
        (replace("wavelength", np.linspace(15000.0, 15018.0, 19)), ["'spectra train'", "(n, 19)", "(6, 20)"]),
        (replace("wavelength", np.ones((4, 5))), ["wavelength"]),
        (replace("spectra train", np.full((6, 20), b"?")), ["numbers in 'spectra train'"]),
        (replace("spectra_err val", 0.01), ["array of numbers in 'spectra_err val'"]),
    ],
)
def test_a_bad_file_is_told_in_one_line(good, spoil, words):
    with h5py.File(good, "r+") as file:
        spoil(file)
    with pytest.raises(InputError) as caught:
        HDF5Domain(good)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in ["expected", str(good), *words]), message


def test_training_stars_without_a_usable_pixel_are_left_out_with_their_labels(good, caplog):
    with h5py.File(good, "r+") as file:
        file["spectra train"][2] = np.nan
        file.attrs["label_names"] = ["teff"]
        for split, n in (("train", 6), ("val", 4), ("test", 4)):
            file[f"labels {split}"] = np.arange(float(n))[:, None]
    domain = HDF5Domain(good)
    assert "left out 1 stars in 'train' that have no usable pixel" in caplog.text
    assert domain.draw(0).mask.any(dim=1).all()
    assert domain.drawn_labels(0)["teff"].tolist() == [0, 1, 3, 4, 5]
    assert domain.train_rows.tolist() == [0, 1, -1, 2, 3, 4]


def test_matched_stars_that_one_domain_does_not_see_are_left_out_of_both(good, tmp_path):
    blind = tmp_path / "blind.h5"
    blind.write_bytes(good.read_bytes())
    with h5py.File(blind, "r+") as file:
        file["spectra val"][1] = np.nan
    synth, obs = HDF5Domain(good), HDF5Domain(blind)
    whole = HDF5Domain(good)
    leave_out_blind([synth, obs], matched=False)
    assert [len(domain.matched("val").flux) for domain in (synth, obs)] == [4, 3]
    synth, obs = HDF5Domain(good), HDF5Domain(blind)
    leave_out_blind([synth, obs], matched=True)
    for domain in (synth, obs):
        assert torch.equal(domain.matched("val").flux, whole.matched("val").flux[[0, 2, 3]])
        assert torch.equal(domain.matched("test").flux, whole.matched("test").flux)


def test_an_empty_domain_is_told(good):
    with h5py.File(good, "r+") as file:
        for name in ("spectra train", "spectra_err train"):
            replace(name, np.ones((0, 20)))(file)
    with pytest.raises(InputError, match="expected spectra in 'train', got an empty domain"):
        HDF5Domain(good)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.h5: expected .* found no such file"):
        HDF5Domain(tmp_path / "nowhere.h5")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_file_is_told(good, share):
    good.write_bytes(good.read_bytes()[: int(share * good.stat().st_size)])
    with pytest.raises(InputError, match=r"stars.h5: expected .* got a truncated or other file"):
        HDF5Domain(good)


def test_skipping_all_pixels_is_told(good):
    with pytest.raises(InputError, match="expected at least 2 wavelengths from pixel 47 on, got 0"):
        HDF5Domain(good, skip_pixels=47)

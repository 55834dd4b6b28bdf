"""cyclegan/domains/from_file.py: a file of spectra as a domain, and bad files told at the door."""

import logging
import math

import h5py
import numpy as np
import pytest
import torch

from cyclegan.domains.domains import leave_out_blind
from cyclegan.domains.from_file import HDF5Domain
from cyclegan.spectra.spectra import ERROR_FLOOR, WORST_ERROR, typical_weight
from emulator.commands.errors import InputError


@pytest.fixture
def good(tmp_path):
    """A file of 6 training and 4 matched spectra of 20 pixels, open to be spoilt."""
    random = np.random.default_rng(0)
    with h5py.File(tmp_path / "stars.h5", "w") as file:
        file["wavelength"] = np.linspace(15000.0, 15019.0, 20)
        for subset, n in (("train", 6), ("val", 4), ("test", 4)):
            file[f"spectra {subset}"] = random.uniform(0.5, 1.0, (n, 20)).astype("float32")
            file[f"spectra_err {subset}"] = random.uniform(0.006, 0.04, (n, 20)).astype("float32")
    return tmp_path / "stars.h5"


def test_a_file_is_read_as_it_is_less_the_skipped_pixels(good):
    domain = HDF5Domain(good, skip_pixels=3)
    with h5py.File(good) as file:
        np.testing.assert_array_equal(domain.wavelength.numpy(), file["wavelength"][3:])
        for subset, spectra in (("train", domain.draw(0)), ("val", domain.matched("val"))):
            np.testing.assert_array_equal(spectra.flux.numpy(), file[f"spectra {subset}"][:, 3:])
            np.testing.assert_array_equal(spectra.error.numpy(), file[f"spectra_err {subset}"][:, 3:])
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
    believed = HDF5Domain(good, worst_error=3 * WORST_ERROR).draw(0)
    assert believed.mask.all()
    assert typical_weight(believed)[3] < typical_weight(HDF5Domain(good).draw(0))[3]


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
        for subset, n in (("train", 6), ("val", 4), ("test", 4)):
            file[f"labels {subset}"] = np.arange(float(n))[:, None]
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


@pytest.mark.parametrize(("observed", "level"), [(True, "WARNING"), (False, "INFO")])
def test_that_there_are_no_errors_is_told_once_with_what_it_means_of_observed_stars(good, observed, level, caplog):
    with h5py.File(good, "r+") as file:
        for subset in ("train", "val", "test"):
            del file[f"spectra_err {subset}"]
    with caplog.at_level(logging.INFO):
        domain = HDF5Domain(good, observed=observed)
    assert (domain.draw(0).error == ERROR_FLOOR).all()
    (record,) = caplog.records
    assert record.levelname == level
    assert f"{good}: no errors ('spectra_err SUBSET'), so 0.005, the floor," in record.getMessage()
    assert ("noise is unknown" in record.getMessage()) == observed

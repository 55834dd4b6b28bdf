"""cyclegan/pairing/known_labels.py and offset.py: what labels known roughly say of a common offset."""

import math

import h5py
import numpy as np
import pytest
import torch
from skies import PIXELS, linear_payne, toy_wavelength

from cyclegan.pairing.known_labels import Known, calibrated, known_of_anchors, read_known
from cyclegan.pairing.offset import HALF, describe_offset, offset_covariance
from cyclegan.pairing.search import Found
from emulator.commands.errors import InputError

NAMES = ("teff", "logg", "fe_h")
ERRORS = torch.tensor([100.0, 0.1, 0.1])
WIDTH = torch.tensor([2600.0, 4.5, 2.5])


def truth(stars):
    random = torch.Generator().manual_seed(0)
    return (
        torch.tensor([5500.0, 4.0, -0.2]) + torch.tensor([300.0, 0.3, 0.2]) * torch.randn(3, stars, generator=random).T
    )


def known(labels, share=1.0, columns=(0, 1, 2), bias=0.0):
    random = torch.Generator().manual_seed(1)
    values = labels + ERRORS * torch.randn(labels.shape, generator=random) + bias * ERRORS
    values[torch.rand(len(values), generator=random) > share] = torch.nan
    values[:, [i for i in range(3) if i not in columns]] = torch.nan
    return Known(values, ERRORS.expand_as(values).clone())


def found(labels, effect=None):
    effect = torch.eye(3, 6) / ERRORS[:, None] if effect is None else effect
    lonely = torch.zeros(len(labels), dtype=torch.bool)
    return Found(labels, lonely, 0.2, labels, effect, torch.ones(6), WIDTH)


def test_an_offset_and_a_stretch_are_taken_back():
    labels = truth(2000)
    centre = labels.mean(dim=0)
    wrong = centre + 0.8 * (labels - centre) + torch.tensor([80.0, -0.1, 0.05])
    right, scatter, error = calibrated(found(wrong), known(labels))
    assert ((right.mean(dim=0) - centre) / ERRORS).abs().max() < 5 / math.sqrt(2000)
    assert (right.std(dim=0) / labels.std(dim=0) - 1).abs().max() < 0.05
    assert (scatter / ERRORS).max() < 0.3  # errors of known labels bring no spread of their own
    assert (error / ERRORS * math.sqrt(2000)).sub(1).abs().max() < 0.2


def test_a_bias_of_known_labels_comes_through_as_it_is():
    labels = truth(2000)
    right, biased = (calibrated(found(labels), known(labels, bias=bias))[0] for bias in (0.0, 0.5))
    np.testing.assert_allclose((biased - right).mean(dim=0) / ERRORS, 0.5, rtol=0.02)


def test_a_fifth_of_the_stars_with_two_labels_fixes_these():
    labels = truth(2000)
    offset = torch.tensor([80.0, -0.1, 0.05])
    right, _, error = calibrated(found(labels + offset), known(labels, 0.2, (0, 1)))
    off = (right - labels).mean(dim=0) / ERRORS
    assert off[:2].abs().max() < 5 / math.sqrt(400)
    assert off[2].item() == pytest.approx(0.5, abs=0.01)  # nothing is known of it
    assert error.isfinite().tolist() == [True, True, False]


def test_labels_that_nobody_knows_move_such_that_the_gap_changes_least():
    """A dex of the third label looks like -1000 K: where temperature is corrected, it makes up for that."""
    effect = torch.zeros(3, 6)
    effect[0, 0], effect[1, 1], effect[2, 0] = 1 / 100, 10.0, -10.0
    labels = truth(2000)
    right, _, _ = calibrated(found(labels + torch.tensor([80.0, 0, 0]), effect), known(labels, 0.5, (0,)))
    assert (right - labels)[:, 2].mean().item() == pytest.approx(-0.08, abs=0.015)


def test_stars_without_a_counterpart_say_nothing():
    labels = truth(500)
    where = found(labels)
    where.lonely[:100] = True
    wrong = known(labels)
    wrong.labels[:100] += 5000 * ERRORS
    right, _, _ = calibrated(where, wrong)
    assert ((right - labels).mean(dim=0) / ERRORS).abs().max() < 0.3


def test_the_bound_on_an_offset_in_closed_form():
    """One label's slope s in one direction of six: half the gap's root mean square over s, and theory's range."""
    where = found(truth(10), torch.diag(torch.tensor([0.01, 10.0, 5.0])) @ torch.eye(3, 6))
    where = where._replace(gap=torch.full((6,), 2.0))
    sigma = offset_covariance(where, torch.full((3,), torch.inf)).diagonal().sqrt()
    expected = HALF * 2.0 / torch.tensor([0.01, 10.0, 5.0])
    torch.testing.assert_close(sigma, (1 / (expected**-2 + WIDTH**-2)).sqrt())
    told = offset_covariance(where, torch.tensor([5.0, torch.inf, torch.inf])).diagonal().sqrt()
    assert told[0] < 5
    torch.testing.assert_close(told[1:], sigma[1:])


def test_what_would_help_is_named_with_how_many_stars():
    text = describe_offset(NAMES, torch.diag(torch.tensor([60.0, 0.1, 0.05])).square())
    assert "teff 60 K, logg 0.1 dex, fe_h 0.05 dex" in text
    assert "what would help: teff of 25 stars to 100 K" in text
    both = torch.tensor([[3600.0, 5.9, 0.0], [5.9, 0.01, 0.0], [0.0, 0.0, 1e-4]])
    assert "what would help: fe_h" not in describe_offset(NAMES, both)


def write(path, text):
    path.write_text(text)
    return path


def test_a_table_gives_labels_of_the_stars_that_it_names(tmp_path):
    path = write(
        tmp_path / "known.csv", "obs,teff,teff_err,logg,logg_err\n3,5600,80,,\n0,5100,50,4.5,0.1\n1,-9999,1,4,0.1\n"
    )
    rows = torch.tensor([0, -1, 1, 2])  # the second spectrum has no usable pixel
    read = read_known(path, NAMES, rows)
    expected = torch.full((3, 3), torch.nan)
    expected[0, :2], expected[2, 0] = torch.tensor([5100, 4.5]), 5600
    torch.testing.assert_close(read.labels, expected, equal_nan=True)
    assert read.errors[2, 0] == 80


def test_a_file_of_spectra_gives_the_labels_of_its_own_stars(tmp_path):
    with h5py.File(tmp_path / "obs.h5", "w") as file:
        file.attrs["label_names"] = ["fe_h", "teff"]
        file["labels train"], file["labels_err train"] = [[0.1, 5500], [np.nan, 5600]], [[0.1, 90], [0.1, 90]]
    read = read_known(tmp_path / "obs.h5", NAMES, torch.arange(2))
    expected = torch.tensor([[5500, torch.nan, 0.1], [5600, torch.nan, torch.nan]])
    torch.testing.assert_close(read.labels, expected, equal_nan=True)


def test_anchors_say_all_labels_of_few_stars(tmp_path):
    emulator = linear_payne(torch.zeros(PIXELS, 3), toy_wavelength(), NAMES)
    path = write(tmp_path / "anchors.csv", "id,obs,fe_h,teff,logg\nSun,2,0.0,5777,4.44\nArcturus,0,-0.5,4290,1.7\n")
    read = known_of_anchors(path, emulator, torch.tensor([0, -1, 1]))
    torch.testing.assert_close(read.labels, torch.tensor([[4290, 1.7, -0.5], [5777, 4.44, 0.0]]))
    torch.testing.assert_close(read.errors[0], 0.01 * WIDTH)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("teff,teff_err\n5500,100\n", r"expected a column 'obs', .* got teff, teff_err"),
        ("obs,teff\n0,5500\n", r"expected a column 'teff_err' beside 'teff', got obs, teff"),
        ("obs,teff,teff_err\n7,5500,100\n", r"a row of the 4 training spectra, from 0, got '7' in row 0"),
        ("obs,teff,teff_err\n1,5500,0\n", r"expected an error of 'teff' above 0, got 0 in row 0"),
        ("obs,teff,teff_err\n1,warm,100\n", r"expected a number for 'teff' in row 0, got 'warm'"),
        ("obs,mg_h,mg_h_err\n1,0.1,0.1\n", r"labels of the emulator \(teff, logg, fe_h\) of some stars, .* got none"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(tmp_path, text, message):
    path = write(tmp_path / "known.csv", text)
    with pytest.raises(InputError, match=message):
        read_known(path, NAMES, torch.arange(4))


def test_a_file_without_errors_is_refused(tmp_path):
    with h5py.File(tmp_path / "obs.h5", "w") as file:
        file.attrs["label_names"] = ["teff"]
        file["labels train"] = [[5500.0], [5600.0]]
    with pytest.raises(InputError, match=r"'labels_err train' of shape \(2, 1\) .* got none"):
        read_known(tmp_path / "obs.h5", NAMES, torch.arange(2))
    with pytest.raises(InputError, match="found no file"):
        read_known(tmp_path / "none.csv", NAMES, torch.arange(2))


def test_what_single_precision_does_not_hold_is_not_known(tmp_path):
    path = tmp_path / "known.csv"
    path.write_text("obs,teff,teff_err,logg,logg_err\n0,1e300,100,4.0,0.1\n")
    read = read_known(path, NAMES, torch.arange(2))
    assert read.labels[0].isfinite().tolist() == [False, True, False]
    path.write_text("obs,teff,teff_err\n0,5000,1e-300\n")
    with pytest.raises(InputError, match="expected an error of 'teff' above 0, got 0 in row 0"):
        read_known(path, NAMES, torch.arange(2))

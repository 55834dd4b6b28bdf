"""cyclegan/domains/label_table.py: a population given as a file of labels."""

import h5py
import numpy as np
import pytest
import torch
from skies import PIXELS, linear_payne, toy_wavelength

from cyclegan.domains.label_table import Table
from emulator.commands.errors import InputError

NAMES = ("teff", "logg", "fe_h")


@pytest.fixture
def emulator():
    return linear_payne(torch.zeros(PIXELS, 3), toy_wavelength(), NAMES)


def stars(count=200):
    random = np.random.default_rng(0)
    teff = random.normal(5500, 300, count)
    return np.column_stack([teff, 4.4 - (teff - 5500) / 3000, random.normal(-0.1, 0.1, count)])


def write_csv(path, labels, names=NAMES):
    rows = [",".join(f"{value:.6f}" for value in row) for row in labels]
    path.write_text("\n".join(["id," + ",".join(names), *(f"star {i},{row}" for i, row in enumerate(rows))]))
    return str(path)


def write_hdf5(path, labels, dataset):
    with h5py.File(path, "w") as file:
        file[dataset], file.attrs["label_names"] = labels[:, ::-1], NAMES[::-1]
    return str(path)


@pytest.mark.parametrize("kind", ["csv", "labels", "labels train"])
def test_the_stars_of_a_file_are_drawn_with_their_correlations(emulator, tmp_path, kind):
    labels = stars()
    path = tmp_path / "stars"
    path = write_csv(path, labels) if kind == "csv" else write_hdf5(path, labels, kind)
    drawn = Table(path).settled(emulator).sample(emulator, 10000, torch.Generator().manual_seed(0)).numpy()
    np.testing.assert_allclose(drawn.mean(axis=0), labels.mean(axis=0), atol=0.05 * labels.std(axis=0).max(), rtol=2e-3)
    np.testing.assert_allclose(drawn.std(axis=0), labels.std(axis=0), rtol=0.05)
    assert np.corrcoef(drawn.T)[0, 1] < -0.98


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        (stars()[:, :2], NAMES[:2], r"expected the emulator's labels teff, logg, fe_h, got no fe_h"),
        (stars(19), NAMES, r"expected at least 20 stars, got 19"),
        (
            np.r_[stars(), [[7000, 4.4, 0]]],
            NAMES,
            r"'teff' of 4200 to 6800 K, .* 1 of 201 stars outside it, .* 7000",
        ),
        (
            np.r_[stars(), [[5500, np.nan, 0]]],
            NAMES,
            r"'logg' of each star, got nan in row 200, .* 1 of 201",
        ),
        (np.r_[stars(), [[5500, 4.4, -9999]]], NAMES, r"number for 'fe_h' .* got -9999 in row 200"),
    ],
)
def test_tables_that_cannot_be_used_are_refused_with_file_label_and_count(emulator, tmp_path, labels, names, message):
    path = write_csv(tmp_path / "stars.csv", labels, names)
    with pytest.raises(InputError, match=message) as refused:
        Table(path).settled(emulator)
    assert str(refused.value).startswith(path)


def test_another_file_is_refused(emulator, tmp_path):
    with pytest.raises(InputError, match=r"none.csv: expected a table of labels, found no file"):
        Table(str(tmp_path / "none.csv")).settled(emulator)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["spectra"] = np.zeros((3, 4))
    with pytest.raises(InputError, match=r"expected labels \(stars, L\) in 'labels' or 'labels train'.* got none"):
        Table(str(tmp_path / "other.h5")).settled(emulator)

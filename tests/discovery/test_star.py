"""cyclegan/discovery/star.py: the lines that a star has and theory lacks, which are known, and a real star's."""

import csv
import importlib.util
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lacking import hidden_places, lacking_theory, random_labels
from reference import REFERENCE
from skies import PIXELS, toy_wavelength

from cyclegan.discovery.lines import MissingLine
from cyclegan.discovery.star import broad_part, deepest_near, labels_of_star, star_of_atlas
from cyclegan.instruments.atlas import Atlas, read_atlas
from emulator.commands.errors import InputError
from emulator.wavelength import LIGHT_SPEED

X = toy_wavelength().numpy()
FINE = np.exp(np.arange(np.log(X[0]) - 1e-4, np.log(X[-1]) + 1e-4, 1 / LIGHT_SPEED))
SHARP = 1e5  # a resolution at which the toy's pixels stay as they are


def model_of(synthetic, observed, payne):
    return SimpleNamespace(
        wavelength=torch.from_numpy(X),
        synthetic=synthetic,
        observed=observed,
        label_names=payne.label_names,
        emulator=payne,
    )


@pytest.fixture(scope="module")
def labels(payne):
    return random_labels(payne, 1, seed=5)[0]


@pytest.fixture(scope="module")
def model(payne):
    return model_of(lacking_theory(payne), payne, payne)


@pytest.fixture(scope="module")
def atlas(payne, labels):
    """The toy star, moving away at 7 km/s, with a slope, in any unit, of the first chip and a part of the second."""
    with torch.no_grad():
        flux = payne(labels[None])[0].numpy()
    seen = np.interp(FINE, X, flux) * (3 + (FINE - X[0]) / 100)
    keep = (X[99] > FINE) | ((X[110] < FINE) & (X[180] > FINE))
    return Atlas(FINE[keep] * (1 + 7 / LIGHT_SPEED), seen[keep], np.ones(keep.sum()), "a toy")


@pytest.fixture(scope="module")
def star(atlas, labels, model):
    return star_of_atlas(atlas, labels, model, SHARP, 0.02)


def line(pixel):
    return MissingLine(X[pixel], pixel - 2, pixel + 3, 0.05, 8.0, 1e-6, "Fe", -0.1, 9.0, "", math.nan, math.nan, False)


def test_what_the_star_has_and_theory_lacks_is_known(star, payne, labels, model):
    assert star.about["velocity"] == pytest.approx(7, abs=0.2)
    with torch.no_grad():
        missing = (model.synthetic(labels[None]) - payne(labels[None]))[0].numpy()
    expected = {pixel for pixel in hidden_places().values() if missing[pixel] > 0.03 and star.covered[pixel]}
    found = {int(np.abs(X - one.wavelength).argmin()) for one in star.lines}
    assert expected
    assert all(min(abs(pixel - other) for other in found) <= 1 for pixel in expected)
    assert len(found) == len({pixel for pixel in hidden_places().values() if star.covered[pixel]})
    assert not star.covered[[100, 105, 190]].any()
    assert star.covered[[50, 150]].all()
    assert np.isnan(star.flux[~star.covered]).all()
    quiet = star.covered & (np.abs(missing) < 1e-6)
    assert np.abs(star.excess[quiet]).mean() < 0.006  # lines 0.1 to 0.3 deep, smoothed and interpolated


def test_a_line_is_confirmed_where_the_star_shows_it(star, payne, labels, model):
    with torch.no_grad():
        missing = (model.synthetic(labels[None]) - payne(labels[None]))[0].numpy()
    there = int(np.abs(X - star.lines[0].wavelength).argmin())
    nowhere = next(p for p in range(7, 93) if np.abs(missing[p - 6 : p + 7]).max() < 1e-6)
    marks = [star.marks(line(pixel), missing) for pixel in (there, nowhere, 190)]
    assert [mark["confirmed"] for mark in marks] == [True, False, ""]
    assert marks[0]["star_depth"] == pytest.approx(marks[0]["expected_depth"], rel=0.1)
    assert marks[2]["star_depth"] == ""
    judged = star.judge([line(there), line(nowhere), line(190)], marks, ("Fe",))
    assert judged["confirmed"]["all"] == {"reported": 2, "confirmed": 1, "share": 0.5, "at_half": 1}
    assert judged["confirmed"]["deep"] == {"reported": 1, "confirmed": 1, "share": 1.0, "at_half": 1}
    assert 0 < judged["by_chance"] < 0.3
    assert judged["atlas"] == "a toy"


def test_the_broad_part_has_no_share_of_lines_and_keeps_to_pieces():
    ratio = np.where(np.arange(PIXELS) < 100, 1.1, 0.9)
    lines = ratio.copy()
    lines[[20, 21, 22, 150, 151]] *= 0.5
    covered = np.ones(PIXELS, dtype=bool)
    covered[60:65] = False
    found = broad_part(lines, covered, X)
    np.testing.assert_allclose(found[covered], ratio[covered])
    assert np.isnan(found[60:65]).all()


def test_the_deepest_near_a_pixel_is_that_within_a_lines_core():
    excess = np.zeros(PIXELS)
    excess[50], excess[70:80] = 1.0, np.nan
    found = deepest_near(excess, X)
    assert np.flatnonzero(found == 1).tolist() == [48, 49, 50, 51, 52]
    assert np.flatnonzero(np.isnan(found)).tolist() == list(range(72, 78))


def test_labels_of_a_star_are_those_that_theory_takes(model, payne, labels):
    given = dict(zip(payne.label_names, labels.tolist(), strict=True))
    torch.testing.assert_close(labels_of_star(given, model, "atlas.npz"), labels)
    with pytest.raises(InputError, match=r"'truth_labels': expected the labels teff, .* of the star in atlas.npz"):
        labels_of_star(None, model, "atlas.npz")
    with pytest.raises(InputError, match=r"'truth_labels': .*got no logg; unknown gravity"):
        labels_of_star({name.replace("logg", "gravity"): value for name, value in given.items()}, model, "")
    with pytest.raises(InputError, match="'truth_labels': label 'teff': expected 4200 to 6800 K"):
        labels_of_star(given | {"teff": 9000}, model, "")


def test_an_atlas_beside_the_band_is_refused(atlas, labels, model):
    far = atlas._replace(wavelength=atlas.wavelength + 1000)
    with pytest.raises(InputError, match=r"covers some of 15135.6 to 15\d+.\d A, got one of 161"):
        star_of_atlas(far, labels, model, SHARP, 0.02)


@pytest.mark.reference
@pytest.mark.skipif(not REFERENCE.exists(), reason=f"NOT COMPARED WITH THE SUN: there is no {REFERENCE}")
def test_the_sun_has_the_lines_that_others_found_it_to_have():
    """43 features in which the Sun is deeper than Kurucz spectra by 2 %; a few of them are at the limit."""
    specification = importlib.util.spec_from_file_location("make_domains", REFERENCE / "make_domains.py")
    domains = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(domains)
    wavelength = np.load(REFERENCE / "apogee_wavelength.npz")["wavelength"]
    pixels = np.load(REFERENCE / "continuum_pixels.npz")["pixels_cannon"]
    fluxes = [
        domains.normalise(domains.evaluate(domains.net(REFERENCE / name), np.array([stars])), wavelength, pixels)
        for name, stars in (
            ("kurucz_flux_nn.npz", [5777, 4.44, 0, 0]),
            ("apogee_normalized_nn.npz", [5777, 4.44, 0, 0, 5]),
        )
    ]
    kurucz, apogee = (torch.from_numpy(flux) for flux in fluxes)
    model = SimpleNamespace(
        wavelength=torch.from_numpy(wavelength), synthetic=lambda _: kurucz, observed=lambda _: apogee
    )
    atlas = read_atlas(REFERENCE / "atlas_blue_red.npz", "sun")
    star = star_of_atlas(atlas, torch.zeros(4), model, 22500, 0.02)
    with (REFERENCE / "missing_lines_blue_red.csv").open() as file:
        theirs = [float(row["vacuum_angstrom"]) for row in csv.DictReader(file)]
    ours = np.array([one.wavelength for one in star.lines])
    assert abs(star.about["velocity"]) < 1
    assert sum(np.abs(ours - place).min() < 0.3 for place in theirs) >= 0.9 * len(theirs)
    assert len(ours) <= 1.1 * len(theirs)

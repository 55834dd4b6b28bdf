"""cyclegan/evaluation/stars.py: what is said of single stars, and of stars alike."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from skies import PIXELS

from cyclegan.domains.domains import Stars
from cyclegan.evaluation.stars import bin_scores, known_lines, star_rows, star_title
from cyclegan.evaluation.translations import Translations
from cyclegan.scores.scores import deviation, star_scores
from cyclegan.spectra.spectra import ERROR_FLOOR, Spectra


@pytest.fixture
def noisy():
    random = torch.Generator().manual_seed(3)
    flux = torch.rand(30, PIXELS, generator=random)
    error = 0.002 + 0.02 * torch.rand(30, PIXELS, generator=random)
    mask = torch.rand(30, PIXELS, generator=random) > 0.1
    return torch.rand(30, PIXELS, generator=random), Spectra(flux, error, mask)


def test_a_stars_score_is_a_line_of_numpy(noisy):
    prediction, target = noisy
    flux, error, mask = (tensor.double().numpy() for tensor in target)
    deviations = ((prediction.numpy() - flux) / np.maximum(error, ERROR_FLOOR)) ** 2
    np.testing.assert_allclose(star_scores(prediction, target), (deviations * mask).sum(1) / mask.sum(1), rtol=1e-5)


def test_scores_in_bins_are_those_of_the_stars_in_them(noisy):
    prediction, target = noisy
    labels = np.linspace(-0.93, 0.87, 30)
    labels[4] = np.nan
    found = bin_scores(labels, {"translated": prediction}, target)
    edges = found["edges"]
    for i, (low, high) in enumerate(pairwise(edges)):
        last = i == len(edges) - 2
        inside = torch.from_numpy((labels >= low) & (labels <= high if last else labels < high))
        assert found["stars"][i] == inside.sum()
        if inside.any():
            expected = deviation(prediction[inside], target.rows(inside))
            assert found["translated"][i] == pytest.approx(expected, rel=1e-9)
    assert found["stars"].sum() == 29
    assert (edges[0], edges[-1]) == (labels[0], labels[-1])
    same = bin_scores(np.full(30, 4.4), {"translated": prediction}, target)
    assert same["edges"][0] < 4.4 < same["edges"][-1]
    assert same["stars"].sum() == 30


def test_every_star_has_a_row_of_what_is_known_of_it(noisy):
    flux, obs = noisy
    obs.mask[7] = False  # nothing of it is usable
    synth = Spectra(flux, torch.full_like(flux, 0.01), torch.ones_like(flux, dtype=torch.bool))
    made = Translations(so=flux + 0.01, so_other=flux, os=obs.flux, oo=obs.flux, z_s=flux, z_o=flux, signals={})
    shift = torch.linspace(-0.1, 0.1, PIXELS)
    rows = star_rows(Stars(synth, obs), made, shift, {"teff": np.arange(30.0)}, matched=True)
    assert [row["star"] for row in rows] == list(range(30))
    assert [row["teff"] for row in rows] == list(range(30))
    for name, expected in (
        ("reconstruction", star_scores(obs.flux, obs)),
        ("x_untranslated", star_scores(flux, obs)),
        ("x_mean_shift", star_scores(flux + shift, obs)),
        ("x_translated", star_scores(flux + 0.01, obs)),
        ("x_obs_synth", star_scores(obs.flux, synth._replace(mask=obs.mask))),
    ):
        np.testing.assert_allclose([row[name] for row in rows], expected, err_msg=name)
    ratio = (obs.flux / obs.error)[4][obs.mask[4]].median().item()
    assert rows[4]["signal_to_noise"] == pytest.approx(ratio, rel=0.05)
    assert np.isnan(rows[7]["signal_to_noise"])
    alone = star_rows(Stars(synth, obs), made, shift, {}, matched=False)
    assert set(alone[0]) == {"star", "signal_to_noise", "reconstruction"}


def test_the_head_of_a_picture_tells_what_is_known():
    star = {"star": 3, "teff": 4500.0, "fe_h": -0.25, "signal_to_noise": 99.6, "reconstruction": 1.234}
    assert star_title("median", star).endswith("[Fe/H] −0.25, S/N 100, reconstructed to 1.23 σ²")
    matched = star | {"x_untranslated": 40.0, "x_translated": 1.5}
    assert star_title("best", matched).startswith("best: star 3, ")
    assert star_title("best", matched).endswith("x 40.00 → 1.50 σ²")


def test_the_lines_that_are_seen_best_come_first(payne):
    """Of an emulator, its strong features, by their response times their depth; of none, those of the line list."""
    mean = torch.ones(PIXELS)
    marks = known_lines(payne, mean)
    assert {mark.element for mark in marks} >= {"Fe", "Si"}
    assert all(mark.strength == pytest.approx(0) for mark in marks)
    place = int((payne.wavelength - marks[3].wavelength).abs().argmin())
    mean[place] = 0.4
    deepest = max(known_lines(payne, mean), key=lambda mark: mark.strength)
    assert deepest.wavelength == marks[3].wavelength
    assert len(known_lines(None, mean)) > 1000

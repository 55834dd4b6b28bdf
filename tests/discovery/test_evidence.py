"""cyclegan/discovery/evidence.py: what maps from labels to spectra say of the lines that theory lacks."""

import numpy as np
import pytest
import torch
from lacking import lacking_theory, random_labels
from skies import PIXELS

from cyclegan.discovery.evidence import doubt_of, gather, mean_gain, shifted
from cyclegan.trained.uncertainty import Uncertainty
from emulator.commands.errors import InputError


@pytest.fixture(scope="module")
def theory(payne):
    return lacking_theory(payne)


def test_runs_that_disagree_are_less_sure(payne, theory):
    def other(stars):
        return payne(stars) + 0.05 * (payne(stars) - theory(stars)) * torch.linspace(-9, 9, PIXELS)

    stars = random_labels(payne, 4), random_labels(payne, 2)
    _, one = gather([(theory, payne)], payne.label_names, *stars)
    _, two = gather([(theory, payne), (theory, other)], payne.label_names, *stars)
    there = np.abs(one.gain).max(axis=1) > 0.01
    assert (two.error[there] > one.error[there]).any(axis=1).mean() > 0.9


def test_the_error_of_a_response_is_that_of_stars_and_of_pixels():
    """Normal scatter of 64 stars about nothing: its own eighth, and again as the scatter of pixels."""
    gain = np.random.default_rng(0).normal(size=(64, 5000, 1))
    _, error = mean_gain([gain], None)
    assert np.median(error) == pytest.approx(2**0.5 / 8, rel=0.05)


def test_of_one_star_the_scatter_of_runs_is_the_error():
    random = np.random.default_rng(0)
    runs = [0.1 * random.normal(size=(1, 5000, 1)) for _ in range(4)]
    _, error = mean_gain(runs, None)
    assert np.isfinite(error).all()
    expected = np.hypot(np.std(runs, axis=0, ddof=1)[0] / 2, 0.05)  # of a mean of four; of pixels
    np.testing.assert_allclose(error, expected, rtol=0.05)
    _, of_an_ensemble = mean_gain(runs, np.full(5000, 2.5))
    np.testing.assert_allclose(of_an_ensemble, 2.5 * np.std(runs, axis=0, ddof=1)[0], rtol=1e-4)


def test_what_is_missing_is_as_sure_as_all_pixels_and_as_runs_agree():
    random = np.random.default_rng(0)
    runs = 0.01 * random.normal(size=(4, 2, 5000))
    expected = np.hypot(runs.std(axis=0, ddof=1) / 2, 0.005)
    np.testing.assert_allclose(doubt_of(runs, None), expected, rtol=0.06)
    np.testing.assert_allclose(doubt_of(runs[:1], None), 0.01, rtol=0.06)


def test_of_an_ensemble_its_own_errors_count():
    missing = 0.01 * np.random.default_rng(0).normal(size=(4, 2, 500)).astype("float32")
    scatter = torch.from_numpy(missing.std(axis=0, ddof=1))
    known = Uncertainty.of(scatter, None, torch.zeros_like(scatter))
    np.testing.assert_allclose(doubt_of(missing, known), known.of_networks(scatter).numpy(), rtol=1e-5)


def test_what_does_not_move_with_the_stars_stands_still(payne, theory):
    _, seen = gather([(theory, payne)], payne.label_names, random_labels(payne, 4), random_labels(payne, 2))
    lacks = seen.missing.max(axis=0) > 0.02
    assert (seen.still[lacks] < 1e-3).all()
    shift = torch.linspace(-0.1, 0.1, PIXELS)
    _, seen = gather(
        [(theory, lambda stars: theory(stars) + shift)], payne.label_names, *(random_labels(payne, 4),) * 2
    )
    assert (seen.still == 1).all()


def test_without_abundances_nothing_can_be_named(payne):
    with pytest.raises(InputError, match="expected abundances among them"):
        gather([(payne, payne)], ("teff", "logg"), random_labels(payne, 2), random_labels(payne, 2))


def test_the_control_moves_every_spectrum_by_the_difference_of_the_means(trained):
    forward, translator = trained.forward_model, trained.translator
    stars = random_labels(trained.emulator, 3)
    moved = shifted(forward)(stars) - forward.synthetic(stars)
    torch.testing.assert_close(moved, (translator.space_o.mean - translator.space_s.mean).expand(3, -1))

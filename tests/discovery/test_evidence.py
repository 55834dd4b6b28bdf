"""cyclegan/discovery/evidence.py: what maps from labels to spectra say of the lines that theory lacks."""

import numpy as np
import pytest
import torch
from lacking import lacking_theory, random_labels
from skies import PIXELS

from cyclegan.discovery.evidence import gather, shifted, weigh
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
    error = weigh(np.zeros((1, 5000)), [gain]).error
    assert np.median(error) == pytest.approx(2**0.5 / 8, rel=0.05)


def test_of_one_star_the_scatter_of_runs_is_the_error():
    random = np.random.default_rng(0)
    runs = [0.1 * random.normal(size=(1, 5000, 1)) for _ in range(4)]
    error = weigh(np.zeros((1, 5000)), runs).error
    assert np.isfinite(error).all()
    expected = np.hypot(np.std(runs, axis=0, ddof=1)[0] / 2, 0.05)  # of a mean of four; of pixels
    np.testing.assert_allclose(error, expected, rtol=0.05)


def test_without_abundances_nothing_can_be_named(payne):
    with pytest.raises(InputError, match="expected abundances among them"):
        gather([(payne, payne)], ("teff", "logg"), random_labels(payne, 2), random_labels(payne, 2))


def test_the_control_moves_every_spectrum_by_the_difference_of_the_means(trained):
    forward, translator = trained.forward_model, trained.translator
    stars = random_labels(trained.emulator, 3)
    moved = shifted(forward)(stars) - forward.synthetic(stars)
    torch.testing.assert_close(moved, (translator.space_o.mean - translator.space_s.mean).expand(3, -1))

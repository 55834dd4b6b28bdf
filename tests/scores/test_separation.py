"""cyclegan/scores/separation.py: the classifier against closed forms, and twins that would mislead it."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from cyclegan.scores.separation import FOLDS, HALVINGS, classifier_aucs, embed, halves, quick_auc, separation


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def test_sets_of_one_distribution_cannot_be_told_apart():
    stars = 400
    aucs = classifier_aucs(draw(stars, 40, seed=1), draw(stars, 40, seed=2))
    assert aucs.shape == (FOLDS,)
    error = math.sqrt((2 * stars + 1) / (12 * stars * stars))  # of an AUC of two sets that are alike (Hanley 1982)
    assert aucs.mean() == pytest.approx(0.5, abs=4 * error)


@pytest.mark.parametrize("distance", [0.5, 1.0, 2.0])
def test_shifted_gaussians_are_told_apart_as_well_as_anyone_could(distance):
    """The best classifier of two Gaussians d sigma apart has the AUC Phi(d / sqrt 2)."""
    first, second = draw(3000, 4, seed=3), draw(3000, 4, seed=4)
    second[:, 2] += distance
    assert classifier_aucs(first, second).mean() == pytest.approx(norm.cdf(distance / math.sqrt(2)), abs=0.02)


def test_halves_are_disjoint_and_hold_every_star():
    drawn = list(halves(11))
    assert len(drawn) == HALVINGS
    for first, second in drawn:
        assert sorted([*first, *second]) == list(range(11))
    assert len({tuple(first) for first, _ in drawn}) == HALVINGS


def test_twins_mislead_a_classifier_but_not_one_of_halves():
    stars = draw(200, 8, seed=7)
    twins = stars + 1e-3 * draw(200, 8, seed=8)
    assert classifier_aucs(stars, twins).mean() < 0.45  # it learns each star as one set and meets it in the other
    found = separation(stars, twins)
    assert found["auc"] == pytest.approx(0.5, abs=0.06)
    assert 0 < found["spread"] < 0.2


def test_a_map_is_fitted_to_both_sets_and_is_the_same_twice():
    first, second = draw(30, 20, seed=9), draw(25, 20, seed=10)
    a, b = embed(first, second)
    assert (a.shape, b.shape) == ((30, 2), (25, 2))
    again = embed(first, second)
    np.testing.assert_array_equal(a, again[0])
    np.testing.assert_array_equal(b, again[1])


def test_sets_far_apart_are_far_apart_on_the_map():
    first, second = embed(draw(40, 20, seed=11), draw(40, 20, seed=12) + 6)
    to_own = np.linalg.norm(first[:, None] - first[None], axis=2) + 1e9 * np.eye(40)
    to_other = np.linalg.norm(first[:, None] - second[None], axis=2)
    assert (to_own.min(axis=1) < to_other.min(axis=1)).all()


def test_the_quick_way_says_the_same_of_sets_that_differ_and_of_those_that_do_not():
    random = np.random.default_rng(0)
    real, alike = random.normal(size=(2, 400, 20))
    assert abs(quick_auc(real, alike) - 0.5) < 0.1
    assert quick_auc(real, alike + 1.0) > 0.95
    assert quick_auc(real[:7], alike[:7]) <= 1.0  # a handful of stars is no error

"""cyclegan/losses/distances.py: each against a line of NumPy, and its optimum."""

import math

import numpy as np
import pytest
import torch

from cyclegan.losses.distances import distance, explained, latent_distance
from cyclegan.spectra.spectra import Spectra


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_distance_is_the_mean_weighted_square_over_usable_coordinates():
    prediction, flux, error = draw(5, 7), draw(5, 7, seed=1), 0.1 + draw(5, 7, seed=2).abs()
    mask = draw(5, 7, seed=3) > 0
    expected = (((prediction - flux) / error).numpy()[mask.numpy()] ** 2).mean()
    assert distance(prediction, Spectra(flux, error, mask)).item() == pytest.approx(expected, rel=1e-6)


def test_one_error_a_star_counts_for_all_its_coordinates():
    prediction, flux, mask = draw(5, 7), draw(5, 7, seed=1), torch.ones(5, 7, dtype=torch.bool)
    error = torch.tensor([[0.5], [1.0], [2.0], [4.0], [8.0]])
    expected = ((prediction - flux).numpy() ** 2 / error.numpy() ** 2).mean()
    assert distance(prediction, Spectra(flux, error, mask)).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30])
def test_masked_coordinates_have_no_pull(value):
    flux, error, mask = draw(4, 6), torch.ones(4, 6), torch.ones(4, 6, dtype=torch.bool)
    mask[:, 2] = False
    prediction = draw(4, 6, seed=1).requires_grad_()
    clean = distance(prediction, Spectra(flux, error, mask))
    flux = flux.clone()
    flux[:, 2] = value
    dirty = distance(prediction, Spectra(flux, error, mask))
    (gradient,) = torch.autograd.grad(dirty, prediction)
    assert dirty.item() == clean.item()
    assert gradient.isfinite().all()
    assert (gradient[:, 2] == 0).all()
    assert (gradient[:, 3] != 0).all()


def test_a_star_without_usable_coordinates_costs_nothing():
    spectra = Spectra(draw(3, 4), torch.ones(3, 4), torch.zeros(3, 4, dtype=torch.bool))
    assert distance(draw(3, 4, seed=1), spectra).item() == 0


def test_what_is_explained_is_the_share_of_a_regression():
    a, b = draw(50, 3), draw(50, 1, seed=1) + 0.7 * draw(50, 3)[:, :1]
    design = np.c_[a.numpy(), np.ones(50)]
    residual = b.numpy() - design @ np.linalg.lstsq(design, b.numpy(), rcond=None)[0]
    assert explained(a, b).item() == pytest.approx(1 - residual.var() / b.numpy().var(), rel=1e-3)


def test_what_is_explained_is_the_mean_over_canonical_correlations():
    a, b = draw(50, 3), draw(50, 2, seed=1) + 0.7 * draw(50, 3)[:, :2]
    q_a, q_b = (np.linalg.qr((x - x.mean(dim=0)).numpy())[0] for x in (a, b))
    expected = (np.linalg.svd(q_a.T @ q_b)[1] ** 2).mean()
    assert explained(a, b).item() == pytest.approx(expected, rel=1e-3)


def test_all_is_explained_of_a_mixture_and_mixing_changes_nothing():
    a, b, mixed = draw(50, 3), draw(50, 2, seed=1), draw(3, 3, seed=2)
    assert explained(a, a @ mixed[:, :2]).item() == pytest.approx(1, abs=1e-3)
    assert explained(a @ mixed - 3, 100 * b).item() == pytest.approx(explained(a, b).item(), rel=1e-3)


def test_of_no_split_latent_nothing_is_explained():
    assert explained(draw(5, 3), torch.zeros(5, 0)).item() == 0


@pytest.mark.parametrize("stars", [5, 3])
def test_what_is_explained_of_a_constant_has_a_finite_gradient(stars):
    """Of few stars too, whose latents have no more directions than stars."""
    constant = torch.zeros(stars, 1, requires_grad=True)
    explained(draw(stars, 4), constant).backward()
    assert constant.grad.isfinite().all()


def test_the_distance_of_latents_is_mahalanobis():
    a, b = draw(50, 3), draw(50, 3, seed=1) @ draw(3, 3, seed=2)
    inverse = np.linalg.inv(np.cov(b.numpy().T))
    difference = (a - b).numpy()
    expected = np.einsum("bi,ij,bj->b", difference, inverse, difference).mean() / 3
    assert latent_distance(a, b).item() == pytest.approx(expected, rel=1e-2)
    assert latent_distance(b, b).item() == 0


@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_latents_of_fewer_dimensions_than_variables_have_a_finite_distance(scale):
    b = scale * draw(64, 4) @ draw(4, 20, seed=1)
    a = (b + 0.01 * scale * draw(64, 20, seed=2)).requires_grad_()
    found = latent_distance(a, b)
    found.backward()
    assert found.item() < 2  # the difference is at most as large as the least spread
    assert a.grad.norm() * scale < 20


def test_latents_that_shrink_or_mix_come_no_nearer():
    a, b, mixed = draw(50, 3), draw(50, 3, seed=1), draw(3, 3, seed=2)
    assert latent_distance(a @ mixed, b @ mixed).item() == pytest.approx(latent_distance(a, b).item(), rel=0.02)
    one = latent_distance(a[:, :1], b[:, :1]).item()
    assert latent_distance(0.3 * a[:, :1], 0.3 * b[:, :1]).item() == pytest.approx(one, rel=1e-2)

"""cyclegan/spectra/spaces.py: the spaces in which networks see spectra, there and back, with their noise."""

import math

import numpy as np
import pytest
import torch

from cyclegan.spectra.spaces import Components, Pixels, pooled_components, projected_on, with_noise
from cyclegan.spectra.spectra import ERROR_FLOOR, Spectra, exact
from emulator.commands.errors import InputError


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def spectra_of(flux, error=0.01):
    return Spectra(flux, torch.full_like(flux, error), torch.ones_like(flux, dtype=torch.bool))


@pytest.fixture
def space():
    """Six components of 80 pixels whose weights differ threefold."""
    basis = torch.linalg.qr(draw(80, 6))[0]
    return Components(1 + 0.1 * draw(80, seed=1), torch.linspace(50.0, 150.0, 80), basis)


def test_restore_undoes_project_in_the_span(space):
    coefficients = draw(9, 6, seed=2)
    torch.testing.assert_close(space.project(spectra_of(space.restore(coefficients))).flux, coefficients)


def test_project_is_the_weighted_least_squares_fit(space):
    flux = space.mean + 0.1 * draw(4, 80, seed=3)
    design = (space.basis / space.weight[:, None]).numpy()
    residual = ((flux - space.mean) * space.weight).numpy()
    expected = np.linalg.lstsq(design * space.weight.numpy()[:, None], residual.T, rcond=None)[0].T
    np.testing.assert_allclose(space.project(spectra_of(flux)).flux.numpy(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("value", [1e6, math.inf, math.nan])
def test_what_lies_under_a_mask_has_no_pull(space, value):
    flux, mask = space.restore(draw(3, 6, seed=4)), torch.ones(3, 80, dtype=torch.bool)
    mask[:, 10:25] = False
    clean = space.project(Spectra(flux, torch.full_like(flux, 0.01), mask))
    dirty_flux, dirty_error = flux.clone(), torch.full_like(flux, 0.01)
    dirty_flux[:, 10:25], dirty_error[:, 10:25] = value, value
    dirty = space.project(Spectra(dirty_flux, dirty_error, mask))
    assert torch.equal(dirty.flux, clean.flux)
    assert torch.equal(dirty.error, clean.error)


def test_masked_pixels_are_filled_by_least_squares(space):
    coefficients = draw(3, 6, seed=4)
    mask = torch.ones(3, 80, dtype=torch.bool)
    mask[0, 5:13], mask[1, ::7] = False, False
    flux = torch.where(mask, space.restore(coefficients), -5.0)
    torch.testing.assert_close(
        space.project(Spectra(flux, torch.full_like(flux, 0.01), mask)).flux, coefficients, rtol=0, atol=1e-3
    )


def test_a_star_with_nothing_usable_lies_at_the_mean_and_counts_for_little(space):
    flux = torch.full((2, 80), 7.0)
    coordinates = space.project(Spectra(flux, torch.full_like(flux, 0.01), torch.zeros(2, 80, dtype=torch.bool)))
    assert (coordinates.flux == 0).all()
    assert coordinates.error.isfinite().all()
    assert (coordinates.error > 1e3 * space.project(spectra_of(flux)).error).all()


@pytest.mark.parametrize("typical", [1.0, 3.0])
def test_distances_of_coefficients_are_those_of_pixels(space, typical):
    """Exact in the span, for a star whose errors are a multiple of the typical ones."""
    a, b = draw(5, 6, seed=5), draw(5, 6, seed=6)
    error = (typical / space.weight).expand(5, -1)
    coordinates = space.project(Spectra(space.restore(a), error, torch.ones(5, 80, dtype=torch.bool)))
    of_coefficients = ((b - a) / coordinates.error).square().mean()
    of_pixels = ((space.restore(b) - space.restore(a)) / error).square().mean()
    assert of_coefficients.item() == pytest.approx(of_pixels.item(), rel=1e-4)


def test_an_error_below_the_floor_is_not_believed(space):
    flux = space.restore(draw(2, 6))
    assert torch.equal(space.project(spectra_of(flux, 1e-6)).error, space.project(spectra_of(flux, ERROR_FLOOR)).error)


def test_the_noise_of_coefficients_is_that_of_their_pixels(space):
    error = (2 / space.weight).expand(2000, -1)
    flux = space.restore(torch.zeros(2000, 6)) + error * draw(2000, 80, seed=7)
    coordinates = space.project(Spectra(flux, error, torch.ones_like(flux, dtype=torch.bool)))
    stated = space.noise(coordinates)
    assert stated.flatten().tolist() == pytest.approx([2.0] * 2000, rel=1e-4)
    assert coordinates.flux.std().item() == pytest.approx(2.0, rel=5 / math.sqrt(2 * 12000))


def test_masked_pixels_have_no_noise():
    space, mask = Pixels(torch.ones(5), torch.full((5,), 100.0)), torch.tensor([[True, False, True, True, False]])
    coordinates = space.project(Spectra(torch.ones(1, 5), torch.full((1, 5), 0.02), mask))
    assert space.noise(coordinates).tolist() == [pytest.approx([2.0, 0.0, 2.0, 2.0, 0.0])]


def test_pixels_are_standardised_and_back():
    mean, weight = 1 + 0.1 * draw(30), torch.linspace(50.0, 150.0, 30)
    space, flux = Pixels(mean, weight), 1 + 0.1 * draw(4, 30, seed=1)
    coordinates = space.project(spectra_of(flux))
    np.testing.assert_allclose(coordinates.flux.numpy(), (flux - mean).numpy() * weight.numpy(), rtol=1e-6)
    torch.testing.assert_close(space.restore(coordinates.flux), flux)
    of_pixels = ((coordinates.flux - 1) / coordinates.error).square().mean()
    expected = ((flux - space.restore(torch.ones(4, 30))) / 0.01).square().mean()
    assert of_pixels.item() == pytest.approx(expected.item(), rel=1e-5)


def test_masked_pixels_lie_at_the_mean():
    space, flux = Pixels(torch.ones(5), torch.full((5,), 100.0)), torch.full((2, 5), math.nan)
    coordinates = space.project(Spectra(flux, torch.ones(2, 5), torch.zeros(2, 5, dtype=torch.bool)))
    assert (coordinates.flux == 0).all()


def observed_pixels(stars):
    """Pixels (stars, 4) whose errors tell them apart, 1 to 4 of the typical one; the third is masked."""
    error = torch.tensor([[1.0, 2.0, 3.0, 4.0]]).expand(stars, -1)
    return Spectra(torch.zeros(stars, 4), error, torch.tensor([[True, True, False, True]]).expand(stars, -1))


def test_noise_has_the_mean_and_the_variance_that_the_errors_state_and_none_is_where_masked():
    stars, space = 40_000, Pixels(torch.ones(4), torch.ones(4))
    clean, observed = torch.tensor([[0.5, -3.0, 7.0, 2.0]]).expand(stars, -1), observed_pixels(stars)
    noisy = with_noise(space, clean, observed, torch.Generator().manual_seed(1))
    usable = [0, 1, 3]
    deviation = (noisy - clean)[:, usable] / observed.error[:, usable]
    assert deviation.mean(dim=0).tolist() == pytest.approx([0.0] * 3, abs=5 / math.sqrt(stars))
    assert deviation.var(dim=0).tolist() == pytest.approx([1.0] * 3, abs=5 * math.sqrt(2 / stars))
    assert (torch.corrcoef(deviation.T) - torch.eye(3)).abs().max() < 5 / math.sqrt(stars)
    assert (noisy[:, 2] == 0).all()  # where an observed pixel lies that is masked: at the mean


def test_the_noise_of_components_is_as_large_as_that_of_observed_ones(space):
    error = (2 / space.weight).expand(8000, -1)
    observed = space.project(Spectra(space.mean.expand(8000, -1), error, torch.ones(8000, 80, dtype=torch.bool)))
    noisy = with_noise(space, torch.zeros(8000, 6), observed, torch.Generator().manual_seed(1))
    assert noisy.mean().item() == pytest.approx(0.0, abs=5 * 2 / math.sqrt(48_000))
    assert noisy.std().item() == pytest.approx(2.0, rel=5 / math.sqrt(2 * 48_000))


def test_the_same_seed_gives_the_same_noise():
    space, clean, observed = Pixels(torch.ones(4), torch.ones(4)), torch.ones(5, 4), observed_pixels(5)
    first, again, other = (
        with_noise(space, clean, observed, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(clean, torch.ones(5, 4))


def test_spectra_are_projected_in_pieces_as_at_once(space, monkeypatch):
    monkeypatch.setattr("cyclegan.spectra.spectra.CACHED", 3 * len(space.mean))
    spectra = spectra_of(space.restore(draw(8, 6)))
    for piecewise, at_once in zip(projected_on(space, spectra), space.project(spectra), strict=True):
        torch.testing.assert_close(piecewise, at_once)


def test_exact_flux_comes_back_from_its_components(space):
    flux = space.restore(draw(3, 6))
    torch.testing.assert_close(space.restore(space.project(exact(flux)).flux), flux)


def test_pooled_components_are_those_of_a_singular_value_decomposition(sky):
    synth, obs = pooled_components(sky.synth, sky.obs, 5)
    assert torch.equal(synth.basis, obs.basis)
    assert torch.equal(synth.weight, obs.weight)
    means = [spectra.flux.numpy().mean(axis=0) for spectra in (sky.synth, sky.obs)]
    for space, mean in zip((synth, obs), means, strict=True):
        np.testing.assert_allclose(space.mean.numpy(), mean, atol=1e-5)
    pooled = np.concatenate(
        [spectra.flux.numpy() - mean for spectra, mean in zip((sky.synth, sky.obs), means, strict=True)]
    )
    # Four are signal, three labels and what only observed stars vary in; the fifth is noise.
    expected = np.linalg.svd(pooled.T @ pooled)[0][:, :4]
    basis = synth.basis.numpy()
    np.testing.assert_allclose(basis.T @ basis, np.eye(5), atol=1e-4)  # in half precision, on 203 pixels
    assert torch.equal(synth.basis, synth.basis.half().float())
    assert np.linalg.svd(expected.T @ basis[:, :4])[1].min() > 0.999  # the same subspace
    assert (np.abs((expected * basis[:, :4]).sum(axis=0)) > 0.99).all()  # in the same order
    assert (np.take_along_axis(basis, np.abs(basis).argmax(axis=0)[None], axis=0) > 0).all()


def test_the_same_spectra_give_the_same_components_whatever_was_drawn_before(sky):
    torch.manual_seed(1)
    first, _ = pooled_components(sky.synth, sky.obs, 5)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second, _ = pooled_components(sky.synth, sky.obs, 5)
    assert torch.equal(first.basis, second.basis)
    assert torch.equal(torch.get_rng_state(), state)


def test_components_do_not_see_what_is_masked(sky):
    mask = sky.obs.mask.clone()
    mask[::3, 40:60] = False
    hidden = Spectra(torch.where(mask, sky.obs.flux, 0.0), sky.obs.error, mask)
    broken = Spectra(torch.where(mask, sky.obs.flux, math.nan), sky.obs.error, mask)
    for a, b in zip(pooled_components(sky.synth, hidden, 4), pooled_components(sky.synth, broken, 4), strict=True):
        assert torch.equal(a.basis, b.basis)
        assert torch.equal(a.mean, b.mean)


@pytest.mark.parametrize(("stars", "pixels", "most"), [(3, 203, 6), (300, 5, 5)])
def test_more_components_than_spectra_or_pixels_is_told(sky, stars, pixels, most):
    few = Spectra(*(tensor[:stars, :pixels] for tensor in sky.synth))
    with pytest.raises(InputError, match=f"'networks.components': expected at most {most}, .*, got 7"):
        pooled_components(few, few, 7)

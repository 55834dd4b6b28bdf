"""cyclegan/spectra.py: spectra, their masks, and the spaces in which networks see them."""

import math

import numpy as np
import pytest
import torch

from cyclegan.spectra import (
    ERROR_FLOOR,
    WORST_ERROR,
    Components,
    Pixels,
    Spectra,
    blurred,
    masked_mean,
    pooled_components,
    typical_weight,
)
from emulator.command import InputError


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


def test_the_mean_is_over_usable_stars():
    flux = torch.tensor([[1.0, 2.0, math.nan], [3.0, math.nan, math.inf]])
    mean = masked_mean(Spectra(flux, torch.ones(2, 3), flux.isfinite()))
    assert mean.tolist() == [2.0, 2.0, 1.0]  # the continuum where nothing is known


def test_the_typical_error_is_the_root_mean_inverse_square():
    error = torch.tensor([[0.01, 0.02, 0.001, 1.0], [0.03, 0.02, 0.001, 1.0]])
    mask = torch.tensor([[True, True, True, False], [True, False, True, False]])
    weight = typical_weight(Spectra(torch.ones(2, 4), error, mask))
    expected = [math.sqrt((1e4 + 1e4 / 9) / 2), 50.0, 1 / ERROR_FLOOR, 1 / WORST_ERROR]
    assert weight.tolist() == pytest.approx(expected, rel=1e-6)


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
    np.testing.assert_allclose(basis.T @ basis, np.eye(5), atol=1e-5)
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


def test_rows_and_chunks_take_flux_error_and_mask_along(sky):
    chunks = sky.synth.chunks(150)
    assert [len(chunk.flux) for chunk in chunks] == [150, 150, 100]
    for name in Spectra._fields:
        assert torch.equal(torch.cat([getattr(chunk, name) for chunk in chunks]), getattr(sky.synth, name))


def line(width, strength=1.0, pixels=201):
    return 1 - strength * torch.exp(-0.5 * ((torch.arange(pixels) - pixels // 2) / width) ** 2) / width


def test_blurred_lines_of_equal_strength_look_alike():
    """Convolving a Gaussian line of width w with one of 9 pixels makes it one of sqrt(w^2 + 81)."""
    flux = torch.stack([line(2.0), line(3.0)])
    seen = blurred(spectra_of(flux), 9.0).flux
    expected = torch.stack([line((width**2 + 81) ** 0.5) for width in (2.0, 3.0)])
    torch.testing.assert_close(seen, expected, rtol=0, atol=2e-5)
    assert (seen[0] - seen[1]).abs().max() < 0.02 * (flux[0] - flux[1]).abs().max()


def test_what_is_blurred_at_one_end_is_not_seen_at_the_other():
    flux = torch.ones(1, 50)
    flux[0, 0] = 0.5
    seen = blurred(spectra_of(flux), 3.0).flux[0]
    assert seen[1] < 0.95
    assert seen[-1] == 1


def test_blurred_spectra_know_nothing_of_what_is_masked():
    spectra = spectra_of(line(4.0).repeat(2, 1))
    spectra.mask[1, 95:103] = False
    dirty = spectra._replace(flux=torch.where(spectra.mask, spectra.flux, math.nan))
    seen = blurred(dirty, 3.0)
    assert torch.equal(seen.mask, spectra.mask)
    assert torch.equal(seen.flux[spectra.mask], blurred(spectra, 3.0).flux[spectra.mask])
    torch.testing.assert_close(seen.flux[1, :80], seen.flux[0, :80])  # out of reach
    flat = blurred(spectra._replace(flux=torch.full_like(spectra.flux, 0.7)), 3.0)
    torch.testing.assert_close(flat.flux, torch.full_like(flat.flux, 0.7))

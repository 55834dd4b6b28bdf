"""cyclegan/spectra/spectra.py: spectra with their errors and masks."""

import math

import pytest
import torch

from cyclegan.spectra.blurring import blurred
from cyclegan.spectra.spectra import (
    ERROR_FLOOR,
    WORST_ERROR,
    Spectra,
    exact,
    masked_mean,
    noise_of,
    told_difference,
    typical_weight,
)


def spectra_of(flux, error=0.01):
    return Spectra(flux, torch.full_like(flux, error), torch.ones_like(flux, dtype=torch.bool))


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


def test_a_difference_is_told_by_what_errors_allow_and_where_most_stars_are_seen():
    a, b = spectra_of(torch.full((4, 5), 0.9)), spectra_of(torch.full((4, 5), 0.88), 0.01)
    b.error[:, 1] = 0.04
    b.flux[:, 2], b.error[:, 2] = 0.5, 0.04
    b.mask[:2, 3] = False  # half of the stars
    b.mask[0, 4], b.flux[0, 4] = False, 100.0
    assert told_difference(a, b).tolist() == pytest.approx([2, 0.5, 10, 0, 2], rel=1e-4)
    a.mask[:, 0] = False
    assert told_difference(a, b)[0] == 0


def test_exact_flux_has_the_least_error_and_no_mask():
    flux = torch.rand(3, 7)
    spectra = exact(flux)
    assert torch.equal(spectra.flux, flux)
    assert torch.equal(spectra.error, torch.full((3, 7), ERROR_FLOOR))
    assert spectra.mask.dtype == torch.bool
    assert spectra.mask.all()


def test_masked_pixels_have_no_noise_whatever_their_errors():
    error = torch.tensor([[0.01, math.nan, 0.03, math.inf, -1.0]])
    mask = torch.tensor([[True, False, True, False, False]])
    noise = noise_of(Spectra(torch.ones(1, 5), error, mask))
    assert noise.tolist() == [pytest.approx([0.01, 0.0, 0.03, 0.0, 0.0])]


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

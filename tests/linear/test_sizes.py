"""cyclegan/linear/sizes.py: how many numbers a star is, counted from its spectrum."""

import pytest
import torch

from cyclegan.domains.domains import Stars
from cyclegan.linear.sizes import dimension, find_sizes, signal_components, untold
from cyclegan.spectra.spectra import Spectra

PIXELS = 400


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def spectra_of(latents, noise=0.01, bent=True, seed=0):
    """Spectra whose pixels are quadratic functions of latents (n, L), with noise."""
    count = latents.shape[1]
    flux = latents @ (0.02 * draw(count, PIXELS, seed=1))
    if bent:
        flux = flux + latents.square() @ (0.004 * draw(count, PIXELS, seed=2))
    flux = 1 + flux + noise * draw(len(latents), PIXELS, seed=seed)
    return Spectra(flux, torch.full_like(flux, noise), torch.ones_like(flux, dtype=torch.bool))


def sky(stars, shared=4, own=1, bent=True):
    labels = [
        torch.rand(stars, shared + own, generator=torch.Generator().manual_seed(seed)) * 3 - 1.5 for seed in (3, 4)
    ]
    labels[0][:, shared:] = 0  # theory knows nothing of what only observed stars vary in
    return Stars(
        *(spectra_of(one, noise, bent, seed) for one, noise, seed in zip(labels, (0.002, 0.01), (5, 6), strict=True))
    )


@pytest.mark.parametrize("stars", [300, 800])
def test_as_many_latents_as_there_are_labels(stars):
    sizes = find_sizes(sky(stars))
    assert sizes.shared == 4
    assert sizes.split == 1
    assert sizes.components >= 8


def test_what_only_observed_stars_vary_in_is_split():
    assert find_sizes(sky(800, shared=3, own=2)).split == 2


def test_a_telescope_may_do_more_than_can_be_counted():
    assert find_sizes(sky(800, shared=3, own=40, bent=False)).split == 14


def test_where_no_few_numbers_tell_the_rest_each_component_is_a_latent():
    stars = Stars(spectra_of(draw(120, 60, seed=7), bent=False), spectra_of(draw(120, 60, seed=8), bent=False))
    sizes = find_sizes(stars)
    assert sizes.components >= 60
    assert sizes.shared == sizes.components - 1


def test_noise_alone_has_no_component():
    stars = Stars(*(spectra_of(torch.zeros(300, 1), seed=seed) for seed in (1, 2)))
    assert signal_components(stars, 30) <= 3
    assert signal_components(sky(300, bent=False), 30) == pytest.approx(5, abs=3)


def test_a_function_of_the_first_coordinate_is_told_and_noise_is_not():
    first = 10 * draw(400, 1).double()
    curve = torch.cat([first, first**2 / 20, draw(400, 1, seed=1).double()], dim=1)
    assert untold(curve, 1) == pytest.approx(1.0, rel=0.2)
    assert dimension(curve, 1.0, lost=0.3) == 1
    assert dimension(10 * draw(400, 40).double(), 1.0, lost=0.3) is None


@pytest.mark.parametrize(("lost", "expected"), [(200.0, 1), (5.0, 20), (100 / 24, 24), (1.0, None)])
def test_not_every_number_is_tried(lost, expected, monkeypatch):
    tried = []
    monkeypatch.setattr("cyclegan.linear.sizes.untold", lambda stars, d: tried.append(d) or 100 / d)
    assert dimension(torch.zeros(10, 40), 0.0, lost) == expected
    assert len(tried) <= 5

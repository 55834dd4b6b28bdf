"""cyclegan/linear/population.py: what of two mean spectra's difference is of the stars, and what of the instrument."""

import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from cyclegan.linear.population import population_shift
from cyclegan.spectra.spaces import pooled_components
from cyclegan.spectra.spectra import Spectra

PIXELS, NOISE = 1500, 0.01
WAVE = 1 + 0.02 * torch.sin(torch.linspace(0, 9, PIXELS))


@pytest.fixture(scope="module")
def lines():
    """The effect of two labels, and the mean spectrum: two hundred lines each."""
    random = torch.Generator().manual_seed(0)
    spectra = torch.zeros(3, PIXELS)
    for row, depth in enumerate((0.3, 0.08, 0.04)):
        places = torch.randint(0, PIXELS, (200,), generator=random)
        spectra[row, places] = depth * torch.rand(200, generator=random) * torch.randn(200, generator=random).sign()
    spectra[0] = -spectra[0].abs()
    return torch.from_numpy(gaussian_filter1d(spectra.numpy(), 1.5, mode="nearest")) * 3


def make(lines, labels, seed, broadening=0.0, wave=None):
    flux = 1 + lines[0] + labels @ lines[1:]
    if broadening:
        flux = torch.from_numpy(gaussian_filter1d(flux.numpy(), broadening, mode="nearest"))
    flux = flux if wave is None else flux * wave
    noise = NOISE * torch.randn(flux.shape, generator=torch.Generator().manual_seed(seed))
    return Spectra(flux + noise, torch.full_like(flux, NOISE), torch.ones_like(flux, dtype=torch.bool))


def labels_of(stars, seed, offset=0.0):
    return torch.randn(stars, 2, generator=torch.Generator().manual_seed(seed)) + offset


@pytest.mark.parametrize("instrument", [{}, {"broadening": 0.8}, {"wave": WAVE}, {"broadening": 0.8, "wave": WAVE}])
def test_a_chance_difference_of_the_stars_is_told_from_the_instrument(lines, instrument):
    offset = torch.tensor([0.3, -0.2])  # two sigma of what chance makes of fifty stars
    labels = labels_of(50, 1), labels_of(50, 2, offset)
    synth, obs = make(lines, labels[0], 3), make(lines, labels[1], 4, **instrument)
    found = population_shift(synth, obs, pooled_components(synth, obs, 6)[0])
    true = (labels[1].mean(dim=0) - labels[0].mean(dim=0)) @ lines[1:]
    assert (found - true).norm() < 0.25 * true.norm()


def test_lines_that_only_observed_stars_have_change_nothing(lines):
    labels = labels_of(50, 1), labels_of(50, 2)
    synth, obs = make(lines, labels[0], 3), make(lines, labels[1], 4)
    obs.flux[:, 700:715] -= 0.3
    found = population_shift(synth, obs, pooled_components(synth, obs, 6)[0])
    true = (labels[1].mean(dim=0) - labels[0].mean(dim=0)) @ lines[1:]
    assert (found - true).norm() < 0.35 * true.norm()


def test_many_stars_leave_little_to_chance(lines):
    synth, obs = make(lines, labels_of(4000, 1), 3), make(lines, labels_of(4000, 2), 4, broadening=0.8)
    found = population_shift(synth, obs, pooled_components(synth, obs, 6)[0])
    assert found.norm() < 0.1 * lines[1].norm()


def test_where_theory_errs_everywhere_nothing_is_believed(lines):
    wrong = lines * (1 + 0.5 * torch.randn(lines.shape, generator=torch.Generator().manual_seed(5)))
    synth, obs = make(lines, labels_of(400, 1), 3), make(wrong, labels_of(400, 2), 4)
    space = pooled_components(synth, obs, 6)[0]
    assert population_shift(synth, obs, space).norm() < 0.1 * (obs.flux.mean(dim=0) - synth.flux.mean(dim=0)).norm()


def test_a_set_beside_itself_is_not_shifted(lines):
    stars = make(lines, labels_of(50, 1), 3)
    found = population_shift(stars, stars, pooled_components(stars, stars, 6)[0])
    torch.testing.assert_close(found, torch.zeros(PIXELS), rtol=0, atol=1e-9)

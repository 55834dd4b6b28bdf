"""cyclegan/domains/population.py: stars drawn from a table, within an emulator's range."""

import pytest
import torch
from skies import PIXELS, linear_payne, toy_wavelength

from cyclegan.domains.population import Drawn, make_population
from cyclegan.domains.survey import Survey
from cyclegan.domains.uniform import Learned, Uniform
from emulator.commands.errors import InputError

NAMES = ("teff", "logg", "fe_h")


@pytest.fixture
def emulator():
    return linear_payne(torch.zeros(PIXELS, 3), toy_wavelength(), NAMES)


def table(stars, seed=0):
    """A main sequence: gravity follows temperature, with little scatter."""
    random = torch.Generator().manual_seed(seed)
    teff = 5500 + 300 * torch.randn(stars, generator=random)
    logg = 4.4 - (teff - 5500) / 3000 + 0.02 * torch.randn(stars, generator=random)
    return torch.stack([teff, logg, -0.1 + 0.2 * torch.randn(stars, generator=random)], dim=1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_a_tables_means_spreads_and_correlations_are_those_of_what_is_drawn(emulator, smoothing):
    labels = table(400)
    drawn = Drawn(labels, smoothing, torch.zeros(3)).sample(emulator, 20000, torch.Generator().manual_seed(1))
    spread = labels.std(dim=0)
    assert ((drawn.mean(dim=0) - labels.mean(dim=0)) / spread).abs().max() < 5 / 20000**0.5
    off = (torch.cov(drawn.T) - torch.cov(labels.T)) / (spread[:, None] * spread)
    assert off.abs().max() < 0.05
    assert (len(drawn.unique(dim=0)) <= 400) == (smoothing == 0)


def test_scatter_is_added_to_each_label_on_its_own(emulator):
    labels = table(400)
    drawn = Drawn(labels, 0.1, torch.tensor([0.0, 0.0, 0.2])).sample(emulator, 20000, torch.Generator().manual_seed(1))
    expected = (labels[:, 2].var() + 0.2**2).sqrt()
    assert drawn[:, 2].std().item() == pytest.approx(expected.item(), rel=0.05)
    assert drawn[:, 0].std().item() == pytest.approx(labels[:, 0].std().item(), rel=0.05)


def test_stars_that_the_kernel_puts_out_of_range_are_drawn_again(emulator):
    labels = table(100)
    labels[:, 1] = 4.999  # at the end of the emulator's range
    drawn = Drawn(labels, 0.5, torch.tensor([0.0, 0.1, 0.0])).sample(emulator, 500, torch.Generator().manual_seed(1))
    emulator.check_labels(drawn)
    far = Drawn(labels + torch.tensor([9000.0, 0, 0]), 0.1, torch.zeros(3))
    with pytest.raises(InputError, match=r"range of labels in which stars of the table lie, got 0 .*'teff'"):
        far.sample(emulator, 50, torch.Generator())


def test_a_seed_gives_the_same_stars_and_contents_the_same_population(emulator):
    population = Drawn(table(50), 0.1, torch.zeros(3))
    first, again = (
        one.sample(emulator, 30, torch.Generator().manual_seed(3))
        for one in (population, Drawn(**population.contents()))
    )
    assert torch.equal(first, again)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"_target_": "cyclegan.domains.survey.Survey"}, Survey),
        ({"_target_": "cyclegan.domains.uniform.Uniform", "low": {"teff": 4500.0}, "high": None}, Uniform),
        ({"_target_": "cyclegan.domains.uniform.Learned", "known": None}, Learned),
    ],
)
def test_a_configuration_names_a_kind(settings, expected):
    assert isinstance(make_population(settings), expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"_target_": "cyclegan.translator.dense.Dense"}, r"'domains\.population\._target_': expected a kind of popul"),
        ({"_target_": "cyclegan.domains.survey.Survey", "low": 1}, r"unknown config key 'domains\.population\.low'"),
    ],
)
def test_what_is_no_population_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        make_population(settings)

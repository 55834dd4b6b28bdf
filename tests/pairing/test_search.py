"""cyclegan/pairing/search.py: a toy sky whose population is known in closed form."""

from typing import NamedTuple

import pytest
import torch
from skies import PIXELS, linear_payne, toy_wavelength

from cyclegan.domains.emulated import EmulatedDomain
from cyclegan.domains.exposure import Observation
from cyclegan.domains.population import Drawn
from cyclegan.domains.uniform import Learned
from cyclegan.pairing import search as searching
from cyclegan.pairing.search import labels_behind, search
from cyclegan.spectra.spectra import Spectra
from emulator.commands.errors import InputError

NAMES = ("teff", "logg", "fe_h")
MEAN, SPREAD = torch.tensor([5400.0, 2.9, -0.3]), torch.tensor([450.0, 0.8, 0.45])


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for name, value in (("MORE_DRAWN", 2000), ("ROUNDS", 6)):
        monkeypatch.setattr(searching, name, value)


@pytest.fixture(scope="module")
def emulator():
    """Flux linear in the labels; each moves lines of its own."""
    random = torch.Generator().manual_seed(0)
    pixel = torch.arange(PIXELS)[:, None]
    centres = torch.rand(3, 12, generator=random) * PIXELS
    lines = torch.stack([torch.exp(-0.5 * ((pixel - centre) / 4) ** 2).sum(dim=1) for centre in centres], dim=1)
    return linear_payne(-0.15 * lines, toy_wavelength(), NAMES)


def domain(emulator, population=None):
    return EmulatedDomain(emulator, population or Learned(), 100, 20, None, Observation())


class Held(NamedTuple):
    """Observed stars in memory, some at a time."""

    spectra: Spectra

    def count(self, subset):
        return len(self.spectra.flux)

    def training(self, rows):
        return self.spectra.rows(rows)

    def all_training(self):
        return iter(self.spectra.chunks(150))


def observed(emulator, stars=400, mean=MEAN, gap=0.02, seed=1):
    """Stars that theory has, but for a gap that no change of labels makes."""
    random = torch.Generator().manual_seed(seed)
    labels = mean + SPREAD * torch.randn(stars, 3, generator=random).clamp(-1.9, 1.9)
    with torch.no_grad():
        flux, slopes = emulator(labels), torch.linalg.qr(emulator.output.weight).Q
    shape = torch.randn(PIXELS, generator=random)
    shape = shape - slopes @ (slopes.T @ shape)
    flux = flux + gap * shape + 0.004 * torch.randn(flux.shape, generator=random)
    return Spectra(flux, torch.full_like(flux, 0.004), torch.ones_like(flux, dtype=torch.bool)), labels


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_population_is_found_from_a_wide_start(emulator, seed):
    obs, labels = observed(emulator, seed=seed)
    found = search(domain(emulator), Held(obs), seed)
    assert ((found.labels.mean(dim=0) - labels.mean(dim=0)) / SPREAD).abs().max() < 0.25
    assert (found.labels.std(dim=0) / labels.std(dim=0) - 1).abs().max() < 0.25
    for column in range(3):
        assert torch.corrcoef(torch.stack([found.labels[:, column], labels[:, column]]))[0, 1] > 0.9
    assert found.lonely.float().mean() < 0.01
    assert found.share < 0.8


def test_the_population_is_found_from_a_wrong_start(emulator):
    """Most of the stars drawn are hot, and metal-rich, where no observed star is."""
    obs, labels = observed(emulator)
    wide = Learned().sample(emulator, 3000, torch.Generator().manual_seed(0))
    wrong = wide[(wide[:, 0] > 5800) | (torch.rand(3000, generator=torch.Generator().manual_seed(1)) < 0.4)]
    found = search(domain(emulator, Drawn(wrong, 0.02, torch.zeros(3))), Held(obs), 1)
    assert ((found.labels.mean(dim=0) - labels.mean(dim=0)) / SPREAD).abs().max() < 0.25


def test_a_seed_finds_the_same_and_another_nearly_so(emulator):
    obs, _ = observed(emulator)
    first, again, other = (search(domain(emulator), Held(obs), seed) for seed in (1, 1, 2))
    assert torch.equal(first.labels, again.labels)
    assert not torch.equal(first.labels, other.labels)
    assert ((first.labels - other.labels).mean(dim=0) / SPREAD).abs().max() < 0.25


def test_stars_that_theory_lacks_are_lonely_and_do_not_move_the_others(emulator):
    obs, labels = observed(emulator)
    flux = obs.flux.clone()
    flux[:60] += 0.3 * torch.sin(torch.arange(PIXELS) / 3.0)
    found = search(domain(emulator), Held(obs._replace(flux=flux)), 1)
    assert found.lonely[:60].all()
    assert found.lonely[60:].float().mean() < 0.01
    off = (found.labels - labels)[60:].mean(dim=0) / SPREAD
    assert off.abs().max() < 0.2


def test_stars_beyond_theorys_range_are_told_by_how_much(emulator):
    giants, _ = observed(emulator, mean=torch.tensor([5600.0, 14.0, -0.2]))
    with pytest.raises(InputError, match=r"got none: of 'logg', which the emulator has from 0.5 to 5, .* about 1\d"):
        search(domain(emulator), Held(giants), 1)


def test_labels_that_do_nothing_stay_as_they_are():
    effect = torch.zeros(2, 8)
    effect[0, 0] = 10.0
    found = labels_behind(torch.tensor([[3.0, 0, 0, 0, 0, 0, 0, 0]]), effect, torch.ones(2))
    assert found[0, 0].item() == pytest.approx(0.3, rel=0.02)
    assert found[0, 1] == 0

"""cyclegan/domains/uniform.py: populations that fill a range."""

import pytest
import torch
from skies import PIXELS, linear_payne, toy_wavelength

from cyclegan.domains.uniform import IRON_SCALED, Learned, Uniform
from emulator.commands.errors import InputError
from emulator.labels import LABELS


@pytest.fixture
def emulator():
    return linear_payne(torch.zeros(PIXELS, 3), toy_wavelength(), ("teff", "logg", "fe_h"))


def drawn(population, emulator, stars=5000):
    return population.settled(emulator).sample(emulator, stars, torch.Generator().manual_seed(0))


def test_labels_fill_the_emulators_range_each_on_its_own(emulator):
    labels = drawn(Uniform(), emulator)
    width = emulator.label_high - emulator.label_low
    assert ((labels.amin(dim=0) - emulator.label_low) / width).abs().max() < 0.002
    assert ((labels.amax(dim=0) - emulator.label_high) / width).abs().max() < 0.002
    assert (labels.std(dim=0) / width * 12**0.5 - 1).abs().max() < 0.05
    assert torch.corrcoef(labels.T).fill_diagonal_(0).abs().max() < 0.06


def test_bounds_hold_for_the_labels_that_they_name(emulator):
    labels = drawn(Uniform(low={"teff": 5000.0}, high={"teff": 6000.0, "logg": 4.0}), emulator)
    assert 5000 <= labels[:, 0].min() < 5010 < 5990 < labels[:, 0].max() <= 6000
    assert labels[:, 1].min() < 0.6
    assert 3.9 < labels[:, 1].max() <= 4.0


@pytest.mark.parametrize(
    ("population", "message"),
    [
        (Uniform(low={"teff": 3000.0}), r"bounds of 'teff' within 4200 to 6800, .* got 3000 to 6800"),
        (Uniform(low={"logg": 4.0}, high={"logg": 3.0}), r"bounds of 'logg' within 0.5 to 5, .* got 4 to 3"),
        (Uniform(high={"mg_h": 0.0}), r"'domains.population.high.mg_h': expected one of .* teff, logg, fe_h"),
    ],
)
def test_bounds_that_cannot_be_are_refused(emulator, population, message):
    with pytest.raises(InputError, match=message):
        population.settled(emulator)


def test_any_star_has_abundances_near_its_iron(payne):
    labels = Learned().sample(payne, 3000, torch.Generator().manual_seed(0))
    payne.check_labels(labels)
    iron = labels[:, LABELS.index("fe_h")]
    for name in ("mg_h", "ni_h"):
        ratio = labels[:, LABELS.index(name)] - iron
        assert ratio.min() >= IRON_SCALED[0] - 1e-5
        assert ratio.max() <= IRON_SCALED[1] + 1e-5
        assert ratio.std() > 0.15
    assert iron.std() > 0.6

"""cyclegan/domains/population.py: stars as a survey meets them, within an emulator's range."""

import math
from copy import deepcopy

import pytest
import torch
from skies import PIXELS, linear_payne, toy_wavelength

from cyclegan.domains.emulated import EmulatedDomain
from cyclegan.domains.exposure import Observation
from cyclegan.domains.survey import Survey, sample_survey_labels
from emulator.commands.errors import InputError
from emulator.labels import LABELS


def test_stars_outside_the_emulators_range_are_drawn_again(payne):
    narrow = deepcopy(payne)
    narrow.label_high[0] = 5000.0
    stars = Survey().sample(narrow, 500, torch.Generator().manual_seed(3))
    every = Survey().sample(payne, 2000, torch.Generator().manual_seed(3))
    narrow.check_labels(stars)
    assert stars.shape == (500, len(LABELS))
    # Whole stars are drawn again: what is left has the cool stars' share of giants, most of those below 5000 K.
    cool = every[every[:, 0] <= 5000]
    giants, expected = ((some[:, 1] < 3.8).float().mean().item() for some in (stars, cool))
    assert giants == pytest.approx(expected, abs=5 * math.sqrt(0.15 * (1 / 500 + 1 / len(cool))))


def test_a_range_without_survey_stars_is_told(payne):
    hot = deepcopy(payne)
    hot.label_low[0], hot.label_high[0] = 9000.0, 12000.0
    with pytest.raises(InputError, match=r"range of labels in which .* got 0 of 5000 .*'teff' of 9000 to 12000"):
        EmulatedDomain(hot, Survey(), 50, 30, None, Observation()).draw(1)


def test_labels_that_no_survey_knows_are_drawn_over_the_emulators_range(payne):
    strange = deepcopy(payne)
    strange.label_names = (*LABELS[:-1], "c12_c13")
    strange.label_low[-1], strange.label_high[-1] = 10.0, 90.0
    stars, usual = (Survey().sample(emulator, 4000, torch.Generator().manual_seed(1)) for emulator in (strange, payne))
    assert torch.equal(stars[:, :-1], usual[:, :-1])
    ratio = stars[:, -1]
    assert 10 <= ratio.min() < 11 < 89 < ratio.max() <= 90
    assert ratio.mean().item() == pytest.approx(50, abs=5 * 80 / math.sqrt(12 * 4000))
    assert torch.corrcoef(torch.stack([ratio, stars[:, 0]]))[0, 1].abs() < 5 / math.sqrt(4000)


def test_survey_stars_fill_the_built_in_range_with_giants_and_dwarfs():
    stars = sample_survey_labels(20000, torch.Generator().manual_seed(1))
    giant = stars["logg"] < 3.8
    assert giant.float().mean().item() == pytest.approx(0.6, abs=5 * math.sqrt(0.24 / 20000))
    assert stars["teff"][giant].max() < 5200.5
    # Along the giant branch hotter stars have more gravity.
    assert torch.corrcoef(torch.stack([stars["teff"], stars["logg"]])[:, giant])[0, 1] > 0.7
    scatter = stars["ni_h"] - stars["fe_h"]
    assert scatter.std().item() == pytest.approx(0.08, rel=0.03)
    assert torch.corrcoef(torch.stack([scatter, stars["mn_h"] - stars["fe_h"]]))[0, 1].abs() < 0.04


def test_labels_come_in_the_emulators_order():
    names = ("si_h", "logg", "teff")
    emulator = linear_payne(torch.zeros(PIXELS, 3), toy_wavelength(), names)
    every = sample_survey_labels(40, torch.Generator().manual_seed(3))
    stars = Survey().sample(emulator, 40, torch.Generator().manual_seed(3))
    assert torch.equal(stars, torch.stack([every[name] for name in names], dim=1))

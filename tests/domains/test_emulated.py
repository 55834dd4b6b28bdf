"""cyclegan/domains/emulated.py: what emulated spectra promise."""

import math

import pytest
import torch
from skies import PIXELS, linear_payne, toy_wavelength

from cyclegan.domains.effects import PhotonNoise
from cyclegan.domains.emulated import EmulatedDomain
from cyclegan.domains.exposure import Observation
from cyclegan.domains.survey import Survey
from cyclegan.spectra.spectra import ERROR_FLOOR

HIDDEN = torch.arange(PIXELS) % 10 < 3


@pytest.fixture
def theory(payne):
    return EmulatedDomain(payne, Survey(), stars=50, matched_stars=30, hidden=HIDDEN, observation=Observation())


@pytest.fixture
def observed(payne):
    noise = Observation([PhotonNoise(payne.wavelength)])
    return EmulatedDomain(payne, Survey(), stars=50, matched_stars=30, hidden=None, observation=noise)


def test_hidden_pixels_are_the_continuum_and_the_others_are_not(theory):
    flux = theory.draw(1).flux
    assert (flux[:, HIDDEN] == 1).all()
    assert (flux[:, ~HIDDEN] != 1).all()


def test_theory_is_exact_with_the_error_floor(theory, payne):
    spectra = theory.draw(1)
    stars = Survey().sample(payne, 50, torch.Generator().manual_seed(1))
    assert torch.equal(spectra.flux[:, ~HIDDEN], payne(stars)[:, ~HIDDEN])
    assert (spectra.error == ERROR_FLOOR).all()
    assert spectra.mask.all()


def test_observed_spectra_scatter_about_the_truth_by_their_errors(observed):
    spectra, truth = observed.matched("val"), observed.truth("val")
    deviation = ((spectra.flux - truth) / spectra.error).square().mean().item()
    assert deviation == pytest.approx(1, abs=5 * math.sqrt(2 / (30 * PIXELS)))


def test_matched_stars_are_the_same_stars_in_both_domains(theory, observed):
    for subset in ("val", "test"):
        assert torch.equal(theory.matched(subset).flux[:, ~HIDDEN], observed.truth(subset)[:, ~HIDDEN])
    noise = [observed.matched(subset).flux - observed.truth(subset) for subset in ("val", "test")]
    assert not torch.equal(observed.truth("val"), observed.truth("test"))
    assert torch.corrcoef(torch.stack(noise).flatten(1))[0, 1].abs() < 0.1


def test_matched_stars_are_the_same_every_time_and_training_stars_are_not(observed):
    assert torch.equal(observed.matched("val").flux, observed.matched("val").flux)
    assert torch.equal(observed.draw(7).flux, observed.draw(7).flux)
    assert not torch.equal(observed.draw(7).flux, observed.draw(8).flux)


def test_the_emulator_is_frozen(theory, payne):
    assert not any(parameter.requires_grad for parameter in payne.parameters())
    assert not theory.draw(1).flux.requires_grad


def test_an_emulator_of_fewer_labels_will_do():
    emulator = linear_payne(torch.zeros(PIXELS, 2), toy_wavelength(), ("teff", "fe_h"))
    flux = EmulatedDomain(emulator, Survey(), 5, 5, None, Observation()).draw(1).flux
    torch.testing.assert_close(flux, torch.full((5, PIXELS), 0.9))

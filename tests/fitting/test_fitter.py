"""cyclegan/fitting/fitter.py and forward.py: labels of a toy sky, whose translation is a known shift."""

import copy

import numpy as np
import pytest
import scipy.optimize
import torch
from toy_fits import STARS, Toy

from cyclegan.fitting.fitter import Fitter, fitted_flux
from cyclegan.fitting.forward import EMULATOR, TRANSLATOR, SpectrumModel
from cyclegan.spectra.continuum import Continuum


@pytest.fixture(scope="module")
def toy():
    return Toy()


def test_labels_come_back_with_the_errors_they_say(toy):
    fitted = toy.fit()
    assert fitted.converged.all()
    assert not fitted.at_bound.any()
    assert (fitted.agreeing == 1).all()
    off = toy.pulls(fitted)
    assert off.mean(dim=0).abs().max() < 4 / STARS**0.5
    assert ((off.std(dim=0) - 1).abs() < 4 / (2 * STARS) ** 0.5).all()
    assert (fitted.chi2 / (fitted.pixels - 3)).mean().item() == pytest.approx(1, abs=0.05)


def test_theory_alone_takes_the_gap_for_labels(toy):
    """Each star is off by the change of labels that, by its own errors, is most like the gap."""
    fitted, payne = toy.fit(EMULATOR), toy.forward.emulator
    weight = toy.spectra.error[:, :, None] ** -1
    mistaken = torch.linalg.lstsq(weight * toy.lines, weight * toy.gap[:, None]).solution[:, :, 0]
    off = fitted.labels - toy.labels - mistaken * (payne.label_high - payne.label_low)
    assert (off / fitted.error).mean(dim=0).abs().max() < 4 / STARS**0.5
    assert ((fitted.labels - toy.labels) / fitted.error).mean(dim=0).abs().min() > 3


@pytest.mark.parametrize("through", [TRANSLATOR, EMULATOR])
def test_components_stand_for_pixels(toy, through):
    """What is left of a spectrum in the model's subspace has the chi-square and the labels of all its pixels."""
    model = SpectrumModel(toy.forward, through)
    short = Fitter(model, 1, 0)(toy.spectra)
    model.subspace = None
    long = Fitter(model, 1, 0)(toy.spectra)
    assert ((short.labels - long.labels) / long.error).abs().max() < 0.1
    torch.testing.assert_close(short.chi2, long.chi2, rtol=1e-3, atol=0)
    torch.testing.assert_close(short.error, long.error, rtol=1e-3, atol=0)


def test_few_stars_at_a_time_are_fitted_as_all_at_once(toy, monkeypatch):
    fitter = Fitter(SpectrumModel(toy.forward, TRANSLATOR), 2, 0)
    whole = fitter(toy.spectra)
    monkeypatch.setattr("cyclegan.fitting.fitter.SLOPES", 1)
    for one, other in zip(fitter(toy.spectra.rows(slice(5))), whole, strict=True):
        torch.testing.assert_close(one, other[:5], rtol=1e-3, atol=1e-3)


def test_an_emulator_alone_is_fitted_in_the_directions_in_which_it_varies(toy):
    model = SpectrumModel(toy.forward, EMULATOR)
    assert len(model.subspace.basis) == len(toy.labels.T)  # each unit of the toy's layers is a label
    mean, basis = model.subspace
    torch.testing.assert_close(basis @ basis.T, torch.eye(len(basis)), atol=1e-5, rtol=0)
    scaled = (toy.labels - model.middle) / model.width
    torch.testing.assert_close(mean + model.fitted(scaled) @ basis, toy.forward.synthetic(toy.labels))


def test_with_a_continuum_of_theory_the_translation_still_lies_in_components(toy):
    """Its spectra do, whatever goes in; theory's own then lie in no plane."""
    forward = copy.copy(toy.forward)
    forward.continuum = Continuum(forward.wavelength.numpy(), 1, np.ones(len(forward.wavelength), dtype=bool))
    assert SpectrumModel(forward, EMULATOR).subspace is None
    noise = toy.spectra.flux - toy.forward.observed(toy.labels)
    spectra = toy.spectra._replace(flux=forward.observed(toy.labels) + noise)
    model = SpectrumModel(forward, TRANSLATOR)
    short = Fitter(model, 1, 0)(spectra)
    model.subspace = None
    long = Fitter(model, 1, 0)(spectra)
    assert short.converged.all()
    assert ((short.labels - long.labels) / long.error).abs().max() < 0.2  # each ends within a tenth of an error
    torch.testing.assert_close(short.chi2, long.chi2, rtol=1e-3, atol=0)


def test_one_star_as_scipy_fits_it(toy):
    fitted, model = toy.fit(), SpectrumModel(toy.forward, TRANSLATOR)
    flux, error = toy.spectra.flux[4], toy.spectra.error[4]

    def residuals(labels):
        return ((toy.forward.observed(torch.from_numpy(labels).float()[None])[0] - flux) / error).numpy()

    low, high = (model.middle + side * model.width for side in (model.low, model.high))
    scales = {"bounds": (low.numpy(), high.numpy()), "x_scale": model.width.numpy(), "diff_step": 1e-3}
    one = scipy.optimize.least_squares(residuals, model.middle.numpy(), **scales)
    assert (np.abs(fitted.labels[4].numpy() - one.x) < 0.1 * fitted.error[4].numpy()).all()
    covariance = np.linalg.inv(one.jac.T @ one.jac)
    np.testing.assert_allclose(fitted.covariance[4].numpy(), covariance, rtol=0.02, atol=1e-3 * covariance.max())


@pytest.mark.parametrize("through", [TRANSLATOR, EMULATOR])
def test_the_flux_of_a_fit_is_the_spectrum_without_its_noise(toy, through):
    fitter = Fitter(SpectrumModel(toy.forward, through, velocity=True, continuum=1), 1, 0)
    fitted = fitter(toy.spectra)
    flux = fitted_flux(fitter.model, fitted)
    chi2 = ((flux - toy.spectra.flux) / toy.spectra.error).square().sum(dim=1).double()
    prior = fitter.model.prior(fitter.model.parameters(*fitted[:1], *fitted[3:6])).square().sum(dim=1)
    torch.testing.assert_close(chi2 + prior, fitted.chi2, rtol=1e-3, atol=0.1)


def test_a_chip_without_usable_pixels_says_nothing_of_its_continuum(toy):
    mask = toy.spectra.mask.clone()
    mask[:, 100:] = False
    spectra = toy.spectra._replace(mask=mask)
    model = SpectrumModel(toy.forward, TRANSLATOR, continuum=1)
    fitted = Fitter(model, 1, 0)(spectra)
    alone = Fitter(SpectrumModel(toy.forward, TRANSLATOR, continuum=None), 1, 0)(spectra)
    assert fitted.converged.all()
    assert fitted.error.isfinite().all()
    assert (fitted.error >= 0.99 * alone.error).all()
    assert (fitted.continuum[:, 2:] == 0).all()


def test_masked_pixels_have_no_pull(toy):
    flux, mask = toy.spectra.flux.clone(), toy.spectra.mask.clone()
    flux[:, 20:60], mask[:, 20:60] = 5.0, False
    fitted = toy.fit(spectra=toy.spectra._replace(flux=flux, mask=mask))
    assert fitted.converged.all()
    assert (fitted.pixels == mask.sum(dim=1)).all()
    assert (toy.pulls(fitted).std(dim=0) < 1.3).all()


def test_a_star_without_pixels_is_told(toy):
    mask = toy.spectra.mask.clone()
    mask[7] = False
    fitted = toy.fit(spectra=toy.spectra._replace(mask=mask))
    assert not fitted.converged[7]
    assert fitted.converged.sum() == STARS - 1


def test_a_label_that_changes_nothing_is_as_uncertain_as_its_range(toy):
    model = SpectrumModel(toy.forward, TRANSLATOR)
    model.layer = model.layer.clone()
    model.layer[1] = 0  # each unit of the toy's layers is a label
    fitted = Fitter(model, 1, 0)(toy.spectra)
    torch.testing.assert_close(fitted.error[:, 1], (model.width[1] / 12**0.5).expand(STARS).double())
    assert (fitted.error[:, 0] < 0.1 * model.width[0]).all()


def test_a_star_beyond_the_range_ends_at_its_bound(toy):
    payne = toy.forward.emulator
    labels = toy.labels[:5].clone()
    labels[:, 2] = payne.label_high[2] + 0.5
    flux = payne(labels) + toy.gap
    fitted = toy.fit(spectra=toy.spectra.rows(slice(5))._replace(flux=flux))
    assert fitted.at_bound.all()
    torch.testing.assert_close(fitted.labels[:, 2], payne.label_high[2].expand(5))


def test_a_velocity_and_a_continuum_are_found(toy):
    model = SpectrumModel(toy.forward, TRANSLATOR, velocity=True, continuum=1)
    assert model.subspace is None
    scaled = (toy.labels - model.middle) / model.width
    shifts = torch.linspace(-8, 8, STARS)[:, None]
    terms = torch.tensor([1.0, -0.5, 2.0, 0.7]).expand(STARS, -1)
    spectra = toy.spectra._replace(
        flux=model(torch.cat([scaled, shifts, terms], dim=1)), error=torch.full_like(toy.spectra.flux, 1e-3)
    )
    fitted = toy.fit(spectra=spectra, velocity=True, continuum=1)
    assert fitted.converged.all()
    assert (fitted.velocity - shifts[:, 0]).abs().max() < 0.3
    assert toy.pulls(fitted).abs().max() < 0.3

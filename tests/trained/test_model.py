"""cyclegan/trained/model.py: from flux to flux in Python is what the translator makes of each star."""

import math

import numpy as np
import pytest
import torch
from handmade import make_checkpoint

from cyclegan.spectra.spaces import Components
from cyclegan.trained.loading import load
from cyclegan.trained.model import TrainedModel
from cyclegan.translator.dense import Dense
from cyclegan.translator.translator import build_translator
from emulator.commands.errors import InputError


@pytest.fixture
def toy_gap():
    """Spectra in the span of K components, and networks as they start, with as many latents: only the means differ."""
    pixels, K = 50, 6
    generator = torch.Generator().manual_seed(0)
    mean_s, mean_o = 0.9 + 0.05 * torch.randn(2, pixels, generator=generator)
    weight = 50 + 100 * torch.rand(pixels, generator=generator)
    basis = torch.linalg.qr(torch.randn(pixels, K, generator=generator)).Q
    networks = Dense(shared=K, split=0, components=K, width=4)
    spaces = (Components(mean_s, weight, basis), Components(mean_o, weight, basis))
    translator = build_translator(networks, spaces, torch.ones(K))
    wavelength = torch.linspace(15000.0, 15010.0, pixels).double()
    model = TrainedModel(make_checkpoint(translator, networks, wavelength, torch.empty(9, 0)), "the toy")
    deviation = torch.randn(700, K, generator=generator) @ basis.T / weight
    return model, mean_s + deviation, mean_o + deviation


def test_a_known_gap_is_added_by_networks_that_are_the_identity(toy_gap):
    model, x, expected = toy_gap
    torch.testing.assert_close(model.synth_to_obs(x), expected, rtol=0, atol=2e-6)
    torch.testing.assert_close(model.obs_to_synth(expected), x, rtol=0, atol=2e-6)


def test_masked_pixels_do_not_spoil_a_known_gap(toy_gap):
    model, x, expected = toy_gap
    spoilt, error = x.clone(), torch.full_like(x, 0.01)
    spoilt[:, 3], spoilt[:, 17], spoilt[:, 30] = math.nan, math.inf, 7.0
    error[:, 30] = 0.06
    # Coefficients converge to those of the whole spectrum, here to a tenth of the spoilt pixels' own deviation.
    translated = model.synth_to_obs(spoilt, error)
    assert (translated - expected).abs().max() < 0.1 * (x - x.mean(dim=0)).abs().max()
    masked = error < 0.05
    assert torch.equal(model.synth_to_obs(spoilt, mask=masked), translated)
    assert torch.equal(
        model.synth_to_obs(spoilt.nan_to_num(5.0, posinf=-3.0), mask=masked & spoilt.isfinite()), translated
    )


def test_python_gives_what_the_translator_gives(trained, forty_stars, sky):
    translator = trained.translator
    mean = trained.split_sample.mean(dim=0).expand(40, -1)
    assert torch.equal(trained.synth_to_obs(forty_stars.flux), translator.synth_to_obs(forty_stars, mean))
    obs = sky.val_obs
    assert torch.equal(trained.obs_to_synth(obs.flux, obs.error), translator.obs_to_synth(obs))
    z_o, split = translator.encoder_o(translator.space_o.project(obs).flux)
    assert all(map(torch.equal, trained.encode_obs(obs.flux), (z_o, split)))
    z_s = translator.encode_synth(translator.space_s.project(forty_stars).flux)
    assert torch.equal(trained.encode_synth(forty_stars.flux), z_s)
    given = trained.synth_to_obs(forty_stars.flux, split=split[:40])
    assert torch.equal(given, translator.synth_to_obs(forty_stars, split[:40]))
    assert not torch.equal(given, trained.synth_to_obs(forty_stars.flux))


def test_arrays_of_any_type_and_byte_order_become_arrays(trained, forty_stars):
    flux, mask = forty_stars.flux, torch.rand(40, len(trained.wavelength)) > 0.1
    expected = trained.synth_to_obs(flux, mask=mask).numpy()
    for kind in ("<f4", ">f4", "<f8", ">f8"):
        found = trained.synth_to_obs(flux.numpy().astype(kind), mask=mask.numpy())
        assert isinstance(found, np.ndarray)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(trained.synth_to_obs(np.ma.array(flux.numpy(), mask=~mask.numpy())), expected)
    np.testing.assert_array_equal(trained.synth_to_obs(flux.tolist(), mask=mask.tolist()), expected)
    shared, split = trained.encode_obs(flux.numpy())
    assert [type(values) for values in (shared, split, trained.encode_synth(flux.numpy()))] == [np.ndarray] * 3
    np.testing.assert_array_equal(trained.encode_synth(flux.numpy()), trained.encode_synth(flux).numpy())


def test_gradients_by_flux_are_those_of_the_networks(trained, forty_stars):
    flux = forty_stars.flux[:3].clone().requires_grad_()
    trained.synth_to_obs(flux).sum().backward()
    given, again = flux.grad, forty_stars.flux[:3].clone().requires_grad_()
    t = trained.translator
    z_s = t.encode_synth(t.space_s.coordinates(again))
    t.space_o.restore(t.generator_o(z_s, trained.mean_split().expand(3, -1))).sum().backward()
    assert given.abs().max() > 0
    torch.testing.assert_close(given, again.grad)


def test_labels_become_observed_spectra(trained, payne):
    labels = {
        name: (low + high) / 2
        for name, low, high in zip(payne.label_names, payne.label_low.tolist(), payne.label_high.tolist(), strict=True)
    }
    labels["fe_h"] = np.array([-0.5, 0.0, 0.2])
    rows = torch.tensor([[np.broadcast_to(v, 3)[i] for v in labels.values()] for i in range(3)], dtype=torch.float32)
    hidden = trained.hidden["synth"]
    assert 0 < hidden.sum() < len(hidden)
    flux = torch.where(hidden, 1.0, payne(rows).detach())
    assert torch.equal(trained.synthesize(rows), flux)
    np.testing.assert_array_equal(trained.synthesize(labels), flux.numpy())
    np.testing.assert_array_equal(trained.from_labels(labels), trained.synth_to_obs(flux).numpy())
    np.testing.assert_array_equal(trained.from_labels(rows.numpy()), trained.from_labels(rows).numpy())
    as_tensors = dict(reversed(labels.items())) | {"fe_h": torch.from_numpy(labels["fe_h"])}
    assert torch.equal(trained.from_labels(rows), trained.from_labels(as_tensors))


def test_the_forward_model_is_the_same_without_checks(trained):
    middle = ((trained.emulator.label_low + trained.emulator.label_high) / 2).expand(3, -1)
    forward = trained.forward_model
    torch.testing.assert_close(forward.synthetic(middle), trained.synthesize(middle))
    torch.testing.assert_close(forward.observed(middle), trained.from_labels(middle), rtol=0, atol=2e-6)
    whole = forward.complete().synthetic(middle)
    torch.testing.assert_close(whole, trained.emulator(middle))
    assert not torch.equal(whole, forward.synthetic(middle))  # which lacks lines, and still does
    assert forward.hidden is not None


def test_gradients_by_labels_are_those_of_differences(trained):
    middle = (trained.emulator.label_low + trained.emulator.label_high) / 2
    gradient = torch.func.jacfwd(lambda labels: trained.from_labels(labels[None])[0])(middle)
    for column in (0, 4, 7):
        step = torch.zeros_like(middle)
        step[column] = 0.05 * (trained.emulator.label_high - trained.emulator.label_low)[column]
        difference = (trained.from_labels((middle + step)[None]) - trained.from_labels((middle - step)[None]))[0]
        expected = difference / (2 * step[column])
        torch.testing.assert_close(gradient[:, column], expected, rtol=0.02, atol=0.02 * float(expected.abs().max()))


def test_python_refuses_what_has_another_shape(trained, forty_stars):
    pixels, (flux, error, mask) = len(trained.wavelength), forty_stars
    for call, words in (
        (lambda: trained.synth_to_obs(flux[:, 1:]), rf"flux: expected shape \(40, {pixels}\).*\(40, {pixels - 1}\)"),
        (lambda: trained.synth_to_obs(flux[0]), rf"flux: expected shape \(stars, {pixels}\), got \({pixels},\)"),
        (lambda: trained.synth_to_obs(1.0), "flux: expected shape"),
        (lambda: trained.synth_to_obs([["a"] * pixels]), "expected an array of numbers"),
        (lambda: trained.synth_to_obs(flux, split=np.zeros((3, 2))), "split: expected shape"),
        (lambda: trained.synth_to_obs(flux[:0]), "flux: expected shape"),
        (lambda: trained.obs_to_synth(flux, error[:3]), "error: expected shape"),
        (lambda: trained.obs_to_synth(flux, mask=mask[:3]), "mask: expected shape"),
        (lambda: trained.synth_to_obs(flux, split=torch.zeros(3, 2)), r"split: expected shape \(40, 2\)"),
        (lambda: trained.from_labels(torch.zeros(19)), "labels: expected shape"),
        (lambda: trained.from_labels({"teff": 5000.0}), "got no logg"),
        (
            lambda: trained.from_labels({name: [0.1, 0.2] for name in trained.label_names} | {"logg": [1.0, 2.0, 3.0]}),
            r"label 'teff': expected one value, or 3, got shape \(2,\)",
        ),
        (lambda: load(trained.where, "tpu"), "device: expected"),
    ):
        with pytest.raises(InputError, match=words):
            call()

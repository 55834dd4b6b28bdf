"""cyclegan/translator/translator.py: the maps as the method writes them, their identical start, turned latents."""

import pytest
import torch
from translators import make_translator, networks, stir

from cyclegan.spectra.spectra import Spectra
from cyclegan.translator.translator import build_discriminators


@pytest.mark.parametrize("kind", ["dense", "conv"])
@pytest.mark.parametrize("split", [0, 1, 2])
def test_crossing_is_the_method_letter_by_letter(sky, kind, split):
    translator, x_s, x_o, _ = make_translator(sky, kind=kind, split=split)
    stir(translator)
    x_s, x_o = x_s[:7], x_o[:7]
    c = translator.cross(x_s, x_o)
    E_s, E_o, G_s, G_o = translator.encoder_s, translator.encoder_o, translator.generator_s, translator.generator_o
    nothing = torch.zeros(7, 0)
    (z_s, _), (z_o, z_split) = E_s(x_s), E_o(x_o)
    so, os = G_o(z_s, z_split), G_s(z_o, nothing)
    expected = {
        "ss": G_s(z_s, nothing),
        "oo": G_o(z_o, z_split),
        "so": so,
        "os": os,
        "sos": G_s(E_o(so)[0], nothing),
        "oso": G_o(E_s(os)[0], z_split),
        "z_s": z_s,
        "z_o": z_o,
        "z_so": E_o(so)[0],
        "z_os": E_s(os)[0],
        "split_o": z_split,
        "split_so": E_o(so)[1],
    }
    for name, tensor in c._asdict().items():
        assert torch.equal(tensor, expected[name]), name


@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_both_domains_start_the_same(sky, kind):
    translator, x_s, _, _ = make_translator(sky, kind=kind)
    for one, other in ((translator.encoder_s, translator.encoder_o), (translator.generator_s, translator.generator_o)):
        others = dict(other.named_parameters())
        for name, parameter in one.named_parameters():
            assert "split" in name or torch.equal(parameter, others[name]), name
    torch.testing.assert_close(translator.encoder_s(x_s)[0], translator.encoder_o(x_s)[0])


def test_the_start_is_the_mean_shift(sky):
    """Of theory within the shared latents' span, for an observed star of no split latent: nothing is learnt yet."""
    translator, x_s, _, _ = make_translator(sky, shared=8)
    coordinates = x_s.clone()
    coordinates[:, 8:] = 0
    flux = translator.space_s.restore(coordinates)
    synth = Spectra(flux, sky.synth.error, sky.synth.mask)
    shift = sky.obs.flux.mean(dim=0) - sky.synth.flux.mean(dim=0)
    translated = translator.synth_to_obs(synth, torch.zeros(len(flux), 1))
    torch.testing.assert_close(translated, flux + shift, rtol=0, atol=5e-5)


def test_spectra_and_coordinates_are_translated_alike(sky):
    translator, _, _, _ = make_translator(sky)
    stir(translator)
    x_s, x_o = translator.space_s.project(sky.val_synth).flux, translator.space_o.project(sky.val_obs).flux
    c = translator.cross(x_s, x_o)
    assert torch.equal(translator.synth_to_obs(sky.val_synth, c.split_o), translator.space_o.restore(c.so))
    assert torch.equal(translator.obs_to_synth(sky.val_obs), translator.space_s.restore(c.os))


@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_tied_networks_are_one_at_the_mean_of_both(sky, kind):
    translator, *_ = make_translator(sky, kind=kind)
    stir(translator)
    before = {name: parameter.clone() for name, parameter in translator.named_parameters()}
    translator.tie()
    for name, parameter in translator.named_parameters():
        if "_s." not in name:
            continue
        twin = name.replace("_s.", "_o.")
        if parameter.shape != before[twin].shape:  # the split latent is the observed domain's own
            assert torch.equal(dict(translator.named_parameters())[twin], before[twin])
            continue
        assert torch.equal(parameter, dict(translator.named_parameters())[twin])
        torch.testing.assert_close(parameter, (before[name] + before[twin]) / 2)


@pytest.mark.parametrize("kind", ["dense", "conv"])
@pytest.mark.parametrize("split", [0, 1])
def test_discriminators_fit_the_translator(sky, kind, split):
    translator, x_s, x_o, scale = make_translator(sky, kind=kind, split=split)
    judge_s, judge_o = build_discriminators(networks(kind=kind, split=split), translator, scale)
    c = translator.cross(x_s[:5], x_o[:5])
    assert judge_s(c.os, c.z_o).shape == (5, 1)
    assert judge_o(c.so, torch.cat([c.z_s, c.split_so], dim=1)).shape == (5, 1)


@pytest.mark.parametrize("split", [0, 1, 2])
def test_turning_the_latents_changes_no_spectrum(sky, split):
    translator, x_s, x_o, _ = make_translator(sky, split=split)
    stir(translator)
    before = translator.cross(x_s, x_o)
    axes = translator.find_axes(x_s, x_o)
    assert list(axes) == (["shared", "split"] if split else ["shared"])
    after = translator.turned(axes).cross(x_s, x_o)
    for name, expected in before._asdict().items():
        part = {"z": "shared", "split": "split"}.get(name.split("_")[0])
        if part in axes:
            centre, directions = axes[part]
            expected = (expected - centre) @ directions
            assert (expected - getattr(before, name)).abs().max() > 0.1, name
        torch.testing.assert_close(getattr(after, name), expected, rtol=1e-3, atol=1e-3, msg=name)
    for latents in (torch.cat([after.z_s, after.z_o]), after.split_o):
        identity = torch.eye(latents.shape[1])
        torch.testing.assert_close(torch.cov(latents.T).view_as(identity), identity, rtol=0, atol=1e-3)
    torch.testing.assert_close(translator.cross(x_s, x_o), before)  # it is another that was turned


def test_latents_along_the_spectrum_keep_their_axes(sky):
    translator, x_s, x_o, _ = make_translator(sky, kind="conv")
    assert translator.find_axes(x_s, x_o) == {}


def test_axes_of_split_latents_do_not_see_what_shared_ones_do(sky):
    translator, x_s, x_o, _ = make_translator(sky, split=2)
    stir(translator)
    _, before = translator.find_axes(x_s, x_o)["split"]
    with torch.no_grad():
        translator.generator_o.shared_linear.weight.mul_(30)
    _, after = translator.find_axes(x_s, x_o)["split"]
    torch.testing.assert_close(after, before, rtol=1e-2, atol=1e-2)
    translator = translator.turned(translator.find_axes(x_s, x_o))
    effect = translator.generator_o.split_linear.weight * translator.generator_o.scale[:, None]
    assert effect[:, 0].norm() > effect[:, 1].norm()

"""cyclegan/translator.py: the maps as the method writes them, their identical start, and the split latent's start."""

import pytest
import torch
from omegaconf import OmegaConf

from cyclegan.alignment import transport_pairs
from cyclegan.spectra import Pixels, Spectra, masked_mean, pooled_components, typical_weight
from cyclegan.translator import build_discriminators, build_translator, standard_axes


def networks(**changes):
    start = {"kind": "dense", "shared": 3, "split": 1, "components": 12, "width": 16, "channels": [4, 8]}
    return OmegaConf.create(start | changes)


def make_translator(sky, **changes):
    """A translator for the sky, with the coordinates of its training stars."""
    torch.manual_seed(0)
    config = networks(**changes)
    if config.kind == "dense":
        spaces = pooled_components(sky.synth, sky.obs, config.components)
    else:
        weight = typical_weight(sky.obs)
        spaces = tuple(Pixels(masked_mean(side), weight.clone()) for side in (sky.synth, sky.obs))
    x_s, x_o = (space.project(side).flux for space, side in zip(spaces, (sky.synth, sky.obs), strict=True))
    scale = torch.cat([x_s, x_o]).std(dim=0).clamp_min(1e-3)
    return build_translator(config, spaces, scale), x_s, x_o, scale


def stir(translator):
    """Move every parameter off its start, so that no map equals another by chance."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in translator.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))


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
    torch.testing.assert_close(translated, flux + shift, rtol=0, atol=2e-5)


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


@pytest.mark.parametrize("wrong", [0, 100])
def test_the_split_latent_starts_as_what_only_observed_stars_have(sky, wrong):
    """Also where a quarter of the pairs is wrong, whose labels differ by more than anything else does."""
    translator, x_s, x_o, _ = make_translator(sky)
    pairs = transport_pairs(x_s, x_o, 1.0, torch.Generator().manual_seed(0))
    synth, obs = pairs.synth.clone(), pairs.obs
    synth[:wrong] = synth[:wrong].roll(1)
    translator.start_split(x_s[synth], x_o[obs])
    _, split = translator.encoder_o(x_o)
    assert torch.corrcoef(torch.stack([split[:, 0], sky.own]))[0, 1].abs() > 0.9
    assert split.std().item() == pytest.approx(1, abs=0.3)

    # A unit of it adds its own spectrum, off what labels do.
    shared = torch.zeros(1, 3)
    unit = (translator.generator_o(shared, torch.ones(1, 1)) - translator.generator_o(shared, torch.zeros(1, 1)))[0]
    unit = translator.space_o.restore(unit[None]) - translator.space_o.mean
    assert torch.nn.functional.cosine_similarity(unit, sky.own_spectrum[None]).abs() > 0.9


def test_the_split_latent_starts_the_same_whatever_memory_held_before(sky):
    weights = set()
    for seed in range(10):
        translator, x_s, x_o, _ = make_translator(sky)
        dirt = [torch.full((n,), seed, dtype=torch.int32) for n in (8, 10, 12, 16) for _ in range(20)]
        del dirt
        translator.start_split(x_s, x_o)
        weights.add(translator.encoder_o.split_linear.weight.detach().numpy().tobytes())
    assert len(weights) == 1


@pytest.mark.parametrize("split", [0, 2])
def test_the_start_of_split_latents_is_for_any_width(sky, split):
    translator, x_s, x_o, _ = make_translator(sky, split=split)
    translator.start_split(x_s, x_o)
    assert translator.encoder_o(x_o)[1].shape == (400, split)
    assert all(parameter.isfinite().all() for parameter in translator.parameters())


def test_few_pairs_start_the_split_latent_no_wilder_than_many(sky):
    weights = []
    for stars in (10, 400):  # ten features, latents and their products, would fit ten stars exactly
        translator, x_s, x_o, _ = make_translator(sky)
        translator.start_split(x_s[:stars], x_o[:stars])
        weights.append(translator.encoder_o.split_linear.weight.abs().max())
    assert weights[0] < 10 * weights[1]


@pytest.mark.parametrize("kind", ["dense", "conv"])
@pytest.mark.parametrize("split", [0, 1])
def test_discriminators_fit_the_translator(sky, kind, split):
    translator, x_s, x_o, scale = make_translator(sky, kind=kind, split=split)
    judge_s, judge_o = build_discriminators(networks(kind=kind, split=split), translator, scale)
    c = translator.cross(x_s[:5], x_o[:5])
    assert judge_s(c.os, c.z_o).shape == (5, 1)
    assert judge_o(c.so, torch.cat([c.z_s, c.split_so], dim=1)).shape == (5, 1)


def mixed_factors():
    """Three uncorrelated factors of unit variance, (500, 3), what each moves spectra by, strongest first, (3, 9)."""
    torch.manual_seed(0)
    draws = torch.randn(500, 3)
    factors = torch.linalg.qr(draws - draws.mean(dim=0)).Q * 499**0.5
    moves = torch.linalg.qr(torch.randn(9, 3)).Q.T * torch.tensor([[30.0], [5.0], [1.0]])
    return factors, moves * moves.pow(3).sum(dim=1, keepdim=True).sign()


def test_standard_axes_are_what_moves_spectra_most_whatever_the_latents_are_mixed_of():
    factors, moves = mixed_factors()
    spectra = 4 + factors @ moves
    torch.manual_seed(1)
    for _ in range(5):
        latents = factors @ torch.randn(3, 3) + torch.randn(3)
        centre, axes = standard_axes(latents, spectra)
        torch.testing.assert_close((latents - centre) @ axes, factors, rtol=0, atol=1e-3)


def test_no_axes_where_latents_do_not_vary_or_are_no_numbers():
    factors, moves = mixed_factors()
    spectra = factors @ moves
    assert standard_axes(factors @ torch.diag(torch.tensor([1.0, 0.01, 1.0])), spectra) is not None
    still, repeated, rounding = factors * torch.tensor([1.0, 0.0, 1.0]), factors[:, [0, 1, 1]], 1e-8 * factors[:, :1]
    for latents in (still, repeated, rounding, factors * float("nan"), factors[:, :0]):
        assert standard_axes(latents, spectra) is None
    assert standard_axes(factors, spectra * float("inf")) is None
    _, axes = standard_axes(factors, torch.ones(500, 9))  # they move nothing, but are latents
    torch.testing.assert_close(axes @ axes.T, torch.eye(3), rtol=0, atol=1e-5)


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

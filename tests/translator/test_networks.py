"""cyclegan/translator/dense.py and convolutional.py: shapes, starts, and a split latent of width zero."""

import pytest
import torch
from translators import networks

from cyclegan.spectra.spaces import Components, Pixels
from cyclegan.translator.convolutional import ConvDiscriminator, ConvEncoder, ConvGenerator, Convolutional
from cyclegan.translator.dense import Dense, DenseDiscriminator, DenseEncoder, DenseGenerator
from cyclegan.translator.networks import Undrawn, any_width, make_networks
from emulator.commands.errors import InputError

SCALE = torch.linspace(3.0, 0.5, 12)
KINDS = {"dense": (DenseEncoder, DenseGenerator, 16), "conv": (ConvEncoder, ConvGenerator, [4, 8])}


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_dense_latents_start_as_the_leading_coefficients_in_standard_deviations():
    x = draw(9, 12)
    shared, split = DenseEncoder(SCALE, 4, 2, 16)(x)
    assert torch.equal(shared, (x / SCALE)[:, :4])
    assert torch.equal(split, (x / SCALE)[:, 4:6])


def test_a_dense_generator_starts_as_the_inverse_of_its_encoder_with_no_use_for_the_split_latents():
    x = draw(9, 12)
    latents = DenseEncoder(SCALE, 4, 2, 16)(x)
    out = DenseGenerator(SCALE, 4, 2, 16)(*latents)
    torch.testing.assert_close(out[:, :4], x[:, :4])
    assert (out[:, 4:] == 0).all()


@pytest.mark.parametrize("split", [0, 1, 3])
@pytest.mark.parametrize("pixels", [64, 203, 17])
def test_conv_networks_give_back_as_many_pixels_as_they_got(pixels, split):
    scale, x = torch.ones(pixels), draw(5, pixels)
    shared, own = ConvEncoder(scale, 2, split, [4, 8])(x)
    length = -(-pixels // 16)  # two strides of four, rounded up each time
    assert shared.shape == (5, 2 * length)
    assert own.shape == (5, split * length)
    assert ConvGenerator(scale, 2, split, [4, 8])(shared, own).shape == (5, pixels)


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_learns(kind):
    """Zeros at the start block the gradient of what lies before them for one step, not for ever."""
    encoder_of, generator_of, size = KINDS[kind]
    torch.manual_seed(0)
    encoder, generator = encoder_of(SCALE, 4, 1, size), generator_of(SCALE, 4, 1, size)
    parameters = dict(encoder.named_parameters(prefix="e")) | dict(generator.named_parameters(prefix="g"))
    optimizer, before = torch.optim.Adam(parameters.values(), 1e-3), {n: p.clone() for n, p in parameters.items()}
    for seed in range(3):
        x = draw(32, 12, seed=seed)
        optimizer.zero_grad()
        (generator(*encoder(x)) - x.flip(1).square()).square().mean().backward()
        optimizer.step()
    assert [name for name, parameter in parameters.items() if torch.equal(parameter, before[name])] == []


@pytest.mark.parametrize("kind", KINDS)
def test_networks_of_both_domains_have_parameters_of_the_same_names(kind):
    encoder_of, generator_of, size = KINDS[kind]
    for network in (encoder_of, generator_of):
        without, with_split = (dict(network(SCALE, 4, split, size).named_parameters()) for split in (0, 2))
        assert list(without) == list(with_split)
        differ = [name for name in without if without[name].shape != with_split[name].shape]
        assert all("split" in name for name in differ)


@pytest.mark.parametrize("kind", KINDS)
def test_a_star_is_translated_alike_in_any_company(kind):
    encoder_of, generator_of, size = KINDS[kind]
    torch.manual_seed(0)
    encoder, generator, x = encoder_of(SCALE, 4, 1, size), generator_of(SCALE, 4, 1, size), draw(8, 12)
    torch.testing.assert_close(generator(*encoder(x))[2:3], generator(*encoder(x[2:3])), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("judge", "size"), [(DenseDiscriminator, 16), (ConvDiscriminator, [4, 8])])
def test_discriminators_see_both_the_spectrum_and_the_latents(judge, size):
    torch.manual_seed(0)
    x, latents = draw(6, 12).requires_grad_(), draw(6, 5, seed=1).requires_grad_()
    logits = judge(SCALE, 5, size)(x, latents)
    assert logits.shape == (6, 1)
    logits.sum().backward()
    assert (x.grad != 0).any(dim=0).all()
    assert (latents.grad != 0).any(dim=0).all()


def test_dense_networks_see_components_and_conv_networks_pixels(sky):
    dense, conv = (networks(kind).spaces(sky.synth, sky.obs) for kind in ("dense", "conv"))
    for space, side in zip(dense, (sky.synth, sky.obs), strict=True):
        assert isinstance(space, Components)
        assert space.basis.shape[1] == 12
        torch.testing.assert_close(space.mean, side.flux.mean(dim=0), rtol=0, atol=1e-5)
    assert all(isinstance(space, Pixels) for space in conv)
    assert torch.equal(conv[0].weight, conv[1].weight)


@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_an_empty_space_takes_the_state_of_a_full_one(sky, kind):
    full = networks(kind).spaces(sky.synth, sky.obs)[0]
    empty = networks(kind).empty_space(len(full.mean))
    empty.load_state_dict(full.state_dict())
    torch.testing.assert_close(empty.project(sky.synth).flux, full.project(sky.synth).flux)


def test_small_networks_want_one_thread_and_large_ones_all():
    assert (Dense.threads, Convolutional.threads) == (1, None)


def settings(**changes):
    target = "cyclegan.translator.dense.Dense"
    return {"_target_": target, "shared": 3, "split": 1, "components": 12, "width": 16} | changes


def test_a_configuration_names_a_kind_of_networks():
    assert make_networks(settings()) == networks("dense")
    conv = {"_target_": "cyclegan.translator.convolutional.Convolutional", "shared": 3, "split": 1, "channels": [4, 8]}
    assert make_networks(conv) == networks("conv")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shared": 0}, r"'networks\.shared': expected at least 1, got 0"),
        ({"shared": "many"}, r"'networks\.shared': .*many"),
        ({"width": None}, r"'networks\.width'"),
        (
            {"channels": [4]},
            r"unknown config key 'networks\.channels': 'networks' has components, shared",
        ),
        ({"_target_": None}, r"'networks\._target_': expected a kind of networks, got None"),
        ({"_target_": "dense"}, r"'networks\._target_': expected a kind of networks, got dense"),
        ({"_target_": "nowhere.Networks"}, r"got nowhere\.Networks"),
        ({"_target_": "os.system"}, r"got os\.system"),
        ({"_target_": "cyclegan.translator.networks.any_width"}, r"got cyclegan\.translator\.networks\.any_width"),
    ],
)
def test_what_is_no_kind_of_networks_is_told(changes, words):
    with pytest.raises(InputError, match=words):
        make_networks(settings(**changes))


def test_more_latents_than_components_are_told(sky):
    with pytest.raises(InputError, match=r"'networks\.shared': expected .* together at most 12.* 12 \+ 1"):
        networks("dense", shared=12).spaces(sky.synth, sky.obs)


def test_conv_networks_without_channels_are_told(sky):
    with pytest.raises(InputError, match=r"'networks\.channels': expected one at least, got none"):
        Convolutional(shared=1, split=1, channels=[]).spaces(sky.synth, sky.obs)


def test_networks_whose_weights_are_known_draw_none_and_take_them():
    before = torch.get_rng_state()
    with Undrawn():
        encoder = DenseEncoder(SCALE, 4, 2, 16)
        vast = any_width(2**17, 2**13)  # 4 GB of values, of which none is written
    assert vast.weight.shape == (2**13, 2**17)
    assert torch.equal(torch.get_rng_state(), before)
    known = DenseEncoder(SCALE, 4, 2, 16)
    assert not torch.equal(torch.get_rng_state(), before)
    encoder.load_state_dict(known.state_dict())
    assert all(torch.equal(*pair) for pair in zip(encoder(draw(3, 12)), known(draw(3, 12)), strict=True))

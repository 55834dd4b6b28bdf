"""cyclegan/translator/ensemble.py: networks side by side do what each would alone, and together their mean."""

import copy

import pytest
import torch
from translators import make_translator, stir

from cyclegan.losses.distances import explained, latent_distance
from cyclegan.translator.ensemble import members_of
from cyclegan.translator.translator import Translator, ensemble_of


@pytest.fixture
def members(sky):
    """Three translators in the same spaces, each with weights of its own; and coordinates of the stars."""
    first, x_s, x_o, _ = make_translator(sky)
    made = []
    for _ in range(3):
        one = Translator(
            (first.space_s, first.space_o),
            *(
                tuple(copy.deepcopy(network) for network in pair)
                for pair in ((first.encoder_s, first.encoder_o), (first.generator_s, first.generator_o))
            ),
        )
        made.append(one)
    stir(torch.nn.ModuleList([*(made[i].encoder_o for i in range(3)), *(made[i].generator_o for i in range(3))]))
    return made, x_s, x_o


def test_each_member_does_what_it_would_alone(members):
    made, x_s, x_o = members
    crossing = ensemble_of(made).cross(x_s[:20], x_o[:20])
    for number, one in enumerate(made):
        alone = one.cross(x_s[:20], x_o[:20])
        for name, value in alone._asdict().items():
            torch.testing.assert_close(getattr(crossing, name)[number], value, rtol=1e-4, atol=1e-4, msg=name)


def test_a_gradient_reaches_its_own_member_alone(members):
    made, x_s, x_o = members
    together = ensemble_of(made)
    together.cross(x_s[:20], x_o[:20]).so[1].sum().backward()
    for parameter in together.generator_o.parameters():
        assert not parameter.grad[[0, 2]].any()
    assert any(parameter.grad[1].any() for parameter in together.generator_o.parameters())


def test_what_is_done_to_a_member_in_place_is_done_to_the_ensemble(members):
    made, x_s, x_o = members
    together = ensemble_of(made)
    member = together.each()[2]
    with torch.no_grad():
        member.generator_o.shared_linear.bias.add_(1.0)
    so = together.cross(x_s[:5], x_o[:5]).so
    torch.testing.assert_close(so[2], member.cross(x_s[:5], x_o[:5]).so, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(so[1], made[1].cross(x_s[:5], x_o[:5]).so, rtol=1e-4, atol=1e-4)


def test_the_ensemble_as_one_translates_as_its_members_do_in_the_mean(members):
    made, x_s, x_o = members
    one = ensemble_of(made).turned({})
    expected = torch.stack([member.generate_synth(member.encoder_o(x_o)[0]) for member in made]).mean(dim=0)
    shared, split = one.encoder_o(x_o)
    assert shared.shape == (len(x_o), 9)
    assert split.shape == (len(x_o), 1)
    torch.testing.assert_close(one.generate_synth(shared), expected, rtol=1e-4, atol=1e-4)
    for member, again in zip(made, one.each(), strict=True):
        torch.testing.assert_close(again.cross(x_s, x_o).os, member.cross(x_s, x_o).os, rtol=1e-4, atol=1e-4)


def test_split_latents_mean_the_same_to_all_members(members):
    made, x_s, x_o = members
    with torch.no_grad():  # as a member may have learnt it: the other way round, and in another unit
        for network in (made[1].encoder_o, made[1].generator_o):
            network.turn("split", torch.tensor([0.3]), torch.tensor([[-2.0]]))
        ensemble = ensemble_of(made)
        one = ensemble.turned(ensemble.find_axes(x_s, x_o))
        each = [member.encoder_o(x_o)[1][:, 0] for member in one.each()]
    for own in each[1:]:
        assert torch.corrcoef(torch.stack([each[0], own]))[0, 1] > 0.9
        torch.testing.assert_close(own.std(), torch.tensor(1.0), rtol=0.01, atol=0)


def test_losses_of_several_members_are_the_mean_of_theirs():
    a, b = torch.randn(2, 3, 40, 4, generator=torch.Generator().manual_seed(0))
    for loss in (explained, latent_distance):
        torch.testing.assert_close(loss(a, b), torch.stack([loss(*pair) for pair in zip(a, b, strict=True)]).mean())


def test_a_single_network_is_its_own_only_member(members):
    made, *_ = members
    assert members_of(made[0].encoder_s) == [made[0].encoder_s]
    assert made[0].each() == [made[0]]

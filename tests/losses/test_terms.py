"""cyclegan/losses/terms.py: each term is what its name says, weighs what it should, and pulls where it should."""

import pytest
import torch
from training_parts import ALL_WEIGHTS, batch_of, losses_of, make, moment_of, stir

from cyclegan.losses.adversarial import cross_entropy
from cyclegan.losses.distances import distance, explained, latent_distance
from cyclegan.losses.terms import TERMS, total, weighted_terms

PARTS = {
    "synth": {"reconstruction_synth", "cycle_synth"},
    "obs": {"reconstruction_obs", "cycle_obs"},
    "adversarial": {"adversarial_synth", "adversarial_obs"},
    "pairs": {"pairs_synth", "pairs_obs"},
    "independence": {"independence"},
    "latent_cycle": {"latent_cycle"},
    "anchors": {"anchors"},
}
ALL_PARTS = set().union(*PARTS.values())


def test_there_are_no_other_terms():
    assert set(TERMS) == set(PARTS) == set(ALL_WEIGHTS)


def test_every_part_is_what_its_name_says(domains):
    module, data = make(domains)
    stir(module)
    batch = batch_of(module, data)
    moment = moment_of(module, batch)
    losses, c = weighted_terms(module.updates.weights, moment), moment.crossing
    x_s, x_o, (a_s, a_o) = batch[:3]
    t = module.translator
    a_split = t.encoder_o(a_o.flux)[1]
    D_s, D_o = module.discriminators["synth"], module.discriminators["obs"]
    fake_o = moment.shown.fake["obs"].spectrum
    expected = {
        "reconstruction_synth": (1.0, distance(c.ss, x_s)),
        "cycle_synth": (1.0, distance(c.sos, x_s)),
        "reconstruction_obs": (1.0, distance(c.oo, x_o)),
        "cycle_obs": (1.0, distance(c.oso, x_o)),
        "adversarial_synth": (0.1, cross_entropy(D_s(c.os, c.z_o), True)),
        "adversarial_obs": (0.1, cross_entropy(D_o(fake_o, torch.cat([c.z_s, c.split_so], dim=1)), True)),
        "pairs_synth": (1.0, distance(c.os, x_s)),
        "pairs_obs": (1.0, distance(c.so, x_o)),
        "independence": (0.3, explained(c.z_o, c.split_o)),
        "latent_cycle": (0.7, latent_distance(c.z_so, c.z_s) + latent_distance(c.z_os, c.z_o)),
        "anchors": (
            pytest.approx(len(a_s.flux) / (len(a_s.flux) + 10)),  # few of them weigh less
            distance(t.generator_o(t.encode_synth(a_s.flux), a_split), a_o)
            + distance(t.generate_synth(t.encoder_o(a_o.flux)[0]), a_s),
        ),
    }
    assert set(losses) == ALL_PARTS
    for name, (weight, part) in expected.items():
        assert losses[name].weight == weight
        assert losses[name].part.item() == pytest.approx(part.item(), rel=1e-5), name
        assert name in PARTS[losses[name].of]
    added = sum(one.weight * one.part.item() for one in losses.values())
    assert total(losses).item() == pytest.approx(added, rel=1e-5)


def test_the_translators_losses_have_no_gradient_for_the_discriminators(domains):
    module, data = make(domains)
    stir(module)
    total(losses_of(module, batch_of(module, data))).backward()
    assert all(parameter.grad is None and parameter.requires_grad for parameter in module.discriminators.parameters())
    assert all((p.grad != 0).any() for p in module.translator.parameters() if p.numel())


@pytest.mark.parametrize("name", PARTS)
def test_a_weight_of_zero_skips_the_computation(domains, name):
    module, data = make(domains, ALL_WEIGHTS | {name: 0.0})
    assert set(losses_of(module, batch_of(module, data))) == ALL_PARTS - PARTS[name]


def test_a_term_without_a_weight_is_skipped_too(domains):
    module, data = make(domains, {"synth": 1.0})
    assert set(losses_of(module, batch_of(module, data))) == PARTS["synth"]


def test_while_nobody_judges_there_is_no_adversarial_term(domains):
    module, data = make(domains)
    losses = losses_of(module, batch_of(module, data), adversarial=False)
    assert set(losses) == ALL_PARTS - PARTS["adversarial"]


def test_without_anchors_there_is_no_term_of_theirs(domains):
    module, data = make(domains)
    losses = losses_of(module, batch_of(module, data)._replace(anchors=None))
    assert set(losses) == ALL_PARTS - PARTS["anchors"]


def test_without_a_split_latent_nothing_is_to_be_independent(domains):
    module, data = make(domains, split=0)
    assert set(losses_of(module, batch_of(module, data))) == ALL_PARTS - {"independence"}


def test_pairs_do_not_pull_on_the_split_latent(domains):
    module, data = make(domains, {"pairs": 1.0})
    stir(module)
    losses_of(module, batch_of(module, data))["pairs_obs"].part.backward()
    assert module.translator.encoder_o.split_linear.weight.grad is None
    assert (module.translator.generator_o.split_linear.weight.grad != 0).any()


def test_of_fewer_stars_than_latents_nothing_is_asked(domains):
    module, data = make(domains)
    batch = batch_of(module, data)
    few = batch._replace(synth=batch.synth.rows(slice(3)), obs=batch.obs.rows(slice(3)))
    assert set(losses_of(module, few)) == ALL_PARTS - {"independence", "latent_cycle"}


def test_latents_come_back_by_better_reading_not_by_other_writing(domains):
    module, data = make(domains, {"latent_cycle": 1.0})
    stir(module)
    losses_of(module, batch_of(module, data))["latent_cycle"].part.backward()
    t = module.translator
    assert all(parameter.grad is None for g in (t.generator_s, t.generator_o) for parameter in g.parameters())
    assert t.encoder_o.split_linear.weight.grad is None
    for encoder in (t.encoder_s, t.encoder_o):
        assert all((p.grad != 0).any() for name, p in encoder.named_parameters() if "split" not in name and p.numel())


def test_the_weight_of_pairs_falls_to_a_twentieth(domains):
    module, data = make(domains, steps=100)
    batch = batch_of(module, data)
    for name in ("pairs_synth", "pairs_obs"):
        weights = [losses_of(module, batch, step)[name].weight for step in (0, 50, 100)]
        assert weights == pytest.approx([1, 0.525, 0.05])

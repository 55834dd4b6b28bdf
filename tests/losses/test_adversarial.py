"""cyclegan/losses/adversarial.py: what is shown, what a judgement costs, and who learns from it."""

import math

import numpy as np
import pytest
import torch
from training_parts import batch_of, make, moment_of, stir

from cyclegan.losses.adversarial import SIDES, cross_entropy, judgements


@pytest.mark.parametrize("real", [True, False])
def test_a_judgement_costs_its_cross_entropy(real):
    logits = torch.randn(20, 1, generator=torch.Generator().manual_seed(0))
    expected = np.log1p(np.exp(-logits.numpy() if real else logits.numpy())).mean()
    assert cross_entropy(logits, real).item() == pytest.approx(expected, rel=1e-5)


def test_a_discriminator_that_cannot_tell_does_best_in_the_middle():
    """Where half of what it is shown is real, d/dlogit (real + fake) = 0 at a logit of 0."""
    logits = torch.linspace(-2, 2, 81)
    losses = torch.stack([cross_entropy(logit, True) + cross_entropy(logit, False) for logit in logits])
    assert logits[losses.argmin()].item() == pytest.approx(0, abs=1e-6)


def test_a_translation_gains_by_being_judged_real():
    logit = torch.tensor([[-1.0]], requires_grad=True)
    cross_entropy(logit, True).backward()
    assert logit.grad.item() < 0


def test_the_discriminators_loss_has_no_gradient_for_the_translator(domains):
    module, data = make(domains)
    stir(module)
    shown = moment_of(module, batch_of(module, data)).shown
    sum(one.loss() for one in judgements(module.discriminators, shown).values()).backward()
    assert all(parameter.grad is None for parameter in module.translator.parameters())
    assert all((parameter.grad != 0).any() for parameter in module.discriminators.parameters())


def test_discriminators_judge_the_pairs_that_the_method_names(domains):
    module, data = make(domains)
    stir(module)
    batch = batch_of(module, data)
    moment = moment_of(module, batch)
    c, so = moment.crossing, moment.shown.fake["obs"].spectrum
    D_s, D_o = (module.discriminators[side] for side in SIDES)
    expected = {
        "synth": (D_s(batch.synth.flux, c.z_s), D_s(c.os, c.z_o)),
        "obs": (
            D_o(batch.obs.flux, torch.cat([c.z_o, c.split_o], dim=1)),
            D_o(so, torch.cat([c.z_s, c.split_so], dim=1)),
        ),
    }
    for side, judgement in judgements(module.discriminators, moment.shown).items():
        for logits, known in zip(judgement, expected[side], strict=True):
            torch.testing.assert_close(logits, known)
        real, fake = expected[side]
        costs = cross_entropy(real, True) + cross_entropy(fake, False)
        assert judgement.loss().item() == pytest.approx(costs.item(), rel=1e-6)
        right = ((real > 0).float().mean() + (fake <= 0).float().mean()).item() / 2
        assert judgement.share_right().item() == pytest.approx(right)


def test_a_translation_is_shown_beside_spectra_with_their_noise(domains, sky):
    """The toy sky's noise has the same error in all pixels: so has every coefficient of an orthonormal basis."""
    module, data = make(domains)
    batch = batch_of(module, data)
    deviations = []
    for step in range(200):
        moment = moment_of(module, batch, step)
        deviations.append((moment.shown.fake["obs"].spectrum - moment.crossing.so).detach())
        assert torch.equal(moment.shown.fake["synth"].spectrum, moment.crossing.os)  # theory has none
    expected = (sky.obs.error[0] * module.translator.space_o.weight).mean().item()
    noise = torch.stack(deviations)
    assert noise.std().item() == pytest.approx(expected, rel=5 / math.sqrt(2 * noise.numel()))
    assert not torch.equal(noise[0], noise[1])
    again = moment_of(module, batch, 3)
    assert torch.equal(deviations[3], (again.shown.fake["obs"].spectrum - again.crossing.so).detach())


def test_masks_do_not_tell_a_translation_from_a_spectrum(domains):
    """In pixels a masked one is at the mean, in a real spectrum as in a translation that is shown beside it."""
    module, data = make(domains)
    stir(module)
    batch = batch_of(module, data)
    some = torch.rand(batch.obs.flux.shape, generator=torch.Generator().manual_seed(1)) < 0.5
    batch = batch._replace(obs=batch.obs._replace(mask=some), synth=batch.synth._replace(mask=~some))
    shown = moment_of(module, batch).shown
    for side, mask in (("obs", some), ("synth", ~some)):
        assert (shown.fake[side].spectrum[~mask] == 0).all()
        assert (shown.fake[side].spectrum[mask] != 0).all()

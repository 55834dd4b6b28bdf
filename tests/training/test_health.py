"""cyclegan/training/health.py and faults.py: each fault is provoked in a toy run, and a sound run shows none."""

import copy
import logging

import pytest
import torch
from pytorch_lightning import Callback
from skies import SkyDomain
from training_parts import fit, make

from cyclegan.scores.signals import SIGNALS, signals
from cyclegan.spectra.spectra import Spectra
from cyclegan.training.faults import PATIENCE, RunLog, find_faults
from cyclegan.training.health import Health

WEIGHTS = {"synth": 1.0, "obs": 1.0, "pairs": 1.0, "independence": 1.0}
EPOCHS = PATIENCE + 2


class Before(Callback):
    """Does something to the module before each epoch."""

    def __init__(self, what):
        self.what = what

    def on_train_epoch_start(self, trainer, module):
        with torch.no_grad():
            self.what(module, trainer.current_epoch)


def run(domains, weights, *callbacks, epochs=EPOCHS, **changes):
    module, data = make(domains, weights, steps=4, epochs=epochs, **changes)
    health = Health(data.scored())
    fit(module, data, health, *callbacks, epochs=epochs)
    return health, module


def convinced(module, epoch):
    """The observed domain's discriminator takes everything for real."""
    module.discriminators["obs"].judge[-1].bias.fill_(20.0)


def one_still(module, epoch):
    """A shared latent variable ceases to vary."""
    for encoder in (module.translator.encoder_s, module.translator.encoder_o):
        encoder.shared_linear.weight[1] *= 1e-3
        encoder.shared_bend.weight[1] = 0.0


def repeating(module, epoch):
    """The split latent is a shared one, and its effect half of that one's."""
    encoder, generator = module.translator.encoder_o, module.translator.generator_o
    encoder.split_linear.weight.copy_(encoder.shared_linear.weight[:1])
    generator.split_linear.weight.copy_(0.5 * generator.shared_linear.weight[:, :1])


def turned(module, epoch):
    """Synthetic latents trade places, at both ends: whatever does not look across the domains stays as it was."""
    if epoch != 1:
        return
    order = [1, 0, 2]
    encoder, generator = module.translator.encoder_s, module.translator.generator_s
    for layer in (encoder.shared_linear, encoder.shared_bend):
        layer.weight.copy_(layer.weight[order])
        layer.bias.copy_(layer.bias[order])
    for layer in (generator.shared_linear, generator.shared_hidden):
        layer.weight.copy_(layer.weight[:, order])


@pytest.fixture
def unlike(sky):
    """Two domains of which the observed one has two kinds of stars that theory knows nothing of."""
    side = torch.where(torch.arange(len(sky.obs.flux)) % 2 == 0, 0.3, -0.3)[:, None]
    obs = sky.obs._replace(flux=sky.obs.flux + side * torch.linspace(-1, 1, sky.obs.flux.shape[1]))
    return SkyDomain(sky.synth, sky.val_synth), SkyDomain(obs, obs.rows(slice(len(sky.val_obs.flux))))


def test_a_sound_run_has_no_fault(domains):
    health, _ = run(domains, WEIGHTS | {"adversarial": 0.1})
    assert health.faults == {}
    assert len(health.history) == EPOCHS
    assert all(set(SIGNALS) < set(epoch) for epoch in health.history)


@pytest.mark.parametrize(
    ("fault", "weights", "what", "settings"),
    [
        ("adversarial_obs_vanished", WEIGHTS | {"adversarial": 0.1}, convinced, {}),
        ("latent_dead", WEIGHTS, one_still, {"learning_rate": 1e-12}),
        ("split_told", WEIGHTS, repeating, {"learning_rate": 1e-12}),
        ("alignment_lost", WEIGHTS | {"pairs": 0.0}, turned, {}),
        ("weight_of_adversarial_too_large", WEIGHTS | {"adversarial": 1e6}, None, {}),
        ("weight_of_adversarial_too_small", WEIGHTS | {"adversarial": 1e-8}, None, {}),
    ],
)
def test_a_fault_is_named_where_it_is_provoked(domains, caplog, fault, weights, what, settings):
    with caplog.at_level(logging.WARNING):
        health, _ = run(domains, weights, *([Before(what)] if what else []), **settings)
    assert fault in health.faults
    told = [record.message for record in caplog.records if record.name == "cyclegan.training.health"]
    assert len(told) == len(health.faults)  # once each, not every epoch
    assert "try" in told[0]


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (1e-2, {"discriminator_synth_always_wins", "adversarial_synth_stuck"}),
        (1e-12, {"discriminator_synth_never_wins"}),
    ],
)
def test_a_discriminator_that_always_or_never_wins(unlike, rate, expected):
    weights, rates = WEIGHTS | {"adversarial": 0.1}, {"learning_rate": 1e-12, "discriminator_learning_rate": rate}
    health, _ = run(unlike, weights, epochs=12, **rates)
    assert expected <= set(health.faults)
    assert not any("always" in name for name in health.faults) or rate > 1e-3


def test_faults_and_signals_are_remembered_by_a_checkpoint(domains):
    health, _ = run(domains, WEIGHTS | {"adversarial": 1e6}, epochs=2)
    again = Health(health.stars)
    again.load_state_dict(health.state_dict())
    assert again.faults == health.faults != {}
    assert again.history == health.history


def test_a_perfect_translation_cannot_be_told_from_the_real(domains, sky):
    """Both domains are the same spectra: the translator starts as the identity."""
    same = SkyDomain(sky.synth, sky.val_synth)
    module, _ = make((same, SkyDomain(sky.synth, sky.val_synth)), split=0)
    found = signals(module.translator, sky.synth, sky.synth)
    assert found["agreement"] == 1.0
    assert found["cycle_noise"] == pytest.approx(3 / 8, rel=0.1)  # of the noise in 8 components 3 latents keep theirs
    assert 0.2 < found["weakest_latent"] <= 1.0
    assert found["split_told"] == 0
    assert abs(found["auc_latents"] - 0.5) < 0.1


def test_signals_tell_a_translation_from_a_mere_shift_and_from_a_wrong_one(domains, sky):
    """The toy sky before and after training, and with all latents of observed stars mirrored, which no reconstruction
    shows. The order of the stars makes no difference to what needs no partners.
    """
    module, data = make(domains, steps=150, learning_rate=3e-3)
    before = signals(module.translator, sky.val_synth, sky.val_obs)
    fit(module, data)
    after = signals(module.translator, sky.val_synth, sky.val_obs)
    assert after["wasserstein"] < before["wasserstein"]
    mirrored = copy.deepcopy(module.translator)
    for network in (mirrored.encoder_o, mirrored.generator_o):
        network.turn("shared", torch.zeros(3), -torch.eye(3))
    wrong = signals(mirrored, sky.val_synth, sky.val_obs)
    assert wrong["agreement"] < 0.75 * after["agreement"]
    assert wrong["wasserstein"] > after["wasserstein"]
    order = torch.randperm(len(sky.val_obs.flux), generator=torch.Generator().manual_seed(1))
    shuffled = signals(module.translator, sky.val_synth, sky.val_obs.rows(order))
    assert shuffled["agreement"] == pytest.approx(after["agreement"], abs=0.1)


def test_lost_weights_make_signals_of_nothing(domains, sky):
    module, _ = make(domains)
    broken = Spectra(torch.full_like(sky.val_synth.flux, torch.nan), sky.val_synth.error, sky.val_synth.mask)
    assert torch.tensor(signals(module.translator, broken, sky.val_obs)["auc_obs"]).isnan()
    module.translator.encoder_o.shared_linear.weight.data.fill_(torch.nan)
    found = signals(module.translator, sky.val_synth, sky.val_obs)
    assert torch.tensor([found["auc_synth"], found["split_told"]]).isnan().all()


@pytest.mark.parametrize(
    ("agreements", "named"),
    [
        ([0.4, 0.6, 0.52, 0.5, 0.48], True),
        ([0.4, 0.6, 0.52, 0.57, 0.48], False),  # not for three epochs in a row
        ([0.4, 0.6, 0.52, 0.5], False),  # not for three yet
        ([0.4, 0.5, 0.52, 0.55, 0.6], False),
    ],
)
def test_what_is_learned_by_heart_is_called_so(agreements, named):
    faults = find_faults(RunLog([{"agreement": agreement} for agreement in agreements], undecided=0.7))
    assert [fault.name for fault in faults] == ["overtrained"] * named
    if named:
        assert "fell from 0.60 in epoch 1 to 0.48" in faults[0].words

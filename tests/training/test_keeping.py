"""cyclegan/training/keeping.py: the networks that stars kept out of training confirm are those that a run ends with."""

from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning import Callback
from training_parts import fit, make, stir

from cyclegan.domains.domains import Stars
from cyclegan.training.health import Health
from cyclegan.training.keeping import KEPT, PATIENCE, Keeping


class Spoil(Callback):
    """Moves all networks off what they have learned, before the epoch is looked at."""

    def on_train_epoch_end(self, trainer, module):
        stir(module)

    def on_validation_epoch_start(self, trainer, module):
        stir(module)


def weights_of(module):
    return {name: value.detach().clone() for name, value in module.translator.named_parameters()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def keep(domains, sky, *before, epochs=2, **settings):
    module, data = make(domains, steps=20, epochs=epochs, **settings)
    start, held_out = weights_of(module), Stars(sky.val_synth, sky.val_obs)
    keeping = Keeping(held_out)
    trainer = fit(module, data, *before, Health(held_out), keeping, epochs=epochs)
    return module, data, start, keeping, trainer


def test_networks_that_learn_are_kept(domains, sky):
    module, data, start, keeping, trainer = keep(domains, sky, learning_rate=3e-3)
    last = weights_of(module)
    assert keeping.step in (20, 40)
    assert keeping.restore(module, trainer.global_step, data.stars) == (keeping.step != 40)
    assert not same(weights_of(module), start)
    assert same(weights_of(module), keeping.weights if keeping.step != 40 else last)


def test_where_nothing_is_learned_the_start_is_kept(domains, sky):
    module, data, start, keeping, trainer = keep(domains, sky, Spoil())
    assert keeping.step == 0
    assert keeping.restore(module, trainer.global_step, data.stars)
    assert same(weights_of(module), start)
    assert module.record.kept_step == 0
    assert module.record.split is not None
    assert not keeping.restore(module, trainer.global_step, data.stars)  # it is there already


def test_a_run_that_goes_on_has_nothing_kept_any_more(domains, sky):
    module, data, _, keeping, trainer = keep(domains, sky, Spoil())
    asked = []
    keeping.restore(module, trainer.global_step, lambda epoch: (asked.append(epoch), data.stars(epoch))[1])
    assert asked == [module.pairing.epoch]  # the controls are of its pairs
    module.start_epoch(data.stars(2), 2)
    assert module.record.kept_step is None
    assert keeping.restore(module, trainer.global_step + 20, data.stars)
    assert module.record.kept_step == 0


def test_a_run_that_learns_nothing_ends(domains, sky):
    *_, trainer = keep(domains, sky, Spoil(), epochs=PATIENCE + 4)
    assert trainer.current_epoch == PATIENCE


def test_what_is_kept_survives_a_resume(domains, sky):
    *_, keeping, _ = keep(domains, sky, learning_rate=3e-3)
    again = Keeping(keeping.stars)
    again.load_state_dict(keeping.state_dict())
    assert all(getattr(again, name) == getattr(keeping, name) for name in KEPT)
    assert same(again.weights, keeping.weights)


@pytest.mark.parametrize(
    ("agreements", "kept"),
    [
        ([0.5, 0.9, 0.8, 0.7], 2),  # the start, and three epochs
        ([0.5, 0.6, 0.9, 0.89], 4),  # no worse than chance makes it: the latest
        ([0.5, 0.6, 0.9, 0.8], 3),
        ([0.9, 0.9, 0.89, 0.9], 0),  # the start has to be beaten
        ([0.9, 0.91, 0.8, 0.95], 4),
    ],
)
def test_which_epoch_is_kept(domains, sky, monkeypatch, agreements, kept):
    module, _ = make(domains)
    told = iter(agreements)
    monkeypatch.setattr("cyclegan.training.keeping.signals", lambda *_: {"agreement": next(told)})
    keeping = Keeping(Stars(sky.val_synth, sky.val_obs))
    keeping.on_train_start(SimpleNamespace(), module)
    for epoch, agreement in enumerate(told, start=2):
        trainer = SimpleNamespace(callback_metrics={"agreement": torch.tensor(agreement)}, global_step=epoch)
        keeping.on_validation_end(trainer, module)
    assert keeping.step == kept

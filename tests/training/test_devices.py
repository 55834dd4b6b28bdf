"""Training on an accelerator, or what `accelerator.py` says stands for one: all of it is there, and no step waits."""

import numpy as np
import pytest
import torch
from accelerator import THERE, Elsewhere, MixedDevicesError, attached, strategy
from pytorch_lightning import Trainer
from training_parts import make

from cyclegan.pairing.batch import Partners
from cyclegan.training.module import CycleGAN


def test_the_accelerator_fails_where_a_real_one_would():
    with attached() as device:
        there, here = torch.ones(3, device=THERE), torch.ones(3)
        for mixed in (
            lambda: there + here,
            lambda: here[torch.arange(2, device=THERE)],
            lambda: torch.rand(2, device=THERE, generator=torch.Generator()),
            lambda: there.numpy(),
        ):
            with pytest.raises(MixedDevicesError):
                mixed()
        assert device.waits == []
        assert (there + 1).device == THERE
        np.testing.assert_array_equal((there[torch.arange(2)] + 1).cpu().numpy(), [2, 2])
        assert there.sum().item() == 3
        assert len(device.waits) == 2


@pytest.mark.parametrize(("share", "choice"), [(1.0, "discriminator"), (0.5, "density")])
def test_training_takes_place_on_the_accelerator_and_never_waits_in_a_step(domains, monkeypatch, share, choice):
    waited, step = [], CycleGAN.training_step

    def watched(module, batch, index):
        before = len(device.waits)
        assert all(isinstance(parameter, Elsewhere) for parameter in module.parameters())
        step(module, batch, index)
        if module.global_step % module.schedule.log_every:  # losses are asked for when they are logged
            waited.extend(device.waits[before:])

    monkeypatch.setattr(CycleGAN, "training_step", watched)
    monkeypatch.setattr("cyclegan.pairing.independence.SEARCHES", 1)  # nine take ten times as long
    for domain in domains:
        domain.fixed = True  # as files are
    with attached() as device:
        anchors = Partners(domains[0].train.rows(slice(5)).to(THERE), domains[1].train.rows(slice(5)))  # emulated, read
        pairing = {"share": share, "choice": choice, "pool": 2, "fixed": True}
        module, data = make(domains, epochs=2, log_every=5, pairing=pairing, anchors=anchors)
        trainer = Trainer(
            strategy=strategy(),
            max_epochs=2,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            reload_dataloaders_every_n_epochs=1,
        )
        trainer.fit(module, data)
        assert trainer.global_step == 12
        assert np.isfinite(trainer.callback_metrics["x_synth_obs"].item())
    assert waited == []

"""A CycleGAN and its data for the toy sky, small and unlike the usual where a test says so."""

import torch
from pytorch_lightning import Trainer

from cyclegan.domains.domains import Domains, Stars
from cyclegan.losses.adversarial import exhibits
from cyclegan.losses.terms import Moment, weighted_terms
from cyclegan.pairing.batch import Partners, TrainingBatch
from cyclegan.pairing.pairing import Pairing, PairingSettings
from cyclegan.spectra.spaces import projected_on
from cyclegan.trained.record import Record
from cyclegan.training.checkpoints import LastCheckpoint
from cyclegan.training.data import SpectraData
from cyclegan.training.module import CycleGAN
from cyclegan.training.schedule import Schedule
from cyclegan.translator.dense import Dense
from cyclegan.translator.translator import build_discriminators, build_translator

ALL_WEIGHTS = {
    "synth": 1.0,
    "obs": 1.0,
    "adversarial": 0.1,
    "pairs": 1.0,
    "independence": 0.3,
    "latent_cycle": 0.7,
    "anchors": 1.0,
}
COMPONENTS = 8


def make(domains, weights=None, *, split=1, steps=6, epochs=1, seed=1, pairing=None, anchors=None, **schedule):
    """A CycleGAN and its data; domains: a pair of them; pairing: what is to be unlike the usual in its settings."""
    torch.manual_seed(seed)
    data = SpectraData(Domains(*domains, matched=True), steps, seed)
    networks = Dense(shared=3, split=split, components=COMPONENTS, width=8)
    stars = data.stars(0)
    spaces = networks.spaces(*stars.to("cpu"))
    scale = torch.cat([projected_on(*pair).flux for pair in zip(spaces, stars, strict=True)]).std(dim=0)
    translator = build_translator(networks, spaces, scale)
    settings = {
        "steps": steps * epochs,
        "epoch_steps": steps,
        "batch_size": 16,
        "warm_up": 0.0,
        "learning_rate": 1e-3,
        "discriminator_learning_rate": 2e-3,
        "weight_decay": 0.0,
        "log_every": 2,
    } | schedule
    module = CycleGAN(
        translator,
        build_discriminators(networks, translator, scale),
        [Pairing(PairingSettings(seed=seed, **(pairing or {})), anchors)],
        ALL_WEIGHTS if weights is None else weights,
        Schedule(**settings),
        seed,
        Record({}, 1 + torch.arange(3.0), None, {}, None, matched=True),
    )
    return module, data


def fit(module, data, *callbacks, epochs=1):
    """The Trainer with which a module was trained."""
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=any(isinstance(callback, LastCheckpoint) for callback in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
    )
    trainer.fit(module, data)
    return trainer


def seen(module, data):
    """The training stars of the first epoch as the networks see them."""
    t = module.translator
    return Stars(*(projected_on(*pair) for pair in zip((t.space_s, t.space_o), data.stars(0), strict=True)))


def batch_of(module, data):
    """Sixteen stars side by side, and the first five of them as anchors."""
    synth, obs = (side.rows(slice(16)) for side in seen(module, data))
    return TrainingBatch(synth, obs, Partners(synth, obs).rows(slice(5)))


def moment_of(module, batch, step=0, adversarial=True):
    """What the terms of the loss look at."""
    crossing = module.translator.cross(batch.synth.flux, batch.obs.flux)
    shown = exhibits(module.translator, batch, crossing, step) if adversarial else None
    return Moment(batch, crossing, module.translator, module.discriminators, shown, step / module.schedule.steps)


def losses_of(module, batch, step=0, adversarial=True):
    """The weighted parts of the loss, by name."""
    return weighted_terms(module.updates.weights, moment_of(module, batch, step, adversarial))


def stir(module):
    """Move all networks off their start."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))

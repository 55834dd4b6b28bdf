"""cyclegan/module.py: what each of the two updates touches, what a step counts, and what stops a run."""

import math

import pytest
import torch
from omegaconf import OmegaConf
from pytorch_lightning import Callback, Trainer

from cyclegan.data import SpectraData, TrainingBatch
from cyclegan.losses import distance, explained, judge, latent_distance
from cyclegan.module import CycleGAN, LossWeights, TrainingDivergedError, learning_rate_at
from cyclegan.scores import control_scores
from cyclegan.train import LastCheckpoint
from cyclegan.translator import build_discriminators, build_translator

ALL_TERMS = {
    "reconstruction_synth",
    "cycle_synth",
    "reconstruction_obs",
    "cycle_obs",
    "adversarial_synth",
    "adversarial_obs",
    "pairs_synth",
    "pairs_obs",
    "independence",
    "latent_cycle",
    "anchors",
}
ALL_WEIGHTS = LossWeights(1.0, 1.0, 0.1, 1.0, 0.3, 0.7, 1.0)
NO_WEIGHTS = LossWeights(*[0.0] * 7)


def make(domains, weights=ALL_WEIGHTS, *, split=1, steps=6, epochs=1, seed=1, data=None, **changes):
    """A CycleGAN and its data for the toy sky; data: what is to be unlike the usual in it."""
    torch.manual_seed(seed)
    common = {"batch_size": 16, "steps": steps, "seed": seed, "paired": True, "share": 1.0}
    data = SpectraData(*domains, matched=True, **common | (data or {}))
    spaces = data.make_spaces(8)
    scale = torch.cat([side.flux for side in data.coordinates(spaces, 0)]).std(dim=0)
    networks = OmegaConf.create({"kind": "dense", "shared": 3, "split": split, "width": 8})
    translator = build_translator(networks, spaces, scale)
    settings = {
        "steps": steps * epochs,
        "warm_up": 0.0,
        "learning_rate": 1e-3,
        "discriminator_learning_rate": 2e-3,
        "log_every": 2,
        "record": {"medium": "vacuum", "matched": True},
    } | changes
    return CycleGAN(translator, build_discriminators(networks, translator, scale), weights, **settings), data


def fit(module, data, *callbacks, epochs=1):
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


def batch_of(module, data):
    spaces = module.translator.space_s, module.translator.space_o
    stars = data.coordinates(spaces, 0)
    return TrainingBatch(*stars.rows(slice(16)), stars.rows(slice(5)))


def shown(module, batch, step=0):
    crossing = module.translator.cross(batch.synth.flux, batch.obs.flux)
    return crossing, module.exhibits(batch, crossing, step)


def losses_of(module, batch, step=0, adversarial=True):
    crossing, exhibits = shown(module, batch, step)
    return module.translator_losses(batch, crossing, exhibits, step, adversarial), crossing


def stir(module):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))


class UpdateWatch(Callback):
    """What each optimiser's step changed, by the name of the sub-network."""

    def __init__(self):
        self.changed = []

    def on_train_start(self, trainer, module):
        for optimizer in trainer.optimizers:
            step = optimizer.step

            def watched(*args, step=step, **kwargs):
                before = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
                result = step(*args, **kwargs)
                moved = [name for name, p in module.named_parameters() if not torch.equal(p, before[name])]
                self.changed.append({name.split(".")[0] for name in moved})
                return result

            optimizer.step = watched


def test_each_update_leaves_the_others_networks_untouched(domains):
    module, data = make(domains, steps=4)
    watch = UpdateWatch()
    fit(module, data, watch)
    assert watch.changed == [{"discriminator_s", "discriminator_o"}, {"translator"}] * 4


def test_the_discriminators_loss_has_no_gradient_for_the_translator(domains):
    module, data = make(domains)
    stir(module)
    crossing, exhibits = shown(module, batch_of(module, data))
    module.discriminator_loss(module.judgements(exhibits, crossing)).backward()
    assert all(parameter.grad is None for parameter in module.translator.parameters())
    for network in (module.discriminator_s, module.discriminator_o):
        assert all((parameter.grad != 0).any() for parameter in network.parameters())


def test_the_translators_losses_have_no_gradient_for_the_discriminators(domains):
    module, data = make(domains)
    stir(module)
    losses, _ = losses_of(module, batch_of(module, data))
    sum(weight * term for weight, term in losses.values()).backward()
    for network in (module.discriminator_s, module.discriminator_o):
        assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())
    assert all((p.grad != 0).any() for p in module.translator.parameters() if p.numel())


def test_discriminators_judge_the_pairs_that_the_method_names(domains):
    module, data = make(domains)
    stir(module)
    batch = batch_of(module, data)
    c, exhibits = shown(module, batch)
    D_s, D_o = module.discriminator_s, module.discriminator_o
    expected = (
        judge(D_s(batch.synth.flux, c.z_s), True)
        + judge(D_s(c.os, c.z_o), False)
        + judge(D_o(batch.obs.flux, torch.cat([c.z_o, c.split_o], dim=1)), True)
        + judge(D_o(exhibits.fake_o, torch.cat([c.z_s, c.split_so], dim=1)), False)
    )
    assert module.discriminator_loss(module.judgements(exhibits, c)).item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_translation_is_shown_beside_spectra_with_their_noise(domains, sky):
    """The toy sky's noise has the same error in all pixels: so has every coefficient of an orthonormal basis."""
    module, data = make(domains)
    batch = batch_of(module, data)
    deviations = []
    for step in range(200):
        crossing, exhibits = shown(module, batch, step)
        deviations.append((exhibits.fake_o - crossing.so).detach())
        assert torch.equal(exhibits.fake_s, crossing.os)  # theory has none
    expected = (sky.obs.error[0] * module.translator.space_o.weight).mean().item()
    noise = torch.stack(deviations)
    assert noise.std().item() == pytest.approx(expected, rel=5 / math.sqrt(2 * noise.numel()))
    assert not torch.equal(noise[0], noise[1])
    assert torch.equal(deviations[3], (shown(module, batch, 3)[1].fake_o - crossing.so).detach())


def test_masks_do_not_tell_a_translation_from_a_spectrum(domains):
    """In pixels a masked one is at the mean, in a real spectrum as in a translation that is shown beside it."""
    module, data = make(domains)
    stir(module)
    batch = batch_of(module, data)
    some = torch.rand(batch.obs.flux.shape, generator=torch.Generator().manual_seed(1)) < 0.5
    batch = batch._replace(obs=batch.obs._replace(mask=some), synth=batch.synth._replace(mask=~some))
    _, exhibits = shown(module, batch)
    for fake, mask in ((exhibits.fake_o, some), (exhibits.fake_s, ~some)):
        assert (fake[~mask] == 0).all()
        assert (fake[mask] != 0).all()


def test_every_term_is_what_its_name_says(domains):
    module, data = make(domains)
    stir(module)
    batch = batch_of(module, data)
    losses, c = losses_of(module, batch)
    fake_o = shown(module, batch)[1].fake_o
    x_s, x_o, (a_s, a_o) = batch
    t = module.translator
    a_split = t.encoder_o(a_o.flux)[1]
    D_s, D_o = module.discriminator_s, module.discriminator_o
    expected = {
        "reconstruction_synth": (1.0, distance(c.ss, x_s)),
        "cycle_synth": (1.0, distance(c.sos, x_s)),
        "reconstruction_obs": (1.0, distance(c.oo, x_o)),
        "cycle_obs": (1.0, distance(c.oso, x_o)),
        "adversarial_synth": (0.1, judge(D_s(c.os, c.z_o), True)),
        "adversarial_obs": (0.1, judge(D_o(fake_o, torch.cat([c.z_s, c.split_so], dim=1)), True)),
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
    assert set(losses) == ALL_TERMS
    for name, (weight, term) in expected.items():
        assert losses[name][0] == weight
        assert losses[name][1].item() == pytest.approx(term.item(), rel=1e-5), name


TERMS_OF = {
    "synth": {"reconstruction_synth", "cycle_synth"},
    "obs": {"reconstruction_obs", "cycle_obs"},
    "adversarial": {"adversarial_synth", "adversarial_obs"},
    "pairs": {"pairs_synth", "pairs_obs"},
    "independence": {"independence"},
    "latent_cycle": {"latent_cycle"},
    "anchors": {"anchors"},
}


@pytest.mark.parametrize("name", LossWeights._fields)
def test_a_weight_of_zero_skips_the_computation(domains, name):
    module, data = make(domains, ALL_WEIGHTS._replace(**{name: 0.0}))
    losses, _ = losses_of(module, batch_of(module, data), adversarial=module.weights.adversarial > 0)
    assert set(losses) == ALL_TERMS - TERMS_OF[name]


def test_without_an_adversary_no_discriminator_is_asked(domains):
    module, data = make(domains, ALL_WEIGHTS._replace(adversarial=0.0), steps=4)
    for network in (module.discriminator_s, module.discriminator_o):
        network.forward = lambda *_: pytest.fail("judged")
    assert "train/discriminators" not in fit(module, data).callback_metrics


def test_without_a_split_latent_nothing_is_to_be_independent(domains):
    module, data = make(domains, split=0)
    losses, _ = losses_of(module, batch_of(module, data))
    assert set(losses) == ALL_TERMS - {"independence"}


def test_pairs_do_not_pull_on_the_split_latent(domains):
    module, data = make(domains, NO_WEIGHTS._replace(pairs=1.0))
    stir(module)
    losses, _ = losses_of(module, batch_of(module, data))
    losses["pairs_obs"][1].backward()
    assert module.translator.encoder_o.split_linear.weight.grad is None
    assert (module.translator.generator_o.split_linear.weight.grad != 0).any()


def test_of_fewer_stars_than_latents_nothing_is_asked(domains):
    module, data = make(domains)
    batch = batch_of(module, data)
    few = batch._replace(synth=batch.synth.rows(slice(3)), obs=batch.obs.rows(slice(3)))
    losses, _ = losses_of(module, few)
    assert set(losses) == ALL_TERMS - {"independence", "latent_cycle"}


def test_latents_come_back_by_better_reading_not_by_other_writing(domains):
    module, data = make(domains, NO_WEIGHTS._replace(latent_cycle=1.0))
    stir(module)
    losses, _ = losses_of(module, batch_of(module, data))
    losses["latent_cycle"][1].backward()
    t = module.translator
    assert all(parameter.grad is None for g in (t.generator_s, t.generator_o) for parameter in g.parameters())
    assert t.encoder_o.split_linear.weight.grad is None
    for encoder in (t.encoder_s, t.encoder_o):
        assert all((p.grad != 0).any() for name, p in encoder.named_parameters() if "split" not in name and p.numel())


def test_the_weight_of_pairs_falls_to_a_twentieth(domains):
    module, data = make(domains, steps=100)
    batch = batch_of(module, data)
    for name in ("pairs_synth", "pairs_obs"):
        weights = [losses_of(module, batch, step)[0][name][0] for step in (0, 50, 100)]
        assert weights == pytest.approx([1, 0.525, 0.05])


@pytest.mark.parametrize("adversarial", [0.0, 0.1])
def test_as_many_steps_as_batches(domains, adversarial):
    module, data = make(domains, ALL_WEIGHTS._replace(adversarial=adversarial), steps=5, epochs=2)
    trainer = fit(module, data, epochs=2)
    assert trainer.global_step == 10
    for optimizer, steps in zip(trainer.optimizers, (10 if adversarial else 0, 10), strict=True):
        assert {int(state["step"]) for state in optimizer.state.values()} == ({steps} if steps else set())


def test_the_learning_rate_falls_from_its_value_to_nothing_along_a_cosine(domains):
    assert [learning_rate_at(progress) for progress in (0, 0.25, 0.5, 1)] == pytest.approx(
        [1, 0.5 + math.sqrt(0.125), 0.5, 0]
    )
    rates = []

    class Rates(Callback):
        def on_train_batch_end(self, trainer, *_):
            rates.append([optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers])

    module, data = make(domains, steps=4)
    fit(module, data, Rates())
    assert rates[0] == [2e-3, 1e-3]
    assert rates[2] == pytest.approx([1e-3, 0.5e-3])
    assert 0 < rates[3][0] < rates[2][0]


def test_in_the_warm_up_both_domains_networks_are_one_and_nobody_judges(domains):
    alike, judged = [], []

    class Alike(Callback):
        def on_train_batch_end(self, trainer, module, *_):
            translator = module.translator
            alike.append(
                torch.equal(translator.encoder_s.shared_linear.weight, translator.encoder_o.shared_linear.weight)
            )
            judged.append(len(trainer.optimizers[0].state) > 0)

    module, data = make(domains, steps=6, warm_up=0.5)
    fit(module, data, Alike())
    assert alike == [True] * 3 + [False] * 3
    assert judged == [False] * 3 + [True] * 3


def test_training_closes_most_of_the_gap_that_the_mean_shift_leaves(domains, sky):
    weights = NO_WEIGHTS._replace(synth=1.0, obs=1.0, pairs=1.0, independence=1.0)
    module, data = make(domains, weights, steps=60, epochs=2, learning_rate=3e-3)
    scores = fit(module, data, epochs=2).callback_metrics
    shift = module.translator.space_o.mean - module.translator.space_s.mean
    controls = control_scores(sky.val_synth, sky.val_obs, shift, sky.truth)
    floor, shifted = controls["floor_synth_obs"], controls["shift_synth_obs"]
    assert (scores["x_synth_obs"] - floor) / (shifted - floor) < 0.25
    assert scores["x_obs_synth"] / controls["shift_obs_synth"] < 0.25


def test_a_loss_that_is_no_number_stops_the_run_and_names_step_and_term(domains, tmp_path):
    module, data = make(domains, ALL_WEIGHTS, steps=8, log_every=1)
    kept = LastCheckpoint(tmp_path / "last.ckpt", 1)

    class Poison(Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_index):
            if batch_index == 5:
                batch.obs.flux[3, 2] = math.nan

    with pytest.raises(TrainingDivergedError, match=r"step 5: the loss 'discriminators' became nan"):
        fit(module, data, Poison(), kept)
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 5
    assert all(tensor.isfinite().all() for tensor in checkpoint["state_dict"].values())
    fresh, _ = make(domains, seed=2)
    fresh.load_state_dict(checkpoint["state_dict"])


def test_the_first_bad_term_is_named_even_if_nothing_was_logged_since(domains, tmp_path):
    module, data = make(domains, ALL_WEIGHTS._replace(adversarial=0.0), steps=8, log_every=100)
    kept = LastCheckpoint(tmp_path / "last.ckpt", 4)

    class Poison(Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_index):
            if batch_index == 5:
                batch.synth.flux[3, 2] = math.inf

    with pytest.raises(TrainingDivergedError, match=r"step 5: the loss 'reconstruction_synth' became (inf|nan)"):
        fit(module, data, Poison(), kept)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 4


def test_a_checkpoint_holds_the_record_and_loads_safely(domains, tmp_path):
    module, data = make(domains, record={"medium": "vacuum", "matched": True, "wavelength": torch.arange(3.0)})
    kept = LastCheckpoint(tmp_path / "last.ckpt", 1)
    fit(module, data, kept)
    record = torch.load(tmp_path / "last.ckpt", weights_only=True)["record"]
    assert record["medium"] == "vacuum"
    assert record["wavelength"].tolist() == [0, 1, 2]


def test_a_logged_loss_is_the_mean_since_the_last_time(domains):
    def logged(log_every):
        values = []

        class Watch(Callback):
            def on_train_batch_end(self, trainer, *_):
                values.append(trainer.callback_metrics.get("train/cycle_obs", torch.tensor(0.0)).item())

        module, data = make(domains, steps=4, log_every=log_every)
        fit(module, data, Watch())
        return values

    assert logged(4)[-1] == pytest.approx(sum(logged(1)) / 4, rel=1e-5)

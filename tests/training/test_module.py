"""cyclegan/training/module.py: what each of the two updates touches, what a step counts, and what stops a run."""

import math

import pytest
import torch
from pytorch_lightning import Callback
from training_parts import ALL_WEIGHTS, fit, make

from cyclegan.domains.domains import Stars
from cyclegan.scores.scores import control_scores
from cyclegan.training.checkpoints import LastCheckpoint
from cyclegan.training.ending import Ending
from cyclegan.training.module import TrainingDivergedError
from cyclegan.training.schedule import learning_rate_at


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
    assert watch.changed == [{"discriminators"}, {"translator"}] * 4


def test_without_an_adversary_no_discriminator_is_asked(domains):
    module, data = make(domains, ALL_WEIGHTS | {"adversarial": 0.0}, steps=4)
    for network in module.discriminators.values():
        network.forward = lambda *_: pytest.fail("judged")
    assert "train/discriminators" not in fit(module, data).callback_metrics


@pytest.mark.parametrize("adversarial", [0.0, 0.1])
def test_as_many_steps_as_batches(domains, adversarial):
    module, data = make(domains, ALL_WEIGHTS | {"adversarial": adversarial}, steps=5, epochs=2)
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
    weights = {"synth": 1.0, "obs": 1.0, "pairs": 1.0, "independence": 1.0}
    module, data = make(domains, weights, steps=60, epochs=2, learning_rate=3e-3)
    scores = fit(module, data, epochs=2).callback_metrics
    shift = module.translator.space_o.mean - module.translator.space_s.mean
    made = {"shift": (sky.val_synth.flux + shift, sky.val_obs.flux - shift)}
    controls = control_scores(sky.val_synth, sky.val_obs, made, sky.truth)
    floor, shifted = controls["floor_synth_obs"], controls["shift_synth_obs"]
    assert (scores["x_synth_obs"] - floor) / (shifted - floor) < 0.25
    assert scores["x_obs_synth"] / controls["shift_obs_synth"] < 0.25


def test_a_loss_that_is_no_number_stops_the_run_and_names_step_and_term(domains, tmp_path):
    module, data = make(domains, ALL_WEIGHTS, steps=8, log_every=1)
    kept = LastCheckpoint(tmp_path / "last.ckpt", 1, Ending(requeue=False))

    class Poison(Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_index):
            if batch_index == 5:
                module.batches.stars.obs.flux[:, 2] = math.nan

    with pytest.raises(TrainingDivergedError, match=r"step 5: the loss 'discriminators' became nan"):
        fit(module, data, Poison(), kept)
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 5
    assert all(tensor.isfinite().all() for tensor in checkpoint["state_dict"].values())
    fresh, _ = make(domains, seed=2)
    fresh.load_state_dict(checkpoint["state_dict"])


def test_the_first_bad_term_is_named_even_if_nothing_was_logged_since(domains, tmp_path):
    module, data = make(domains, ALL_WEIGHTS | {"adversarial": 0.0}, steps=8, log_every=100)
    kept = LastCheckpoint(tmp_path / "last.ckpt", 4, Ending(requeue=False))

    class Poison(Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_index):
            if batch_index == 5:
                module.batches.stars.synth.flux[:, 2] = math.inf

    with pytest.raises(TrainingDivergedError, match=r"step 5: the loss 'reconstruction_synth' became (inf|nan)"):
        fit(module, data, Poison(), kept)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 4


def test_a_checkpoint_holds_the_record_and_loads_safely(domains, tmp_path):
    module, data = make(
        domains,
    )
    kept = LastCheckpoint(tmp_path / "last.ckpt", 1, Ending(requeue=False))
    fit(module, data, kept)
    record = torch.load(tmp_path / "last.ckpt", weights_only=True)["record"]
    assert record["medium"] == "vacuum"
    assert record["wavelength"].tolist() == [1, 2, 3]


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


def test_a_files_stars_are_projected_once(domains):
    module, data = make(domains)
    stars = data.stars(0)
    module.start_epoch(stars, 0)
    first = module.batches.stars
    module.start_epoch(stars, 1)  # as a file gives the same again
    assert module.batches.stars.synth.flux is first.synth.flux
    anew = Stars(stars.synth._replace(flux=stars.synth.flux.clone()), stars.obs)  # as an emulator makes others
    module.start_epoch(anew, 2)
    assert module.batches.stars.synth.flux is not first.synth.flux
    assert module.batches.stars.obs.flux is first.obs.flux


def test_stars_are_seen_as_their_space_projects_them(domains):
    module, data = make(domains)
    stars = data.stars(0)
    module.start_epoch(stars, 0)
    spaces = module.translator.space_s, module.translator.space_o
    for space, side, found in zip(spaces, stars, module.batches.stars, strict=True):
        torch.testing.assert_close(found.flux, space.project(side).flux)


def test_a_resumed_run_sees_its_stars_in_the_spaces_of_its_checkpoint(domains, tmp_path):
    """Which are another machine's, and it has projected its stars on its own by then."""
    module, data = make(domains)
    kept = LastCheckpoint(tmp_path / "last.ckpt", 1, Ending(requeue=False))
    with torch.no_grad():
        module.translator.space_s.mean.add_(0.1)
    fit(module, data, kept)
    resumed, _ = make(domains)
    resumed.start_epoch(data.stars(0), 0)
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    resumed.load_state_dict(checkpoint["state_dict"])
    resumed.on_load_checkpoint(checkpoint)
    resumed.start_epoch(data.stars(0), 0)
    for found, expected in zip(resumed.batches.stars, module.batches.stars, strict=True):
        assert torch.equal(found.flux, expected.flux)


def test_before_an_epoch_is_started_there_are_no_batches(domains):
    module, _ = make(domains)
    with pytest.raises(RuntimeError, match="no epoch has been started"):
        module.batches  # noqa: B018

"""The cycle-GAN: one LightningModule, two alternating updates by manual optimisation."""

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from cyclegan.domains.domains import Stars
from cyclegan.linear.maps import ridge_maps
from cyclegan.losses.adversarial import SIDES
from cyclegan.pairing.batch import PairedBatches, Partners
from cyclegan.pairing.pairing import Pairing
from cyclegan.scores.scores import SCORES, MatchedScores
from cyclegan.spectra.spaces import Space, projected_on
from cyclegan.spectra.spectra import Spectra
from cyclegan.trained.familiarity import Familiarity
from cyclegan.trained.record import Record
from cyclegan.training.data import Turn
from cyclegan.training.following import tell_epoch
from cyclegan.training.schedule import Schedule, learning_rate_at
from cyclegan.training.updates import Updates
from cyclegan.translator.ensemble import members_of
from cyclegan.translator.translator import Translator
from emulator.commands.ranks import ALONE, Ranks

SPLIT_SAMPLE = 1000  # training stars whose split latents a checkpoint holds


class TrainingDivergedError(RuntimeError):
    """A loss became NaN or infinite; the message names the step and the term."""


class CycleGAN(LightningModule):
    """Trains a translator and two discriminators on the stars that a loader yields, epoch by epoch.

    pairings: make partners of the stars of each epoch, one for each member where the networks are an ensemble's;
    weights: of the terms of the loss, by name; record: what a checkpoint stands on besides weights.
    """

    def __init__(
        self,
        translator: Translator,
        discriminators: tuple[nn.Module, nn.Module],
        pairings: Sequence[Pairing],
        weights: Mapping[str, float],
        schedule: Schedule,
        seed: int,
        record: Record,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.translator, self.pairings = translator, tuple(pairings)
        self.discriminators = nn.ModuleDict(dict(zip(SIDES, discriminators, strict=True)))
        self.schedule, self.seed, self.record = schedule, seed, record
        self.updates = Updates(self.translator, self.discriminators, weights, schedule)
        self.ranks: Ranks = ALONE
        self.scores = MatchedScores(record.matched)
        self.weight_of: dict[str, str] = {}  # the name of the weight of each part of the loss
        self._batches: PairedBatches | None = None
        self._coordinates: dict[str, tuple[weakref.ref[Tensor], Spectra]] = {}
        self._recent: list[tuple[int, dict[str, Tensor]]] = []
        self._latest: dict[str, Tensor] = {}  # as logged, with its epoch and step
        self._gradients: dict[str, Tensor] = {}
        # The translator along standard axes; in a tuple, or it would be trained and saved with the module's own parts.
        self._scored: tuple[Translator, ...] = ()

    @property
    def pairing(self) -> Pairing:
        """That of the first member."""
        return self.pairings[0]

    @property
    def as_one(self) -> Translator:
        """The translator, in evaluation; of an ensemble, what its members make together."""
        if len(self.pairings) == 1:
            return self.translator
        return self.translator.turned({part: axes for part, axes in self.record.axes.items() if part == "split"})

    @property
    def as_model(self) -> Translator:
        """The same along the axes on which it is scored."""
        return self.translator.turned(self.record.axes)

    def on_train_batch_start(self, turn: Turn, batch_index: int) -> None:
        """Start an epoch where a turn brings its stars."""
        if turn.stars is not None:
            self.start_epoch(turn.stars, turn.epoch)

    @property
    def batches(self) -> PairedBatches:
        """The batches of this epoch."""
        if self._batches is None:
            raise RuntimeError("no epoch has been started")
        return self._batches

    def start_epoch(self, stars: Stars, epoch: int) -> None:
        """Pair the stars of an epoch, spectra (N, P) and (M, P), and lay out its batches."""
        self.record.kept_step = None  # a run that goes on leaves behind what it had kept
        t, schedule = self.translator, self.schedule
        seen = self.seen(stars)
        alike = self.pairing.alike(stars, seen)
        met = self.pairing.met(stars, epoch)
        for pairing in self.pairings:
            pairing.synth_met, pairing.obs_met = met
        judges = members_of(self.discriminators["obs"])
        pairs = [
            pairing.pair(member, judge, seen, alike, epoch)
            for pairing, member, judge in zip(self.pairings, t.each(), judges, strict=True)
        ]
        anchors = None
        if self.pairing.anchors is not None:
            anchors = Partners(*map(projected_on, (t.space_s, t.space_o), self.pairing.anchors))
        seed = self.seed * 10**6 + epoch
        self._batches = PairedBatches(seen, pairs, schedule.batch_size, schedule.epoch_steps, seed, anchors, self.ranks)
        tell_epoch(self.ranks, self.updates, seen, pairs, seed, anchors)

    def seen(self, stars: Stars) -> Stars:
        """Coordinates of training spectra (N, P), (M, P), as the networks see them."""
        t = self.translator
        return Stars(self._seen("synth", t.space_s, stars.synth), self._seen("obs", t.space_o, stars.obs))

    def _seen(self, side: str, space: Space, spectra: Spectra) -> Spectra:
        """Coordinates of a domain's stars; those of a file are the same in every epoch."""
        known = self._coordinates.get(side)
        if known is None or known[0]() is not spectra.flux:
            known = self._coordinates[side] = weakref.ref(spectra.flux), projected_on(space, spectra)
        return known[1]

    def training_step(self, turn: Turn, batch_index: int) -> None:
        """Two updates on one batch: of the discriminators, then of encoders and generators."""
        step = self.global_step
        self._set_learning_rates(step)
        self.ranks.work_on(turn.step, step)
        made = self.updates.make(self.batches, turn.step, step, self._update)
        if made.norms:
            self._gradients = made.norms
        self.weight_of |= made.of
        self._recent.append((step, made.parts))
        if (step + 1) % self.schedule.log_every == 0:
            self._log_recent(step)

    def _update(self, network: nn.Module, loss: Tensor) -> None:
        """A step of the optimiser of a network down the gradient of a loss, of which this process may have a part."""
        judges = network is self.discriminators
        optimizer = self._both_optimizers()[0 if judges else 1]
        optimizer.zero_grad()
        self.manual_backward(loss)
        self.ranks.collect(network.parameters())
        if judges:
            count_no_step(optimizer)
        optimizer.step()
        self.ranks.spread(network.parameters())

    def _both_optimizers(self) -> list[LightningOptimizer]:
        optimizers = self.optimizers()
        assert isinstance(optimizers, list)
        return optimizers

    def _set_learning_rates(self, step: int) -> None:
        rates = self.schedule.discriminator_learning_rate, self.schedule.learning_rate
        for optimizer, rate in zip(self._both_optimizers(), rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * learning_rate_at(step / self.schedule.steps)

    def _log_recent(self, step: int) -> None:
        """Log the mean of each term since the last time.

        Losses stay on the device until here: asking for their values at every step would make it wait.
        """
        self._check_finite()
        sums: dict[str, list[Tensor]] = {}
        for _, terms in self._recent:
            for name, term in terms.items():
                sums.setdefault(name, []).append(term)
        self._latest = {name: torch.stack(values).mean() for name, values in sums.items()}
        self._latest |= {"epoch": torch.tensor(self.current_epoch), "step": torch.tensor(step)}
        self.log_dict({name: value for name, value in self._latest.items() if name in sums})
        self._recent.clear()

    def _check_finite(self) -> None:
        losses = [(step, name, term) for step, terms in self._recent for name, term in terms.items()]
        if losses and not torch.stack([term for *_, term in losses]).isfinite().all():
            step, name, term = next(loss for loss in losses if not loss[2].isfinite())
            raise TrainingDivergedError(f"step {step}: the loss '{name.removeprefix('train/')}' became {term.item()}")

    def on_validation_epoch_start(self) -> None:
        """Find the standard axes along which latents are scored, and what training stars' latents are."""
        self.describe(self.batches.stars)

    @torch.no_grad()
    def describe(self, stars: Stars) -> None:
        """Put into the record what later users need to know of training stars, coordinates (N, K) and (M, K)."""
        axes = self.translator.find_axes(stars.synth.flux, stars.obs.flux)
        self._scored = (self.translator.turned(axes),)
        self.record.axes = {part: (centre.cpu(), turn.cpu()) for part, (centre, turn) in axes.items()}
        # Whoever translates without observed stars at hand needs to know what split latents there are.
        observed = stars.obs.flux
        _, split = self._scored[0].encoder_o(observed[:: -(-len(observed) // SPLIT_SAMPLE)])
        self.record.split = split.cpu()
        # And whoever has a star needs to know whether others like it were in training.
        found = {side: Familiarity.of(self._scored[0], side, getattr(stars, side)) for side in SIDES}
        self.record.familiar = {side: one.to_plain() for side, one in found.items() if one is not None}
        pairs = [one.pairs for one in self.pairings if one.pairs is not None]
        if self.record.controls and pairs:
            together = map(torch.cat, zip(*pairs, strict=True))
            partners = (side.flux[rows.to(side.flux.device)] for side, rows in zip(stars, together, strict=True))
            self.record.controls["ridge"] = ridge_maps(*partners).to_plain()

    def validation_step(self, batch: Stars, batch_index: int) -> None:
        """Add a batch of stars to the scores."""
        self.scores.update(self._scored[0], batch.synth, batch.obs)

    def on_validation_epoch_end(self) -> None:
        """Log the scores."""
        scores = {name: value.float() for name, value in self.scores.compute().items()}
        self.scores.reset()
        self.log_dict({name: scores.pop(name) for name in SCORES if name in scores}, prog_bar=True)
        self.log_dict(scores)
        self.log_dict({f"gradient/{name}": norm for name, norm in self._gradients.items()})

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the record and the state of the pairing into a checkpoint; TrainingDivergedError for lost weights."""
        self._check_finite()  # a checkpoint of lost weights must not take the place of a good one
        checkpoint["record"], checkpoint["pairing"] = self.record.to_plain(), self.pairing.state_dict()
        # Lightning writes a row of metrics after the checkpoint of its step: a run that goes on from there has to.
        checkpoint["recent"] = self._recent
        checkpoint["latest"] = {name: value.item() for name, value in self._latest.items()}
        checkpoint["other_pairings"] = [pairing.state_dict() for pairing in self.pairings[1:]]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the record and the state of the pairing from a checkpoint."""
        kept = Record.from_plain(checkpoint["record"], "the checkpoint")
        self.record.axes, self.record.split, self.record.familiar = kept.axes, kept.split, kept.familiar
        self.record.controls, self.record.kept_step = kept.controls, kept.kept_step
        states = [checkpoint["pairing"], *checkpoint.get("other_pairings", ())]
        for pairing, state in zip(self.pairings, states, strict=True):
            pairing.load_state_dict(state)
        self._recent = list(checkpoint.get("recent", ()))
        self._coordinates.clear()  # the checkpoint's spaces may be another machine's

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam for the discriminators, and Adam with decoupled decay for encoders and generators."""
        schedule = self.schedule
        return [
            torch.optim.Adam(
                self.discriminators.parameters(), schedule.discriminator_learning_rate, (0.5, 0.9), fused=True
            ),
            torch.optim.AdamW(
                self.translator.parameters(),
                schedule.learning_rate,
                (0.9, 0.99),
                weight_decay=schedule.weight_decay,
                fused=True,
            ),
        ]


def count_no_step(optimizer: LightningOptimizer) -> None:
    """Keep this optimiser's steps out of trainer.global_step, which shall count batches.

    Lightning counts every step of every optimiser (its issue 17958) by a hook that it sets anew before each batch.
    """
    optimizer._on_before_step = optimizer._on_after_step = lambda: None

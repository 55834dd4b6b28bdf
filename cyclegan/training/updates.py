"""The two updates that a batch leads to, as every process of a run works them out of its share of the stars."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cyclegan.losses.adversarial import exhibits, judgements
from cyclegan.losses.terms import Moment, Weighted, total, weighted_terms
from cyclegan.pairing.batch import PairedBatches, TrainingBatch
from cyclegan.pairing.share import Share
from cyclegan.training.schedule import Schedule
from cyclegan.translator.translator import Translator


class Made(NamedTuple):
    """What two updates were made of, for the first process; others have their parts of it.

    parts: of the loss and beside it, scalars by name as they are logged; of: the names of their weights; norms: of the
    gradients of the parts, after an epoch's last batch.
    """

    parts: dict[str, Tensor]
    of: dict[str, str]
    norms: dict[str, Tensor]


class Updates:
    """The two updates; weights: of the terms of the loss, by name."""

    def __init__(
        self, translator: Translator, discriminators: nn.ModuleDict, weights: Mapping[str, float], schedule: Schedule
    ) -> None:
        self.translator, self.discriminators = translator, discriminators
        self.weights, self.schedule = weights, schedule

    def make(
        self,
        batches: Sequence[TrainingBatch] | PairedBatches,
        number: int,
        step: int,
        update: Callable[[nn.Module, Tensor], None],
    ) -> Made:
        """Make them on a batch of an epoch, by its number, after `step` steps of the run.

        update: takes a step of a network down the gradient of a loss.
        """
        batch, warm = batches[number], step < self.schedule.warm_up_steps
        share = batch.share

        # The discriminators learn to tell translated from real spectra.
        crossing = self.translator.cross(batch.synth.flux, batch.obs.flux)
        shown, parts = None, {}
        if self.weights.get("adversarial") and not warm:
            shown = exhibits(self.translator, batch, crossing, step)
            judged = judgements(self.discriminators, shown)
            loss = share.of_stars(torch.stack([one.loss() for one in judged.values()]).sum())
            parts["train/discriminators"] = loss
            parts |= {f"right/{side}": share.of_stars(one.share_right()) for side, one in judged.items()}
            update(self.discriminators, loss)

        # Encoders and generators learn to translate.
        moment = Moment(batch, crossing, self.translator, self.discriminators, shown, step / self.schedule.steps)
        terms = weighted_terms(self.weights, moment)
        norms = self.gradient_norms(terms, share) if number == self.schedule.epoch_steps - 1 else {}
        update(self.translator, total(terms))
        if warm:
            self.translator.tie()

        parts |= {f"train/{name}": one.part for name, one in terms.items()}
        return Made(share.added_up(parts), {name: one.of for name, one in terms.items()}, norms)

    def gradient_norms(self, terms: Mapping[str, Weighted], share: Share) -> dict[str, Tensor]:
        """The norm of the gradient of each weighted part in the translator's parameters: what moves the networks."""
        parameters = list(self.translator.parameters())
        norms = {}
        for name, one in terms.items():
            gradients = torch.autograd.grad(one.weight * one.part, parameters, retain_graph=True, allow_unused=True)
            together = torch.cat([gradient.flatten() for gradient in gradients if gradient is not None])
            norms[name] = share.ranks.total(together).norm()
        return norms

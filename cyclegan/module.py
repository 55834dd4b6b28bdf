"""The cycle-GAN: one LightningModule, two alternating updates by manual optimisation."""

import math
from typing import NamedTuple

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from cyclegan.alignment import sliced_wasserstein
from cyclegan.data import Batch
from cyclegan.losses import GAN_LOSSES, covariance, distance
from cyclegan.scores import SCORES, MatchedScores
from cyclegan.spectra import Spectra
from cyclegan.translator import Crossing, Translator

SLICES = 64  # random directions of the sliced Wasserstein distance, drawn anew each step
LAST_PAIR_WEIGHT = 0.05  # of the weight of pairs that is left at the end: other terms have the last word


class TrainingDivergedError(RuntimeError):
    """A loss became NaN or infinite; the message names the step and the term."""


class LossWeights(NamedTuple):
    """Weights of the terms of the encoder-generator update. A weight of 0 skips the computation.

    synth, obs: reconstruction and cycle of each domain; adversarial; pairs: translations towards their partners;
    pair_latents: shared latents of partners towards each other; sliced_wasserstein: translated batches towards the
    other domain's; independence: split latents uncorrelated with shared ones.
    """

    synth: float
    obs: float
    adversarial: float
    pairs: float
    pair_latents: float
    sliced_wasserstein: float
    independence: float


class CycleGAN(LightningModule):
    """Trains a translator and two discriminators.

    gan: a key of GAN_LOSSES; real: what discriminators are shown as real, the 'spectrum' or its 'reconstruction'
    (noise gives spectra away, so the default experiments show reconstructions); steps: of the whole run, over which
    learning rates fall to nothing along a cosine; warm_up: the share of them in which both domains' networks are one
    and nobody judges; record: tensors and plain types that a checkpoint must hold so that it stands alone.
    """

    def __init__(
        self,
        translator: Translator,
        discriminators: tuple[nn.Module, nn.Module],
        weights: LossWeights,
        gan: str,
        real: str,
        steps: int,
        warm_up: float,
        learning_rate: float,
        discriminator_learning_rate: float,
        log_every: int,
        record: dict,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.translator = translator
        self.discriminator_s, self.discriminator_o = discriminators
        self.weights, self.judge, self.real = weights, GAN_LOSSES[gan], real
        self.steps, self.warm_up_steps = steps, round(warm_up * steps)
        self.learning_rates = (discriminator_learning_rate, learning_rate)
        self.log_every = log_every
        self.scores = MatchedScores()
        self.record = record
        self._recent: list[tuple[int, dict[str, Tensor]]] = []

    def training_step(self, batch: Batch, batch_index: int) -> None:
        discriminator_optimizer, translator_optimizer = self.optimizers()
        step = self.global_step
        warm = step < self.warm_up_steps
        adversarial = self.weights.adversarial > 0 and not warm
        for optimizer, rate in zip((discriminator_optimizer, translator_optimizer), self.learning_rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * learning_rate_at(step / self.steps)

        crossing = self.translator.cross(batch.synth.flux, batch.obs.flux)
        terms = {}
        if adversarial:
            terms["discriminators"] = self.discriminator_loss(batch, crossing)
            discriminator_optimizer.zero_grad()
            self.manual_backward(terms["discriminators"])
            count_no_step(discriminator_optimizer)
            discriminator_optimizer.step()

        weighted = self.translator_losses(batch, crossing, step, adversarial)
        translator_optimizer.zero_grad()
        self.manual_backward(sum(weight * term for weight, term in weighted.values()))
        translator_optimizer.step()
        if warm:
            self.translator.tie()
        terms |= {name: term for name, (_, term) in weighted.items()}
        self._recent.append((step, {name: term.detach() for name, term in terms.items()}))
        if (step + 1) % self.log_every == 0:
            self._log_recent()

    def _log_recent(self) -> None:
        """Log the mean of each term since the last time.

        Losses stay on the device until here: asking for their values at every step would make it wait.
        """
        self._check_finite()
        sums: dict[str, list[Tensor]] = {}
        for _, terms in self._recent:
            for name, term in terms.items():
                sums.setdefault(name, []).append(term)
        self.log_dict({f"train/{name}": torch.stack(values).mean() for name, values in sums.items()})
        self._recent.clear()

    def _check_finite(self) -> None:
        losses = [(step, name, term) for step, terms in self._recent for name, term in terms.items()]
        if losses and not torch.stack([term for *_, term in losses]).isfinite().all():
            step, name, term = next(loss for loss in losses if not loss[2].isfinite())
            raise TrainingDivergedError(f"step {step}: the loss '{name}' became {term.item()}")

    def discriminator_loss(self, batch: Batch, crossing: Crossing) -> Tensor:
        """D_s: real (x_s, z_s), fake (os, z_o); D_o: real (x_o, [z_o, split_o]), fake (so, [z_s, split_so])."""
        real_s, real_o = (
            (crossing.ss, crossing.oo) if self.real == "reconstruction" else (batch.synth.flux, batch.obs.flux)
        )
        judged = {
            (True, self.discriminator_s): (real_s, crossing.z_s),
            (False, self.discriminator_s): (crossing.os, crossing.z_o),
            (True, self.discriminator_o): (real_o, torch.cat([crossing.z_o, crossing.split_o], dim=1)),
            (False, self.discriminator_o): (crossing.so, torch.cat([crossing.z_s, crossing.split_so], dim=1)),
        }
        return sum(
            self.judge(discriminator(spectrum.detach(), latents.detach()), real)
            for (real, discriminator), (spectrum, latents) in judged.items()
        )

    def translator_losses(
        self, batch: Batch, crossing: Crossing, step: int, adversarial: bool
    ) -> dict[str, tuple[float, Tensor]]:
        """Every term with its weight at this step; those of weight 0 are not computed."""
        (x_s, x_o), c, w = batch, crossing, self.weights
        losses = {}
        if w.synth:
            losses["reconstruction_synth"] = w.synth, distance(c.ss, x_s)
            losses["cycle_synth"] = w.synth, distance(c.sos, x_s)
        if w.obs:
            losses["reconstruction_obs"] = w.obs, distance(c.oo, x_o)
            losses["cycle_obs"] = w.obs, distance(c.oso, x_o)
        if adversarial:
            for discriminator in (self.discriminator_s, self.discriminator_o):
                discriminator.requires_grad_(False)
            fake_o = self.discriminator_o(c.so, torch.cat([c.z_s, c.split_so], dim=1))
            losses["adversarial_synth"] = w.adversarial, self.judge(self.discriminator_s(c.os, c.z_o), True)
            losses["adversarial_obs"] = w.adversarial, self.judge(fake_o, True)
            for discriminator in (self.discriminator_s, self.discriminator_o):
                discriminator.requires_grad_(True)
        fading = 1 - (1 - LAST_PAIR_WEIGHT) * step / self.steps
        if w.pairs:
            # The partner's split latent is not to be changed so that the pair agrees.
            so = self.translator.generator_o(c.z_s, c.split_o.detach())
            losses["pairs_synth"] = w.pairs * fading, distance(c.os, x_s)
            losses["pairs_obs"] = w.pairs * fading, distance(so, x_o)
        if w.pair_latents:
            losses["pair_latents"] = w.pair_latents * fading, (c.z_s - c.z_o).square().mean()
        if w.sliced_wasserstein:
            losses["sliced_wasserstein"] = w.sliced_wasserstein, self._wasserstein(x_s, x_o, c, step)
        if w.independence and c.split_o.shape[1]:
            losses["independence"] = w.independence, covariance(c.z_o, c.split_o)
        return losses

    def _wasserstein(self, x_s: Spectra, x_o: Spectra, c: Crossing, step: int) -> Tensor:
        generator = torch.Generator().manual_seed(step)  # nothing to remember when a run is resumed
        scale = self.translator.generator_o.scale
        real_s, real_o = (c.ss.detach(), c.oo.detach()) if self.real == "reconstruction" else (x_s.flux, x_o.flux)
        return (
            sliced_wasserstein(c.so / scale, real_o / scale, SLICES, generator)
            + sliced_wasserstein(c.os / scale, real_s / scale, SLICES, generator)
            + sliced_wasserstein(c.z_s, c.z_o, SLICES, generator)
        )

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        self.scores.update(self.translator, *batch)

    def on_validation_epoch_end(self) -> None:
        scores = {name: value.float() for name, value in self.scores.compute().items()}
        self.scores.reset()
        self.log_dict({name: scores.pop(name) for name in SCORES}, prog_bar=True)
        self.log_dict(scores)

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        self._check_finite()  # a checkpoint of lost weights must not take the place of a good one
        checkpoint["record"] = self.record

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        judges = [*self.discriminator_s.parameters(), *self.discriminator_o.parameters()]
        return [
            torch.optim.Adam(judges, lr=self.learning_rates[0], betas=(0.5, 0.9), fused=True),
            torch.optim.Adam(self.translator.parameters(), lr=self.learning_rates[1], betas=(0.9, 0.99), fused=True),
        ]


def count_no_step(optimizer: LightningOptimizer) -> None:
    """Keep this optimiser's steps out of trainer.global_step, which shall count batches.

    Lightning counts every step of every optimiser (its issue 17958) by a hook that it sets anew before each batch.
    """
    optimizer._on_before_step = optimizer._on_after_step = lambda: None


def learning_rate_at(progress: float) -> float:
    """The factor on learning rates at `progress` (0 to 1) through a run: a cosine from 1 to 0."""
    return 0.5 * (1 + math.cos(math.pi * progress))

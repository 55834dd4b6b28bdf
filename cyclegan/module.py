"""The cycle-GAN: one LightningModule, two alternating updates by manual optimisation."""

import math
from typing import NamedTuple

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from cyclegan.data import Batch, TrainingBatch
from cyclegan.losses import distance, explained, judge, latent_distance
from cyclegan.scores import SCORES, MatchedScores
from cyclegan.translator import Crossing, Translator

SPLIT_SAMPLE = 1000  # training stars whose split latents a checkpoint holds
FEW_ANCHORS = 10  # n anchors weigh n / (n + this): with all of the weight, a single star's noise would be learnt too
LAST_PAIR_WEIGHT = 0.05  # of the weight of pairs that is left at the end: other terms have the last word


class TrainingDivergedError(RuntimeError):
    """A loss became NaN or infinite; the message names the step and the term."""


class LossWeights(NamedTuple):
    """Weights of the terms of the encoder-generator update. A weight of 0 skips the computation.

    synth, obs: reconstruction and cycle of each domain; adversarial; pairs: translations towards their partners;
    independence: split latents that shared ones cannot tell; latent_cycle: shared latents of translations towards those
    that they were made of; anchors: translations of stars known in both domains towards what is known of them.
    """

    synth: float
    obs: float
    adversarial: float
    pairs: float
    independence: float
    latent_cycle: float
    anchors: float


class Exhibits(NamedTuple):
    """What the discriminators of the two domains are shown as real and as fake, coordinates (B, K)."""

    real_s: Tensor
    real_o: Tensor
    fake_s: Tensor
    fake_o: Tensor


class CycleGAN(LightningModule):
    """Trains a translator and two discriminators.

    steps: of the whole run, over which learning rates fall to nothing along a cosine; warm_up: the share of them in
    which both domains' networks are one and nobody judges; record: tensors and plain types that a checkpoint must hold
    so that it stands alone.
    """

    def __init__(
        self,
        translator: Translator,
        discriminators: tuple[nn.Module, nn.Module],
        weights: LossWeights,
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
        self.weights = weights
        self.steps, self.warm_up_steps = steps, round(warm_up * steps)
        self.learning_rates = (discriminator_learning_rate, learning_rate)
        self.log_every = log_every
        self.scores = MatchedScores(record["matched"])
        self.record = record
        self._recent: list[tuple[int, dict[str, Tensor]]] = []
        self._gradients: dict[str, Tensor] = {}
        # The translator along standard axes; in a tuple, or it would be trained and saved with the module's own parts.
        self._scored: tuple[Translator, ...] = ()

    def training_step(self, batch: TrainingBatch, batch_index: int) -> None:
        discriminator_optimizer, translator_optimizer = self.optimizers()
        step = self.global_step
        warm = step < self.warm_up_steps
        adversarial = self.weights.adversarial > 0 and not warm
        for optimizer, rate in zip((discriminator_optimizer, translator_optimizer), self.learning_rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * learning_rate_at(step / self.steps)

        crossing = self.translator.cross(batch.synth.flux, batch.obs.flux)
        exhibits = self.exhibits(batch, crossing, step) if adversarial else None
        terms, right = {}, {}
        if adversarial:
            judged = self.judgements(exhibits, crossing)
            terms["discriminators"], right = self.discriminator_loss(judged), self.share_right(judged)
            discriminator_optimizer.zero_grad()
            self.manual_backward(terms["discriminators"])
            count_no_step(discriminator_optimizer)
            discriminator_optimizer.step()

        weighted = self.translator_losses(batch, crossing, exhibits, step, adversarial)
        if batch_index == self.trainer.num_training_batches - 1:
            self._gradients = self.gradient_norms(weighted)
        translator_optimizer.zero_grad()
        self.manual_backward(sum(weight * term for weight, term in weighted.values()))
        translator_optimizer.step()
        if warm:
            self.translator.tie()
        terms |= {name: term for name, (_, term) in weighted.items()}
        terms = {f"train/{name}": term.detach() for name, term in terms.items()}
        self._recent.append((step, terms | {f"right/{side}": share for side, share in right.items()}))
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
        self.log_dict({name: torch.stack(values).mean() for name, values in sums.items()})
        self._recent.clear()

    def _check_finite(self) -> None:
        losses = [(step, name, term) for step, terms in self._recent for name, term in terms.items()]
        if losses and not torch.stack([term for *_, term in losses]).isfinite().all():
            step, name, term = next(loss for loss in losses if not loss[2].isfinite())
            raise TrainingDivergedError(f"step {step}: the loss '{name.removeprefix('train/')}' became {term.item()}")

    def exhibits(self, batch: TrainingBatch, crossing: Crossing, step: int) -> Exhibits:
        """What the discriminators are shown. Neither noise nor masks must tell real from fake: translated spectra get
        the noise that the observed spectra's errors state, and their masks.
        """
        c = crossing
        generator = torch.Generator(c.so.device).manual_seed(step)  # nothing to remember when a run is resumed
        noise = torch.randn(c.so.shape, generator=generator, device=c.so.device)
        noisy = c.so + noise * self.translator.space_o.noise(batch.obs)
        fakes = [torch.where(x.mask, fake, 0.0) for x, fake in ((batch.synth, c.os), (batch.obs, noisy))]
        return Exhibits(batch.synth.flux, batch.obs.flux, *fakes)

    def judgements(self, exhibits: Exhibits, crossing: Crossing) -> dict[tuple[str, bool], Tensor]:
        """Logits (B, 1) by domain and whether what was judged is real.

        D_s: real (x_s, z_s), fake (os, z_o); D_o: real (x_o, [z_o, split_o]), fake (so, [z_s, split_so]).
        """
        judged = {
            ("synth", True): (exhibits.real_s, crossing.z_s),
            ("synth", False): (exhibits.fake_s, crossing.z_o),
            ("obs", True): (exhibits.real_o, torch.cat([crossing.z_o, crossing.split_o], dim=1)),
            ("obs", False): (exhibits.fake_o, torch.cat([crossing.z_s, crossing.split_so], dim=1)),
        }
        judges = {"synth": self.discriminator_s, "obs": self.discriminator_o}
        return {
            (side, real): judges[side](spectrum.detach(), latents.detach())
            for (side, real), (spectrum, latents) in judged.items()
        }

    def discriminator_loss(self, judged: dict[tuple[str, bool], Tensor]) -> Tensor:
        return sum(judge(logits, real) for (_, real), logits in judged.items())

    def share_right(self, judged: dict[tuple[str, bool], Tensor]) -> dict[str, Tensor]:
        """Of what the discriminator of each domain is shown, the share that it takes for what it is, a scalar."""
        right = {key: ((logits > 0) == key[1]).float().mean() for key, logits in judged.items()}
        return {side: (right[side, True] + right[side, False]) / 2 for side in ("synth", "obs")}

    def gradient_norms(self, weighted: dict[str, tuple[float, Tensor]]) -> dict[str, Tensor]:
        """The norm of the gradient of each weighted term in the translator's parameters: what moves the networks."""
        parameters = list(self.translator.parameters())
        norms = {}
        for name, (weight, term) in weighted.items():
            gradients = torch.autograd.grad(weight * term, parameters, retain_graph=True, allow_unused=True)
            norms[name] = torch.stack([g.detach().norm() for g in gradients if g is not None]).norm()
        return norms

    def translator_losses(
        self, batch: TrainingBatch, crossing: Crossing, exhibits: Exhibits | None, step: int, adversarial: bool
    ) -> dict[str, tuple[float, Tensor]]:
        """Every term with its weight at this step; those of weight 0 are not computed."""
        (x_s, x_o, anchors), c, w = batch, crossing, self.weights
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
            judged_s = self.discriminator_s(exhibits.fake_s, c.z_o)
            judged_o = self.discriminator_o(exhibits.fake_o, torch.cat([c.z_s, c.split_so], dim=1))
            losses["adversarial_synth"] = w.adversarial, judge(judged_s, True)
            losses["adversarial_obs"] = w.adversarial, judge(judged_o, True)
            for discriminator in (self.discriminator_s, self.discriminator_o):
                discriminator.requires_grad_(True)
        fading = 1 - (1 - LAST_PAIR_WEIGHT) * step / self.steps
        if w.pairs:
            # The partner's split latent is not to be changed so that the pair agrees.
            so = self.translator.generator_o(c.z_s, c.split_o.detach())
            losses["pairs_synth"] = w.pairs * fading, distance(c.os, x_s)
            losses["pairs_obs"] = w.pairs * fading, distance(so, x_o)
        # Stars for the covariance of the latents, of which conv networks have more than a batch has stars.
        enough = len(c.z_o) > c.z_o.shape[1]
        if w.independence and enough and c.split_o.shape[1]:
            losses["independence"] = w.independence, explained(c.z_o, c.split_o)
        if w.latent_cycle and enough:
            # For the encoders alone. Generators would learn to write for them; and split latents read again from what
            # they wrote would come to hold what is shared.
            z_so, _ = self.translator.encoder_o(c.so.detach())
            z_os = self.translator.encode_synth(c.os.detach())
            losses["latent_cycle"] = w.latent_cycle, latent_distance(z_so, c.z_s) + latent_distance(z_os, c.z_o)
        if w.anchors and anchors is not None:
            stars = len(anchors.synth.flux)
            losses["anchors"] = w.anchors * stars / (stars + FEW_ANCHORS), self._anchored(anchors)
        return losses

    def _anchored(self, anchors: Batch) -> Tensor:
        """How far the translations of stars known in both domains are from what is known of them."""
        t, (x_s, x_o) = self.translator, anchors
        z_o, split_o = t.encoder_o(x_o.flux)
        so, os = t.generator_o(t.encode_synth(x_s.flux), split_o), t.generate_synth(z_o)
        return distance(so, x_o) + distance(os, x_s)

    def on_validation_epoch_start(self) -> None:
        synth, obs = (side.flux for side in self.trainer.train_dataloader.stars)
        axes = self.translator.find_axes(synth, obs)
        self._scored = (self.translator.turned(axes),)
        self.record["axes"] = {part: tuple(tensor.cpu() for tensor in pair) for part, pair in axes.items()}

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        self.scores.update(self._scored[0], batch.synth, batch.obs)

    def on_validation_epoch_end(self) -> None:
        scores = {name: value.float() for name, value in self.scores.compute().items()}
        self.scores.reset()
        self.log_dict({name: scores.pop(name) for name in SCORES if name in scores}, prog_bar=True)
        self.log_dict(scores)
        self.log_dict({f"gradient/{name}": norm for name, norm in self._gradients.items()})
        # Whoever translates without observed stars at hand needs to know what split latents there are.
        stars = self.trainer.train_dataloader.stars.obs.flux
        _, split = self._scored[0].encoder_o(stars[:: -(-len(stars) // SPLIT_SAMPLE)])
        self.record["split"] = split.cpu()

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        self._check_finite()  # a checkpoint of lost weights must not take the place of a good one
        checkpoint["record"] = self.record

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        self.record |= {name: checkpoint["record"][name] for name in ("split", "axes") if name in checkpoint["record"]}

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

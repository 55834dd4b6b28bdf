"""Is the training healthy? What can be told of it without matched stars, and what is wrong with it in plain words.

Losses look well while the two domains lose each other. So after every epoch the translator is looked at from outside
(`signals`), and all that was logged so far is gone through for known faults (`find_faults`).
"""

import logging
from collections.abc import Iterator
from math import fsum, inf, nan
from typing import NamedTuple

import torch
from pytorch_lightning import Callback, Trainer
from torch import Tensor

from cyclegan.alignment import sliced_wasserstein
from cyclegan.data import projected_on
from cyclegan.losses import distance, judge
from cyclegan.module import CycleGAN
from cyclegan.separation import quick_auc
from cyclegan.spectra import Spectra
from cyclegan.translator import Translator

log = logging.getLogger(__name__)

# Those that followed the scores of matched stars best come first (docs/health.md).
SIGNALS = ("agreement", "cycle_noise", "wasserstein", "auc_obs", "auc_synth", "auc_latents")
PATIENCE = 3  # epochs that something must last
ALWAYS, NEVER = 0.95, 0.52  # of a discriminator's judgements are right: nearly all; as many as by guessing
TOLD_APART = 0.7  # a classifier's AUC: translated and real spectra differ plainly
STUCK, VANISHED = 3.0, 0.1  # times the adversarial loss of an undecided discriminator
DEAD = 0.02  # of the median variable's spread
TOLD = 0.02  # of the noise: sound runs have up to 0.003, one that was a tenth worse with other split latents 0.04
TOLD_SHARE = 0.25  # of all that split latents do: of a strong effect of their own, chance tells more than TOLD
WORSE = 1.1  # times the best score so far
TOO_MUCH, TOO_LITTLE = 0.95, 1e-5  # of the summed norms of the gradients of all terms
SLICES = 256  # random directions of the sliced Wasserstein distance
SIGNAL_SEED = 4 * 10**12  # of the noise that translations get: the same after every epoch, so that epochs compare


@torch.no_grad()
def signals(translator: Translator, synth: Spectra, obs: Spectra) -> dict[str, float]:
    """What tells a good translation without knowing which stars are the same; and the weakest latent variable.

    synth (N, P), obs (N, P): as many stars of each, which need not be the same. They are compared in the translator's
    spaces.

    auc_obs, auc_synth, auc_latents: of classifiers that tell translated from real spectra of either domain, and the
    shared latents of one from the other's, 0.5 where they cannot; cycle_noise: mean squared distance of
    synthetic spectra from what is left of them when they are translated, given the noise of an observed star, and
    translated back, in units of that noise; wasserstein: the squared sliced distance of translated from observed
    spectra, likewise; agreement: each synthetic star's translation has a nearest observed star, and the translation of
    that one a nearest synthetic star: the share of stars that are met again. weakest_latent: the smallest spread of a
    shared variable beside the median one's. split_told: mean squared difference that it makes to translations, in units
    of the noise, whether split latents are the mean one or what shared latents tell of them by linear regression; the
    square is the product of two halves' of the observed stars, so that what chance tells has a mean of zero.
    split_effect: the same for the split latents of observed stars themselves.
    """
    generator = torch.Generator().manual_seed(SIGNAL_SEED)
    obs = projected_on(translator.space_o, obs)
    x_s, x_o = projected_on(translator.space_s, synth).flux, obs.flux
    level = translator.space_o.noise(obs).expand_as(x_o)
    noise = level * torch.randn(x_o.shape, generator=generator).to(x_o)
    unit = level.square().mean().clamp_min(1e-24)
    z_s, (z_o, split) = translator.encode_synth(x_s), translator.encoder_o(x_o)
    # With the split latent of the same row, where rows are the same stars, a classifier would see a star twice.
    clean = translator.generator_o(z_s, split.roll(1, dims=0))
    so = clean + noise
    os = translator.generate_synth(z_o)
    again = translator.generate_synth(translator.encoder_o(so)[0])
    mean, centre = split.mean(dim=0), z_o.mean(dim=0)
    plain = translator.generator_o(z_s, mean.expand_as(split))
    halves = [_regression((z_o - centre)[i::2], (split - mean)[i::2]) for i in (0, 1)]
    told = [(translator.generator_o(z_s, mean + (z_s - centre) @ half) - plain) / obs.error for half in halves]
    effect = (clean - plain) / obs.error
    nearest = torch.cdist(plain, x_o).argmin(dim=1)
    found = torch.cdist(os[nearest], x_s).argmin(dim=1)
    spread = z_s.std(dim=0)
    exact = Spectra(x_s, torch.ones_like(x_s), torch.ones_like(x_s, dtype=torch.bool))
    return {
        "auc_obs": _auc(x_o, so),
        "auc_synth": _auc(x_s, os),
        "auc_latents": _auc(z_o, z_s),
        "cycle_noise": (distance(again, exact) / unit).item(),
        "wasserstein": (sliced_wasserstein(so, x_o, SLICES, generator) / unit).item(),
        "agreement": (found == torch.arange(len(found), device=found.device)).double().mean().item(),
        "split_told": (told[0] * told[1])[obs.mask].mean().item(),
        "split_effect": effect[obs.mask].square().mean().item(),
        "weakest_latent": (spread.min() / spread.median().clamp_min(1e-12)).item(),
    }


def _regression(known: Tensor, unknown: Tensor) -> Tensor:
    """The (m, n) by which known (N, m) tells most of unknown (N, n); NaN where one of them is not finite."""
    if not (known.isfinite().all() and unknown.isfinite().all()):
        return unknown.new_full((known.shape[1], unknown.shape[1]), nan)
    return torch.linalg.pinv(known) @ unknown


def _auc(real: Tensor, other: Tensor) -> float:
    if not (real.isfinite().all() and other.isfinite().all()):
        return nan
    return quick_auc(real.cpu().numpy(), other.cpu().numpy())


class Fault(NamedTuple):
    """Something wrong with a run: a short name, and a sentence that says what it is and what to try."""

    name: str
    words: str


class Record:
    """What was logged of a run, epoch by epoch; chance: the adversarial loss of an undecided discriminator."""

    def __init__(self, epochs: list[dict[str, float]], chance: float) -> None:
        self.epochs, self.chance = epochs, chance

    def now(self, name: str, otherwise: float) -> float:
        return self.epochs[-1].get(name, otherwise)

    def lately(self, name: str) -> list[float]:
        """The values of the last PATIENCE epochs; none where there are not as many yet."""
        values = [epoch[name] for epoch in self.epochs[-PATIENCE:] if name in epoch]
        return values if len(values) == PATIENCE else []


def discriminator_decided(record: Record) -> Iterator[Fault]:
    """A discriminator that always wins, or never, though there is something to see."""
    for side in ("synth", "obs"):
        right, auc = record.lately(f"right/{side}"), record.now(f"auc_{side}", 0.5)
        if right and min(right) > ALWAYS:
            yield Fault(
                f"discriminator_{side}_always_wins",
                f"the {side} domain's discriminator is right about {right[-1]:.0%} of what it is shown, and nothing can"
                " be learnt from that: try a lower trainer.discriminator_learning_rate",
            )
        if right and max(right) < NEVER and auc > TOLD_APART:
            yield Fault(
                f"discriminator_{side}_never_wins",
                f"the {side} domain's discriminator guesses ({right[-1]:.0%} right) where a linear classifier tells"
                f" translated from real (AUC {auc:.2f}): try a higher trainer.discriminator_learning_rate",
            )


def adversary_silent(record: Record) -> Iterator[Fault]:
    """An adversarial loss that stays high, or has vanished."""
    for side in ("synth", "obs"):
        losses = record.lately(f"train/adversarial_{side}")
        if not losses:
            continue
        seen = f"the {side} domain's adversarial loss is {losses[-1]:.2g}, an undecided judge's {record.chance:.2g}"
        if min(losses) > STUCK * record.chance and losses[-1] > 0.9 * losses[0]:
            yield Fault(
                f"adversarial_{side}_stuck",
                f"{seen}, and does not fall: try a lower trainer.discriminator_learning_rate or a trainer.warm_up",
            )
        if max(losses) < VANISHED * record.chance:
            yield Fault(
                f"adversarial_{side}_vanished",
                f"{seen}: it takes all translations for real and teaches nothing; try a lower losses.adversarial, or a"
                " higher trainer.discriminator_learning_rate",
            )


def latent_dead(record: Record) -> Iterator[Fault]:
    """A shared latent variable that carries next to nothing."""
    weakest = record.now("weakest_latent", 1.0)
    if weakest < DEAD:
        yield Fault(
            "latent_dead",
            f"a shared latent variable varies {weakest:.1%} as much as the others do: try a smaller networks.shared",
        )


def split_told(record: Record) -> Iterator[Fault]:
    """A split latent that says again what the shared ones say."""
    told = record.lately("split_told")
    least = max(TOLD, TOLD_SHARE * record.now("split_effect", 0.0))
    if told and min(told) > least and told[-1] > 0.9 * told[0]:
        yield Fault(
            "split_told",
            "split latents repeat shared ones: translations with the mean split latent, or another star's, are worse"
            f" by {told[-1]:.2g} of the noise, or more; try a smaller networks.split, or a higher losses.independence",
        )


def alignment_lost(record: Record) -> Iterator[Fault]:
    """Matched stars that are translated ever worse while the losses that are blind to it fall."""

    def blind(epoch: dict[str, float]) -> float:
        return fsum(loss for name, loss in epoch.items() if name.startswith(("train/reconstruction", "train/cycle")))

    scores = [epoch.get("x_synth_obs", inf) for epoch in record.epochs]
    best = scores.index(min(scores))
    worse = scores[best + 1 :][-PATIENCE:]
    lasting = len(worse) == PATIENCE and min(worse) > WORSE * scores[best]
    if lasting and blind(record.epochs[-1]) <= blind(record.epochs[best]):
        yield Fault(
            "alignment_lost",
            f"x_synth_obs rose from {scores[best]:.3g} in epoch {best} to {scores[-1]:.3g} while the losses fell: the"
            " domains are matched ever more wrongly. best.ckpt is the better one; try losses.pairs, pairs.share below 1"
            " where the sets do not match, or domains.anchors",
        )


def weight_of(term: str) -> str:
    """The weight, by its key among `losses`, of a term of the loss."""
    kind, _, side = term.rpartition("_")
    if side not in ("synth", "obs"):
        return term
    return side if kind in ("reconstruction", "cycle") else kind


def weights_unbalanced(record: Record) -> Iterator[Fault]:
    """A term whose weight drowns all others, or is drowned by them."""
    norms: dict[str, float] = {}
    for name, norm in record.epochs[-1].items():
        if name.startswith("gradient/"):
            weight = weight_of(name.removeprefix("gradient/"))
            norms[weight] = norms.get(weight, 0.0) + norm
    total = fsum(norms.values())
    large = [weight for weight, norm in norms.items() if norm > TOO_MUCH * total]
    small = [weight for weight, norm in norms.items() if norm < TOO_LITTLE * total and not large]
    for which, weights, advice in (("large", large, "a tenth of it"), ("small", small, "ten times it, or 0")):
        for weight in weights:
            share = norms[weight] / total
            yield Fault(
                f"weight_of_{weight}_too_{which}",
                f"losses.{weight} makes {share:.2g} of all that moves the networks: try {advice}",
            )


RULES = (discriminator_decided, adversary_silent, latent_dead, split_told, alignment_lost, weights_unbalanced)


def find_faults(record: Record) -> list[Fault]:
    """What is wrong with a run after its last epoch.

    An epoch's values: scores, `signals`, and as logged `train/` losses, `right/` shares of a discriminator's
    judgements, `gradient/` norms of weighted terms.
    """
    return [fault for rule in RULES for fault in rule(record)]


class Health(Callback):
    """Looks at a run after every epoch: logs `SIGNALS`, and tells each fault when it is first seen.

    faults: the epochs in which each was seen, by its name. `health/NAME` in the logs is 1 where it was.
    """

    def __init__(self) -> None:
        self.history: list[dict[str, float]] = []
        self.faults: dict[str, list[int]] = {}

    def on_validation_epoch_end(self, trainer: Trainer, module: CycleGAN) -> None:
        stars = trainer.val_dataloaders
        self.log_dict(signals(module.translator, stars.synth, stars.obs))

    def on_validation_end(self, trainer: Trainer, module: CycleGAN) -> None:
        self.history.append({name: float(value) for name, value in trainer.callback_metrics.items()})
        chance = judge(torch.zeros(1, 1), True).item()
        faults = find_faults(Record(self.history, chance))
        for name, words in faults:
            if name not in self.faults:
                log.warning("epoch %d: %s", trainer.current_epoch, words)
            self.faults.setdefault(name, []).append(trainer.current_epoch)
        seen = {f"health/{fault.name}": 1.0 for fault in faults}
        for logger in trainer.loggers:
            logger.log_metrics({"health/faults": float(len(faults)), **seen}, trainer.global_step - 1)
            logger.save()

    def state_dict(self) -> dict:
        return {"history": self.history, "faults": self.faults}

    def load_state_dict(self, state: dict) -> None:
        self.history, self.faults = state["history"], state["faults"]

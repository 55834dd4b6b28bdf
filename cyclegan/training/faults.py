"""What is wrong with a run, in plain words.

Losses look well while the two domains lose each other. So all that was logged is gone through for known faults.
"""

from collections.abc import Iterator, Mapping
from math import fsum, inf
from typing import NamedTuple

PATIENCE = 3  # epochs that something must last
ALWAYS, NEVER = 0.95, 0.52  # of a discriminator's judgements are right: nearly all; as many as by guessing
PLAINLY_APART = 0.7  # a classifier's AUC: translated and real spectra differ plainly
STUCK, VANISHED = 3.0, 0.1  # times the adversarial loss of an undecided discriminator
DEAD = 0.02  # of the median variable's spread
MOST_TOLD = 0.02  # of the noise: sound runs have up to 0.003, one that was a tenth worse with other split latents 0.04
MOST_TOLD_SHARE = 0.25  # of all that split latents do: of a strong effect of their own, chance tells more
WORSE = 1.1  # times the best score so far
UNLEARNED = 0.9  # of the best agreement so far
TOO_MUCH, TOO_LITTLE = 0.95, 1e-5  # of the summed norms of the gradients of all terms


class Fault(NamedTuple):
    """Something wrong with a run: a short name, and a sentence that says what it is and what to try."""

    name: str
    words: str


class RunLog:
    """What was logged of a run, epoch by epoch.

    undecided: the adversarial loss of an undecided discriminator; weight_of: the name of the weight of each part of the
    loss.
    """

    def __init__(
        self, epochs: list[dict[str, float]], undecided: float, weight_of: Mapping[str, str] | None = None
    ) -> None:
        self.epochs, self.undecided, self.weight_of = epochs, undecided, weight_of or {}

    def now(self, name: str, otherwise: float) -> float:
        """The value of the last epoch."""
        return self.epochs[-1].get(name, otherwise)

    def lately(self, name: str) -> list[float]:
        """The values of the last PATIENCE epochs; none where there are not as many yet."""
        values = [epoch[name] for epoch in self.epochs[-PATIENCE:] if name in epoch]
        return values if len(values) == PATIENCE else []


def discriminator_decided(run: RunLog) -> Iterator[Fault]:
    """A discriminator that always wins, or never, though there is something to see."""
    for side in ("synth", "obs"):
        right, auc = run.lately(f"right/{side}"), run.now(f"auc_{side}", 0.5)
        if right and min(right) > ALWAYS:
            yield Fault(
                f"discriminator_{side}_always_wins",
                f"the {side} domain's discriminator is right about {right[-1]:.0%} of what it is shown, and nothing can"
                " be learnt from that: try a lower trainer.discriminator_learning_rate",
            )
        if right and max(right) < NEVER and auc > PLAINLY_APART:
            yield Fault(
                f"discriminator_{side}_never_wins",
                f"the {side} domain's discriminator guesses ({right[-1]:.0%} right) where a linear classifier tells"
                f" translated from real (AUC {auc:.2f}): try a higher trainer.discriminator_learning_rate",
            )


def adversary_silent(run: RunLog) -> Iterator[Fault]:
    """An adversarial loss that stays high, or has vanished."""
    for side in ("synth", "obs"):
        losses = run.lately(f"train/adversarial_{side}")
        if not losses:
            continue
        seen = f"the {side} domain's adversarial loss is {losses[-1]:.2g}, an undecided judge's {run.undecided:.2g}"
        if min(losses) > STUCK * run.undecided and losses[-1] > 0.9 * losses[0]:
            yield Fault(
                f"adversarial_{side}_stuck",
                f"{seen}, and does not fall: try a lower trainer.discriminator_learning_rate or a trainer.warm_up",
            )
        if max(losses) < VANISHED * run.undecided:
            yield Fault(
                f"adversarial_{side}_vanished",
                f"{seen}: it takes all translations for real and teaches nothing; try a lower losses.adversarial, or a"
                " higher trainer.discriminator_learning_rate",
            )


def latent_dead(run: RunLog) -> Iterator[Fault]:
    """A shared latent variable that carries next to nothing."""
    weakest = run.now("weakest_latent", 1.0)
    if weakest < DEAD:
        yield Fault(
            "latent_dead",
            f"a shared latent variable varies {weakest:.1%} as much as the others do: try a smaller networks.shared",
        )


def split_told(run: RunLog) -> Iterator[Fault]:
    """A split latent that says again what the shared ones say."""
    told = run.lately("split_told")
    least = max(MOST_TOLD, MOST_TOLD_SHARE * run.now("split_effect", 0.0))
    if told and min(told) > least and told[-1] > 0.9 * told[0]:
        yield Fault(
            "split_told",
            "split latents repeat shared ones: translations with the mean split latent, or another star's, are worse"
            f" by {told[-1]:.2g} of the noise, or more; try a smaller networks.split, or a higher losses.independence",
        )


def alignment_lost(run: RunLog) -> Iterator[Fault]:
    """Matched stars that are translated ever worse while the losses that are blind to it fall."""

    def blind(epoch: dict[str, float]) -> float:
        return fsum(loss for name, loss in epoch.items() if name.startswith(("train/reconstruction", "train/cycle")))

    scores = [epoch.get("x_synth_obs", inf) for epoch in run.epochs]
    best = scores.index(min(scores))
    worse = scores[best + 1 :][-PATIENCE:]
    lasting = len(worse) == PATIENCE and min(worse) > WORSE * scores[best]
    if lasting and blind(run.epochs[-1]) <= blind(run.epochs[best]):
        yield Fault(
            "alignment_lost",
            f"x_synth_obs rose from {scores[best]:.3g} in epoch {best} to {scores[-1]:.3g} while the losses fell: the"
            " domains are matched ever more wrongly. best.ckpt is the better one; try losses.pairs, pairs.share below 1"
            " where the sets do not match, or domains.anchors",
        )


def overtrained(run: RunLog) -> Iterator[Fault]:
    """Stars kept out of training that agree ever less: what is learned is about single stars of the training."""
    agreements = [epoch["agreement"] for epoch in run.epochs if "agreement" in epoch]
    if len(agreements) != len(run.epochs):
        return
    best = agreements.index(max(agreements))
    lately = agreements[best + 1 :][-PATIENCE:]
    if len(lately) == PATIENCE and max(lately) < UNLEARNED * agreements[best]:
        yield Fault(
            "overtrained",
            f"agreement fell from {agreements[best]:.2f} in epoch {best} to {agreements[-1]:.2f} on stars kept out of"
            " training: the networks learn single stars by heart. The run ends with the networks of its best epoch; try"
            " more stars, fewer trainer.steps or a higher trainer.weight_decay",
        )


def weights_unbalanced(run: RunLog) -> Iterator[Fault]:
    """A term whose weight drowns all others, or is drowned by them."""
    norms: dict[str, float] = {}
    for name, norm in run.epochs[-1].items():
        if name.startswith("gradient/"):
            part = name.removeprefix("gradient/")
            weight = run.weight_of.get(part, part)
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


RULES = (
    discriminator_decided,
    adversary_silent,
    latent_dead,
    split_told,
    alignment_lost,
    overtrained,
    weights_unbalanced,
)


def find_faults(run: RunLog) -> list[Fault]:
    """What is wrong with a run after its last epoch.

    An epoch's values: scores, `signals`, and as logged `train/` losses, `right/` shares of a discriminator's
    judgements, `gradient/` norms of weighted terms.
    """
    return [fault for rule in RULES for fault in rule(run)]

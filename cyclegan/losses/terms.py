"""The terms that the update of encoders and generators adds up, each with a weight by its name.

A new term is a function here, with `@term` before it, and a weight under `losses` in conf/train.yaml.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from cyclegan.losses.adversarial import SIDES, Discriminators, Exhibits, cross_entropy
from cyclegan.losses.distances import distance, explained, latent_distance
from cyclegan.pairing.batch import TrainingBatch
from cyclegan.spectra.spectra import Spectra
from cyclegan.translator.translator import Crossing, Translator

FEW_ANCHORS = 10  # n anchors weigh n / (n + this): with all of the weight, a single star's noise would be learnt too
LAST_PAIR_WEIGHT = 0.05  # of the weight of pairs that is left at the end: other terms have the last word


@dataclass(frozen=True)
class Moment:
    """What a term may look at.

    Attributes:
        batch: stars of both domains, their partners, and anchors.
        crossing: what becomes of them.
        translator: the networks that made it.
        discriminators: by domain.
        shown: what discriminators are shown; None while nobody judges.
        progress: how far the run is, from 0 to 1.
    """

    batch: TrainingBatch
    crossing: Crossing
    translator: Translator
    discriminators: Discriminators
    shown: Exhibits | None
    progress: float

    @property
    def enough(self) -> bool:
        """Whether there are stars for the covariance of the latents, of which conv networks have more than a batch has
        stars.
        """
        latents = self.crossing.z_o
        return max(latents.shape[-2], self.batch.share.size) > latents.shape[-1]

    def distance(self, prediction: Tensor, target: Spectra) -> Tensor:
        """This process's part of the `distance` of all of the batch's spectra, coordinates (..., B, K)."""
        return self.batch.share.of_usable(distance(prediction, target), target.mask)


Parts = Mapping[str, Tensor]  # scalars by name; none where a term has nothing to say of a batch


@dataclass(frozen=True)
class Term:
    """A term of the loss: its parts, and by how much they count at a moment, 1 but for those that change."""

    parts: Callable[[Moment], Parts]
    share: Callable[[Moment], float]
    lasting: bool


TERMS: dict[str, Term] = {}  # by the name of their weight, in the order in which they are added up


def _always(moment: Moment) -> float:
    return 1.0


def term(
    share: Callable[[Moment], float] = _always, lasting: bool = False
) -> Callable[[Callable[[Moment], Parts]], Callable[[Moment], Parts]]:
    """Make a function a term, whose weight has the function's name.

    Args:
        share: by how much the term counts at a moment.
        lasting: whether neither a warm-up nor the width of a latent can silence it.

    Returns:
        What registers the function, and leaves it as it is.
    """

    def register(parts: Callable[[Moment], Parts]) -> Callable[[Moment], Parts]:
        TERMS[parts.__name__] = Term(parts, share, lasting)
        return parts

    return register


@dataclass(frozen=True)
class Weighted:
    """A part of a term at a moment.

    Attributes:
        weight: by which it is multiplied.
        part: a scalar.
        of: the name of its weight among `losses`.
    """

    weight: float
    part: Tensor
    of: str


def weighted_terms(weights: Mapping[str, float], moment: Moment) -> dict[str, Weighted]:
    """Every part of the loss, by name; terms of weight 0 are not computed.

    Args:
        weights: by the names of terms.
        moment: what they look at.

    Returns:
        The parts with their weights.
    """
    found: dict[str, Weighted] = {}
    for name, own in TERMS.items():
        if weights.get(name):
            parts = own.parts(moment)
            found |= {part: Weighted(weights[name] * own.share(moment), value, name) for part, value in parts.items()}
    return found


def fading(moment: Moment) -> float:
    """From 1 at the start of a run to LAST_PAIR_WEIGHT at its end."""
    return 1 - (1 - LAST_PAIR_WEIGHT) * moment.progress


def trust_in_anchors(moment: Moment) -> float:
    """The more anchors there are, the more they count."""
    stars = 0 if moment.batch.anchors is None else moment.batch.anchors.synth.flux.shape[-2]
    return stars / (stars + FEW_ANCHORS)


@term(lasting=True)
def synth(moment: Moment) -> Parts:
    """Reconstruction and cycle of the synthetic domain."""
    c, x_s = moment.crossing, moment.batch.synth
    return {"reconstruction_synth": moment.distance(c.ss, x_s), "cycle_synth": moment.distance(c.sos, x_s)}


@term(lasting=True)
def obs(moment: Moment) -> Parts:
    """Reconstruction and cycle of the observed domain."""
    c, x_o = moment.crossing, moment.batch.obs
    return {"reconstruction_obs": moment.distance(c.oo, x_o), "cycle_obs": moment.distance(c.oso, x_o)}


@term()
def adversarial(moment: Moment) -> Parts:
    """Translations are to be judged real; the discriminators themselves get no gradient."""
    if moment.shown is None:
        return {}
    found = {}
    for side in SIDES:
        discriminator, (spectrum, latents) = moment.discriminators[side], moment.shown.fake[side]
        discriminator.requires_grad_(False)
        fooled = cross_entropy(discriminator(spectrum, latents), True)
        found[f"adversarial_{side}"] = moment.batch.share.of_stars(fooled)
        discriminator.requires_grad_(True)
    return found


@term(share=fading, lasting=True)
def pairs(moment: Moment) -> Parts:
    """Translations towards their partners, whose split latent is not to be changed so that the pair agrees."""
    c, batch = moment.crossing, moment.batch
    so = moment.translator.generator_o(c.z_s, c.split_o.detach())
    return {"pairs_synth": moment.distance(c.os, batch.synth), "pairs_obs": moment.distance(so, batch.obs)}


@term()
def independence(moment: Moment) -> Parts:
    """Split latents that shared ones cannot tell."""
    c = moment.crossing
    if not moment.enough or c.split_o.shape[-1] == 0:
        return {}
    share = moment.batch.share
    return {"independence": share.once(explained(share.whole(c.z_o), share.whole(c.split_o)))}


@term()
def latent_cycle(moment: Moment) -> Parts:
    """Shared latents of translations towards those that they were made of, for the encoders alone.

    Generators would learn to write for them; and split latents read again from what they wrote would come to hold what
    is shared.
    """
    if not moment.enough:
        return {}
    c, translator, share = moment.crossing, moment.translator, moment.batch.share
    z_so, _ = translator.encoder_o(c.so.detach())
    z_os = translator.encode_synth(c.os.detach())
    apart_so = latent_distance(share.whole(z_so), share.whole(c.z_s))
    apart_os = latent_distance(share.whole(z_os), share.whole(c.z_o))
    return {"latent_cycle": share.once(apart_so + apart_os)}


@term(share=trust_in_anchors)
def anchors(moment: Moment) -> Parts:
    """Translations of stars known in both domains towards what is known of them."""
    if moment.batch.anchors is None:
        return {}
    t, (x_s, x_o) = moment.translator, moment.batch.anchors
    z_o, split_o = t.encoder_o(x_o.flux)
    so, os = t.generator_o(t.encode_synth(x_s.flux), split_o), t.generate_synth(z_o)
    return {"anchors": moment.distance(so, x_o) + moment.distance(os, x_s)}


def total(terms: Mapping[str, Weighted]) -> Tensor:
    """The weighted sum of all parts, a scalar."""
    return torch.stack([one.weight * one.part for one in terms.values()]).sum()

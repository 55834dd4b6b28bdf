"""What the discriminators are shown, and what they and the translator are told about it.

D_s: real (x_s, z_s), fake (os, z_o); D_o: real (x_o, [z_o, split_o]), fake (so, [z_s, split_so]).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from cyclegan.pairing.batch import TrainingBatch
from cyclegan.spectra.spaces import with_deviates
from cyclegan.translator.translator import Crossing, Translator

SIDES = ("synth", "obs")


class Exhibit(NamedTuple):
    """What a discriminator is shown of B stars: a spectrum, in coordinates (B, K), and its latents (B, Z)."""

    spectrum: Tensor
    latents: Tensor


class Exhibits(NamedTuple):
    """What the discriminators are shown as real and as fake, by domain."""

    real: dict[str, Exhibit]
    fake: dict[str, Exhibit]


Discriminators = nn.ModuleDict  # by domain


def exhibits(translator: Translator, batch: TrainingBatch, crossing: Crossing, step: int) -> Exhibits:
    """What the discriminators are shown of a batch. Neither noise nor masks must tell real from fake: translated
    spectra get the noise that the observed spectra's errors state, and their masks.
    """
    c = crossing
    generator = torch.Generator(c.so.device).manual_seed(step)  # nothing to remember when a run is resumed
    so = with_deviates(translator.space_o, c.so, batch.obs, batch.share.noise(c.so, generator))
    os = torch.where(batch.synth.mask, c.os, 0.0)
    real = {
        "synth": Exhibit(batch.synth.flux, c.z_s),
        "obs": Exhibit(batch.obs.flux, torch.cat([c.z_o, c.split_o], dim=-1)),
    }
    fake = {"synth": Exhibit(os, c.z_o), "obs": Exhibit(so, torch.cat([c.z_s, c.split_so], dim=-1))}
    return Exhibits(real, fake)


def cross_entropy(logits: Tensor, real: bool) -> Tensor:
    """Binary cross-entropy of logits (B, 1) with real = 1, fake = 0 (Goodfellow et al. 2014, arXiv:1406.2661).

    A logit of 0 is undecided.
    """
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


class Judgement(NamedTuple):
    """Logits (B, 1) of a domain's discriminator for what it is shown as real and as fake."""

    real: Tensor
    fake: Tensor

    def loss(self) -> Tensor:
        """What it costs the discriminator, a scalar."""
        return cross_entropy(self.real, True) + cross_entropy(self.fake, False)

    def share_right(self) -> Tensor:
        """The share that it takes for what it is, a scalar."""
        return ((self.real > 0).float().mean() + (self.fake <= 0).float().mean()) / 2


def judgements(discriminators: Discriminators, shown: Exhibits) -> dict[str, Judgement]:
    """What the discriminators make of exhibits, by domain, with no gradient for the translator."""
    return {
        side: Judgement(
            *(
                discriminators[side](exhibit.spectrum.detach(), exhibit.latents.detach())
                for exhibit in (shown.real[side], shown.fake[side])
            )
        )
        for side in SIDES
    }

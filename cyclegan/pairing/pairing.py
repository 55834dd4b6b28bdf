"""Pairing, epoch by epoch: each epoch's pairs sharpen the metric in which the next ones are made."""

import copy
import logging
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from cyclegan.domains.domains import Stars
from cyclegan.pairing.batch import Partners
from cyclegan.pairing.independence import at_rest, independent, only_observed, start_split
from cyclegan.pairing.overlap import ALIKE, find_overlap
from cyclegan.pairing.selection import DENSITY, DISCRIMINATOR, as_observed, most_observed
from cyclegan.pairing.transport import Pairs, gap_metric, random_pairs, transport_pairs
from cyclegan.spectra.blurring import blurred
from cyclegan.spectra.spaces import Components, Space, pooled_components, projected_on
from cyclegan.spectra.spectra import BLUR, FEWEST, Spectra, line_width, masked_mean
from cyclegan.translator.translator import Translator

log = logging.getLogger(__name__)

PAIR_COMPONENTS = 20  # the first pairs are made on these: later ones are as good as noise before the gap is known
LIKENESS_COMPONENTS = 64
DENSITY_COMPONENTS = 8  # in which the density of synthetic stars is described
STARS_AT_A_TIME = 2000  # where they never change, or half of them: partners vary then, and networks average over them
EQUAL_ANCHORS = 2  # so many anchors' mean gap counts as much as the gap of the pairs; that of one star is its own
MOST_MEMBERS, MEMBER_SEEDS = 100, 10**10  # of an ensemble; from one to the next, more than there are seeds of runs
SEARCH_EPOCH = 1  # begins with a search, from the first pairs' residuals, for what only observed stars vary in


@dataclass(frozen=True)
class PairingSettings:
    """How stars are paired.

    seed: of what is drawn; by_likeness: by optimal transport (`transport_pairs`), or at random; share: observed stars
    per synthetic one, None where that is to be found (`find_overlap`); fixed: whether the stars are the same in every
    epoch; anew: whether observed ones are drawn anew from a file in each. choice, pool: how synthetic stars are chosen
    (`selection.CHOICES`), one of so many; unjudged: for how many epochs discriminators learn nothing; resampled:
    whether pairs are drawn with weights of their own, a Bayesian bootstrap of the stars.
    """

    seed: int
    by_likeness: bool = True
    share: float | None = 1.0
    fixed: bool = False
    anew: bool = False
    choice: str = "none"
    pool: int = 1
    unjudged: int = 0
    resampled: bool = False

    @property
    def fewest_synthetic(self) -> int:
        """Training stars of the synthetic domain that are needed at least."""
        return FEWEST["train"] * (self.pool if self.choice == DISCRIMINATOR else 1)


class _Strengths(NamedTuple):
    """Where strengths of lines are compared: spectra blurred by so many pixels, 1 sigma, in components of such."""

    width: float
    space: Components

    def of(self, spectra: Spectra) -> Tensor:
        """Coordinates (n, K) of spectra (n, P)."""
        return projected_on(self.space, blurred(spectra.to("cpu"), self.width)).flux


class Pairing:
    """Who is whose partner, and what is known of that from the epochs before.

    metric: in which stars are alike, that of the gap (`gap_metric`), estimated from the pairs of one epoch for the
    next; own: what the observed domain alone varies in, coordinates @ (K, r), taken off before stars are compared;
    likeness: the spaces where stars are compared, if not where networks see them; pairs: those of `epoch`; places: of
    the synthetic stars that they were made of, where density is described. anchors: spectra of both domains that are
    known to be of the same stars. share: observed stars per synthetic one, as set or as found; synth_met, obs_met:
    which stars of a file have a counterpart in the other domain, (n,) bool, None for all: others are never paired.
    """

    def __init__(
        self, settings: PairingSettings, anchors: Partners | None = None, obs_met: Tensor | None = None
    ) -> None:
        self.settings, self.anchors = settings, anchors
        self.synth_met: Tensor | None = None
        self.obs_met = obs_met
        self.share = 1.0 if settings.share is None else settings.share
        self.metric: Tensor | None = None
        self.own: Tensor | None = None
        self.likeness: tuple[Space, Space] | None = None
        self.strengths: _Strengths | None = None
        self.pairs: Pairs | None = None
        self.epoch: int | None = None
        self.places: Tensor | None = None

    def of_member(self, number: int) -> "Pairing":
        """The same for another member of an ensemble: what was found of all stars is shared, what is drawn is not."""
        other = copy.copy(self)
        other.settings = replace(self.settings, seed=self.settings.seed + number * MEMBER_SEEDS)
        return other

    @property
    def first_share(self) -> float:
        """Observed stars per synthetic one where these have not been chosen yet."""
        return self.share if self.settings.choice == "none" else min(self.share, 1 / self.settings.pool)

    def counterparts(self, stars: Stars) -> Stars:
        """Stars on the CPU, of the synthetic ones only those that have observed counterparts, each as often.

        Where the two sets do not match, the difference of their means is that of their labels as much as the gap. So
        spectra are compared as they are, and the gap comes out as the least that pairs can have. It is the strengths of
        lines that are compared: their shapes, which theory and data have from other causes too, are blurred. Anchors
        know better, the more of them there are; of a single one nothing tells how far its own gap is from the mean.
        """
        if not self.settings.by_likeness or (self.settings.share is not None and self.first_share >= 1):
            return stars
        width = BLUR * line_width(masked_mean(stars.obs))
        synth, obs = (blurred(spectra, width) for spectra in stars)
        space, _ = pooled_components(synth, obs, min(PAIR_COMPONENTS, *synth.flux.shape))
        synth_flux, obs_flux = (projected_on(space, spectra).flux for spectra in (synth, obs))
        generator = torch.Generator().manual_seed(self.settings.seed)
        if self.settings.share is None:
            share, synth_met, self.obs_met = find_overlap(synth_flux, obs_flux, generator)
            self.share = 1.0 if share >= ALIKE else share
            if self.settings.fixed or self.settings.anew:
                self.synth_met = synth_met
            if self.settings.anew:
                self.strengths = _Strengths(width, space)
            log.info(
                "pairs: %d of %d observed stars have a counterpart, and room for %.2f beside each synthetic one",
                int(self.obs_met.sum()),
                len(self.obs_met),
                self.share,
            )
            stars = Stars(stars.synth.rows(synth_met), stars.obs.rows(self.obs_met))
            synth_flux, obs_flux = synth_flux[synth_met], obs_flux[self.obs_met]
            if self.first_share >= 1:
                return stars

        def like(observed: Tensor) -> Pairs:
            return transport_pairs(synth_flux, observed, self.first_share, generator)

        pairs = like(obs_flux)
        if self.anchors is not None and (known := len(self.anchors.synth.flux)) > 1:
            least = (obs_flux[pairs.obs] - synth_flux[pairs.synth]).mean(dim=0)
            a_s, a_o = (projected_on(space, blurred(side.to("cpu"), width)).flux for side in self.anchors)
            gap = torch.lerp(least, (a_o - a_s).mean(dim=0), known / (known + EQUAL_ANCHORS))
            pairs = like(obs_flux - gap)
        return Stars(stars.synth.rows(pairs.synth), stars.obs)

    def met(self, stars: Stars, epoch: int) -> tuple[Tensor | None, Tensor | None]:
        """Which synthetic and which observed stars of an epoch have a counterpart, as synth_met and obs_met are.

        stars: spectra (N, P), (M, P). Of the first epoch's, and of those that stay the same, `counterparts` found it.
        """
        if self.strengths is None or epoch == 0 or self.epoch == epoch:
            return self.synth_met, self.obs_met
        synth, obs = (self.strengths.of(side) for side in stars)
        _, synth_met, obs_met = find_overlap(synth, obs, self._generator(epoch))
        return synth_met, obs_met

    def compare_in_components(self, stars: Stars) -> None:
        """Compare stars in the leading components of these, (N, P), and not in what the networks see."""
        if self.settings.by_likeness:
            synth, obs = stars
            most = min(len(synth.flux) + len(obs.flux), synth.flux.shape[1])
            self.likeness = pooled_components(synth, obs, min(LIKENESS_COMPONENTS, most))

    def alike(self, stars: Stars, seen: Stars) -> Stars:
        """Coordinates of stars where they are compared; stars: spectra (N, P), seen: as the networks see them."""
        if self.likeness is None:
            return seen
        return Stars(*(projected_on(space, side) for space, side in zip(self.likeness, stars, strict=True)))

    @torch.no_grad()
    def pair(self, translator: Translator, discriminator: nn.Module, seen: Stars, alike: Stars, epoch: int) -> Pairs:
        """The pairs of an epoch, unless they came with a checkpoint; sharpens the metric for the next.

        At the first epoch split latents are started, too. seen: stars as the networks see them; alike: where they are
        compared; discriminator: of the observed domain.
        """
        if self.pairs is not None and self.epoch == epoch:
            return self.pairs
        chosen = self._choose(translator, discriminator, seen, alike, epoch)
        if self.synth_met is not None:
            chosen = chosen[self.synth_met[chosen]]
        rows = torch.arange(len(alike.obs.flux)) if self.obs_met is None else self.obs_met.nonzero()[:, 0]
        generator = self._generator(epoch)
        synth, obs = (side.flux[some.to(side.flux.device)] for side, some in zip(alike, (chosen, rows), strict=True))
        if self.settings.by_likeness:
            pairs = self._by_likeness(translator, synth, obs, epoch, generator)
        else:
            pairs = random_pairs(len(synth), len(obs), generator)
        pairs = Pairs(chosen[pairs.synth], rows[pairs.obs])
        if self.settings.resampled:
            of_synth, of_obs = (self._weights(len(side.flux), number) for number, side in enumerate(alike))
            weights = of_synth[pairs.synth] + of_obs[pairs.obs]
            drawn = torch.multinomial(weights, len(weights), replacement=True, generator=generator)
            pairs = Pairs(pairs.synth[drawn], pairs.obs[drawn])
        self.pairs, self.epoch = pairs, epoch
        if self.settings.choice == DENSITY:
            self.places = alike.synth.flux[:, :DENSITY_COMPONENTS]
        return self.pairs

    def _by_likeness(
        self, translator: Translator, synth: Tensor, obs: Tensor, epoch: int, generator: torch.Generator
    ) -> Pairs:
        settings = self.settings
        most = max(STARS_AT_A_TIME, len(obs) // 2) if settings.fixed else None
        share = self.first_share if self.metric is None else self.share
        # A checkpoint gives the metric back on the CPU.
        plain = torch.eye(synth.shape[1], PAIR_COMPONENTS, device=synth.device)
        metric = plain if self.metric is None else self.metric.to(synth.device)

        def assign(observed: Tensor) -> Pairs:
            return transport_pairs(synth @ metric, observed @ metric, share, generator, most)

        if self.own is not None:
            self.own = self.own.to(synth.device)
            if epoch == SEARCH_EPOCH and self.own.shape[1]:
                self.own = independent(obs, obs @ self.own, generator)
                partners = assign(obs)
                known = only_observed(obs[partners.obs] @ self.own, obs[partners.obs], synth[partners.synth])
                self.own = self.own[:, known]
            obs = at_rest(translator, obs, self.own)
        pairs = assign(obs)
        if self.metric is None and self.likeness is None:
            self.own = start_split(translator, synth[pairs.synth], obs[pairs.obs])
        self.metric = gap_metric(obs[pairs.obs] - synth[pairs.synth])
        return pairs

    def _choose(
        self, translator: Translator, discriminator: nn.Module, seen: Stars, alike: Stars, epoch: int
    ) -> Tensor:
        """Rows of the synthetic stars to train on in an epoch: all of them until the networks have learnt something."""
        settings, generator = self.settings, self._generator(epoch)
        if settings.choice == DISCRIMINATOR and epoch > settings.unjudged:
            count = len(seen.synth.flux) // settings.pool
            return most_observed(translator, discriminator, seen.synth, seen.obs, count, generator)
        if settings.choice == DENSITY and self.places is not None and self.pairs is not None:
            paired = self.places[self.pairs.synth.to(self.places.device)]
            places = alike.synth.flux[:, :DENSITY_COMPONENTS]
            return as_observed(places, self.places, paired, round(len(seen.obs.flux) / self.share), generator)
        return torch.arange(len(seen.synth.flux))

    def _weights(self, stars: int, number: int) -> Tensor:
        """Weights (stars,) of a set's stars, the same in every epoch, such that the sum of two is that of a Bayesian
        bootstrap (Rubin 1981), exponentially distributed.
        """
        draws = np.random.default_rng([self.settings.seed, number])
        return torch.from_numpy(draws.gamma(0.5, size=stars))

    def _generator(self, epoch: int) -> torch.Generator:
        return torch.Generator().manual_seed(self.settings.seed * 10**6 + epoch)

    def state_dict(self) -> dict[str, Any]:
        """All that the pairs of later epochs depend on, and those of this one, as tensors and plain types."""
        return {
            "metric": self.metric,
            "own": self.own,
            "likeness": [space.state_dict() for space in self.likeness or ()],
            "pairs": None if self.pairs is None else tuple(self.pairs),
            "epoch": self.epoch,
            "places": self.places,
            "share": self.share,
            "synth_met": self.synth_met,
            "obs_met": self.obs_met,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` gave; its spaces may be of another machine."""
        for space, kept in zip(self.likeness or (), state["likeness"], strict=True):
            space.load_state_dict(kept)
        self.metric, self.own, self.places = state["metric"], state["own"], state["places"]
        self.pairs, self.epoch = None if state["pairs"] is None else Pairs(*state["pairs"]), state["epoch"]
        if "share" in state:  # not in that of version 0.2
            self.share, self.synth_met, self.obs_met = state["share"], state["synth_met"], state["obs_met"]

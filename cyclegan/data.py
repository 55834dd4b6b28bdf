"""Batches for training, in pairs; matched stars for the scores."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor, nn

from cyclegan.alignment import Pairs, gap_metric, independent, only_observed, random_pairs, transport_pairs
from cyclegan.domains import Domain, check_same_stars, stars_to_score
from cyclegan.effects import LIGHT_SPEED
from cyclegan.files import FEWEST
from cyclegan.scores import SCORE_BATCH
from cyclegan.selection import DENSITY, DISCRIMINATOR, as_observed, most_observed
from cyclegan.spectra import Pixels, Space, Spectra, blurred, masked_mean, pooled_components, typical_weight
from cyclegan.translator import Translator
from emulator.command import InputError

PAIR_COMPONENTS = 20  # the first pairs are made on these: later ones are as good as noise before the gap is known
LIKENESS_COMPONENTS = 64
SET = 2000  # stars paired at a time where they never change; of more than these partners vary, and networks average
BLUR = 20.0  # km/s, 1 sigma: several times as wide as stars and spectrographs make lines
EQUAL_ANCHORS = 2  # so many anchors' mean gap counts as much as the gap of the pairs; that of one star is its own
DENSITY_COMPONENTS = 8  # in which the density of synthetic stars is described
SOUGHT = 1  # the epoch that begins with a search, from the first pairs' residuals, for what only observed stars vary in
PROJECTED = 1000  # spectra at a time: a batch of pixels fits into memory where a whole domain does not


class Batch(NamedTuple):
    """Coordinates, or spectra, of B stars of each domain; row i of one is the partner of row i of the other."""

    synth: Spectra
    obs: Spectra

    def rows(self, index: Tensor | slice) -> "Batch":
        return Batch(self.synth.rows(index), self.obs.rows(index))

    def to(self, device: torch.device) -> "Batch":
        return Batch(self.synth.to(device), self.obs.to(device))


class TrainingBatch(NamedTuple):
    """Coordinates of B stars of each domain as in `Batch`, and of anchors, stars known in both, if there are any."""

    synth: Spectra
    obs: Spectra
    anchors: Batch | None


class PairedBatches:
    """The batches of one epoch. Its state says where it is, so that a run resumes at the very next batch.

    pairing() makes the pairs when the first batch is asked for, unless they came with a loaded state. Of the anchors a
    batch holds no more than of other stars.
    """

    def __init__(
        self,
        stars: Batch,
        pairing: Callable[[], Pairs],
        batch_size: int,
        steps: int,
        seed: int,
        anchors: Batch | None = None,
    ) -> None:
        self.stars, self.pairing, self.anchors = stars, pairing, anchors
        self.batch_size, self.steps, self.seed = batch_size, steps, seed
        self.pairs: Pairs | None = None
        self.position = 0

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[TrainingBatch]:
        if self.pairs is None:
            self.pairs = self.pairing()
        generator = torch.Generator().manual_seed(self.seed)
        count = len(self.pairs.synth)
        size = min(self.batch_size, count)
        rounds = -(-self.steps // (count // size))
        orders = [torch.randperm(count, generator=generator)[: count // size * size] for _ in range(rounds)]
        order = torch.cat(orders).view(-1, size)
        synth, obs = (side[order].to(self.stars.synth.flux.device) for side in self.pairs)
        if self.anchors is not None:
            known = len(self.anchors.synth.flux)
            draws = [torch.randperm(known, generator=generator)[: self.batch_size] for _ in range(self.steps)]
            draws = torch.stack(draws).to(synth.device)
        while self.position < self.steps:
            row = self.position
            self.position += 1
            anchors = None if self.anchors is None else self.anchors.rows(draws[row])
            yield TrainingBatch(self.stars.synth.rows(synth[row]), self.stars.obs.rows(obs[row]), anchors)

    def state_dict(self) -> dict:
        return {"position": self.position, "pairs": None if self.pairs is None else tuple(self.pairs)}

    def load_state_dict(self, state: dict) -> None:
        if state["position"] < self.steps:  # otherwise that epoch was over, and this one begins afresh
            self.position, self.pairs = state["position"], state["pairs"] and Pairs(*state["pairs"])


class MatchedBatches:
    """The same stars of both domains, SCORE_BATCH at a time: (synth, obs) of (B, P)."""

    def __init__(self, synth: Spectra, obs: Spectra) -> None:
        self.synth, self.obs = synth, obs

    def __len__(self) -> int:
        return -(-len(self.synth.flux) // SCORE_BATCH)

    def __iter__(self) -> Iterator[Batch]:
        for synth, obs in zip(self.synth.chunks(SCORE_BATCH), self.obs.chunks(SCORE_BATCH), strict=True):
            yield Batch(synth, obs)


def projected_on(space: Space, spectra: Spectra) -> Spectra:
    """Coordinates (N, K) of spectra (N, P) in a space, on its device."""
    chunks = [space.project(chunk.to(space.mean.device)) for chunk in spectra.chunks(PROJECTED)]
    return Spectra(*(torch.cat(parts) for parts in zip(*chunks, strict=True)))


class SpectraData(LightningDataModule):
    """Two domains as one stream of paired batches; an epoch is one draw of both, paired once.

    matched: whether the domains' stars to score on are the same; paired: whether training stars are paired by likeness
    (`transport_pairs`) or at random. The likeness is that of the metric of the gap, estimated from the pairs of one
    epoch for the next, of observed stars as they would be without what only they vary in.
    choice, pool: how synthetic stars are chosen (`selection.CHOICES`), one of so many; unjudged: for how many
    epochs discriminators learn nothing; anchors: spectra of both domains that
    are known to be of the same stars. Raises InputError where the domains' wavelengths or matched stars disagree.
    """

    def __init__(
        self,
        synth: Domain,
        obs: Domain,
        matched: bool,
        batch_size: int,
        steps: int,
        seed: int,
        paired: bool,
        share: float,
        choice: str = "none",
        pool: int = 1,
        unjudged: int = 0,
        anchors: Batch | None = None,
    ) -> None:
        super().__init__()
        self.synth, self.obs, self.matched = synth, obs, matched
        self.batch_size, self.steps, self.seed = batch_size, steps, seed
        self.paired, self.share = paired, share
        self.choice, self.pool, self.anchors = choice, pool, anchors
        self.unjudged = unjudged
        self.metric: Tensor | None = None
        self.own: Tensor | None = None  # what the observed domain alone varies in: coordinates @ (K, r)
        self.likeness: tuple[Space, Space] | None = None  # where stars are compared, if not where networks see them
        self.pairs: Pairs | None = None  # the last ones
        self.places: Tensor | None = None  # of the synthetic stars that they were made of, where density is described
        self._fixed: dict[Space, Spectra] = {}  # coordinates of domains that always draw the same
        self._scored: MatchedBatches | None = None  # the same stars after every epoch

        a, b = synth.wavelength.cpu(), obs.wavelength.cpu()
        if len(a) != len(b):
            raise InputError(f"domains: expected as many pixels in both, got {len(a)} in synth, {len(b)} in obs")
        if not torch.allclose(a, b, rtol=1e-7, atol=0):
            pixel = int((a - b).abs().argmax())
            raise InputError(
                f"domains: expected the same wavelengths in both, got {a[pixel]:.3f} A in synth"
                f" and {b[pixel]:.3f} A in obs at pixel {pixel}"
            )
        if matched:
            check_same_stars(synth, obs, " (or domains.matched=false)")
        if (count := min(domain.count("val") for domain in (synth, obs))) < FEWEST["val"]:
            raise InputError(f"domains: expected at least {FEWEST['val']} stars in 'val', got {count}")
        wanted = FEWEST["train"] * (pool if choice == DISCRIMINATOR else 1)
        for name, domain, fewest in (("synth", synth, wanted), ("obs", obs, FEWEST["train"])):
            if (count := domain.count("train")) < fewest:
                raise InputError(f"domains.{name}: expected at least {fewest} spectra in 'train', got {count}")

    def make_spaces(self, components: int | None) -> tuple[Space, Space]:
        """The spaces of both domains, from their training spectra: components of both, or pixels for None."""
        synth, obs = (self._draw(domain, epoch=0).to("cpu") for domain in (self.synth, self.obs))
        if self.paired and self._first_share() < 1:
            synth = self._like(synth, obs)
        if components is not None:
            return pooled_components(synth, obs, components)
        if self.paired:
            most = min(len(synth.flux) + len(obs.flux), len(self.synth.wavelength))
            self.likeness = pooled_components(synth, obs, min(LIKENESS_COMPONENTS, most))
        weight = typical_weight(obs)
        return Pixels(masked_mean(synth), weight), Pixels(masked_mean(obs), weight.clone())

    def _like(self, synth: Spectra, obs: Spectra) -> Spectra:
        """The synthetic spectra that partial transport pairs with observed ones, each as often.

        Where the two sets do not match, the difference of their means is that of their labels as much as the gap. So
        spectra are compared as they are, and the gap comes out as the least that pairs can have. It is the strengths of
        lines that are compared: their shapes, which theory and data have from other causes too, are blurred. Anchors
        know better, the more of them there are; of a single one nothing tells how far its own gap is from the mean.
        """
        step = LIGHT_SPEED * float(self.synth.wavelength.log().diff().median())
        blurred_synth, blurred_obs = (blurred(spectra, BLUR / step) for spectra in (synth, obs))
        components = min(PAIR_COMPONENTS, len(synth.flux), len(synth.flux[0]))
        space, _ = pooled_components(blurred_synth, blurred_obs, components)
        synth_flux, obs_flux = (projected_on(space, spectra).flux for spectra in (blurred_synth, blurred_obs))
        generator = torch.Generator().manual_seed(self.seed)

        def like(observed: Tensor) -> Pairs:
            return transport_pairs(synth_flux, observed, self._first_share(), generator)

        pairs = like(obs_flux)
        stars = 0 if self.anchors is None else len(self.anchors.synth.flux)
        if stars > 1:
            least = (obs_flux[pairs.obs] - synth_flux[pairs.synth]).mean(dim=0)
            anchors = (blurred(side.to("cpu"), BLUR / step) for side in self.anchors)
            known_synth, known_obs = (projected_on(space, side).flux for side in anchors)
            known = (known_obs - known_synth).mean(dim=0)
            pairs = like(obs_flux - torch.lerp(least, known, stars / (stars + EQUAL_ANCHORS)))
        return synth.rows(pairs.synth)

    def _first_share(self) -> float:
        """Observed stars per synthetic one where these have not been chosen yet."""
        return self.share if self.choice == "none" else min(self.share, 1 / self.pool)

    def _draw(self, domain: Domain, epoch: int) -> Spectra:
        return domain.draw(self._seed_of(domain, epoch))

    def _seed_of(self, domain: Domain, epoch: int) -> int:
        # Stars of the two domains are drawn apart: nothing in training is matched.
        return self.seed * 10**6 + epoch * 10 + 5 * (domain is self.obs)

    def drawn_labels(self, epoch: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Labels (n,), (m,) of an epoch's synthetic and observed training stars by name, as far as they are known."""
        return tuple(domain.drawn_labels(self._seed_of(domain, epoch)) for domain in (self.synth, self.obs))

    def coordinates(self, spaces: tuple[Space, Space], epoch: int) -> Batch:
        """The training stars of an epoch in the spaces of the networks, on the spaces' device."""
        sides = []
        for domain, space in ((self.synth, spaces[0]), (self.obs, spaces[1])):
            projected = self._fixed.get(space)
            if projected is None:
                projected = projected_on(space, self._draw(domain, epoch))
            projected = projected.to(space.mean.device)  # training moves the spaces after the first use
            if domain.fixed:
                self._fixed[space] = projected
            sides.append(projected)
        return Batch(*sides)

    def choose(
        self, translator: Translator, discriminator: nn.Module, stars: Batch, alike: Batch, epoch: int
    ) -> Tensor:
        """Rows of the synthetic stars to train on in an epoch: all of them until the networks have learnt something.

        stars: in the spaces of the networks; alike: the same where they are compared.
        """
        synth, obs = stars.synth.flux, stars.obs.flux
        generator = torch.Generator().manual_seed(self.seed * 10**6 + epoch)
        if self.choice == "none" or epoch == 0 or (self.choice == DISCRIMINATOR and epoch <= self.unjudged):
            return torch.arange(len(synth))
        if self.choice == DISCRIMINATOR:
            count = len(synth) // self.pool
            return most_observed(translator, discriminator, stars.synth, stars.obs, count, generator)
        paired = self.places[self.pairs.synth.to(self.places.device)]
        places = alike.synth.flux[:, :DENSITY_COMPONENTS]
        return as_observed(places, self.places, paired, round(len(obs) / self.share), generator)

    @torch.no_grad()
    def pair(self, translator: Translator, stars: Batch, epoch: int, chosen: Tensor | None = None) -> Pairs:
        """The pairs of an epoch; also sharpens the metric for the next, and starts the split latent at the first.

        chosen: the rows of synthetic stars that may be paired; all for None.
        """
        generator = torch.Generator().manual_seed(self.seed * 10**6 + epoch)
        chosen = torch.arange(len(stars.synth.flux)) if chosen is None else chosen
        synth, obs = stars.synth.flux[chosen.to(stars.synth.flux.device)], stars.obs.flux
        if not self.paired:
            pairs = random_pairs(len(synth), len(obs), generator)
            self.pairs = Pairs(chosen[pairs.synth], pairs.obs)
            return self.pairs

        first = self.metric is None
        if first:
            metric = torch.eye(synth.shape[1], PAIR_COMPONENTS, device=synth.device)
        else:
            metric = self.metric = self.metric.to(synth.device)  # a checkpoint gives it back on the CPU
            self.own = self.own if self.own is None else self.own.to(synth.device)
        share = self._first_share() if first else self.share
        most = SET if self.synth.fixed and self.obs.fixed else None

        def assign(observed: Tensor) -> Pairs:
            return transport_pairs(synth @ metric, observed @ metric, share, generator, most)

        if not first and self.likeness is None:
            if epoch == SOUGHT and self.own.shape[1]:
                self.own = independent(obs, obs @ self.own, generator)
                partners = assign(obs)
                known = only_observed(obs[partners.obs] @ self.own, obs[partners.obs], synth[partners.synth])
                self.own = self.own[:, known]
            obs = translator.at_rest(obs, self.own)
        pairs = assign(obs)
        self.metric = gap_metric(obs[pairs.obs] - synth[pairs.synth])
        if first and self.likeness is None:
            self.own = translator.start_split(synth[pairs.synth], obs[pairs.obs])
        self.pairs = Pairs(chosen[pairs.synth], pairs.obs)
        if self.choice == DENSITY:
            self.places = stars.synth.flux[:, :DENSITY_COMPONENTS]
        return self.pairs

    def train_dataloader(self) -> PairedBatches:
        epoch, module = self.trainer.current_epoch, self.trainer.lightning_module
        translator = module.translator
        stars = self.coordinates((translator.space_s, translator.space_o), epoch)
        alike = stars if self.likeness is None else self.coordinates(self.likeness, epoch)

        def pairing() -> Pairs:
            chosen = self.choose(translator, module.discriminator_o, stars, alike, epoch)
            return self.pair(translator, alike, epoch, chosen)

        anchors = None
        if self.anchors is not None:
            anchors = Batch(*map(projected_on, (translator.space_s, translator.space_o), self.anchors))
        return PairedBatches(stars, pairing, self.batch_size, self.steps, self.seed * 10**6 + epoch, anchors)

    def val_dataloader(self) -> MatchedBatches:
        if self._scored is None:
            self._scored = MatchedBatches(*stars_to_score(self.synth, self.obs, "val"))
        return self._scored

    def transfer_batch_to_device(self, batch: tuple, device: torch.device, dataloader_index: int) -> tuple:
        return type(batch)(*(side and side.to(device) for side in batch))

    def state_dict(self) -> dict:
        pairs = self.pairs and tuple(self.pairs)
        likeness = [space.state_dict() for space in self.likeness or ()]
        return {"metric": self.metric, "own": self.own, "pairs": pairs, "places": self.places, "likeness": likeness}

    def load_state_dict(self, state: dict) -> None:
        # A checkpoint's networks bring spaces of their own, which may be another machine's.
        self._fixed.clear()
        for space, kept in zip(self.likeness or (), state.get("likeness", ()), strict=False):  # older ones hold none
            space.load_state_dict(kept)
        self.metric, self.own, self.places = state["metric"], state["own"], state["places"]
        self.pairs = state["pairs"] and Pairs(*state["pairs"])

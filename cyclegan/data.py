"""Batches for training, in pairs; matched stars for the scores."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from cyclegan.alignment import Pairs, gap_metric, random_pairs, transport_pairs
from cyclegan.domains import Domain, stars_to_score
from cyclegan.scores import SCORE_BATCH
from cyclegan.spectra import Pixels, Space, Spectra, masked_mean, pooled_components, typical_weight
from cyclegan.translator import Translator
from emulator.command import InputError

PAIR_COMPONENTS = 20  # the first pairs are made on these: later ones are as good as noise before the gap is known
LIKENESS_COMPONENTS = 64
PROJECTED = 1000  # spectra at a time: a batch of pixels fits into memory where a whole domain does not


class Batch(NamedTuple):
    """Coordinates of B stars of each domain; row i of one is the partner of row i of the other."""

    synth: Spectra
    obs: Spectra


class PairedBatches:
    """The batches of one epoch. Its state says where it is, so that a run resumes at the very next batch.

    pairing() makes the pairs when the first batch is asked for, unless they came with a loaded state.
    """

    def __init__(
        self, synth: Spectra, obs: Spectra, pairing: Callable[[], Pairs], batch_size: int, steps: int, seed: int
    ) -> None:
        self.synth, self.obs, self.pairing = synth, obs, pairing
        self.batch_size, self.steps, self.seed = batch_size, steps, seed
        self.pairs: Pairs | None = None
        self.position = 0

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Batch]:
        if self.pairs is None:
            self.pairs = self.pairing()
        generator = torch.Generator().manual_seed(self.seed)
        count = len(self.pairs.synth)
        size = min(self.batch_size, count)
        rounds = -(-self.steps // (count // size))
        orders = [torch.randperm(count, generator=generator)[: count // size * size] for _ in range(rounds)]
        order = torch.cat(orders).view(-1, size)
        synth, obs = (side[order].to(self.synth.flux.device) for side in self.pairs)
        while self.position < self.steps:
            row = self.position
            self.position += 1
            yield Batch(self.synth.rows(synth[row]), self.obs.rows(obs[row]))

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


class SpectraData(LightningDataModule):
    """Two domains as one stream of paired batches; an epoch is one draw of both, paired once.

    matched: whether the domains' stars to score on are the same; paired: whether training stars are paired by likeness
    (`transport_pairs`) or at random. The likeness is that of the metric of the gap, estimated from the pairs of one
    epoch for the next, of observed stars as they would be without what only they vary in.
    Raises InputError where the domains' wavelengths or matched stars disagree.
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
        block: int,
        share: float,
    ) -> None:
        super().__init__()
        self.synth, self.obs, self.matched = synth, obs, matched
        self.batch_size, self.steps, self.seed = batch_size, steps, seed
        self.paired, self.block, self.share = paired, block, share
        self.metric: Tensor | None = None
        self.likeness: tuple[Space, Space] | None = None  # where stars are compared, if not where networks see them
        self._fixed: dict[Space, Spectra] = {}  # coordinates of domains that always draw the same

        a, b = synth.wavelength.cpu(), obs.wavelength.cpu()
        if len(a) != len(b):
            raise InputError(f"domains: expected as many pixels in both, got {len(a)} in synth, {len(b)} in obs")
        if not torch.allclose(a, b, rtol=1e-7, atol=0):
            pixel = int((a - b).abs().argmax())
            raise InputError(
                f"domains: expected the same wavelengths in both, got {a[pixel]:.3f} A in synth"
                f" and {b[pixel]:.3f} A in obs at pixel {pixel}"
            )
        for split in ("val", "test") if matched else ():
            stars = [len(domain.matched(split).flux) for domain in (synth, obs)]
            if stars[0] != stars[1]:
                raise InputError(
                    f"domains: expected the same stars in '{split}' of both, got {stars[0]} in synth, {stars[1]} in obs"
                )

    def make_spaces(self, components: int | None) -> tuple[Space, Space]:
        """The spaces of both domains, from their training spectra: components of both, or pixels for None."""
        synth, obs = (self._draw(domain, epoch=0).to("cpu") for domain in (self.synth, self.obs))
        if self.paired and self.share < 1:
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
        spectra are compared as they are, and the gap comes out as the least that pairs can have.
        """
        space, _ = pooled_components(synth, obs, min(PAIR_COMPONENTS, len(synth.flux), len(synth.flux[0])))
        sides = [torch.cat([space.project(c).flux for c in spectra.chunks(PROJECTED)]) for spectra in (synth, obs)]
        generator = torch.Generator().manual_seed(self.seed)
        return synth.rows(transport_pairs(*sides, self.block, self.share, generator).synth)

    def _draw(self, domain: Domain, epoch: int) -> Spectra:
        # Stars of the two domains are drawn apart: nothing in training is matched.
        return domain.draw(self.seed * 10**6 + epoch * 10 + 5 * (domain is self.obs))

    def coordinates(self, spaces: tuple[Space, Space], epoch: int) -> Batch:
        """The training stars of an epoch in the spaces of the networks, on the spaces' device."""
        sides = []
        for domain, space in ((self.synth, spaces[0]), (self.obs, spaces[1])):
            projected = self._fixed.get(space)
            if projected is None:
                chunks = self._draw(domain, epoch).chunks(PROJECTED)
                chunks = [space.project(chunk.to(space.mean.device)) for chunk in chunks]
                projected = Spectra(*(torch.cat(parts) for parts in zip(*chunks, strict=True)))
                if domain.fixed:
                    self._fixed[space] = projected
            sides.append(projected)
        return Batch(*sides)

    @torch.no_grad()
    def pair(self, translator: Translator, stars: Batch, epoch: int) -> Pairs:
        """The pairs of an epoch; also sharpens the metric for the next, and starts the split latent at the first."""
        generator = torch.Generator().manual_seed(self.seed * 10**6 + epoch)
        synth, obs = (side.flux for side in stars)
        if not self.paired:
            return random_pairs(len(synth), len(obs), generator)
        metric, resting = self.metric, obs
        if metric is None:
            metric = torch.eye(synth.shape[1], PAIR_COMPONENTS, device=synth.device)
        elif self.likeness is None:
            resting = translator.at_rest(obs, generator)
        pairs = transport_pairs(synth @ metric, resting @ metric, self.block, self.share, generator)
        self.metric = gap_metric(resting[pairs.obs] - synth[pairs.synth])
        if epoch == 0 and self.likeness is None:
            translator.start_split(synth[pairs.synth], obs[pairs.obs])
        return pairs

    def train_dataloader(self) -> PairedBatches:
        epoch, translator = self.trainer.current_epoch, self.trainer.lightning_module.translator
        stars = self.coordinates((translator.space_s, translator.space_o), epoch)
        alike = stars if self.likeness is None else self.coordinates(self.likeness, epoch)
        pairing = partial(self.pair, translator, alike, epoch)
        return PairedBatches(*stars, pairing, self.batch_size, self.steps, self.seed * 10**6 + epoch)

    def val_dataloader(self) -> MatchedBatches:
        return MatchedBatches(*stars_to_score(self.synth, self.obs, "val"))

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_index: int) -> Batch:
        return Batch(*(side.to(device) for side in batch)) if batch.synth.flux.device != device else batch

    def state_dict(self) -> dict:
        return {"metric": self.metric}

    def load_state_dict(self, state: dict) -> None:
        self.metric = state["metric"]

"""The stars of two domains, epoch by epoch; matched stars for the scores."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from cyclegan.domains.domains import Domain, Domains, Stars, stars_to_score
from cyclegan.spectra.spectra import SCORE_BATCH


class Turn(NamedTuple):
    """One step of an epoch: its number, and the epoch's stars, which the first step that is taken brings."""

    epoch: int
    step: int
    stars: Stars | None


class EpochOfStars:
    """`steps` turns at the stars of an epoch. Its state says where it is, so that a run resumes at the very next one.

    draw() gives the stars when the first turn is asked for; nobody else holds them on.
    """

    def __init__(self, draw: Callable[[], Stars], epoch: int, steps: int) -> None:
        self.draw, self.epoch, self.steps = draw, epoch, steps
        self.position = 0

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Turn]:
        stars: Stars | None = self.draw()
        while self.position < self.steps:
            step = self.position
            self.position += 1
            yield Turn(self.epoch, step, stars)
            stars = None

    def state_dict(self) -> dict[str, Any]:
        """How many turns were taken, and of which epoch."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` gave; an epoch that was over begins afresh, as the next."""
        if state["position"] < self.steps:
            self.position = state["position"]


class MatchedBatches:
    """Stars of both domains, SCORE_BATCH at a time, (B, P) each."""

    def __init__(self, stars: Stars) -> None:
        self.stars = stars

    def __len__(self) -> int:
        return -(-len(self.stars.synth.flux) // SCORE_BATCH)

    def __iter__(self) -> Iterator[Stars]:
        synth, obs = (side.chunks(SCORE_BATCH) for side in self.stars)
        for pair in zip(synth, obs, strict=True):
            yield Stars(*pair)


class SpectraData(LightningDataModule):
    """Two domains as stars: an epoch is one draw of both, unpaired; seed: of the draws."""

    def __init__(self, domains: Domains, steps: int, seed: int) -> None:
        super().__init__()
        self.domains, self.steps, self.seed = domains, steps, seed
        self._scored: Stars | None = None

    def stars(self, epoch: int) -> Stars:
        """The training stars (N, P) and (M, P) of an epoch."""
        return Stars(*(domain.draw(self._seed_of(domain, epoch)) for domain in self.domains[:2]))

    def drawn_labels(self, epoch: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Labels (n,), (m,) of an epoch's synthetic and observed training stars by name, as far as they are known."""
        synth, obs = (domain.drawn_labels(self._seed_of(domain, epoch)) for domain in self.domains[:2])
        return synth, obs

    def _seed_of(self, domain: Domain, epoch: int) -> int:
        # Stars of the two domains are drawn apart: nothing in training is matched.
        return self.seed * 10**6 + epoch * 10 + 5 * (domain is self.domains.obs)

    def scored(self) -> Stars:
        """The stars (N, P) that are scored after every epoch, as many of either domain."""
        if self._scored is None:
            self._scored = stars_to_score(self.domains.synth, self.domains.obs, "val")
        return self._scored

    def train_dataloader(self) -> EpochOfStars:
        """The turns of the epoch that the trainer is in."""
        epoch = 0 if self.trainer is None else self.trainer.current_epoch
        return EpochOfStars(lambda: self.stars(epoch), epoch, self.steps)

    def val_dataloader(self) -> MatchedBatches:
        """The stars that are scored."""
        return MatchedBatches(self.scored())

    def transfer_batch_to_device(self, batch: Turn | Stars, device: torch.device, dataloader_index: int) -> Any:
        """Stars to score, to a device. Those of an epoch stay where they are: they are moved as they are projected."""
        return batch.to(device) if isinstance(batch, Stars) else batch

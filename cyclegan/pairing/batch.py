"""Batches of partners."""

from typing import NamedTuple

import torch
from torch import Tensor

from cyclegan.domains.domains import Stars
from cyclegan.pairing.transport import Pairs
from cyclegan.spectra.spectra import Spectra


class Partners(NamedTuple):
    """Coordinates, or spectra, of B stars of each domain; row i of one is the partner of row i of the other."""

    synth: Spectra
    obs: Spectra

    def rows(self, index: Tensor | slice) -> "Partners":
        """Those of some rows."""
        return Partners(self.synth.rows(index), self.obs.rows(index))


class TrainingBatch(NamedTuple):
    """Coordinates of B partners, and of anchors, stars known in both domains, if there are any."""

    synth: Spectra
    obs: Spectra
    anchors: Partners | None


class PairedBatches:
    """The batches of one epoch by their number, `steps` of them; of the anchors each holds no more than of other stars.

    stars: coordinates on a device; the pairs are taken in an order drawn by seed, and in another once all are through.
    """

    def __init__(
        self, stars: Stars, pairs: Pairs, batch_size: int, steps: int, seed: int, anchors: Partners | None = None
    ) -> None:
        self.stars, self.steps, self.anchors = stars, steps, anchors
        generator, device = torch.Generator().manual_seed(seed), stars.synth.flux.device
        count = len(pairs.synth)
        size = min(batch_size, count)
        rounds = -(-steps // (count // size))
        orders = [torch.randperm(count, generator=generator)[: count // size * size] for _ in range(rounds)]
        order = torch.cat(orders).view(-1, size)
        self._synth, self._obs = (side[order].to(device) for side in pairs)
        if anchors is not None:
            known = len(anchors.synth.flux)
            draws = [torch.randperm(known, generator=generator)[:batch_size] for _ in range(steps)]
            self._drawn = torch.stack(draws).to(device)

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> TrainingBatch:
        anchors = None if self.anchors is None else self.anchors.rows(self._drawn[step])
        return TrainingBatch(self.stars.synth.rows(self._synth[step]), self.stars.obs.rows(self._obs[step]), anchors)

"""Batches of partners."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from cyclegan.domains.domains import Stars
from cyclegan.pairing.share import Share
from cyclegan.pairing.transport import Pairs
from cyclegan.spectra.spectra import Spectra
from emulator.commands.errors import InputError
from emulator.commands.ranks import ALONE, Ranks


class Partners(NamedTuple):
    """Coordinates, or spectra, of B stars of each domain; row i of one is the partner of row i of the other."""

    synth: Spectra
    obs: Spectra

    def rows(self, index: Tensor | slice) -> "Partners":
        """Those of some rows."""
        return Partners(self.synth.rows(index), self.obs.rows(index))


class TrainingBatch(NamedTuple):
    """Coordinates of B partners, and of anchors, stars known in both domains, if there are any.

    Of several processes each has its share of the partners, and all of the anchors, which are few.
    """

    synth: Spectra
    obs: Spectra
    anchors: Partners | None
    share: Share = Share()


class PairedBatches:
    """The batches of one epoch by their number, `steps` of them; of the anchors each holds no more than of other stars.

    stars: coordinates on a device; pairs: of a translator, or of each member of an ensemble, whose batches then have a
    first axis of members, (N, B, ...). Pairs are taken in an order drawn by seed, and in another once all are through.
    ranks: the processes that share each batch; InputError where it has fewer stars.
    """

    def __init__(
        self,
        stars: Stars,
        pairs: Sequence[Pairs],
        batch_size: int,
        steps: int,
        seed: int,
        anchors: Partners | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.stars, self.steps, self.anchors = stars, steps, anchors
        generator, device = torch.Generator().manual_seed(seed), stars.synth.flux.device
        count = min(len(own.synth) for own in pairs)
        size = min(batch_size, count)
        if size < ranks.count:
            text = f"config key 'trainer.devices': expected at most {size} processes, the stars of a batch"
            raise InputError(f"{text}, got {ranks.count}")
        self.share = Share(size, ranks)
        rounds = -(-steps // (count // size))

        def batches(own: Pairs) -> Tensor:
            orders = [
                torch.randperm(len(own.synth), generator=generator)[: count // size * size] for _ in range(rounds)
            ]
            order = torch.cat(orders).view(-1, size)
            return torch.stack([side[order] for side in own])

        drawn = self.share.own(torch.stack([batches(own) for own in pairs], dim=2).to(device))  # (2, steps, N, B)
        self._synth, self._obs = drawn if len(pairs) > 1 else drawn[:, :, 0]
        if anchors is not None:
            known = len(anchors.synth.flux)
            draws = [torch.randperm(known, generator=generator)[:batch_size] for _ in range(steps)]
            self._drawn = torch.stack(draws).to(device)
            if len(pairs) > 1:
                self._drawn = self._drawn[:, None].expand(-1, len(pairs), -1)

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> TrainingBatch:
        anchors = None if self.anchors is None else self.anchors.rows(self._drawn[step])
        synth, obs = self.stars.synth.rows(self._synth[step]), self.stars.obs.rows(self._obs[step])
        return TrainingBatch(synth, obs, anchors, self.share)

"""The stars of a batch that one of several processes works on."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from emulator.commands.ranks import ALONE, Ranks


@dataclass(frozen=True)
class Share:
    """Which of `size` stars of a batch this process works on: of `ranks.count` processes each takes every so manieth.

    Parts of a loss are such that those of all processes add up to that of the whole batch, and so do their gradients.
    size is of no matter to a lone process, which has all of them.
    """

    size: int = 0
    ranks: Ranks = ALONE

    @property
    def _own(self) -> slice:
        return slice(self.ranks.number, None, self.ranks.count)

    def of_stars(self, mean: Tensor) -> Tensor:
        """A mean over this process's stars, as its part of that over the batch's."""
        return mean if self.ranks.count == 1 else mean * (len(range(self.size)[self._own]) / self.size)

    def of_usable(self, mean: Tensor, usable: Tensor) -> Tensor:
        """A mean over this process's usable values, of any shape, as its part of that over all of them."""
        if self.ranks.count == 1:
            return mean
        count = usable.sum()
        return mean * (count / self.ranks.total_for_all(count.clone()).clamp_min(1))

    def own(self, rows: Tensor) -> Tensor:
        """Of something of every star of the batch, (..., size), that of this process's stars."""
        return rows[..., self._own]

    def whole(self, latents: Tensor) -> Tensor:
        """Latents (..., n, Z) of this process's stars among those of the batch, (..., size, Z).

        Only through its own is there a gradient: each process has that of its own stars.
        """
        if self.ranks.count == 1:
            return latents
        found = latents.new_zeros(*latents.shape[:-2], self.size, latents.shape[-1])
        found[..., self._own, :] = latents.detach()
        self.ranks.total_for_all(found)
        found[..., self._own, :] = latents
        return found

    def once(self, part: Tensor) -> Tensor:
        """A part of the loss that every process worked out for the whole batch, with all of its gradient."""
        return part if self.ranks.count == 1 else part + (1 / self.ranks.count - 1) * part.detach()

    def noise(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """Standard normal deviates for this process's stars, (..., n, K) as `like`, as they are drawn for the batch."""
        if self.ranks.count == 1:
            shape, own = like.shape, slice(None)
        else:
            shape, own = torch.Size([*like.shape[:-2], self.size, like.shape[-1]]), self._own
        return torch.randn(shape, generator=generator, device=generator.device).to(like)[..., own, :]

    def added_up(self, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Scalars by name, without gradients: of all processes together, for the first."""
        alone = {name: part.detach() for name, part in parts.items()}
        if self.ranks.count == 1:
            return alone
        return dict(zip(alone, self.ranks.total(torch.stack(list(alone.values()))).unbind(), strict=True))

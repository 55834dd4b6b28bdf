"""Processes that train one model together: the first leads, the others work out their share of each batch."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed, nn

from emulator.commands.saving import saved

END = -1


class LostError(ConnectionError):
    """Another process of the training is no longer there."""


class Order(NamedTuple):
    """What the first process wants of the others.

    told: what it told them to keep, None where they are to work on a batch: the one of this number in its epoch, after
    so many steps of the run.
    """

    told: Any
    batch: int
    step: int


@contextmanager
def _asking() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # all that torch.distributed says of a process that is not there
        raise LostError(str(error)) from error


@dataclass(frozen=True)
class Ranks:
    """Which of `count` processes this is, from 0, the first. A lone one asks nobody.

    Whatever one of them does here all have to do, in the same order. Each raises LostError where another one has gone.
    Weights and their optimisers' state are the first one's: the others get new weights after every step, and keep
    nothing. DDP's reducer makes each parameter ready once a forward pass, where two optimisers and a discriminator that
    both updates go through make it ready twice (https://github.com/Lightning-AI/pytorch-lightning/issues/4953).
    """

    number: int = 0
    count: int = 1

    def collect(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add up the gradients of all processes, for the first."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if self.count > 1 and gradients:
            together = self.total(torch.cat([gradient.flatten() for gradient in gradients]))
            parts = together.split([gradient.numel() for gradient in gradients])
            for gradient, part in zip(gradients, parts, strict=True):
                gradient.copy_(part.view_as(gradient))

    @torch.no_grad()
    def spread(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give all processes the parameters of the first."""
        if self.count > 1:
            own = list(parameters)
            together = torch.cat([parameter.flatten() for parameter in own])
            with _asking():
                distributed.broadcast(together, 0)
            if self.number > 0:
                parts = together.split([parameter.numel() for parameter in own])
                for parameter, part in zip(own, parts, strict=True):
                    parameter.copy_(part.view_as(parameter))

    def total(self, values: Tensor) -> Tensor:
        """The sum over processes, for the first; values are overwritten."""
        if self.count > 1:
            with _asking():
                distributed.reduce(values, 0)
        return values

    def total_for_all(self, values: Tensor) -> Tensor:
        """The same for all of them."""
        if self.count > 1:
            with _asking():
                distributed.all_reduce(values)
        return values

    def tell(self, contents: Any) -> None:
        """Tell the others tensors and plain types; they take orders."""
        if self.count > 1:
            packed = torch.frombuffer(saved(contents), dtype=torch.uint8)
            self._order(len(packed), 0)
            with _asking():
                distributed.broadcast(packed, 0)

    def work_on(self, batch: int, step: int) -> None:
        """Have the others work on a batch, by its number in the epoch, after so many steps of the run."""
        if self.count > 1:
            self._order(0, batch, step)

    def end(self) -> None:
        """Let the others go."""
        if self.count > 1:
            self._order(END, 0)

    def _order(self, size: int, batch: int, step: int = 0) -> None:
        with _asking():
            distributed.broadcast(torch.tensor([size, batch, step]), 0)

    def orders(self) -> Iterator[Order]:
        """In another process than the first: what that wants, until it lets go."""
        while True:
            order = torch.zeros(3, dtype=torch.long)
            with _asking():
                distributed.broadcast(order, 0)
            size, batch, step = order.tolist()
            if size == END:
                return
            told = None
            if size:
                contents = torch.empty(size, dtype=torch.uint8)
                with _asking():
                    distributed.broadcast(contents, 0)
                told = torch.load(BytesIO(contents.numpy().data), map_location="cpu", weights_only=True)
            yield Order(told, batch, step)


ALONE = Ranks()

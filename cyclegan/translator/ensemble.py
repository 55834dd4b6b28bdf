"""Networks side by side: N of one kind that learn in one pass, and that answer as one."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cyclegan.translator.networks import Turning


class Stacked(nn.Module):
    """N networks of one shape, their parameters stacked along a first axis: a product of matrices serves all.

    They are of layers that act on each star or are `Linear`. Inputs have a first axis of members, (N, B, n), or are the
    same for all, (B, n); outputs are (N, B, m).
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.count = len(members)
        self.network = copy.deepcopy(members[0])
        for module, *same in zip(*(member.modules() for member in (self.network, *members)), strict=True):
            for name in list(module._parameters):
                stacked = torch.stack([getattr(one, name).detach() for one in same])
                setattr(module, name, nn.Parameter(stacked))

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """What each member makes of its inputs."""
        own = (values if values.ndim > 2 else values.expand(self.count, *values.shape) for values in inputs)
        made: Tensor | tuple[Tensor, ...] = self.network(*own)
        return made

    def member(self, number: int) -> nn.Module:
        """One of the networks, whose parameters are this one's: what is done to them in place is done here."""
        own = copy.deepcopy(self.network)
        for parameter, stacked in zip(own.parameters(), self.network.parameters(), strict=True):
            parameter.data = stacked.data[number]
        return own

    def turn(self, part: str, centre: Tensor, axes: Tensor) -> None:
        """Have each member's latents z of one part be (z - centre (N, Z)) @ axes (N, Z, Z) from now on."""
        for number in range(self.count):
            network = self.member(number)
            assert isinstance(network, Turning)
            network.turn(part, centre[number], axes[number])


class MeanEncoder(nn.Module):
    """An encoder that is N: coordinates (B, K) to their shared latents side by side, (B, N Zs), and the mean of their
    split latents, (B, Zp), which are to be along the same axes.
    """

    def __init__(self, members: nn.Module) -> None:
        super().__init__()
        assert isinstance(members, Stacked)
        self.members = members

    def forward(self, coordinates: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates (B, K) to shared (B, N Zs) and split (B, Zp) latents."""
        shared, split = self.members(coordinates)
        return shared.transpose(0, 1).flatten(1), split.mean(dim=0)


class MeanGenerator(nn.Module):
    """The generator for such an encoder: the mean of what N make, each of its own shared latents."""

    def __init__(self, members: nn.Module) -> None:
        super().__init__()
        assert isinstance(members, Stacked)
        self.members = members

    def forward(self, shared: Tensor, split: Tensor) -> Tensor:
        """Shared (B, N Zs) and split (B, Zp) latents to coordinates (B, K)."""
        return self.each(shared, split).mean(dim=0)

    def each(self, shared: Tensor, split: Tensor) -> Tensor:
        """What each member makes of the same, (N, B, K)."""
        own = shared.unflatten(1, (self.members.count, -1)).transpose(0, 1)
        return self.members(own, split)


def members_of(network: nn.Module) -> list[nn.Module]:
    """The networks of an ensemble, one by one; any other network alone."""
    return [network.member(number) for number in range(network.count)] if isinstance(network, Stacked) else [network]

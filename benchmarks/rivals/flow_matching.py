"""Flow matching: a network learns the velocity that carries stars of one domain to their partners in the other."""

import math

import torch
from torch import Tensor, nn

from benchmarks.rivals.sets import Maps, share_of
from benchmarks.rivals.sinkhorn import plan

STEPS = 8  # of the integration, each of fourth order
BATCH = 256


class _Velocity(nn.Module):
    """Velocity (n, K) at coordinates (n, K) and times (n, 1)."""

    def __init__(self, scale: Tensor, width: int) -> None:
        super().__init__()
        self.scale, inputs = scale, len(scale) + 1
        self.linear = nn.Linear(inputs, len(scale))
        self.bend = nn.Sequential(
            nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, len(scale))
        )
        for layer in (self.linear, self.bend[-1]):
            nn.init.zeros_(layer.weight)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        inputs = torch.cat([x / self.scale, time], dim=1)
        return self.scale * (self.linear(inputs) + self.bend(inputs))


def flow_matching(
    synth: Tensor,
    obs: Tensor,
    seed: int,
    seconds: float,
    blur: float = 0.1,
    reach: float | None = None,
    noise: float = 0.0,
    rate: float = 2e-3,
    width: int = 256,
) -> Maps:
    """Conditional flow matching from coordinates (n, K) to (m, K), by the formulas of Tong et al. 2023
    (https://arxiv.org/abs/2302.00482): partners x_0, x_1 are drawn from an entropic plan, of all stars rather than of
    small batches, and the network is to be x_1 - x_0 at (1 - t) x_0 + t x_1 with noise.

    seconds: of the processor; blur, reach: as `plan` has them; noise: 1 sigma of each coordinate; rate: Adam's at
    first.
    """
    weights = plan(synth, obs, blur, reach)
    draws = torch.Generator().manual_seed(seed)
    middle = (synth.mean(dim=0) + obs.mean(dim=0)) / 2
    synth, obs = synth - middle, obs - middle
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _Velocity(torch.cat([synth, obs]).std(dim=0).clamp_min(1.0), width)
    adam = torch.optim.Adam(network.parameters(), rate, fused=True)
    given = weights.sum(dim=1)
    for share in share_of(seconds):
        rows = torch.multinomial(given, BATCH, replacement=True, generator=draws)
        partners = torch.multinomial(weights[rows], 1, generator=draws)[:, 0]
        first, second = synth[rows], obs[partners]
        time = torch.rand(BATCH, 1, generator=draws)
        place = torch.lerp(first, second, time) + noise * torch.randn(first.shape, generator=draws)
        loss = (network(place, time) - (second - first)).square().mean()
        adam.param_groups[0]["lr"] = rate * 0.5 * (1 + math.cos(math.pi * share))
        adam.zero_grad()
        loss.backward()
        adam.step()
    return (
        lambda x: _carried(network, x - middle, 0.0, 1.0) + middle,
        lambda x: _carried(network, x - middle, 1.0, 0.0) + middle,
    )


@torch.no_grad()
def _carried(network: _Velocity, x: Tensor, start: float, end: float) -> Tensor:
    """Coordinates (n, K) at time `end` of stars that are at x (n, K) at `start`, by Runge and Kutta's method."""
    step = (end - start) / STEPS

    def velocity(place: Tensor, time: float) -> Tensor:
        return network(place, torch.full((len(place), 1), time))

    for number in range(STEPS):
        time = start + number * step
        first = velocity(x, time)
        second = velocity(x + step / 2 * first, time + step / 2)
        third = velocity(x + step / 2 * second, time + step / 2)
        fourth = velocity(x + step * third, time + step)
        x = x + step / 6 * (first + 2 * second + 2 * third + fourth)
    return x

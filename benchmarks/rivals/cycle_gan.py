"""A plain cycle-GAN between components: no latents, no pairs, no linear start."""

import math

import torch
from torch import Tensor, nn

from benchmarks.rivals.sets import Map, Maps, share_of

BATCH = 256
KEPT = 0.99  # of the mean of the generators' parameters, at each step


class _Generator(nn.Module):
    """x + MLP(x), coordinates (n, K) in units of their spread; starts as the identity."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, inputs)
        self.bend = nn.Sequential(
            nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, inputs)
        )
        for layer in (self.linear, self.bend[-1]):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.linear(x) + self.bend(x)


def _judge(inputs: int, width: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(inputs, width), nn.LeakyReLU(0.2), nn.Linear(width, width), nn.LeakyReLU(0.2), nn.Linear(width, 1)
    )


def _distance(made: Tensor, wanted: Tensor) -> Tensor:
    return (made - wanted).square().sum(dim=1).mean()


def cycle_gan(
    synth: Tensor,
    obs: Tensor,
    seed: int,
    seconds: float,
    cycle: float = 10.0,
    identity: float = 0.0,
    rate: float = 5e-4,
    judges_rate: float = 1e-3,
    width: int = 128,
) -> Maps:
    """Two generators and two discriminators between coordinates (n, K) and (m, K) (Zhu et al. 2017), with least squares
    as the adversarial loss; cycle, identity: the weights of these losses, which are squared.

    Absolute ones, as of pixels, hold generators where they start. A mean of the generators over the last steps is used.
    The means are taken off first, as a mean shift does. seconds: of the processor; rate, judges_rate: Adam's at first.
    """
    draws = torch.Generator().manual_seed(seed)
    centres = synth.mean(dim=0), obs.mean(dim=0)
    scale = torch.cat([synth - centres[0], obs - centres[1]]).std(dim=0).clamp_min(1.0)
    scale = (scale * scale.max()).sqrt()  # half-way to white, or judges see noise alone
    x_s, x_o = (synth - centres[0]) / scale, (obs - centres[1]) / scale
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        forward, back = (_Generator(len(scale), width) for _ in "so")
        judge_o, judge_s = (_judge(len(scale), 2 * width) for _ in "os")
    parameters = [*forward.parameters(), *back.parameters()]
    mean = [one.detach().clone() for one in parameters]
    makers = torch.optim.Adam(parameters, rate, (0.5, 0.9), fused=True)
    judges = torch.optim.Adam([*judge_o.parameters(), *judge_s.parameters()], judges_rate, (0.5, 0.9), fused=True)

    for share in share_of(seconds):
        s, o = (side[torch.randint(len(side), (BATCH,), generator=draws)] for side in (x_s, x_o))
        for optimizer, first in ((makers, rate), (judges, judges_rate)):
            optimizer.param_groups[0]["lr"] = first * 0.5 * (1 + math.cos(math.pi * share))
        so, os = forward(s), back(o)
        told = [(judge_o, o, so.detach()), (judge_s, s, os.detach())]
        loss = sum((judge(real) - 1).square().mean() + judge(made).square().mean() for judge, real, made in told)
        judges.zero_grad()
        loss.backward()
        judges.step()
        fooled = (judge_o(so) - 1).square().mean() + (judge_s(os) - 1).square().mean()
        cycles = _distance(back(so), s) + _distance(forward(os), o)
        same = _distance(forward(o), o) + _distance(back(s), s) if identity else 0.0
        makers.zero_grad()
        (fooled + cycle * cycles + identity * same).backward()
        makers.step()
        with torch.no_grad():
            torch._foreach_lerp_(mean, parameters, 1 - KEPT)
    with torch.no_grad():
        for one, kept in zip(parameters, mean, strict=True):
            one.copy_(kept)

    return _translation(forward, *centres, scale), _translation(back, *centres[::-1], scale)


def _translation(generator: _Generator, before: Tensor, after: Tensor, scale: Tensor) -> Map:
    """The generator between coordinates (n, K) about these means (K,), in units of scale (K,)."""

    @torch.no_grad()
    def translated(x: Tensor) -> Tensor:
        return generator((x - before) / scale) * scale + after

    return translated

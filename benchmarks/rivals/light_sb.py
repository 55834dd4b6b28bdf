"""A light Schrödinger bridge: an entropic transport whose potential is a mixture of Gaussians."""

import math

import torch
from torch import Tensor

from benchmarks.rivals.sets import Map, Maps, share_of
from cyclegan.linear.gaussian_transport import gaussian_transport

BATCH = 256


def light_sb(
    synth: Tensor,
    obs: Tensor,
    seed: int,
    seconds: float,
    parts: int = 16,
    noise: float = 30.0,
    apart: float = 0.05,
    rate: float = 1e-2,
) -> Maps:
    """LightSB between coordinates (n, K) and (m, K), by the formulas of Korotin et al. 2024
    (https://arxiv.org/abs/2310.01174, section 3): one bridge each way, half of the time for each.

    Its covariances are diagonal along the axes along which Gaussian optimal transport only stretches: the plain metric
    is the same along any, and the bridge starts as that transport.

    seconds: of the processor; parts: Gaussians of the mixture; noise: epsilon, the variance of the bridge; rate: Adam's
    at first.
    """
    maps = gaussian_transport(synth, obs).maps
    ways = ((synth, obs, maps.forward), (obs, synth, maps.back))
    forward, back = (_bridge(*way, seed, seconds / 2, parts, noise, apart, rate) for way in ways)
    return forward, back


def _bridge(
    first: Tensor,
    second: Tensor,
    start: Tensor,
    seed: int,
    seconds: float,
    parts: int,
    noise: float,
    apart: float,
    rate: float,
) -> Map:
    """The mean of where stars like first (n, K) go, towards second (m, K); start (K, K): a symmetric map to begin as.

    With the potential v(y) = sum a_k N(y; r_k, noise S_k), a star x goes to y with a density that is a mixture of
    N(y; r_k + S_k x, noise S_k), whose weights are a_k exp((x S_k x + 2 r_k x) / (2 noise)), of sum c(x); the mean of
    log c(x) - log v(y) is to be least.
    """
    draws = torch.Generator().manual_seed(seed)
    stretch, axes = torch.linalg.eigh(start.double())
    centre, target = first.double().mean(dim=0), second.double().mean(dim=0)
    x, y = (first - centre) @ axes, (second - target) @ axes
    logits = torch.zeros(parts, dtype=torch.double, requires_grad=True)
    means = (apart * y[torch.randperm(len(y), generator=draws)[:parts]]).requires_grad_()
    log_s = ((1 - apart) * stretch.clamp_min(1e-3)).log().repeat(parts, 1).requires_grad_()

    def weights(stars: Tensor) -> Tensor:  # (n, parts), logarithms
        return logits + (stars.square() @ log_s.exp().T + 2 * stars @ means.T) / (2 * noise)

    def potential(stars: Tensor) -> Tensor:  # (n,), logarithm
        inverse = (-log_s).exp()
        squares = stars.square() @ inverse.T - 2 * stars @ (means * inverse).T + (means.square() * inverse).sum(dim=1)
        normal = -0.5 * (squares / noise + log_s.sum(dim=1) + len(stretch) * math.log(2 * math.pi * noise))
        return torch.logsumexp(logits + normal, dim=1)

    adam = torch.optim.Adam([logits, means, log_s], rate)
    for share in share_of(seconds):
        rows, others = (torch.randint(len(side), (BATCH,), generator=draws) for side in (x, y))
        loss = (torch.logsumexp(weights(x[rows]), dim=1) - potential(y[others])).mean()
        adam.param_groups[0]["lr"] = rate * 0.5 * (1 + math.cos(math.pi * share))
        adam.zero_grad()
        loss.backward()
        adam.step()

    @torch.no_grad()
    def mean_of(stars: Tensor) -> Tensor:
        place = (stars - centre) @ axes
        belongs = weights(place).softmax(dim=1)
        moved = belongs @ means + (belongs @ log_s.exp()) * place
        return (moved @ axes.T + target).to(stars)

    return mean_of

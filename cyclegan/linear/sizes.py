"""How many components and latent variables the spectra of a training support."""

from bisect import bisect_left
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse.linalg import svds
from torch import Tensor

from cyclegan.domains.domains import Stars
from cyclegan.spectra.spaces import pooled_components, projected_on
from cyclegan.spectra.spectra import at_a_time, noise_of, typical_weight

MOST_COMPONENTS = 128  # more cost more than they bring
BELOW = 2.5  # times as many components as stand out singly: the next ones hold little each, and something together
MOST_LATENTS = 24  # of which other coordinates may be functions; stars that take more are told by no function
MOST_SPLIT = 14  # a telescope does more to spectra than can be counted: with 20, split latents took of what is shared
MOST_STARS = 1000  # that latents are counted with
LOST, LOST_SEEN = 0.002, 0.02  # of the noise in a pixel that latents may not tell; of observed stars, noise is unsure
RIDGES = 10.0 ** torch.arange(-8, 3, dtype=torch.double)  # of the largest eigenvalue; the best by cross-validation
NOISE_SEED = 5 * 10**12


class Sizes(NamedTuple):
    """How many components, shared latent variables and split ones."""

    components: int
    shared: int
    split: int


def find_sizes(stars: Stars) -> Sizes:
    """The sizes for training spectra (N, P) and (M, P), on the CPU.

    Latents: of every second star the others' leading components are taken. If cubic functions of the first d tell all
    others, but for noise, a star is d numbers. The synthetic stars say how many latents are shared; what observed ones
    have more is split. Where no few numbers tell the rest, as in real spectra of few stars, every component is a
    latent of its own: nothing of a star is lost on the way.
    """
    most = len(stars.synth.flux) + len(stars.obs.flux) - 2, stars.synth.flux.shape[1] - 1, MOST_COMPONENTS
    standing_out = signal_components(stars, min(most))
    components = min(round(BELOW * standing_out), *most)
    half = Stars(*(side.rows(slice(0, None, 2)) for side in stars))
    spaces = pooled_components(*half, min(standing_out, len(half.synth.flux) + len(half.obs.flux) - 2))
    weight, numbers = typical_weight(stars.obs), []
    for space, side, lost in zip(spaces, stars, (LOST, LOST_SEEN), strict=True):
        other = side.rows(slice(1, 2 * MOST_STARS, 2))
        noise = (noise_of(other) * weight).square().mean().item()
        numbers.append(dimension(projected_on(space, other).flux.double(), noise, lost * len(weight)))
    shared, seen = numbers
    if shared is None:
        return Sizes(components, max(1, components - 1), min(1, components - 1))
    split = MOST_SPLIT if seen is None else min(MOST_SPLIT, max(1, seen - shared))
    return Sizes(max(components, shared + split), shared, split)


def signal_components(stars: Stars, most: int) -> int:
    """How many components of both sets, of `most`, stand out more than the first of pure noise does (Horn 1965)."""
    space, _ = pooled_components(*stars, most)
    generator = torch.Generator().manual_seed(NOISE_SEED)
    strength, counts = torch.zeros(most), [len(side.flux) for side in stars]
    noise, size = torch.empty(sum(counts), len(space.weight)), at_a_time(len(space.weight))
    for side, drawn in zip(stars, noise.split(counts), strict=True):
        coordinates = projected_on(space, side).flux
        strength += (coordinates - coordinates.mean(dim=0)).square().mean(dim=0)
        for some, place in zip(side.chunks(size), drawn.split(size), strict=True):
            place.normal_(generator=generator).mul_(noise_of(some)).mul_(space.weight / len(side.flux) ** 0.5)
    # The tolerance is that of a bound: the value itself came out right to 0.5 %.
    (root,) = svds(noise.numpy(), k=1, tol=0.1, v0=np.ones(min(noise.shape)), return_singular_vectors=False)
    return max(2, int((strength > root**2).sum()))


def dimension(stars: Tensor, noise: float, lost: float) -> int | None:
    """Of how many leading coordinates (n, K) the others are cubic functions, but for noise; None for too many.

    noise: variance of each coordinate; lost: variance of all others together that may stay untold.
    """
    numbers = range(1, min(MOST_LATENTS, stars.shape[1]) + 1)

    def told(d: int) -> bool:
        return untold(stars, d) - noise * (stars.shape[1] - d) <= lost

    first = bisect_left(numbers, True, key=told)  # the more are known, the less is left
    return numbers[first] if first < len(numbers) else None


def untold(stars: Tensor, d: int) -> float:
    """The variance of all coordinates (n, K) but the first d that a cubic function of these does not tell.

    By leave-one-out cross-validation of a kernel ridge regression, whose residuals have a closed form.
    """
    known = (stars[:, :d] - stars[:, :d].mean(dim=0)) / stars[:, :d].std(dim=0).clamp_min(1e-12)
    values, vectors = torch.linalg.eigh((1 + known @ known.T / d) ** 3)
    projected = vectors.T @ stars[:, d:]
    found = []
    for ridge in RIDGES:
        kept = values.clamp_min(0) / (values.clamp_min(0) + ridge * values[-1])
        leverage = vectors.square() @ kept
        residual = stars[:, d:] - vectors @ (kept[:, None] * projected)
        found.append((residual / (1 - leverage).clamp_min(1e-9)[:, None]).square().sum().item() / len(stars))
    return min(found)

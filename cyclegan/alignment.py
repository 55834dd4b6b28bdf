"""What tells the two latent spaces apart: pseudo-pairs by optimal transport, the independence of the split latent, and
the sliced Wasserstein distance.

Reconstruction and cycle losses are indifferent to how the latent spaces of the two domains are matched. Pairs of a
synthetic and an observed star that look alike, once each domain's mean is taken off, break that indifference; but what
only observed spectra vary in may look like a shared label, and would be paired with it, were it not for its being
independent of all that is shared.
"""

from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

WAVES = 512  # random frequencies at which independence is judged
LENGTHS = (0.5, 2.0)  # of those waves, in standard deviations: shorter ones see the sample, longer ones its covariance
REACH = (
    2e-4  # dependence that a rotation by one radian must take away to be worth it: another is as good as independent
)


class Pairs(NamedTuple):
    """Rows of synthetic stars and of observed ones, (n,) each: pair i is (synth[i], obs[i])."""

    synth: Tensor
    obs: Tensor


def _cover(stars: int, places: int, generator: torch.Generator) -> Tensor:
    """Indices (places,) of `stars` stars in random order, each as often as any other, give or take one."""
    rounds = -(-places // stars)
    return torch.cat([torch.randperm(stars, generator=generator) for _ in range(rounds)])[:places]


def random_pairs(synth: int, obs: int, generator: torch.Generator) -> Pairs:
    """Every star once at least, paired at random: what the method has where nothing aligns it."""
    places = max(synth, obs)
    return Pairs(_cover(synth, places, generator), _cover(obs, places, generator))


def transport_pairs(synth: Tensor, obs: Tensor, block: int, share: float, generator: torch.Generator) -> Pairs:
    """One-to-one assignment of least total squared distance in random blocks of `block` stars.

    synth (n, K) and obs (m, K) are in a space whose Euclidean distance says how unlike two stars are. Each block has
    `share` times as many observed as synthetic stars: below 1 the synthetic stars least like any stay unpaired
    (partial transport). Every star is in a block at least. The Hungarian method of scipy, O(block^3).
    """
    block = min(block, len(synth), len(obs))
    in_block = max(1, round(share * block))
    blocks = max(-(-len(synth) // block), -(-len(obs) // in_block))
    rows = _cover(len(synth), blocks * block, generator).view(blocks, block)
    columns = _cover(len(obs), blocks * in_block, generator).view(blocks, in_block)
    pairs = []
    for row, column in zip(rows, columns, strict=True):
        cost = torch.cdist(synth[row], obs[column]).square().cpu().numpy()
        left, right = linear_sum_assignment(cost)
        pairs.append((row[torch.from_numpy(left)], column[torch.from_numpy(right)]))
    return Pairs(*(torch.cat(side) for side in zip(*pairs, strict=True)))


def gap_metric(gap: Tensor) -> Tensor:
    """W (K, K) such that |W a - W b| measures how unlike two stars are beside what the gap itself makes unlike.

    gap (n, K): observed minus synthetic partners, in units of the noise. Its covariance S is that of the gap between
    theory and data, of what only observed spectra vary in, and of noise; W^T W = S^-1, the metric of generalised
    least squares (Aitken 1935): where theory errs counts for little, where the domains agree decides who is alike.
    """
    spread = torch.cov(gap.T.double())
    # A direction in which partners never differ would rule all others out; a tenth of the noise is as sure as can be.
    spread = spread + 0.01 * torch.eye(len(spread), dtype=spread.dtype, device=spread.device)
    values, vectors = torch.linalg.eigh(spread)
    return ((vectors / values.sqrt()) @ vectors.T).to(gap.dtype)


def sliced_wasserstein(a: Tensor, b: Tensor, directions: int, generator: torch.Generator | None = None) -> Tensor:
    """Mean squared 2-Wasserstein distance of a (B, K) and b (B, K) along random directions, a scalar.

    Along a line the optimal transport of equal samples pairs them in order (Bonneel et al. 2015).
    """
    lines = torch.randn(a.shape[1], directions, generator=generator).to(a)
    lines = lines / lines.norm(dim=0)
    return ((a @ lines).sort(dim=0).values - (b @ lines).sort(dim=0).values).square().mean()


def draw_waves(columns: int, generator: torch.Generator) -> Tensor:
    """Random frequencies (columns, WAVES): of random direction, as many of each of LENGTHS, evenly in the logarithm."""
    direction = torch.randn(columns, WAVES, generator=generator)
    shortest, longest = LENGTHS
    length = shortest * (longest / shortest) ** torch.rand(WAVES, generator=generator)
    return direction / direction.norm(dim=0) * torch.randn(WAVES, generator=generator) / length


def dependence(a: Tensor, b: Tensor, waves_a: Tensor, waves_b: Tensor) -> Tensor:
    """How dependent the variables a (N, m) are on b (N, n), a scalar: 0 for independent ones of which there are many.

    The mean over frequencies s (m, W), t (n, W) of |f_ab(s, t) - f_a(s) f_b(t)|^2, f the empirical characteristic
    functions of standardised variables (Feuerverger 1993, Int. Stat. Rev. 61, 419).
    """
    p, q = a @ waves_a, b @ waves_b
    cos_p, sin_p, cos_q, sin_q = (wave - wave.mean(dim=0) for wave in (p.cos(), p.sin(), q.cos(), q.sin()))
    real = (cos_p * cos_q - sin_p * sin_q).mean(dim=0)
    imaginary = (cos_p * sin_q + sin_p * cos_q).mean(dim=0)
    return (real.square() + imaginary.square()).mean()


@torch.no_grad()
def at_mean_split(
    shared: Tensor, split: Tensor, reference: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The latents (N, Zs), (N, Zp) of the same stars if what is independent of the shared part were at its mean.

    Gaussian latents could be rotated into one another unseen; others cannot: whitened together, they are rotated such
    that the split variables depend least on the shared ones (independent component analysis, Comon 1994). A label may
    be as independent of the others as what only observed stars vary in, and must not be taken for it: so rotated split
    variables are to be like reference (N, Zp), what was first known of it.
    """
    both = torch.cat([shared, split], dim=1)
    mean, (Zs, Zp) = both.mean(dim=0), (shared.shape[1], split.shape[1])
    spread = torch.cov(both.T.double())
    spread.diagonal().add_(1e-9 * spread.diagonal().mean())  # a dead variable has no spread of its own
    root = torch.linalg.cholesky(spread).to(both)
    white = torch.linalg.solve_triangular(root, (both - mean).T, upper=False).T
    known = torch.linalg.qr(reference - reference.mean(dim=0)).Q  # (N, Zp), orthonormal
    start = torch.linalg.qr(white.T @ known, mode="complete").Q.roll(Zs, dims=1)  # split variables like the reference
    waves_s, waves_p = (draw_waves(width, generator).to(both) for width in (Zs, Zp))
    angles = both.new_zeros(Zs, Zp).requires_grad_()

    def rotation() -> Tensor:
        above = torch.cat([angles.new_zeros(Zs, Zs), angles], dim=1)
        below = torch.cat([-angles.T, angles.new_zeros(Zp, Zp)], dim=1)
        return start @ torch.linalg.matrix_exp(torch.cat([above, below]))

    optimizer = torch.optim.LBFGS([angles], max_iter=10, line_search_fn="strong_wolfe")

    @torch.enable_grad()
    def closure() -> Tensor:
        optimizer.zero_grad()
        turned = white @ rotation()
        new = 1 - (known.T @ turned[:, Zs:]).square().sum() / turned[:, Zs:].square().sum()
        loss = dependence(turned[:, :Zs], turned[:, Zs:], waves_s, waves_p) / REACH + new
        loss.backward()
        return loss

    optimizer.step(closure)
    turn = rotation().detach()
    turned = white @ turn
    turned[:, Zs:] = 0.0
    return tuple((turned @ turn.T @ root.T + mean).split([Zs, Zp], dim=1))

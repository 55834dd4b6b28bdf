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

CELL, ROUNDS = 250, 12  # pairs that exchange partners among themselves; how often, each time with other neighbours
LENGTHS = (0.5, 2.0)  # of waves, in standard deviations: shorter ones see the sample, longer ones its covariance
REACH = 5e-5  # a rotation by one radian must lower the dependence by this: five times what 4000 stars have by chance
OWN_COMPONENTS, LEADING = 20, 8  # principal components: those of which a star's own is a sum; of these, the first
SEARCHES = 9  # for it, each with other waves
BENT = 2e-4  # a component that depends more on what is sought is a function of it: others keep a tenth of this


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


def transport_pairs(
    synth: Tensor, obs: Tensor, share: float, generator: torch.Generator, most: int | None = None
) -> Pairs:
    """One-to-one assignment of nearly the least total squared distance (of spectra, to a percent), in random sets.

    synth (n, K) and obs (m, K) are in a space whose Euclidean distance says how unlike two stars are. A set has `share`
    times as many observed as synthetic stars: below 1 the synthetic stars least like any stay unpaired (partial
    transport), and a set has as many synthetic stars as there are in the smaller domain. most: observed stars of a set,
    where that would be more. Every star is in one set at least.
    """
    synth, obs = synth.cpu(), obs.cpu()  # where scipy assigns
    fewest = min(len(synth), len(obs))
    chosen = max(1, round(share * fewest))
    chosen = chosen if most is None else min(chosen, most)
    size = min(fewest, round(chosen / share))
    sets = max(-(-len(synth) // size), -(-len(obs) // chosen))
    rows = _cover(len(synth), sets * size, generator).view(sets, size)
    columns = _cover(len(obs), sets * chosen, generator).view(sets, chosen)
    pairs = []
    for row, column in zip(rows, columns, strict=True):
        partner = _partners(synth[row], obs[column], generator)
        paired = partner >= 0
        pairs.append((row[paired], column[partner[paired]]))
    return Pairs(*(torch.cat(side) for side in zip(*pairs, strict=True)))


def _partners(synth: Tensor, obs: Tensor, generator: torch.Generator) -> Tensor:
    """Which of obs (m, K) each of synth (n, K) is paired with, (n,); -1 for none. m is at most n; both in random order.

    The Hungarian method takes O(n^3). So stars exchange partners with their neighbours only, of whom there are others
    in every round.
    """
    partner = torch.cat([torch.arange(len(obs)), torch.full((len(synth) - len(obs),), -1)])
    size = CELL * len(synth) // len(obs)  # of which about CELL have a partner
    for _ in range(ROUNDS if len(synth) > size else 1):
        places = torch.where((partner >= 0)[:, None], (synth + obs[partner]) / 2, synth)
        for cell in _cells(places, size, generator):
            free = partner[cell]
            free = free[free >= 0]
            left, right = linear_sum_assignment(torch.cdist(synth[cell], obs[free]).square().numpy())
            partner[cell] = -1
            partner[cell[torch.from_numpy(left)]] = free[torch.from_numpy(right)]
    return partner


def _cells(places: Tensor, size: int, generator: torch.Generator) -> list[Tensor]:
    """Rows of places (n, K), cut into cells of neighbours by halving along random lines; at most `size` in each."""
    cells = [torch.arange(len(places))]
    while len(cells[0]) > size:
        halves = []
        for cell in cells:
            line = torch.randn(places.shape[1], generator=generator)
            halves += cell[(places[cell] @ line).argsort()].tensor_split(2)
        cells = halves
    return cells


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
    device = None if generator is None else generator.device
    lines = torch.randn(a.shape[1], directions, generator=generator, device=device).to(a)
    lines = lines / lines.norm(dim=0)
    return ((a @ lines).sort(dim=0).values - (b @ lines).sort(dim=0).values).square().mean()


def draw_waves(columns: int, count: int, generator: torch.Generator) -> Tensor:
    """Random frequencies (columns, count): of random direction, their LENGTHS even in the logarithm."""
    direction = torch.randn(columns, count, generator=generator)
    shortest, longest = LENGTHS
    length = shortest * (longest / shortest) ** torch.rand(count, generator=generator)
    return direction / direction.norm(dim=0) * torch.randn(count, generator=generator) / length


def dependence(a: Tensor, b: Tensor, waves_a: Tensor, waves_b: Tensor) -> Tensor:
    """How dependent standardised variables a (N, m) are on b (N, n), a scalar: 0.04 / N for independent ones.

    The mean squared covariance of the waves, cosine and sine of a @ waves_a (m, S), with those of b @ waves_b (n, T):
    the Hilbert-Schmidt independence criterion (Gretton et al. 2005) by random Fourier features (Rahimi & Recht 2007).
    """

    def waves(variables: Tensor, frequencies: Tensor) -> Tensor:
        phase = variables @ frequencies
        both = torch.cat([phase.cos(), phase.sin()], dim=1)
        return both - both.mean(dim=0)

    return (waves(a, waves_a).T @ waves(b, waves_b) / len(a)).square().mean()


@torch.no_grad()
def unmix(latents: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Latents (N, Z) without what is most like reference (N, r) in them, set to its mean; and that part, (N, r)."""
    mean = latents.mean(dim=0)
    spread = torch.cov(latents.T.double())
    spread.diagonal().add_(1e-9 * spread.diagonal().mean())  # a dead variable has no spread of its own
    root = torch.linalg.cholesky(spread).to(latents)
    white = torch.linalg.solve_triangular(root, (latents - mean).T, upper=False).T
    known = torch.linalg.qr(reference - reference.mean(dim=0)).Q  # (N, r), orthonormal
    # The rotation after which the last r variables are as much like the reference as can be.
    turn = torch.linalg.qr(white.T @ known, mode="complete").Q.roll(-reference.shape[1], dims=1)
    turned = white @ turn
    own = turned[:, -reference.shape[1] :].clone()
    turned[:, -reference.shape[1] :] = 0.0
    return turned @ turn.T @ root.T + mean, own


@torch.no_grad()
def independent(stars: Tensor, reference: Tensor, generator: torch.Generator) -> Tensor:
    """What is like reference (N, r) in stars (N, K) and independent of all else: stars @ the (K, r) returned.

    Gaussian variables could be rotated into one another unseen; others cannot. Principal components are rotated such
    that r of them are as much like the reference as can be, and from there on such that the others depend least on
    these (independent component analysis, Comon 1994), no further than that pays: a label may be as independent of the
    others, and must not be taken for it. Where that leads depends on the waves that dependence is measured with, and
    now and then astray: of SEARCHES, each with its own, the subspace nearest to all is taken, in which a stray one
    counts for little. generator: of the waves.
    """
    own = reference.shape[1]
    values, vectors = torch.linalg.eigh(torch.cov(stars.T.double()))
    sums = (vectors / values.clamp_min(1e-9 * values[-1]).sqrt()).flip(1)[:, : max(OWN_COMPONENTS, own + 1)].to(stars)
    white = (stars - stars.mean(dim=0)) @ sums
    start = torch.linalg.qr(white.T @ (reference - reference.mean(dim=0)), mode="complete").Q.roll(-own, dims=1)
    found = torch.cat([_search(start, own, white, generator) for _ in range(SEARCHES)], dim=1)
    return sums @ torch.linalg.svd(found).U[:, :own]


def _search(turn: Tensor, own: int, white: Tensor, generator: torch.Generator) -> Tensor:
    """The (m, own) of which white (N, m) @ it is most independent, from the last columns of turn (m, m) on.

    Some of the later components are nonlinear functions of what is sought, so that no rotation makes them independent
    of it. So only LEADING ones are to be independent at first, then all before the first of those functions.
    """
    turn = _turned(turn, own, white[:, :LEADING], white, 15, generator)
    found = white @ turn[:, -own:]
    waves = draw_waves(1, 64, generator).to(white), draw_waves(own, 64, generator).to(white)
    beside = LEADING
    while beside < white.shape[1]:
        if dependence(_beside(white[:, beside : beside + 1], found), found, *waves) > BENT:
            break
        beside += 1
    return _turned(turn, own, white[:, :beside], white, 8, generator)[:, -own:]


def _turned(
    turn: Tensor, own: int, others: Tensor, white: Tensor, iterations: int, generator: torch.Generator
) -> Tensor:
    """turn (m, m), rotated such that others (N, n) depend least on the last `own` variables of white (N, m) @ turn."""
    rest = len(turn) - own
    waves = [draw_waves(n, count, generator).to(white) for n, count in ((others.shape[1], 256), (own, 32))]
    angles = white.new_zeros(rest, own).requires_grad_()

    def turned() -> Tensor:
        above = torch.cat([angles.new_zeros(rest, rest), angles], dim=1)
        below = torch.cat([-angles.T, angles.new_zeros(own, own)], dim=1)
        return turn @ torch.linalg.matrix_exp(torch.cat([above, below]))

    optimizer = torch.optim.LBFGS([angles], max_iter=iterations, line_search_fn="strong_wolfe")

    @torch.enable_grad()
    def closure() -> Tensor:
        optimizer.zero_grad()
        found = white @ turned()[:, rest:]
        loss = dependence(_beside(others, found), found, *waves) / REACH + angles.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return turned().detach()


def _beside(white: Tensor, found: Tensor) -> Tensor:
    """Whitened variables (N, n) without what found (N, r), whitened too, explains of them, whitened again."""
    explained = white.T @ found / len(found)
    left = torch.eye(len(explained)).to(white) - explained @ explained.T
    left.diagonal().add_(1e-3)  # of a variable that is explained there is nothing left
    rest = white - found @ explained.T
    return torch.linalg.solve_triangular(torch.linalg.cholesky(left), rest.T, upper=False).T


def only_observed(own: Tensor, obs: Tensor, synth: Tensor) -> Tensor:
    """Which variables of own (n, r) the synthetic partners (n, K) of observed stars (n, K) know nothing of: (r,) bool.

    What a variable does to observed stars is its covariance with them. If it is a label after all, it does the same to
    their partners; if it is not, no more than mistaken pairs let it: up to a quarter in theory2data, and 0.47 or more
    where a label was taken for it (docs/experiments.md).
    """
    effect, partners = ((side - side.mean(dim=0)).T @ (own - own.mean(dim=0)) for side in (obs, synth))
    return (effect * partners).sum(dim=0) < 0.3 * effect.square().sum(dim=0)

"""What only observed stars vary in, found as what is independent of all else.

It may look like a shared label, and would be paired with it, were it not for its being independent of all that is
shared.
"""

import torch
from torch import Tensor

from cyclegan.translator.networks import Starting
from cyclegan.translator.translator import Translator

LENGTHS = (0.5, 2.0)  # of waves, in standard deviations: shorter ones see the sample, longer ones its covariance
REACH = 5e-5  # a rotation by one radian must lower the dependence by this: five times what 4000 stars have by chance
OWN_COMPONENTS, LEADING = 20, 8  # principal components: those of which a star's own is a sum; of these, the first
ENOUGH = 2  # pairs for each feature of a quadratic fit
SEARCHES = 9  # for it, each with other waves
BENT = 2e-4  # a component that depends more on what is sought is a function of it: others keep a tenth of this


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


@torch.no_grad()
def at_rest(translator: Translator, obs: Tensor, own: Tensor) -> Tensor:
    """Observed coordinates (n, K) less the effect of what only they vary in, obs @ own (K, r); noise stays."""
    if own.shape[1] == 0:
        return obs
    latents = translator.encoder_o(obs)
    resting, _ = unmix(torch.cat(latents, dim=1), obs @ own)
    moved = translator.generator_o(*resting.split([part.shape[1] for part in latents], dim=1))
    return obs - translator.generator_o(*latents) + moved


@torch.no_grad()
def start_split(translator: Translator, synth: Tensor, obs: Tensor) -> Tensor:
    """Start the split latents as what observed spectra vary in beyond their synthetic partners.

    That is obs @ the (K, Zp) returned. synth, obs (n, K): coefficients of pairs. A quadratic fit of the observed ones
    on the shared latents of the synthetic ones leaves residuals; off the tangent space of that fit, where a wrong pair
    cannot reach, their leading components are the split latents. Networks that cannot be started keep what they have.
    """
    split = translator.encoder_o(obs[:1])[1].shape[1]
    if split == 0:
        return obs.new_empty(obs.shape[1], 0)
    z = translator.encode_synth(synth)
    first, second = torch.triu_indices(z.shape[1], z.shape[1])
    features = torch.cat([z, z[:, first] * z[:, second], torch.ones_like(z[:, :1])], dim=1)
    if len(z) < ENOUGH * features.shape[1]:
        features = torch.cat([z, torch.ones_like(z[:, :1])], dim=1)  # few pairs the products would fit exactly
    # Not lstsq, which reads memory that it never wrote (PyTorch issue 71222) and would not give the same twice.
    fit = torch.linalg.pinv(features) @ obs
    tangent = torch.linalg.qr(fit[: z.shape[1]].T).Q  # (K, Zs), orthonormal
    residual = obs - features @ fit
    residual = residual - residual @ tangent @ tangent.T
    values, vectors = torch.linalg.eigh(torch.cov(residual.T))
    spread, directions = values[-split:].clamp_min(1e-6).sqrt(), vectors[:, -split:]  # (Zp,), (K, Zp)
    for network in (translator.encoder_o, translator.generator_o):
        if isinstance(network, Starting):
            network.start_split(directions, spread)
    return directions / spread

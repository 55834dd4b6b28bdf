"""How wrong a translated pixel may be, told by an ensemble of translators.

What the networks do not know shows in how members, each of its own sample of the stars, differ. They have more in
common than stars and starting points: pairs that are all wrong in one way, components that none of them has. So their
scatter says where translations are worse, and matched stars kept out of training say by how much.
"""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch.func import jacfwd, jacrev, vmap

from cyclegan.domains.domains import Stars
from cyclegan.scores.scores import SCORE_BATCH
from cyclegan.spectra.spaces import Components
from cyclegan.spectra.spectra import Spectra
from cyclegan.trained.translated import OBS_TO_SYNTH, SYNTH_TO_OBS
from cyclegan.translator.ensemble import MeanGenerator
from cyclegan.translator.translator import Translator

SLIGHT = 1e-5  # of the continuum: a smaller scatter is not told from none
PIXELS = 200_000  # that calibrate: more tell no more of four numbers
# Of theory2data with 4000 stars, where no star is known in both domains: ln of the error at a scatter of 1e-3, and how
# it goes with that of the pixel in this star, in all stars, and of the star in all pixels.
USUAL = (-6.0, 0.2, 0.4, 0.3)
UNIT = 1e-3  # of scatter, for which the first of them stands


@dataclass(frozen=True)
class Uncertainty:
    """The error of translations in one direction.

    pixel (P,): root mean square scatter of members in each pixel, over stars; powers (4,): as USUAL; calibrated:
    whether matched stars told them.
    """

    pixel: Tensor
    powers: Tensor
    calibrated: bool

    @classmethod
    def of(cls, scatter: Tensor, deviation: Tensor | None, noise: Tensor) -> Self:
        """That of stars kept out of training.

        scatter (N, P): of members; deviation (N, P): translated minus true flux, NaN where that is not known, None
        where no star is; noise (N, P): 1 sigma, of what is taken for the truth and of what was translated. The powers
        are those of greatest likelihood, with deviations of variance error^2 + noise^2.
        """
        pixel = scatter.square().mean(dim=0).sqrt()
        if deviation is None:
            return cls(pixel, scatter.new_tensor(USUAL), False)
        known = deviation.isfinite().flatten().nonzero()[:, 0]
        some = known[:: -(-len(known) // PIXELS)]
        told = _features(scatter, pixel).flatten(0, 1)[some].double()
        square, variance = (values.flatten()[some].double().square() for values in (deviation, noise))
        powers = torch.tensor(USUAL, dtype=torch.double, requires_grad=True)
        optimizer = torch.optim.LBFGS([powers], max_iter=200, line_search_fn="strong_wolfe")

        @torch.enable_grad()
        def closure() -> Tensor:
            optimizer.zero_grad()
            total = (2 * told @ powers).exp() + variance
            loss = (total.log() + square / total).mean()
            loss.backward()
            return loss

        optimizer.step(closure)
        return cls(pixel, powers.detach().to(scatter), True)

    def of_networks(self, scatter: Tensor) -> Tensor:
        """The error (B, P), 1 sigma, that the networks make where their members scatter by so much, (B, P)."""
        return (_features(scatter, self.pixel) @ self.powers).exp()

    def to_plain(self) -> dict[str, Tensor | bool]:
        """As a `Record` holds it."""
        return {"pixel": self.pixel.cpu(), "powers": self.powers.cpu(), "calibrated": self.calibrated}

    @classmethod
    def from_plain(cls, plain: dict[str, Tensor | bool], device: torch.device) -> Self:
        """What `to_plain` gave, on a device."""
        pixel, powers, calibrated = (plain[name] for name in ("pixel", "powers", "calibrated"))
        assert isinstance(pixel, Tensor)
        assert isinstance(powers, Tensor)
        return cls(pixel.to(device), powers.to(device), bool(calibrated))


def _features(scatter: Tensor, pixel: Tensor) -> Tensor:
    """What `powers` go with, (B, P, 4)."""
    star = scatter.square().mean(dim=1, keepdim=True).sqrt()
    parts = [(part / UNIT + SLIGHT / UNIT).log().expand_as(scatter) for part in (scatter, pixel, star)]
    return torch.stack([torch.ones_like(scatter), *parts], dim=-1)


@torch.no_grad()
def errors_of(translator: Translator, stars: Stars, matched: bool, truth: Tensor | None) -> dict[str, dict[str, Any]]:
    """Contents of an `Uncertainty` by direction, told by stars (N, P) of both domains that are not trained on.

    translator: an ensemble as one. matched: whether rows are the same stars; truth (N, P): noiseless observed flux,
    where it is known.
    """
    t = translator
    parts: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {SYNTH_TO_OBS: [], OBS_TO_SYNTH: []}
    done = 0
    for x_s, x_o in zip(*(side.chunks(SCORE_BATCH) for side in stars), strict=True):
        seen_s, seen_o = t.space_s.project(x_s).flux, t.space_o.project(x_o)
        z_s, (z_o, split) = t.encode_synth(seen_s), t.encoder_o(seen_o.flux)
        rows = slice(done, done + len(seen_s))
        done += len(seen_s)
        true_o, noise_o = (x_o.flux, x_o.error) if truth is None else (truth[rows], torch.zeros_like(x_o.error))
        both = x_s.mask & x_o.mask
        for direction, made, true, noise in (
            (SYNTH_TO_OBS, t.space_o.restore(t.generator_o(z_s, split)), true_o, noise_o),
            (OBS_TO_SYNTH, t.space_s.restore(t.generate_synth(z_o)), x_s.flux, noise_of_input(t, seen_o)),
        ):
            shared = z_s if direction == SYNTH_TO_OBS else z_o
            deviation = torch.where(both, made - true, torch.nan)
            parts[direction].append((members_scatter(t, direction, shared, split), deviation, noise))
    found = {}
    for direction, pieces in parts.items():
        scatter, deviation, noise = (torch.cat(one) for one in zip(*pieces, strict=True))
        found[direction] = Uncertainty.of(scatter, deviation if matched else None, noise).to_plain()
    return found


def members_scatter(translator: Translator, direction: str, shared: Tensor, split: Tensor) -> Tensor:
    """The standard deviation (B, P) of what members make of shared (B, N Zs) and split latents (B, Zp)."""
    t = translator
    forward = direction == SYNTH_TO_OBS
    generator, space = (t.generator_o, t.space_o) if forward else (t.generator_s, t.space_s)
    assert isinstance(generator, MeanGenerator)
    each = generator.each(shared, split if forward else split[:, :0])
    centred = each - each.mean(dim=0)
    # A pixel is a linear function of coordinates: what is centred stays so.
    flux = space.restore(centred) - space.restore(torch.zeros_like(centred[0, :1]))
    return (flux.square().sum(dim=0) / (len(each) - 1)).sqrt()


def noise_of_input(translator: Translator, seen: Spectra) -> Tensor:
    """What the noise of observed coordinates (B, K) does to their translation, 1 sigma (B, P), by linearisation."""
    t = translator
    assert isinstance(t.space_o, Components)
    assert isinstance(t.space_s, Components)

    def shared(x: Tensor) -> Tensor:
        return t.encoder_o(x[None])[0][0]

    def made(z: Tensor) -> Tensor:
        return t.generator_s(z[None], z[None, :0])[0]

    read = vmap(jacrev(shared))(seen.flux)  # (B, N Zs, K)
    written = vmap(jacfwd(made))(vmap(shared)(seen.flux))  # (B, K, N Zs)
    moved = t.space_s.basis @ (written @ read * t.space_o.noise(seen)[:, None])
    return moved.square().sum(dim=2).sqrt() / t.space_s.weight


def unknown_split(translator: Translator, shared: Tensor, sample: Tensor) -> Tensor:
    """How much translations of shared latents (B, N Zs) vary with what is not known, the split latent, (B, P).

    sample (n, Zp): split latents of training stars; 1 sigma, by linearisation at their mean.
    """
    t = translator
    assert isinstance(t.space_o, Components)
    mean = sample.mean(dim=0)
    spread = torch.linalg.cholesky_ex(torch.atleast_2d(torch.cov(sample.T))).L

    def made(split: Tensor, z: Tensor) -> Tensor:
        return t.generator_o(z[None], split[None])[0]

    moved = vmap(jacfwd(made), (None, 0))(mean, shared) @ spread  # (B, K, Zp)
    return (t.space_o.basis @ moved).square().sum(dim=2).sqrt() / t.space_o.weight

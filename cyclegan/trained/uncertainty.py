"""How wrong a translated pixel may be, told by an ensemble of translators.

What the networks do not know shows in how members, each of its own sample of the stars, differ. They have more in
common than stars and starting points: pairs that are all wrong in one way, components that none of them has. So their
scatter says where translations are worse, and matched stars kept out of training say by how much.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from cyclegan.spectra.spectra import SCORE_BATCH, Spectra, exact
from cyclegan.trained.map_error import MapError
from cyclegan.trained.translated import DIRECTIONS, OBS_TO_SYNTH, SYNTH_TO_OBS
from cyclegan.translator.ensemble import MeanEncoder, MeanGenerator
from cyclegan.translator.translator import Translator

if TYPE_CHECKING:
    from cyclegan.domains.domains import Stars

MAP = "map"  # among what `errors_of` gives
SLIGHT = 1e-5  # of the continuum: a smaller scatter is not told from none
SPLITS = 16  # split latents that stand for those of all stars
PIXELS = 1_000_000  # that calibrate, at most
# Where no star is known in both domains, as of theory2data with 4000 stars: ln of the error at a scatter of UNIT, its
# powers of the scatter of the pixel in this star, in all stars, and of the star in all pixels; ln of what all miss.
USUAL = (-5.6, 0.28, 0.6, 0.79, -8.0)
UNIT = 1e-3


@dataclass(frozen=True)
class Uncertainty:
    """The error of translations in one direction.

    pixel (P,): root mean square scatter of members in each pixel, over stars; powers (5,): as USUAL; calibrated:
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
            total = _square(told, powers) + variance
            loss = (total.log() + square / total).mean()
            loss.backward()
            return loss

        optimizer.step(closure)
        return cls(pixel, powers.detach().to(scatter), True)

    def of_networks(self, scatter: Tensor) -> Tensor:
        """The error (B, P), 1 sigma, that the networks make where their members scatter by so much, (B, P)."""
        return _square(_features(scatter, self.pixel), self.powers).sqrt()

    def to_plain(self) -> dict[str, Tensor | bool]:
        """As a `Record` holds it."""
        return {"pixel": self.pixel.cpu(), "powers": self.powers.cpu(), "calibrated": self.calibrated}

    @classmethod
    def from_plain(cls, plain: dict[str, Tensor | bool], device: torch.device) -> Self:
        """What `to_plain` gave, on a device; ValueError for what is none."""
        pixel, powers, calibrated = (plain[name] for name in ("pixel", "powers", "calibrated"))
        if not (isinstance(pixel, Tensor) and isinstance(powers, Tensor)):
            raise ValueError("no tensors")
        return cls(pixel.to(device), powers.to(device), bool(calibrated))


def _square(features: Tensor, powers: Tensor) -> Tensor:
    """The squared error (...) by `_features` (..., 4) and powers (5,)."""
    return (2 * features @ powers[:4]).exp() + (2 * powers[4]).exp()


def _features(scatter: Tensor, pixel: Tensor) -> Tensor:
    """What `powers` go with, (B, P, 4)."""
    star = scatter.square().mean(dim=1, keepdim=True).sqrt()
    parts = [(part / UNIT + SLIGHT / UNIT).log().expand_as(scatter) for part in (scatter, pixel, star)]
    return torch.stack([torch.ones_like(scatter), *parts], dim=-1)


@torch.no_grad()
def errors_of(translator: Translator, stars: "Stars", matched: bool, truth: Tensor | None) -> dict[str, dict[str, Any]]:
    """Contents of an `Uncertainty` by direction, and of a `MapError` as MAP, told by stars (N, P) of both domains that
    are not trained on.

    translator: an ensemble as one. matched: whether rows are the same stars; truth (N, P): noiseless observed flux,
    where it is known.
    """
    t = translator
    assert isinstance(t.generator_o, MeanGenerator)
    parts: dict[str, list[tuple[Tensor, ...]]] = {SYNTH_TO_OBS: [], OBS_TO_SYNTH: [], MAP: []}
    true = stars.obs if truth is None else exact(truth)
    for chunk in zip(*(side.chunks(SCORE_BATCH) for side in (*stars, true)), strict=True):
        x_s, x_o, x_t = (side.to(t.space_s.mean.device) for side in chunk)
        seen_s, seen_o, seen_t = t.space_s.project(x_s).flux, t.space_o.project(x_o), t.space_o.project(x_t)
        z_s, (z_o, split) = t.encode_synth(seen_s), t.encoder_o(seen_o.flux)
        so, os, both = t.generator_o(z_s, split), t.generate_synth(z_o), x_s.mask & x_o.mask
        off_o, off_s = t.space_o.restore(so) - x_t.flux, t.space_s.restore(os) - x_s.flux
        noise = torch.zeros_like(x_o.error[:, :1]) if truth is not None else x_o.error
        for direction, shared, off, own in (
            (SYNTH_TO_OBS, z_s, off_o, noise),
            (OBS_TO_SYNTH, z_o, off_s, noise_of_input(t, seen_o)),
        ):
            scatter = members_scatter(t, direction, shared, split)
            parts[direction].append((scatter, torch.where(both, off, torch.nan), own.expand_as(off)))
        noise = torch.zeros_like(seen_o.error) if truth is not None else t.space_o.noise(seen_o)
        parts[MAP].append((t.generator_o.each(z_s, split).transpose(0, 1), z_s, so - seen_t.flux, noise))
    found: dict[str, dict[str, Any]] = {}
    for direction in DIRECTIONS:
        scatter, off, noise = (torch.cat(one).cpu() for one in zip(*parts[direction], strict=True))
        error = Uncertainty.of(scatter, off if matched else None, noise)
        found[direction] = error.to_plain()
        if direction == SYNTH_TO_OBS:
            factor = (error.of_networks(scatter).square().mean() / scatter.square().mean()).sqrt().item()
    each, shared, off, noise = (torch.cat(one).cpu() for one in zip(*parts[MAP], strict=True))
    found[MAP] = MapError.of(each.transpose(0, 1), shared, off if matched else None, noise, factor).to_plain()
    return found


def members_scatter(translator: Translator, direction: str, shared: Tensor, split: Tensor) -> Tensor:
    """The standard deviation (B, P) of what members make of shared (B, N Zs) and split latents (B, Zp)."""
    t = translator
    forward = direction == SYNTH_TO_OBS
    generator, space = (t.generator_o, t.space_o) if forward else (t.generator_s, t.space_s)
    assert isinstance(generator, MeanGenerator)
    each = generator.each(shared, split if forward else split[:, :0])
    return space.moved(each - each.mean(dim=0)).square().sum(dim=0).div(len(each) - 1).sqrt()


def noise_of_input(translator: Translator, seen: Spectra) -> Tensor:
    """What the noise of observed coordinates (B, K) does to their translation, 1 sigma (B, P), by linearisation.

    translator: an ensemble as one.
    """
    t = translator
    assert isinstance(t.encoder_o, MeanEncoder)
    assert isinstance(t.generator_s, MeanGenerator)
    with torch.inference_mode(False), torch.enable_grad():
        # Copies, since what was made in the mode in which commands work has no derivatives.
        encode, generate = copy.deepcopy((t.encoder_o.members, t.generator_s.members))
        latents, read = _with_slopes(lambda x: encode(x)[0], seen.flux.expand(generate.count, -1, -1))  # (N, B, Zs, K)
        _, written = _with_slopes(lambda z: generate(z, z[..., :0]), latents)  # (N, B, K, Zs)
    read = read.transpose(0, 1).flatten(1, 2)  # (B, N Zs, K)
    written = written.permute(1, 2, 0, 3).flatten(2) / generate.count  # (B, K, N Zs), of the mean of members
    # As many independent errors as there are latents, or coordinates if these are fewer, have the same covariance.
    root = torch.linalg.qr(read.transpose(1, 2), mode="r").R  # (B, Z, N Zs), Z the lesser of K and N Zs
    moved = root @ written.transpose(1, 2) * t.space_o.noise(seen)[:, None]
    return t.space_s.moved(moved).square().sum(dim=1).sqrt()


def _with_slopes(network: Callable[[Tensor], Tensor], inputs: Tensor) -> tuple[Tensor, Tensor]:
    """What a network that takes stars one by one makes of inputs (..., n): outputs (..., m), and slopes (..., m, n).

    An output at a time, of all stars and members: torch.func would copy each member's weights for each star, and has
    torch._dynamo imported, which takes longer than to load a run.
    """
    inputs = inputs.detach().clone().requires_grad_()
    made = network(inputs)
    slopes = [torch.autograd.grad(output.sum(), inputs, retain_graph=True)[0] for output in made.unbind(dim=-1)]
    return made.detach(), torch.stack(slopes, dim=-2)


def unknown_split(translator: Translator, shared: Tensor, sample: Tensor) -> Tensor:
    """How far translations of shared latents (B, N Zs) with the mean split latent may be from those with a star's own.

    sample (n, Zp): split latents of training stars. Root mean square (B, P) over SPLITS of them: what they do to lines
    is not linear.
    """
    t = translator
    usual = t.generator_o(shared, sample.mean(dim=0).expand(len(shared), -1))
    square = torch.zeros(len(shared), len(t.space_o.mean), device=shared.device)
    some = sample[:: -(-len(sample) // SPLITS)]
    for split in some:
        square += t.space_o.moved(t.generator_o(shared, split.expand(len(shared), -1)) - usual).square()
    return (square / len(some)).sqrt()

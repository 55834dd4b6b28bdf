"""What can be told of a translation without matched stars."""

from math import nan

import torch
from torch import Tensor

from cyclegan.losses.distances import distance
from cyclegan.scores.separation import quick_auc
from cyclegan.spectra.spaces import projected_on, with_noise
from cyclegan.spectra.spectra import Spectra
from cyclegan.translator.translator import Translator

# Those that followed the scores of matched stars best come first (docs/health.md).
SIGNALS = ("agreement", "wasserstein", "cycle_noise", "auc_obs", "auc_synth", "auc_latents")
SLICES = 256  # random directions of the sliced Wasserstein distance
SIGNAL_SEED = 4 * 10**12  # of the noise that translations get: the same after every epoch, so that epochs compare


@torch.no_grad()
def signals(translator: Translator, synth: Spectra, obs: Spectra) -> dict[str, float]:
    """What tells a good translation without knowing which stars are the same; and the weakest latent variable.

    Spectra are compared in the translator's spaces.

    Args:
        translator: what is looked at.
        synth: spectra (N, P).
        obs: spectra (N, P), as many, which need not be of the same stars.

    Returns:
        Numbers by name.

        - auc_obs, auc_synth, auc_latents: areas under the curves of classifiers that tell translated from real spectra
          of either domain, and the shared latents of one domain from the other's; 0.5 where they cannot.
        - agreement: each synthetic star's translation has a nearest observed star, and the translation of that one a
          nearest synthetic star: the share of stars that are met again.
        - cycle_noise: mean squared distance of synthetic spectra from what is left of them when they are translated,
          given the noise of an observed star, and translated back, in units of that noise.
        - wasserstein: the squared sliced distance of translated from observed spectra, in the same units.
        - weakest_latent: the smallest spread of a shared variable beside the median one's.
        - split_told: mean squared difference that it makes to translations, in units of the noise, whether split
          latents are the mean one or what shared latents tell of them by linear regression. The square is the product
          of two halves' of the observed stars, so that what chance tells has a mean of zero.
        - split_effect: the same for the split latents of observed stars themselves.
    """
    generator = torch.Generator().manual_seed(SIGNAL_SEED)
    obs = projected_on(translator.space_o, obs)
    x_s, x_o = projected_on(translator.space_s, synth).flux, obs.flux
    unit = translator.space_o.noise(obs).expand_as(x_o).square().mean().clamp_min(1e-24)
    z_s, (z_o, split) = translator.encode_synth(x_s), translator.encoder_o(x_o)
    # With the split latent of the same row, where rows are the same stars, a classifier would see a star twice.
    clean = translator.generator_o(z_s, split.roll(1, dims=0))
    so = with_noise(translator.space_o, clean, obs, generator)
    os = translator.generate_synth(z_o)
    again = translator.generate_synth(translator.encoder_o(so)[0])
    mean, centre = split.mean(dim=0), z_o.mean(dim=0)
    plain = translator.generator_o(z_s, mean.expand_as(split))
    halves = [_regression((z_o - centre)[i::2], (split - mean)[i::2]) for i in (0, 1)]
    told = [translator.generator_o(z_s, mean + (z_s - centre) @ half) for half in halves]
    nearest = torch.cdist(plain, x_o).argmin(dim=1)
    found = torch.cdist(os[nearest], x_s).argmin(dim=1)
    spread = z_s.std(dim=0)
    target = Spectra(x_s, torch.ones_like(x_s), torch.ones_like(x_s, dtype=torch.bool))
    return {
        "auc_obs": _auc(x_o, so),
        "auc_synth": _auc(x_s, os),
        "auc_latents": _auc(z_o, z_s),
        "cycle_noise": (distance(again, target) / unit).item(),
        "wasserstein": (sliced_wasserstein(so, x_o, SLICES, generator) / unit).item(),
        "agreement": (found == torch.arange(len(found), device=found.device)).double().mean().item(),
        "split_told": _product(told[0] - plain, told[1] - plain, obs),
        "split_effect": _product(clean - plain, clean - plain, obs),
        "weakest_latent": (spread.min() / spread.median().clamp_min(1e-12)).item(),
    }


def _product(one: Tensor, other: Tensor, obs: Spectra) -> float:
    """The mean product of two differences of coordinates (B, K), in units of the noise."""
    return (one / obs.error * (other / obs.error))[obs.mask].mean().item()


def _regression(known: Tensor, unknown: Tensor) -> Tensor:
    """The (m, n) by which known (N, m) tells most of unknown (N, n); NaN where one of them is not finite."""
    if not (known.isfinite().all() and unknown.isfinite().all()):
        return unknown.new_full((known.shape[1], unknown.shape[1]), nan)
    return torch.linalg.pinv(known) @ unknown


def _auc(real: Tensor, other: Tensor) -> float:
    if not (real.isfinite().all() and other.isfinite().all()):
        return nan
    return quick_auc(real.cpu().numpy(), other.cpu().numpy())


def sliced_wasserstein(a: Tensor, b: Tensor, directions: int, generator: torch.Generator | None = None) -> Tensor:
    """Mean squared 2-Wasserstein distance of a (B, K) and b (B, K) along random directions, a scalar.

    Along a line the optimal transport of equal samples pairs them in order (Bonneel et al. 2015).
    """
    device = None if generator is None else generator.device
    lines = torch.randn(a.shape[1], directions, generator=generator, device=device).to(a)
    lines = lines / lines.norm(dim=0)
    return ((a @ lines).sort(dim=0).values - (b @ lines).sort(dim=0).values).square().mean()

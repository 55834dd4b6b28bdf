"""Spectra as a classifier is shown them, and whether it can tell them apart."""

import logging
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cyclegan.evaluation.translations import Translations
from cyclegan.scores.separation import embed, halves, separation
from cyclegan.spectra.spectra import Spectra, masked_mean, noise_of, typical_weight

log = logging.getLogger(__name__)


class Apart(NamedTuple):
    """How well classifiers tell sets apart, `separation`s by whose the others are, and t-SNE maps by their titles."""

    separations: dict[str, dict[str, float]]
    maps: dict[str, dict[str, np.ndarray]]


class Shown:
    """Spectra as a classifier is shown them: with the noise and the masks of observed ones, weighted, (N, P)."""

    def __init__(self, obs: Spectra) -> None:
        self.obs, self.mean, self.weight = obs, masked_mean(obs), typical_weight(obs)

    def real(self) -> np.ndarray:
        """The observed ones."""
        return self._weighted(self.obs.flux)

    def noisy(self, flux: Tensor, seed: int) -> np.ndarray:
        """Noiseless flux (N, P), with the noise that the errors of the observed stars of the same rows state."""
        noise = torch.randn(flux.shape, generator=torch.Generator().manual_seed(seed))
        return self._weighted(flux + noise * noise_of(self.obs))

    def _weighted(self, flux: Tensor) -> np.ndarray:
        return torch.where(self.obs.mask, (flux - self.mean) * self.weight, 0.0).numpy()


def tell_apart(synth: Spectra, obs: Spectra, made: Translations, effect: np.ndarray | None) -> Apart:
    """How well classifiers tell observed stars from others.

    The control `observed` asks them to tell observed stars from observed stars. effect (Zs,): of the shared latents on
    spectra, by which they are weighted; None: by their spread.
    """
    shown = Shown(obs)
    real = shown.real()
    others = {"synthetic": shown.noisy(synth.flux, seed=0), "translated": shown.noisy(made.so_other, seed=1)}
    latents = torch.cat([made.z_o, made.z_s])
    standard = ((latents - latents.mean(dim=0)) / latents.std(dim=0).clamp_min(1e-6)).numpy()
    z_o, z_s = (standard if effect is None else standard * effect).reshape(2, len(real), -1)
    found = {name: separation(real, other) for name, other in others.items()}
    found |= {"observed": separation(real, real), "shared latents": separation(z_o, z_s)}
    a, b = next(halves(len(real)))
    maps = {}
    for title, name, first, second in (
        ("before", "synthetic", real, others["synthetic"]),
        ("after", "translated", real, others["translated"]),
        ("shared latents", "synthetic", z_o, z_s),
    ):
        log.info("t-SNE: %s", title)
        points = embed(first[a], second[b])
        maps[title] = dict(zip(("observed", name), points, strict=True))
    return Apart(found, maps)

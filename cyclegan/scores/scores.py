"""The six scores of a translator, over the whole matched set: pure functions and the metric that accumulates them."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from cyclegan.spectra.spectra import ERROR_FLOOR, SCORE_BATCH, Spectra
from cyclegan.translator.translator import Translator

SCORES = ("x_synth_obs", "x_obs_synth", "z_synth", "z_obs", "z_split", "z_shared")
NEED_MATCHED = ("x_synth_obs", "x_obs_synth", "z_shared", "x_synth_obs_mse", "x_obs_synth_mse")
NEVER_VARIES = 1e-6  # a latent variable that reaches no further never varies
LATENTS = ("z_s", "z_o", "z_so", "z_os", "split_o", "split_so")


def squared_deviation(prediction: Tensor, target: Spectra) -> Tensor:
    """What the X scores of a set are made of, star by star.

    Sums of a set then depend neither on how it was cut into batches nor on how many threads added them.

    Args:
        prediction: flux (B, P).
        target: spectra (B, P).

    Returns:
        (B, 3) float64: sums over usable pixels of ((prediction - target) / max(sigma, ERROR_FLOOR))^2, of the same
        without sigma, and the number of these pixels.
    """
    difference = torch.where(target.mask, prediction - target.flux, 0.0).double()
    weighted = difference / target.error.double().clamp_min(ERROR_FLOOR)
    sums = weighted.square().sum(dim=1), difference.square().sum(dim=1), target.mask.sum(dim=1).double()
    return torch.stack(sums, dim=1)


def extent_of(compared: list[Tensor]) -> Tensor:
    """How far each latent variable (Z,) reaches over all encodings (N, Z) compared."""
    stacked = torch.cat(compared)
    return stacked.amax(dim=0) - stacked.amin(dim=0)


def variable_differences(a: Tensor, b: Tensor, compared: list[Tensor]) -> Tensor:
    """Normalised mean absolute difference of each latent variable.

    Args:
        a: latents (N, Z).
        b: latents (N, Z) of the same stars.
        compared: all encodings (N, Z) of that space, whose extremes scale each variable to [0, 1].

    Returns:
        (Z,) float64; NaN for a variable that never varies.
    """
    extent = extent_of(compared)
    return torch.where(extent > NEVER_VARIES, ((a - b).abs() / extent).double().mean(dim=0), torch.nan)


def latent_difference(a: Tensor, b: Tensor, compared: list[Tensor]) -> Tensor:
    """Normalised latent mean absolute difference: the mean over variables of `variable_differences`.

    Args:
        a: latents (N, Z).
        b: latents (N, Z) of the same stars.
        compared: all encodings (N, Z) of that space.

    Returns:
        A scalar. A variable that never varies carries nothing and is left out; NaN where none is left.
    """
    return variable_differences(a, b, compared)[extent_of(compared) > NEVER_VARIES].mean()


class MatchedScores(Metric):
    """The six scores and the mean squared errors of both translations, for matched stars of the two domains.

    `compute` gives a dictionary of scalars; `dead_latents` counts the shared and split variables that never varied.

    Args:
        matched: whether rows of the two domains are the same stars; if not, NEED_MATCHED are left out.
    """

    full_state_update = False
    so: Tensor  # sums over stars: weighted squares, squares, pixels
    os: Tensor

    def __init__(self, matched: bool) -> None:
        super().__init__(sync_on_compute=False)  # where several processes train, the first alone has all stars to score
        self.matched = matched
        self.add_state("so", torch.zeros(3, dtype=torch.double), dist_reduce_fx="sum")
        self.add_state("os", torch.zeros(3, dtype=torch.double), dist_reduce_fx="sum")
        for name in LATENTS:
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, translator: Translator, synth: Spectra, obs: Spectra) -> None:
        """Add a batch.

        Args:
            translator: what is scored.
            synth: spectra (B, P).
            obs: spectra (B, P), of the same stars if stars are matched.
        """
        crossing = translator.cross(translator.space_s.project(synth).flux, translator.space_o.project(obs).flux)
        seen_synth, seen_obs = seen_by_both(synth, obs) if self.matched else (synth, obs)
        self.so += squared_deviation(translator.space_o.restore(crossing.so), seen_obs).sum(dim=0)
        self.os += squared_deviation(translator.space_s.restore(crossing.os), seen_synth).sum(dim=0)
        for name in LATENTS:
            getattr(self, name).append(getattr(crossing, name))

    def compute(self) -> dict[str, Tensor]:
        """Scalars by name: `SCORES`, the mean squared errors, and `dead_latents`."""
        z_s, z_o, z_so, z_os, split_o, split_so = (
            torch.cat(value) if isinstance(value := getattr(self, name), list) else value for name in LATENTS
        )
        shared, split = [z_s, z_o, z_os, z_so], [split_o, split_so]
        dead = torch.stack([(extent_of(space) <= NEVER_VARIES).sum() for space in (shared, split)]).sum()
        scores = {
            "x_synth_obs": self.so[0] / self.so[2],
            "x_obs_synth": self.os[0] / self.os[2],
            "z_synth": latent_difference(z_s, z_so, shared),
            "z_obs": latent_difference(z_o, z_os, shared),
            "z_split": latent_difference(split_o, split_so, split),
            "z_shared": latent_difference(z_s, z_o, shared),
            "x_synth_obs_mse": self.so[1] / self.so[2],
            "x_obs_synth_mse": self.os[1] / self.os[2],
            "dead_latents": dead.double(),
        }
        return {name: value for name, value in scores.items() if self.matched or name not in NEED_MATCHED}


def matched_scores(translator: Translator, synth: Spectra, obs: Spectra, matched: bool) -> dict[str, float]:
    """The scores of whole sets.

    Args:
        translator: what is scored.
        synth: spectra (N, P).
        obs: spectra (N, P).
        matched: whether their rows are the same stars.

    Returns:
        What `MatchedScores` computes, by name.
    """
    scores = MatchedScores(matched)
    with torch.no_grad():
        for x_s, x_o in zip(synth.chunks(SCORE_BATCH), obs.chunks(SCORE_BATCH), strict=True):
            scores.update(translator, x_s, x_o)
    return {name: value.item() for name, value in scores.compute().items()}


def deviation(prediction: Tensor, target: Spectra) -> float:
    """The X score of a prediction.

    Args:
        prediction: flux (N, P).
        target: spectra (N, P).

    Returns:
        The mean over usable pixels of ((prediction - target) / max(sigma, ERROR_FLOOR))^2.
    """
    weighted, _, pixels = squared_deviation(prediction, target).sum(dim=0)
    return (weighted / pixels).item()


def star_scores(prediction: Tensor, target: Spectra) -> np.ndarray:
    """The X score of each star.

    Args:
        prediction: flux (N, P).
        target: spectra (N, P).

    Returns:
        (N,): `deviation` of each star alone.
    """
    weighted, _, pixels = squared_deviation(prediction, target).T
    return (weighted / pixels).numpy()


def control_scores(
    synth: Spectra, obs: Spectra, made: Mapping[str, tuple[Tensor, Tensor]], truth: Tensor | None
) -> dict[str, float]:
    """The X scores of doing nothing (gap), of translations without networks, and of the truth (floor).

    Args:
        synth: spectra (N, P).
        obs: spectra (N, P) of the same stars.
        made: by the name of a control, flux (N, P) that it makes of synth, and of obs.
        truth: (N, P), the noiseless observed spectra, where they are known.

    Returns:
        NAME_synth_obs and NAME_obs_synth of every control, and floor_synth_obs where the truth is known.
    """
    seen_synth, seen_obs = seen_by_both(synth, obs)
    controls = {}
    for name, (forward, back) in {"gap": (synth.flux, obs.flux), **made}.items():
        controls[f"{name}_synth_obs"] = deviation(forward, seen_obs)
        controls[f"{name}_obs_synth"] = deviation(back, seen_synth)
    if truth is not None:
        controls["floor_synth_obs"] = deviation(truth, seen_obs)
    return controls


def seen_by_both(synth: Spectra, obs: Spectra) -> tuple[Spectra, Spectra]:
    """Matched spectra (N, P) with the pixels masked that either lacks: what lies in them means nothing."""
    mask = synth.mask & obs.mask
    return synth._replace(mask=mask), obs._replace(mask=mask)

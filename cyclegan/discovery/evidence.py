"""What a translation says of the lines that theory lacks.

Labels -> emulator -> synthetic spectrum -> observed spectrum is a differentiable map. Where the observed spectrum of
the same labels is deeper than the synthetic one, theory lacks a line; the element whose abundance moves it more in
observed than in synthetic spectra is its maker.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import norm
from torch import Tensor

from cyclegan.trained.forward import ForwardModel
from cyclegan.trained.uncertainty import Uncertainty
from emulator.commands.errors import InputError
from emulator.commands.progress import progress
from emulator.derivatives import responses

Map = Callable[[Tensor], Tensor]


class Evidence(NamedTuple):
    """What a translation says of E elements at P pixels.

    missing (S, P): synthetic minus translated flux of S reference stars; doubt (S, P): 1 sigma; gain (P, E): by how
    much more a dex of each element's abundance moves the translated flux than the synthetic one, mean over stars and
    runs; error (P, E): 1 sigma; still (P,): the probability of such responses to some label if the stars did not move
    what is missing, as they do not move sky, detectors and interstellar bands.
    """

    missing: np.ndarray
    doubt: np.ndarray
    gain: np.ndarray
    error: np.ndarray
    still: np.ndarray


def gather(
    maps: Sequence[tuple[Map, Map]],
    label_names: Sequence[str],
    labels: Tensor,
    reference: Tensor,
    uncertainty: Uncertainty | None = None,
) -> tuple[tuple[str, ...], Evidence]:
    """The elements, and the evidence of runs of the same domains, each its maps from labels (B, L) to synthetic and to
    observed flux (B, P). labels (N, L): stars whose responses count; reference (S, L): those whose missing flux does.
    uncertainty: where the maps are the members of an ensemble, what their scatter means.
    """
    columns = [i for i, name in enumerate(label_names) if name.endswith("_h")]
    if not columns:
        raise InputError(f"labels: expected abundances among them, as fe_h, got {', '.join(label_names)}")
    gains, missing, everything = [], [], range(len(label_names))
    theories: dict[Map, tuple[Tensor, Tensor]] = {}  # members of an ensemble have one in common
    for synth, observed in progress(maps, "derivatives", unit="run"):
        with torch.no_grad():
            if synth not in theories:
                theories[synth] = responses(synth, labels, everything), synth(reference)
            response, flux = theories[synth]
            gains.append((responses(observed, labels, everything) - response).numpy())  # (N, P, L)
            missing.append((flux - observed(reference)).numpy())
    elements = tuple(label_names[i].removesuffix("_h").capitalize() for i in columns)
    depth = np.stack(missing)  # (R, S, P)
    doubt, scatter = doubt_of(depth, uncertainty), _scatter(depth)
    told = None
    if uncertainty is not None:
        told = np.sqrt(np.square(doubt).mean(axis=0) / np.square(scatter).mean(axis=0).clip(1e-12))
    gain, error = mean_gain(gains, told)
    # Any label will do, whatever its sign.
    still = np.clip(2 * len(label_names) * norm.sf(np.abs(gain / error)).min(axis=1), 0, 1)
    return elements, Evidence(depth.mean(axis=0), doubt, gain[:, columns], error[:, columns], still)


def _scatter(runs: np.ndarray) -> np.ndarray:
    """The standard deviation (...) over R runs (R, ...), none of a single one."""
    return runs.std(axis=0, ddof=1) if len(runs) > 1 else np.zeros(runs.shape[1:])


def mean_gain(gains: Sequence[np.ndarray], told: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The mean over stars and runs of gains (N, P, L), one a run, and its error, both (P, L).

    The error has the scatter of stars and that of runs, where there are several. told (P,): of an ensemble, how many
    times the scatter of its members an error is; of other runs None: of them the scatter of all pixels counts, most of
    which lack nothing (1.48 times the median of |gain|), as the translator's own.
    """
    means = np.stack([gain.mean(axis=0) for gain in gains])  # (R, P, L)
    gain, scatter = means.mean(axis=0), _scatter(means)
    stars = len(gains[0])
    spread = np.mean([part.var(axis=0, ddof=1) if stars > 1 else np.zeros(gain.shape) for part in gains], axis=0)
    if told is not None:
        return gain, np.sqrt(spread / stars + np.square(told[:, None] * scatter)) + 1e-12
    usual = 1.4826 * np.median(np.abs(gain), axis=0)
    return gain, np.sqrt((spread / stars + scatter**2) / len(gains) + usual**2) + 1e-12


def doubt_of(missing: np.ndarray, uncertainty: Uncertainty | None) -> np.ndarray:
    """The error (S, P) of the mean of missing flux (R, S, P) of R runs.

    That of the translation, as its ensemble has it; of other runs their scatter and, as in `mean_gain`, that of all
    pixels.
    """
    scatter = _scatter(missing)
    if uncertainty is not None:
        return uncertainty.of_networks(torch.from_numpy(scatter)).numpy()
    usual = 1.4826 * np.median(np.abs(missing.mean(axis=0)), axis=1, keepdims=True)
    return np.sqrt(scatter**2 / len(missing) + usual**2) + 1e-12


def shifted(model: ForwardModel) -> Map:
    """The control that translates by adding the difference of the mean spectra: labels (B, L) -> flux (B, P)."""
    shift = model.translator.space_o.mean - model.translator.space_s.mean
    return lambda labels: model.synthetic(labels) + shift

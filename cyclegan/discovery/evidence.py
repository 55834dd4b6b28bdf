"""What a translation says of the lines that theory lacks.

Labels -> emulator -> synthetic spectrum -> observed spectrum is a differentiable map. Where the observed spectrum of
the same labels is deeper than the synthetic one, theory lacks a line; the element whose abundance moves it more in
observed than in synthetic spectra is its maker.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from cyclegan.trained.forward import ForwardModel
from emulator.commands.errors import InputError
from emulator.derivatives import responses

Map = Callable[[Tensor], Tensor]


class Evidence(NamedTuple):
    """What a translation says of E elements at P pixels.

    missing (S, P): synthetic minus translated flux of S reference stars; gain (P, E): by how much more a dex of each
    element's abundance moves the translated flux than the synthetic one, mean over stars and runs; error (P, E): 1
    sigma.
    """

    missing: np.ndarray
    gain: np.ndarray
    error: np.ndarray


def gather(
    maps: Sequence[tuple[Map, Map]], label_names: Sequence[str], labels: Tensor, reference: Tensor
) -> tuple[tuple[str, ...], Evidence]:
    """The elements, and the evidence of runs of the same domains, each its maps from labels (B, L) to synthetic and to
    observed flux (B, P). labels (N, L): stars whose responses count; reference (S, L): those whose missing flux does.
    """
    columns = [i for i, name in enumerate(label_names) if name.endswith("_h")]
    if not columns:
        raise InputError(f"labels: expected abundances among them, as fe_h, got {', '.join(label_names)}")
    gains, missing = [], []
    for synth, observed in tqdm(maps, "derivatives", unit="run"):
        gains.append((responses(observed, labels, columns) - responses(synth, labels, columns)).numpy())  # (N, P, E)
        with torch.no_grad():
            missing.append((synth(reference) - observed(reference)).numpy())
    elements = tuple(label_names[i].removesuffix("_h").capitalize() for i in columns)
    return elements, weigh(np.mean(missing, axis=0), gains)


def weigh(missing: np.ndarray, gains: Sequence[np.ndarray]) -> Evidence:
    """Evidence of missing flux (S, P) and gains (N, P, E), one a run.

    The error of a mean gain: the scatter of stars and that of runs, where there are several, and that of all pixels,
    most of which lack nothing (1.48 times the median of |gain|): the translator's own.
    """
    means = np.stack([gain.mean(axis=0) for gain in gains])  # (R, P, E)
    gain = means.mean(axis=0)
    stars = len(gains[0])
    spread = [part.var(axis=0, ddof=1) if stars > 1 else np.zeros(gain.shape) for part in gains]
    variance = np.mean(spread, axis=0) / stars / len(gains)
    if len(gains) > 1:
        variance = variance + means.var(axis=0, ddof=1) / len(gains)
    usual = 1.4826 * np.median(np.abs(gain), axis=0)
    return Evidence(missing, gain, np.sqrt(variance + usual**2) + 1e-12)


def shifted(model: ForwardModel) -> Map:
    """The control that translates by adding the difference of the mean spectra: labels (B, L) -> flux (B, P)."""
    shift = model.translator.space_o.mean - model.translator.space_s.mean
    return lambda labels: model.synthetic(labels) + shift

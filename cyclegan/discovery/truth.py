"""Lines that were found beside those that were hidden."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cyclegan.discovery.lines import MissingLine
from cyclegan.domains.hidden import Feature, read_features
from cyclegan.trained.forward import ForwardModel
from cyclegan.trained.run_folder import HIDDEN
from emulator.commands.errors import InputError
from emulator.derivatives import responses

MASKED_DEPTH = 0.02  # of continuum: what is lacking counts as a line if a reference star would show it so deep


class HiddenLines(NamedTuple):
    """What was hidden: features; missing (S, P) and gain (P, E) as `Evidence`, of the emulator with and without."""

    features: list[Feature]
    missing: np.ndarray
    gain: np.ndarray


def judge_lines(
    lines: Sequence[MissingLine], elements: Sequence[str], truth: HiddenLines
) -> dict[str, dict[str, float]]:
    """How well lines that were hidden have been found: a row for each element, and one for all.

    masked: how many of its features are at least MASKED_DEPTH deep in a reference star; found, found_share: those with
    a line on them; first, either: of these the share whose maker is named right, first or among two; strongest: the
    share whose line's maker is the element that truly moves it most, which for the lines of a molecule may be another
    atom of it; attainable: the share of which the element that it was hidden as moves it most, which is what `first`
    would be with the truth for a translation. lines, precise: how many lines are said to be its, and the share of them
    that lie on something hidden.
    """
    pixels = np.zeros(truth.missing.shape[1], dtype=bool)
    deep = []
    for feature in truth.features:
        pixels[feature.start : feature.stop] = True
        if truth.missing[:, feature.start : feature.stop].max() >= MASKED_DEPTH:
            deep.append(feature)
    places = {line.wavelength: (line.start + line.stop) // 2 for line in lines}
    named = {feature: _line_on(feature, lines, places) for feature in deep}
    rows = {}
    for element in [*elements, "all"]:
        own = [feature for feature in deep if element in (feature.element, "all")]
        found = [(feature, line) for feature in own if (line := named[feature]) is not None]
        said = [line for line in lines if element in (line.element, "all")]
        right = [line.element == feature.element for feature, line in found]
        either = [feature.element in (line.element, line.second) for feature, line in found]
        movers = [elements[truth.gain[feature.start : feature.stop].mean(axis=0).argmin()] for feature, _ in found]
        rows[element] = {
            "masked": len(own),
            "found": len(found),
            "found_share": _share([named[feature] is not None for feature in own]),
            "first": _share(right),
            "either": _share(either),
            "strongest": _share([line.element == mover for (_, line), mover in zip(found, movers, strict=True)]),
            "attainable": _share([mover == feature.element for (feature, _), mover in zip(found, movers, strict=True)]),
            "lines": len(said),
            "precise": _share([bool(pixels[line.start : line.stop].any()) for line in said]),
        }
    return rows


def _line_on(feature: Feature, lines: Sequence[MissingLine], places: dict[float, int]) -> MissingLine | None:
    """The line nearest to a feature's strongest pixel, of those that lie on it, give or take a pixel."""
    on = [line for line in lines if feature.start - 1 <= places[line.wavelength] <= feature.stop]
    return min(on, key=lambda line: abs(line.wavelength - feature.wavelength), default=None)


def _share(values: Sequence[bool]) -> float:
    return float(np.mean(values)) if len(values) else math.nan


def known_truth(model: ForwardModel, folder: Path, labels: Tensor, reference: Tensor) -> HiddenLines | None:
    """What was hidden from a run's theory; None where nothing was. labels (N, L), reference (S, L): as in `gather`."""
    table = folder / HIDDEN
    if model.hidden is None or not model.hidden.any() or not table.exists():
        return None
    features, pixels = read_features(table), len(model.wavelength)
    if (last := max(feature.stop for feature in features)) > pixels:
        raise InputError(f"{table}: expected lines that were hidden among {pixels} pixels, got one up to pixel {last}")
    columns = [i for i, name in enumerate(model.label_names) if name.endswith("_h")]
    with torch.no_grad():
        missing = model.synthetic(reference) - model.emulator(reference)
    gain = responses(model.emulator, labels, columns) - responses(model.synthetic, labels, columns)
    return HiddenLines(features, missing.numpy(), gain.mean(dim=0).numpy())

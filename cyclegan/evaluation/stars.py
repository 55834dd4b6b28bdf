"""Star by star, and label by label: what the report says of single stars, and of stars alike."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from cyclegan.domains.domains import Stars
from cyclegan.domains.hidden import strong_features
from cyclegan.evaluation.translations import Translations
from cyclegan.figures.axes import label_facts
from cyclegan.figures.labels import label_edges
from cyclegan.figures.spectra import LineMark
from cyclegan.scores.scores import seen_by_both, squared_deviation, star_scores
from cyclegan.spectra.spectra import Spectra
from emulator.lines import LINES
from emulator.payne import Payne


def known_lines(emulator: Payne | None, mean: Tensor) -> list[LineMark]:
    """The lines to mark: an emulator's strong features, or those of the line list where there is none.

    mean (P,): observed flux, on the emulator's pixels. An element's response says little by itself: a weak line answers
    as much as a saturated one. Times the depth that the spectra have there, the lines that one sees come first.
    """
    if emulator is not None:
        found = [
            (feature, 1 - mean[feature.start : feature.stop].min().item()) for feature in strong_features(emulator)
        ]
        return [LineMark(feature.wavelength, feature.element, -feature.response * depth) for feature, depth in found]
    columns = LINES.wavelength.tolist(), LINES.species.tolist(), LINES.strength.tolist()
    return [LineMark(place, species.split()[0], strength) for place, species, strength in zip(*columns, strict=True)]


def bin_scores(values: np.ndarray, models: Mapping[str, Tensor], obs: Spectra) -> dict[str, np.ndarray]:
    """X scores of models (N, P) by name, in bins of a label (N,): `edges` (B + 1,), `stars` (B,), scores (B,).

    The outermost edges are where the stars end, so that no label is claimed that none of them has.
    """
    edges = label_edges(values)
    bins = len(edges) - 1
    known = np.isfinite(values)
    where = np.digitize(values[known], edges[1:-1])
    low, high = values[known].min(), values[known].max()
    columns = {"edges": np.clip(edges, low, high) if low < high else edges, "stars": np.bincount(where, minlength=bins)}
    for name, model in models.items():
        weighted, _, pixels = squared_deviation(model, obs).numpy()[known].T
        with np.errstate(invalid="ignore"):  # a bin without stars has no score
            columns[name] = np.bincount(where, weighted, bins) / np.bincount(where, pixels, bins)
    return columns


def star_title(which: str, star: Mapping[str, float]) -> str:
    """What is known of a row of stars.csv, for the head of its picture."""
    facts = [f"{which}: star {star['star']}", *label_facts(star)]
    facts.append(f"S/N {star['signal_to_noise']:.0f}")
    if "x_translated" in star:
        facts.append(f"x {star['x_untranslated']:.2f} → {star['x_translated']:.2f} σ²")
    else:
        facts.append(f"reconstructed to {star['reconstruction']:.2f} σ²")
    return ", ".join(facts).replace("-", "−")


def star_rows(
    stars: Stars, made: Translations, shift: Tensor, labels: Mapping[str, np.ndarray], matched: bool
) -> list[dict[str, float]]:
    """The rows of stars.csv: labels (N,) that are known, signal to noise, and deviations before and after."""
    synth, obs = stars
    columns: dict[str, np.ndarray] = {"star": np.arange(len(obs.flux)), **labels}
    columns["signal_to_noise"] = (obs.flux / obs.error).where(obs.mask, torch.nan).nanmedian(dim=1).values.numpy()
    columns["reconstruction"] = star_scores(made.oo, obs)
    if matched:
        seen_synth, seen_obs = seen_by_both(synth, obs)
        columns["x_untranslated"] = star_scores(synth.flux, seen_obs)
        columns["x_mean_shift"] = star_scores(synth.flux + shift, seen_obs)
        columns["x_translated"] = star_scores(made.so, seen_obs)
        columns["x_obs_synth"] = star_scores(made.os, seen_synth)
    return [dict(zip(columns, row, strict=True)) for row in zip(*(c.tolist() for c in columns.values()), strict=True)]

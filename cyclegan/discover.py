"""python -m cyclegan.discover checkpoint=RUN: the lines that theory lacks, and which element makes each.

Labels -> emulator -> synthetic spectrum -> observed spectrum is a differentiable map. Where the observed spectrum of
the same labels is deeper than the synthetic one, theory lacks a line; the element whose abundance moves it more in
observed than in synthetic spectra is its maker.
"""

import csv
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import NamedTuple

import hydra
import numpy as np
import torch
from omegaconf import DictConfig
from scipy.signal import find_peaks, peak_widths
from torch import Tensor
from tqdm import tqdm

from cyclegan.checkpoint import find_checkpoint
from cyclegan.derivatives import responses
from cyclegan.discovery_figures import plot_discovery, plot_element
from cyclegan.domains import draw_stars
from cyclegan.features import Feature, read_features, reference_labels
from cyclegan.figures import label_facts
from cyclegan.results import format_table, write_json
from cyclegan.tables import check_label_columns, read_labels, read_table
from cyclegan.transfer import Transfer, load
from emulator.command import MOST_SEED, InputError, config_folder, errors_in_one_line, run, validate, written_together

log = logging.getLogger(__name__)

MEAN_SHIFT, SHUFFLED = "mean_shift", "shuffled_labels"
Map = Callable[[Tensor], Tensor]
APART = 3  # pixels between two lines, at least: APOGEE resolves no closer ones
CORE = 2  # pixels on either side of a line's deepest one in which responses are averaged
MASKED_DEPTH = 0.02  # of continuum: what is lacking counts as a line if a reference star would show it so deep


@dataclass
class DiscoverConfig:
    checkpoint: str
    others: list[str]
    labels: str | None
    stars: int = field(metadata={"minimum": 2})
    seed: int = field(metadata={"minimum": 0, "maximum": MOST_SEED})
    depth: float = field(metadata={"above": 0.0, "maximum": 1.0})
    significance: float = field(metadata={"minimum": 0.0})
    control: str = field(metadata={"choices": ("none", MEAN_SHIFT, SHUFFLED)})
    output: str | None


class Evidence(NamedTuple):
    """What a translation says of E elements at P pixels.

    missing (S, P): synthetic minus translated flux of S reference stars; gain (P, E): by how much more a dex of each
    element's abundance moves the translated flux than the synthetic one, mean over stars and runs; error (P, E): 1
    sigma.
    """

    missing: np.ndarray
    gain: np.ndarray
    error: np.ndarray


@dataclass
class Line:
    """A line that theory lacks.

    wavelength: vacuum Angstrom; pixels start to stop (exclusive), at half its depth; depth: of the continuum, in the
    reference star that shows it best. element: whose abundance moves it most, response: d flux / d [X/H], per dex, that
    theory lacks there, significance: in sigma; second: the next one, empty where no other is significant;
    cannot_exclude: whether that moves it at least half as much, as carbon and nitrogen do the lines of CN.
    """

    wavelength: float
    start: int
    stop: int
    depth: float
    element: str
    response: float
    significance: float
    second: str
    second_response: float
    second_significance: float
    cannot_exclude: bool


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

    The error of a mean gain: the scatter of stars, that of runs where there are several, and that of all pixels, most
    of which lack nothing (1.48 times the median of |gain|): the translator's own.
    """
    means = np.stack([gain.mean(axis=0) for gain in gains])  # (R, P, E)
    gain = means.mean(axis=0)
    variance = np.mean([part.var(axis=0, ddof=1) / len(part) for part in gains], axis=0) / len(gains)
    if len(gains) > 1:
        variance = variance + means.var(axis=0, ddof=1) / len(gains)
    usual = 1.4826 * np.median(np.abs(gain), axis=0)
    return Evidence(missing, gain, np.sqrt(variance + usual**2) + 1e-12)


def find_lines(
    evidence: Evidence, elements: Sequence[str], wavelength: np.ndarray, depth: float, significance: float
) -> list[Line]:
    """The lines that are at least `depth` deep and whose maker is at least `significance` sigma sure, by wavelength."""
    lack = evidence.missing.max(axis=0)
    peaks, _ = find_peaks(lack, height=depth, prominence=depth / 2, distance=APART)
    _, _, left, right = peak_widths(lack, peaks, rel_height=0.5)
    lines = []
    for peak, first, last in zip(peaks, left, right, strict=True):
        core = slice(max(peak - CORE, 0), peak + CORE + 1)
        response, error = evidence.gain[core].mean(axis=0), evidence.error[core].mean(axis=0)
        sure = -response / error
        candidates = [e for e in np.argsort(response) if sure[e] >= significance]
        if not candidates:
            continue
        first_, second = candidates[0], candidates[1] if len(candidates) > 1 else None
        lines.append(
            Line(
                wavelength=float(wavelength[peak]),
                start=int(np.floor(first)),
                stop=int(np.ceil(last)) + 1,
                depth=float(lack[peak]),
                element=elements[first_],
                response=float(response[first_]),
                significance=float(sure[first_]),
                second="" if second is None else elements[second],
                second_response=math.nan if second is None else float(response[second]),
                second_significance=math.nan if second is None else float(sure[second]),
                cannot_exclude=second is not None and bool(response[second] <= 0.5 * response[first_]),
            )
        )
    return lines


class Truth(NamedTuple):
    """What was hidden: features; missing (S, P) and gain (P, E) as `Evidence`, of the emulator with and without."""

    features: list[Feature]
    missing: np.ndarray
    gain: np.ndarray


def judge(lines: Sequence[Line], elements: Sequence[str], truth: Truth) -> dict[str, dict[str, float]]:
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
        found = [(feature, named[feature]) for feature in own if named[feature] is not None]
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
            "precise": _share([pixels[line.start : line.stop].any() for line in said]),
        }
    return rows


def _line_on(feature: Feature, lines: Sequence[Line], places: dict[float, int]) -> Line | None:
    """The line nearest to a feature's strongest pixel, of those that lie on it, give or take a pixel."""
    on = [line for line in lines if feature.start - 1 <= places[line.wavelength] <= feature.stop]
    return min(on, key=lambda line: abs(line.wavelength - feature.wavelength), default=None)


def _share(values: Sequence[bool]) -> float:
    return float(np.mean(values)) if len(values) else math.nan


def shifted(model: Transfer) -> Callable[[Tensor], Tensor]:
    """The control that translates by adding the difference of the mean spectra: labels (B, L) -> flux (B, P)."""
    shift = model.translator.space_o.mean - model.translator.space_s.mean
    return lambda labels: model.synthetic(labels) + shift


def known_truth(model: Transfer, folder: Path, labels: Tensor, reference: Tensor) -> Truth | None:
    """What was hidden from a run's theory; None where nothing was, or where the observed domain is no emulator's."""
    table = folder / "hidden_features_synth.csv"
    if model.hidden is None or not model.observed_emulated or not table.exists():
        return None
    columns = [i for i, name in enumerate(model.label_names) if name.endswith("_h")]
    with torch.no_grad():
        missing = model.synthetic(reference) - model.emulator(reference)
    gain = responses(model.emulator, labels, columns) - responses(model.synthetic, labels, columns)
    return Truth(read_features(table), missing.numpy(), gain.mean(dim=0).numpy())


def discover(config: DictConfig) -> list[Line]:
    """Find what `config` (validated) asks for, and write it: lines.csv, discovery.json and pictures.

    Raises InputError for input that cannot be used.
    """
    folder = find_checkpoint(config.checkpoint).parent
    models = [load(path, "cpu") for path in (config.checkpoint, *config.others)]
    model = models[0]
    for other, path in zip(models[1:], config.others, strict=True):
        check_same_domains(model, other, path)
    if config.labels is None:
        reference = reference_labels(model.emulator)
        labels = draw_stars(model.emulator, config.stars, torch.Generator().manual_seed(config.seed))
    else:
        columns = read_table(config.labels)
        check_label_columns(list(columns), model.label_names, config.labels)
        labels = reference = read_labels(columns, model.emulator, config.labels)
        if len(labels) < 2:
            raise InputError(f"{config.labels}: expected at least 2 stars, as their scatter is the error, got 1")
    maps = [(m.synthetic, shifted(m) if config.control == MEAN_SHIFT else m.observed) for m in models]
    elements, evidence = gather(maps, model.label_names, labels, reference)
    truth = known_truth(model, folder, labels, reference)
    if config.control == SHUFFLED:
        order = np.random.default_rng(config.seed).permutation(len(elements))
        evidence = evidence._replace(gain=evidence.gain[:, order], error=evidence.error[:, order])
    wavelength = model.wavelength.numpy()
    lines = find_lines(evidence, elements, wavelength, config.depth, config.significance)
    found = {
        "run": folder.resolve().name,
        "control": config.control,
        "stars": len(labels),
        "runs": len(models),
        "depth": config.depth,
        "significance": config.significance,
        "lines": len(lines),
        "judged": None if truth is None else judge(lines, elements, truth),
    }
    output = folder / "discovery" if config.output is None else Path(config.output)
    with torch.no_grad():
        fluxes = [flux(reference[:1])[0].numpy() for flux in maps[0]]
    with written_together(output) as unfinished:
        write_lines(lines, unfinished / "lines.csv")
        write_json(unfinished / "discovery.json", found)
        gain = None if truth is None else truth.gain
        facts = label_facts(dict(zip(model.label_names, reference[0].tolist(), strict=True)))
        title = ", ".join(["a reference star", *facts]).replace("-", "−")
        summary = plot_discovery(wavelength, *fluxes, evidence.gain, elements, lines, gain, model.hidden, title)
        summary.savefig(unfinished / "summary.png", dpi=110)
        for element in dict.fromkeys(line.element for line in lines):
            own, e = [line for line in lines if line.element == element], elements.index(element)
            lack, true = evidence.missing.max(axis=0), None if gain is None else gain[:, e]
            figure = plot_element(wavelength, lack, evidence.gain[:, e], element, own, true)
            figure.savefig(unfinished / f"{element}.png", dpi=110)
    if truth is not None:
        print(format_table([{"element": name, **row} for name, row in found["judged"].items() if row["masked"]]))
    log.info("%d lines in %s", len(lines), output)
    return lines


def check_same_domains(model: Transfer, other: Transfer, path: str) -> None:
    """Raise InputError where two runs are not of the same theory, pixel by pixel and label by label."""
    if other.label_names != model.label_names or not torch.equal(other.wavelength, model.wavelength):
        raise InputError(f"{path}: expected the labels and pixels of the first run, got others")
    hidden = [m.hidden if m.hidden is not None else torch.zeros(len(m.wavelength), dtype=bool) for m in (model, other)]
    if not torch.equal(*hidden):
        raise InputError(f"{path}: expected a run that lacks the first one's lines (domains.hidden_seed), got others")


def write_lines(lines: Sequence[Line], path: Path) -> None:
    """A table of lines as CSV, one row each."""
    with path.open("w", newline="") as file:
        rows = csv.DictWriter(file, [f.name for f in fields(Line)])
        rows.writeheader()
        rows.writerows(map(asdict, lines))


@hydra.main(version_base="1.3", config_path=config_folder(), config_name="discover")
def main(config: DictConfig) -> None:
    with errors_in_one_line():
        discover(validate(config, DiscoverConfig))


if __name__ == "__main__":
    run(main, "discover")

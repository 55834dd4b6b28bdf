"""python -m cyclegan.discover checkpoint=RUN: the lines that theory lacks, and which element makes each.

Labels -> emulator -> synthetic spectrum -> observed spectrum is a differentiable map. Where the observed spectrum of
the same labels is deeper than the synthetic one, theory lacks a line; the element whose abundance moves it more in
observed than in synthetic spectra is its maker.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor

from cyclegan.discovery.evidence import Evidence, gather, shifted
from cyclegan.discovery.line_list import check_output, measure, write_line_list
from cyclegan.discovery.lines import MissingLine, find_lines, write_lines
from cyclegan.discovery.list_truth import Pair, judge_list, lines_taken_out, pair, right
from cyclegan.discovery.truth import HiddenLines, judge_lines, known_truth
from cyclegan.domains.hidden import reference_labels
from cyclegan.figures.axes import DPI, label_facts
from cyclegan.figures.line_lists import plot_line_list
from cyclegan.figures.lines import plot_discovery, plot_element
from cyclegan.spectra.tables import check_label_columns, read_labels, read_table
from cyclegan.trained.forward import ForwardModel
from cyclegan.trained.model import load
from cyclegan.trained.run_folder import find_checkpoint
from emulator.commands.config import MOST_SEED, config_folder, validate
from emulator.commands.errors import InputError
from emulator.commands.results import format_table, write_json
from emulator.commands.running import errors_in_one_line, run
from emulator.commands.writing import written_together, written_whole
from emulator.lines import Lines
from emulator.list_formats import FORMATS

log = logging.getLogger(__name__)

MEAN_SHIFT, SHUFFLED = "mean_shift", "shuffled_labels"


@dataclass
class DiscoverConfig:
    """What this command takes; conf/discover.yaml says what each key is."""

    checkpoint: str
    others: list[str]
    labels: str | None
    stars: int = field(metadata={"minimum": 2})
    seed: int = field(metadata={"minimum": 0, "maximum": MOST_SEED})
    depth: float = field(metadata={"above": 0.0, "maximum": 1.0})
    significance: float = field(metadata={"minimum": 0.0})
    control: str = field(metadata={"choices": ("none", MEAN_SHIFT, SHUFFLED)})
    output: str | None
    line_list: str | None
    format: str = field(metadata={"choices": FORMATS})


def discover(config: DiscoverConfig) -> list[MissingLine]:
    """Find what `config` asks for, and write it: lines.csv, discovery.json and pictures.

    Raises InputError for input that cannot be used.
    """
    check_output(config.line_list)
    folder = find_checkpoint(config.checkpoint).parent
    paths = [config.checkpoint, *config.others]
    trained = [load(path, "cpu") for path in paths]
    models = [one.forward_model for one in trained]
    for other, path in zip(models[1:], paths[1:], strict=True):
        check_same_theory(models[0], other, path)
    labels, reference = stars_to_ask(config, models[0])
    maps = [(m.synthetic, shifted(m) if config.control == MEAN_SHIFT else m.observed) for m in models]
    elements, evidence = gather(maps, models[0].label_names, labels, reference)
    truth = known_truth(models[0], folder, labels, reference) if trained[0].observed_emulated else None
    if config.control == SHUFFLED:
        order = np.random.default_rng(config.seed).permutation(len(elements))
        evidence = evidence._replace(gain=evidence.gain[:, order], error=evidence.error[:, order])
    wavelength = models[0].wavelength.numpy()
    lines = find_lines(evidence, elements, wavelength, config.depth, config.significance)
    judged = None if truth is None else judge_lines(lines, elements, truth)
    found: dict[str, Any] = {
        "run": folder.resolve().name,
        "control": config.control,
        "stars": len(labels),
        "runs": len(models),
        "depth": config.depth,
        "significance": config.significance,
        "lines": len(lines),
        "judged": judged,
    }
    listed = [] if config.line_list is None else measure(lines, maps, models[0], labels)
    output = folder / "discovery" if config.output is None else Path(config.output)
    with torch.no_grad():
        synth, translated = (flux(reference[:1])[0].numpy() for flux in maps[0])
    with written_together(output) as unfinished:
        write_lines(lines, unfinished / "lines.csv")
        write_json(unfinished / "discovery.json", found)
        gain = None if truth is None else truth.gain
        title = reference_title(models[0], reference[0])
        summary = plot_discovery(
            wavelength, synth, translated, evidence.gain, elements, lines, gain, models[0].hidden, title
        )
        summary.savefig(unfinished / "summary.png", dpi=DPI)
        draw_elements(evidence, elements, lines, truth, wavelength, unfinished)
    if config.line_list is not None:
        write_line_list(Path(config.line_list), config.format, listed)
        taken_out = lines_taken_out(models[0].emulator, trained[0].record.observed_emulator_of(config.checkpoint))
        if listed and taken_out is not None:
            compare_list(pair(listed, lines, taken_out), taken_out, Path(config.line_list))
    if judged is not None:
        print(format_table([{"element": name, **row} for name, row in judged.items() if row["masked"]]))
    log.info("%d lines in %s", len(lines), output)
    return lines


def stars_to_ask(config: DiscoverConfig, model: ForwardModel) -> tuple[Tensor, Tensor]:
    """Labels of the stars whose responses count, (N, L), and of those whose missing flux does, (S, L).

    Raises InputError for a table that cannot be used.
    """
    emulator = model.emulator
    if config.labels is None:
        drawn = model.population.sample(emulator, config.stars, torch.Generator().manual_seed(config.seed))
        return drawn, reference_labels(emulator)
    columns = read_table(config.labels)
    check_label_columns(list(columns), emulator.label_names, config.labels)
    labels = read_labels(columns, emulator, config.labels)
    if len(labels) < 2:
        raise InputError(f"{config.labels}: expected at least 2 stars, as their scatter is the error, got 1")
    return labels, labels


def reference_title(model: ForwardModel, labels: Tensor) -> str:
    """Which star a picture is of; labels (L,)."""
    facts = label_facts(dict(zip(model.label_names, labels.tolist(), strict=True)))
    return ", ".join(["a reference star", *facts]).replace("-", "−")


def draw_elements(
    evidence: Evidence,
    elements: Sequence[str],
    lines: Sequence[MissingLine],
    truth: HiddenLines | None,
    wavelength: np.ndarray,
    folder: Path,
) -> None:
    """A picture of the lines of each element, ELEMENT.png."""
    lack = evidence.missing.max(axis=0)
    for element in dict.fromkeys(line.element for line in lines):
        own, e = [line for line in lines if line.element == element], elements.index(element)
        true = None if truth is None else truth.gain[:, e]
        figure = plot_element(wavelength, lack, evidence.gain[:, e], element, own, true)
        figure.savefig(folder / f"{element}.png", dpi=DPI)


def compare_list(pairs: Sequence[Pair], truth: Lines, path: Path) -> None:
    """Print how well lines were measured, and write that beside their list, .json, with a picture, .png."""
    rows = judge_list(pairs, truth)
    print(format_table([{"species": name, **row} for name, row in rows.items()]))
    with written_whole(path.with_suffix(".json")) as unfinished:
        write_json(unfinished, rows)
    if good := right(pairs, truth):
        names = ("excitation", "log_gf", "excitation_error", "log_gf_error")
        excitation, log_gf, *errors = (np.array([getattr(one.line, name) for one in good]) for name in names)
        true = truth.chosen(np.array([one.true for one in good]))
        values = (np.stack([true.excitation, excitation]), np.stack([true.log_gf, log_gf]))
        with written_whole(path.with_suffix(".png")) as unfinished:
            plot_line_list(true.species, *values, *errors).savefig(unfinished, dpi=DPI)


def check_same_theory(model: ForwardModel, other: ForwardModel, path: str) -> None:
    """Raise InputError where two runs are not of the same theory, pixel by pixel and label by label."""
    if other.label_names != model.label_names or not torch.equal(other.wavelength, model.wavelength):
        raise InputError(f"{path}: expected the labels and pixels of the first run, got others")
    hidden, others = (
        m.hidden if m.hidden is not None else torch.zeros(len(m.wavelength), dtype=torch.bool) for m in (model, other)
    )
    if not torch.equal(hidden, others):
        raise InputError(f"{path}: expected a run that lacks the first one's lines (domains.hidden_seed), got others")


@hydra.main(version_base="1.3", config_path=config_folder(), config_name="discover")
def main(config: DictConfig) -> None:
    """Find what the configuration asks for."""
    with errors_in_one_line():
        discover(validate(config, DiscoverConfig))


if __name__ == "__main__":
    run(main, "discover")

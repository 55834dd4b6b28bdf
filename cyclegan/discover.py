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

from cyclegan.discovery.evidence import Evidence, Map, gather, shifted
from cyclegan.discovery.known_lines import read_known_lines
from cyclegan.discovery.line_list import check_outputs, measure, write_line_list
from cyclegan.discovery.lines import MissingLine, find_lines, write_lines
from cyclegan.discovery.list_truth import Pair, judge_list, lines_taken_out, pair, right
from cyclegan.discovery.reality import Reality, marked, reality_of_table
from cyclegan.discovery.star import Star, labels_of_star, star_of_atlas
from cyclegan.discovery.truth import HiddenLines, judge_lines, known_truth
from cyclegan.domains.hidden import reference_labels
from cyclegan.figures.axes import DPI, label_facts
from cyclegan.figures.line_lists import plot_line_list
from cyclegan.figures.lines import plot_discovery, plot_element
from cyclegan.instruments.atlas import read_atlas
from cyclegan.spectra.tables import check_label_columns, read_labels, read_table
from cyclegan.trained.forward import ForwardModel
from cyclegan.trained.loading import load
from cyclegan.trained.run_folder import find_checkpoint
from cyclegan.trained.translated import SYNTH_TO_OBS
from emulator.commands.config import config_folder, validate
from emulator.commands.errors import InputError
from emulator.commands.outputs import inputs_of
from emulator.commands.results import format_table, write_json
from emulator.commands.running import errors_in_one_line, run
from emulator.commands.schema import MOST_SEED
from emulator.commands.side_outputs import as_picture, save_picture
from emulator.commands.writing import written_together
from emulator.lines import Lines
from emulator.list_formats import FORMATS

log = logging.getLogger(__name__)

TABLE, ATLASES = ".csv", (".npz", ".fits", ".fit", ".gz")  # by its suffix, what a truth is
OUTPUTS = ("discovery.json", "lines.csv", "summary.png")
MEAN_SHIFT, SHUFFLED = "mean_shift", "shuffled_labels"


@dataclass
class DiscoverConfig:
    """What this command takes; conf/discover.yaml says what each key is."""

    checkpoint: str
    others: list[str]
    emulator: str | None
    labels: str | None
    stars: int = field(metadata={"minimum": 2})
    seed: int = field(metadata={"minimum": 0, "maximum": MOST_SEED})
    depth: float = field(metadata={"above": 0.0, "maximum": 1.0})
    false_discoveries: float = field(metadata={"above": 0.0, "maximum": 0.5})
    control: str = field(metadata={"choices": ("none", MEAN_SHIFT, SHUFFLED)})
    truth: str | None
    truth_star: str | None
    truth_labels: dict[str, float] | None
    truth_depth: float = field(metadata={"above": 0.0, "maximum": 1.0})
    truth_resolution: float = field(metadata={"above": 0.0})
    foreign: str | None
    output: str | None
    line_list: str | None
    format: str = field(metadata={"choices": FORMATS})


def discover(config: DiscoverConfig) -> list[MissingLine]:
    """Find what `config` asks for, and write it: lines.csv, discovery.json and pictures.

    Raises InputError for input that cannot be used.
    """
    check_outputs(config.line_list, inputs_of(config, ("output", "line_list")))
    folder = find_checkpoint(config.checkpoint).parent
    paths = [config.checkpoint, *config.others]
    trained = [load(path, "cpu", config.emulator) for path in paths]
    models = [one.forward_model for one in trained]
    for other, path in zip(models[1:], paths[1:], strict=True):
        check_same_theory(models[0], other, path)
    reality = read_reality(config, models[0])
    foreign = [] if config.foreign is None else read_known_lines(config.foreign)
    labels, reference = stars_to_ask(config, models[0])
    if isinstance(reality, Star):
        reference = torch.cat([reality.labels[None], reference])
    shift = config.control == MEAN_SHIFT
    maps = [(m.synthetic, shifted(one) if shift else one.observed) for m in models for one in m.members()]
    check_scatter(labels, len(maps))
    uncertainty = trained[0].errors.get(SYNTH_TO_OBS) if len(trained) == 1 and not shift else None
    elements, evidence = gather(maps, models[0].label_names, labels, reference, uncertainty)
    truth = known_truth(models[0], folder, labels, reference) if trained[0].observed_emulated else None
    if config.control == SHUFFLED:
        order = np.random.default_rng(config.seed).permutation(len(elements))
        evidence = evidence._replace(gain=evidence.gain[:, order], error=evidence.error[:, order])
    wavelength = models[0].wavelength.numpy()
    lines = find_lines(evidence, elements, wavelength, config.depth, config.false_discoveries)
    lines, marks = marked(lines, foreign, reality, evidence.missing[0])
    own = [number for number, mark in enumerate(marks) if not mark.get("foreign")]
    stellar, known = [lines[number] for number in own], [marks[number] for number in own]
    judged = None if truth is None else judge_lines(lines, elements, truth)
    found: dict[str, Any] = {
        "run": folder.resolve().name,
        "control": config.control,
        "stars": len(labels),
        "runs": len(maps),
        "depth": config.depth,
        "false_discoveries": config.false_discoveries,
        "lines": len(lines),
        "judged": judged,
        "truth": None if reality is None else beside_what_is_known(stellar, known, elements, reality),
        "foreign": len(lines) - len(stellar),
    }
    listed = [] if config.line_list is None else measure(stellar, maps, models[0], labels)
    output = folder / "discovery" if config.output is None else Path(config.output)
    with written_together(output, OUTPUTS, inputs_of(config, ("output", "line_list")), "discover") as unfinished:
        write_lines(lines, unfinished / "lines.csv", marks)
        write_json(unfinished / "discovery.json", found)
        draw_summary(models[0], maps[0], reference[:1], evidence, elements, lines, truth, reality, unfinished)
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


def read_reality(config: DiscoverConfig, model: ForwardModel) -> Reality | None:
    """What the keys `truth` say is known of the lines that theory lacks; InputError where they do not go together."""
    kind = "" if config.truth is None else Path(config.truth).suffix.lower()
    if config.truth is not None and kind not in (TABLE, *ATLASES):
        expected = f"a table, {TABLE}, or an atlas, {', '.join(ATLASES)}"
        raise InputError(f"config key 'truth': expected {expected}, got {config.truth}")
    atlas = kind in ATLASES
    for key in ("truth_star", "truth_labels"):
        if not atlas and getattr(config, key) is not None:
            got = config.truth or "none"
            raise InputError(f"config key '{key}': expected an atlas to go with it, .npz or FITS, got truth={got}")
    if config.truth is None:
        return None
    if not atlas:
        return reality_of_table(config.truth, model.wavelength.numpy())
    found = read_atlas(config.truth, config.truth_star)
    labels = labels_of_star(config.truth_labels, model, found.origin)
    return star_of_atlas(found, labels, model, config.truth_resolution, config.truth_depth)


def beside_what_is_known(
    lines: Sequence[MissingLine], marks: Sequence[dict[str, Any]], elements: Sequence[str], reality: Reality
) -> dict[str, Any]:
    """What discovery.json says of the key `truth`; lines without foreign ones, and their marks."""
    truth = reality.judge(lines, marks, elements)
    text = "%d of %d known lines found; of %d lines reported where all are known %d lie on one"
    log.info(text, truth["found"], truth["known"], truth["reported"], truth["right"])
    return truth


def check_scatter(labels: Tensor, runs: int) -> None:
    """Raise InputError where there is neither a scatter of stars, labels (N, L), nor one of runs to take as error."""
    if len(labels) == 1 and runs == 1:
        raise InputError(
            "config key 'others': expected other runs beside one star, as the scatter of runs is then the error, got"
            " none; or give at least 2 stars in 'labels'"
        )


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
    return labels, labels


@as_picture("summary.png")
def draw_summary(
    model: ForwardModel,
    maps: tuple[Map, Map],
    star: Tensor,
    evidence: Evidence,
    elements: Sequence[str],
    lines: Sequence[MissingLine],
    truth: HiddenLines | None,
    reality: Reality | None,
    folder: Path,
) -> None:
    """The picture summary.png of a reference star (1, L) beside what is known."""
    with torch.no_grad():
        synth, translated = (flux(star)[0].numpy() for flux in maps)
    facts = label_facts(dict(zip(model.label_names, star[0].tolist(), strict=True)))
    name = "the star of the atlas" if isinstance(reality, Star) else "a reference star"
    title = ", ".join([name, *facts]).replace("-", "−")
    figure = plot_discovery(
        model.wavelength.numpy(),
        synth,
        translated,
        evidence.gain,
        elements,
        lines,
        None if truth is None else truth.gain,
        model.hidden,
        title,
        reality.flux if isinstance(reality, Star) else None,
        () if reality is None else [line.wavelength for line in reality.lines],
    )
    save_picture(figure, folder / "summary.png", DPI)


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
    for element in dict.fromkeys(line.element for line in lines if line.element):
        own, e = [line for line in lines if line.element == element], elements.index(element)
        true = None if truth is None else truth.gain[:, e]
        with as_picture(f"{element}.png"):
            figure = plot_element(wavelength, lack, evidence.gain[:, e], element, own, true)
            save_picture(figure, folder / f"{element}.png", DPI)


def compare_list(pairs: Sequence[Pair], truth: Lines, path: Path) -> None:
    """Print how well lines were measured, and write that beside their list, .json, with a picture, .png."""
    rows = judge_list(pairs, truth)
    print(format_table([{"species": name, **row} for name, row in rows.items()]))
    write_json(path.with_suffix(".json"), rows)
    if good := right(pairs, truth):
        names = ("excitation", "log_gf", "excitation_error", "log_gf_error")
        excitation, log_gf, *errors = (np.array([getattr(one.line, name) for one in good]) for name in names)
        true = truth.chosen(np.array([one.true for one in good]))
        values = (np.stack([true.excitation, excitation]), np.stack([true.log_gf, log_gf]))
        picture = path.with_suffix(".png")
        with as_picture(picture.name):
            save_picture(plot_line_list(true.species, *values, *errors), picture, DPI)


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

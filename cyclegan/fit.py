"""python -m cyclegan.fit checkpoint=RUN input=FILE.h5: stellar labels of observed spectra.

Labels -> emulator -> synthetic spectrum -> observed spectrum, fitted to each star by weighted least squares; and, for
comparison, through the emulator alone, as if theory were right.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
import torch
from matplotlib.figure import Figure
from omegaconf import DictConfig
from torch import Tensor

from cyclegan.figures.axes import DPI, label_facts
from cyclegan.figures.fits import plot_fits
from cyclegan.figures.labels import plot_fitted, plot_label_residuals, plot_pulls
from cyclegan.fitting.comparison import describe_fits, map_covariance, true_labels, widened
from cyclegan.fitting.fitter import Fitted, Fitter, fitted_flux
from cyclegan.fitting.forward import EMULATOR, TEMPLATES, TRANSLATOR, SpectrumModel
from cyclegan.fitting.tables import Fits, read_parts, write_labels, write_table
from cyclegan.trained.familiarity import Familiarity, features, has_counterpart
from cyclegan.trained.loading import load
from cyclegan.trained.model import TrainedModel
from cyclegan.trained.run_folder import find_checkpoint
from cyclegan.trained.sources import FileSource
from cyclegan.trained.translated import OBS_TO_SYNTH
from emulator.commands.config import config_folder, validate
from emulator.commands.device import DEVICES
from emulator.commands.errors import InputError
from emulator.commands.outputs import inputs_of
from emulator.commands.parts import MOST_PARTS, WHOLE, Part, made_of
from emulator.commands.progress import progress
from emulator.commands.results import format_table, write_json
from emulator.commands.running import errors_in_one_line, run
from emulator.commands.schema import MOST_SEED
from emulator.commands.side_outputs import as_picture, save_picture
from emulator.commands.writing import written_together
from emulator.parts import as_one_of_all, is_made, made_parts, remove_parts

log = logging.getLogger(__name__)

WAYS = (TRANSLATOR, EMULATOR)
OUTPUTS = ("fit.json", "labels.h5")
SHOWN = 3  # stars of a subset, at most, whose spectra are drawn


@dataclass
class FitConfig:
    """What this command takes; conf/fit.yaml says what each key is."""

    checkpoint: str
    input: str
    emulator: str | None
    subset: str | None
    known: str | None
    through: str | None = field(metadata={"choices": WAYS})
    starts: int = field(metadata={"minimum": 1, "maximum": TEMPLATES})
    velocity: bool
    continuum: int | None = field(metadata={"minimum": 0})
    seed: int = field(metadata={"minimum": 0, "maximum": MOST_SEED})
    batch_size: int = field(metadata={"minimum": 1})
    wavelength: str | None
    device: str = field(metadata={"choices": DEVICES})
    output: str | None
    part: str | None
    parts: int | None = field(metadata={"minimum": 1, "maximum": MOST_PARTS})


def fit_subset(fitter: Fitter, file: FileSource, subset: str, rows: slice, batch_size: int) -> Fitted:
    """Fit some spectra of a subset of a file, under a progress bar."""
    device, parts, what = fitter.model.forward.device, [], f"fitting {subset} through the {fitter.model.through}"
    with progress(what=what, total=rows.stop - rows.start, unit="star") as bar:
        for spectra in file.chunks(subset, batch_size, rows):
            parts.append(Fitted(*(values.cpu() for values in fitter(spectra.to(device)))))
            bar.update(len(spectra.flux))
    return Fitted(*map(torch.cat, zip(*parts, strict=True)))


@torch.inference_mode()
def distances_from_training(
    model: TrainedModel, file: FileSource, rows: Mapping[str, slice], batch_size: int
) -> dict[str, Tensor]:
    """How far some stars of each subset are from training stars, (n,); nothing where the run keeps none."""
    familiar = Familiarity.from_record(model.record, "obs", model.device)
    if familiar is None:
        return {}
    found = {}
    for subset, own in rows.items():
        batches = (model.seen(OBS_TO_SYNTH, one.to(model.device)) for one in file.chunks(subset, batch_size, own))
        parts = [familiar.distance(features(model.translator, "obs", seen)).cpu() for seen in batches]
        found[subset] = torch.cat(parts)
    return found


def known_labels(config: FitConfig, file: FileSource, names: Sequence[str]) -> Tensor | None:
    """True labels (n, L) of the stars that are said to be known, if any; InputError where they are not."""
    if config.known is None:
        return None
    labels = true_labels(file, config.known, names)
    if labels is None or not labels.isfinite().all(dim=1).any():
        raise InputError(f"{config.input}: expected labels {', '.join(names)} in '{config.known}', got others")
    return labels


def subsets_to_fit(config: FitConfig, file: FileSource) -> list[str]:
    """The subsets to fit; InputError where there are none."""
    for key, subset in (("subset", config.subset), ("known", config.known)):
        if subset is not None and not file.subsets.get(subset):
            raise InputError(f"config key '{key}': expected one of {', '.join(file.subsets)}, got {subset}")
    subsets = [config.subset] if config.subset is not None else [name for name, count in file.subsets.items() if count]
    if not subsets:
        raise InputError(f"{config.input}: expected spectra, got none in {', '.join(file.subsets)}")
    return subsets


def fit_all(
    config: FitConfig,
    fitter: Fitter,
    file: FileSource,
    rows: Mapping[str, slice],
    known: Tensor | None,
    offset: Tensor | None,
) -> tuple[dict[str, Fitted], float]:
    """Fits of some stars of each subset, and how many a second.

    All errors are widened: by what known (n, L), true labels of config.known, tell of the map; or else by offset
    (L, L), the covariance of what may be wrong with the labels of all stars alike.
    """
    began = time.perf_counter()
    found = {subset: fit_subset(fitter, file, subset, own, config.batch_size) for subset, own in rows.items()}
    rate = sum(len(one.labels) for one in found.values()) / (time.perf_counter() - began)
    if config.known is not None and known is not None:
        every = slice(0, file.subsets[config.known])
        if rows.get(config.known) == every:
            offset = map_covariance(found[config.known], known)
        else:
            offset = map_covariance(fit_subset(fitter, file, config.known, every, config.batch_size), known)
    if offset is not None:
        found = {subset: widened(one, offset) for subset, one in found.items()}
    return found, rate


def ways_of(config: FitConfig) -> list[str]:
    """Which ways stars are fitted."""
    return [way for way in WAYS if config.through in (None, way)]


def shapes_of(config: FitConfig, model: TrainedModel) -> dict[str, SpectrumModel]:
    """What spectra are taken for, by way."""
    forward = model.forward_model
    return {way: SpectrumModel(forward, way, config.velocity, config.continuum) for way in ways_of(config)}


def fit_stars(config: FitConfig, model: TrainedModel, file: FileSource, part: Part) -> Fits:
    """Fit a part of the stars; InputError for input that cannot be used."""
    known = known_labels(config, file, model.label_names)
    rows = part.rows({subset: file.subsets[subset] for subset in subsets_to_fit(config, file)}, config.batch_size)
    fits = Fits({}, {}, distances_from_training(model, file, rows, config.batch_size))
    for through, shape in shapes_of(config, model).items():
        offset = model.record.offset if through == TRANSLATOR else None
        # What known stars tell of the map is all of its error.
        error = model.map_error if through == TRANSLATOR and config.known is None else None
        fitter = Fitter(shape, config.starts, config.seed, error)
        fits.results[through], fits.rates[through] = fit_all(config, fitter, file, rows, known, offset)
    return fits


def output_of(config: FitConfig) -> Path:
    """The folder to write to; InputError where there is no checkpoint."""
    own = find_checkpoint(config.checkpoint).parent / "fit"
    return own if config.output is None else Path(config.output)


def word_of(config: FitConfig) -> str:
    """What a part of these fits is made of."""
    return made_of(config, [find_checkpoint(config.checkpoint), *inputs_of(config).values()])


def fit_part(config: FitConfig, part: Part) -> None:
    """Fit a part of the stars, and write it; InputError for input that cannot be used."""
    output, word = output_of(config), word_of(config)
    with as_one_of_all(part, output, config.parts is not None):
        if is_made(part.path(output), word):
            log.info("part %s is there", part)
            return
        model = load(config.checkpoint, config.device, config.emulator)
        with FileSource(config.input, model, config.wavelength, observed=True) as file:
            write_labels(fit_stars(config, model, file, part), model.label_names, part.path(output), word)


@torch.inference_mode()
def fit(config: FitConfig) -> dict[str, Any]:
    """Fit what `config` asks for, and write it, all or nothing: labels.h5, tables, fit.json and pictures.

    With `parts` it joins them, which are there. Raises InputError for input that cannot be used.
    """
    output, ways = output_of(config), ways_of(config)
    names = [*OUTPUTS, *(f"{way}.csv" for way in ways)]
    model = load(config.checkpoint, config.device, config.emulator)
    with (
        FileSource(config.input, model, config.wavelength, observed=True) as file,
        written_together(output, names, inputs_of(config), "fit") as unfinished,
    ):
        if config.parts is None:
            fits = fit_stars(config, model, file, WHOLE)
        else:
            fits = read_parts(made_parts(output, config.parts, word_of(config)), subsets_to_fit(config, file), ways)
        summary = write(config, model, file, fits, unfinished)
    if config.parts is not None:
        remove_parts(output, config.parts)
    show(summary)
    if fits.distances:
        alone = sum(int((~has_counterpart(one)).sum()) for one in fits.distances.values())
        log.info("%d stars have no counterpart among training stars", alone)
    else:
        log.info("the run keeps no training stars: 'distance' and 'counterpart' are left out")
    log.info("labels in %s", output)
    return summary


def write(config: FitConfig, model: TrainedModel, file: FileSource, fits: Fits, folder: Path) -> dict[str, Any]:
    """Write fits with their tables and pictures into a folder; what fit.json holds."""
    results, names = fits.results, model.label_names
    subsets = list(next(iter(results.values())))
    for through, found in results.items():
        write_table(found, fits.distances, file, names, folder / f"{through}.csv")
    write_labels(fits, names, folder / "labels.h5")
    truths = {subset: true_labels(file, subset, names) for subset in subsets}
    described = {
        subset: {through: describe_fits(found[subset], truth, names) for through, found in results.items()}
        for subset, truth in truths.items()
    }
    about = {"run": str(config.checkpoint), "input": config.input, "known": config.known}
    shares = {subset: 1 - has_counterpart(one).float().mean().item() for subset, one in fits.distances.items()}
    summary: dict[str, Any] = {**about, "rate": fits.rates, "without_counterpart": shares, "subsets": described}
    write_json(folder / "fit.json", summary)
    for subset, truth in truths.items():
        ways = {through: found[subset] for through, found in results.items()}
        if file.subsets[subset] <= SHOWN:
            with as_picture(f"spectra_{subset}.png"):
                figure = draw_spectra(shapes_of(config, model), ways, file, subset)
                save_picture(figure, folder / f"spectra_{subset}.png", DPI)
        if truth is not None:
            draw(ways, truth, names, subset, folder)
    return summary


def draw(ways: Mapping[str, Fitted], truth: Tensor, names: Sequence[str], subset: str, folder: Path) -> None:
    """Pictures of a subset's fits beside true labels (N, L)."""
    for name, plot in (("fitted", plot_fitted), ("residuals", plot_label_residuals), ("pulls", plot_pulls)):
        with as_picture(f"{name}_{subset}.png"):
            save_picture(plot(ways, truth, names), folder / f"{name}_{subset}.png", DPI)


def draw_spectra(
    shapes: Mapping[str, SpectrumModel], ways: Mapping[str, Fitted], file: FileSource, subset: str
) -> Figure:
    """A picture of the stars of a small subset beside what they were fitted with."""
    spectra = file.read(subset)
    identities = file.identities(subset) or [f"star {row}" for row in range(len(spectra.flux))]
    titles = []
    for row, identity in enumerate(identities):
        texts = [f"{identity}, {int(next(iter(ways.values())).pixels[row])} pixels"]
        for through, text in ((EMULATOR, "theory alone"), (TRANSLATOR, "through the translator")):
            if through in ways:
                names = shapes[through].forward.label_names
                facts = label_facts(dict(zip(names, ways[through].labels[row].tolist(), strict=True)))
                texts.append(f"{text}: {', '.join(facts)}, χ² {ways[through].chi2[row]:.0f}".replace("-", "−"))
        titles.append("\n".join(texts))
    models = {
        name: fitted_flux(shapes[through], ways[through]).cpu().numpy()
        for name, through in (("synthetic", EMULATOR), ("translated", TRANSLATOR))
        if through in ways
    }
    wavelength = next(iter(shapes.values())).forward.wavelength.cpu().numpy()
    return plot_fits(wavelength, spectra, models, titles)


def show(summary: Mapping[str, Any]) -> None:
    """Print a summary of fits, as fit.json holds it."""
    rows = []
    for subset, ways in summary["subsets"].items():
        for through, found in ways.items():
            converged, rate = 100 * found["converged"], summary["rate"][through]
            text = "%s through the %s: %d stars, %.1f %% converged, %.0f a second"
            log.info(text, subset, through, found["stars"], converged, rate)
            for name, numbers in (found["labels"] or {}).items():
                rows.append({"subset": subset, "label": name, "through": through, **numbers})
    if rows:
        print(format_table(rows))


@hydra.main(version_base="1.3", config_path=config_folder(), config_name="fit")
def main(config: DictConfig) -> None:
    """Fit what the configuration asks for."""
    with errors_in_one_line():
        checked = validate(config, FitConfig)
        if checked.part is None:
            fit(checked)
        else:
            fit_part(checked, Part.read(checked.part, "config key 'part'"))


if __name__ == "__main__":
    run(main, "fit")

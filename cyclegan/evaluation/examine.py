"""All that the report shows of a set of stars."""

import logging
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from threadpoolctl import threadpool_limits
from torch import Tensor
from tqdm import tqdm

from cyclegan.domains.domains import Domains, Stars, star_labels, stars_to_score
from cyclegan.evaluation.physics import Physics, examine_physics
from cyclegan.evaluation.stars import bin_scores, known_lines, star_rows, star_title
from cyclegan.evaluation.telling_apart import Apart, tell_apart
from cyclegan.evaluation.translations import Translations, translate
from cyclegan.figures.history import plot_history
from cyclegan.figures.labels import plot_bins, plot_latents, plot_physics
from cyclegan.figures.sets import plot_embedding, plot_residuals
from cyclegan.figures.spectra import plot_star, star_windows
from cyclegan.linear.maps import translations
from cyclegan.scores.latents import Latents, examine_latents
from cyclegan.scores.scores import control_scores, matched_scores, seen_by_both
from cyclegan.scores.separation import FOLDS
from cyclegan.spectra.spectra import masked_mean
from cyclegan.trained.model import TrainedModel
from cyclegan.trained.run_folder import METRICS, read_history
from emulator.commands.errors import InputError
from emulator.commands.progress import progress
from emulator.commands.results import without_nan
from emulator.commands.side_outputs import as_picture

log = logging.getLogger(__name__)

TRANSLATING, TELLING_APART, PHYSICS, DRAWING = SHARES = 10, 40, 35, 15  # percent of the time that they usually take
BAR = "{desc}: {percentage:.0f}%|{bar}| [{elapsed}<{remaining}]"
BINNED = ("teff", "logg", "fe_h")
DRAWN = ("synthetic", "translated", "reconstructed")  # of what observed stars are compared with


class Subject(NamedTuple):
    """What is examined: a model, and N stars of each domain with what it makes of them.

    labels: (N,) by name, where they are known; models: what observed stars are compared with, (N, P) by name, as in
    `figures.axes.COLOURS`; controls: their scores.
    """

    model: TrainedModel
    stars: Stars
    matched: bool
    labels: Mapping[str, np.ndarray]
    made: Translations
    models: Mapping[str, Tensor]
    controls: Mapping[str, float]


class Findings(NamedTuple):
    """What was found of a subject; latents: None where they lie along the spectrum."""

    latents: Latents | None
    apart: Apart
    physics: Physics
    bins: Mapping[str, dict[str, np.ndarray]]


class Examined(NamedTuple):
    """What the report is made of: numbers as scores.json holds them, the rows of stars.csv, and figures by name."""

    numbers: dict[str, Any]
    stars: list[dict[str, float]]
    figures: dict[str, Figure]


def examine(model: TrainedModel, domains: Domains, subset: str, folder: Path) -> Examined:
    """All that the report shows of the stars of a subset; folder: of the run, whose metrics.csv is drawn."""
    with progress(what="examining", total=sum(SHARES), bar_format=BAR) as bar:
        subject = _subject(model, domains, subset)
        bar.update(TRANSLATING)
        findings = _find(subject, bar)
        examined = _shown(subject, findings, subset, folder)
        bar.update(DRAWING)
    return examined


def _shown(subject: Subject, findings: Findings, subset: str, folder: Path) -> Examined:
    model = subject.model
    rows = star_rows(subject.stars, subject.made, model.controls["shift"]["flux"], subject.labels, subject.matched)
    order = np.argsort([row["x_translated" if subject.matched else "reconstruction"] for row in rows])  # NaN last
    examples = {which: rows[order[i]] for which, i in (("best", 0), ("median", len(rows) // 2), ("worst", -1))}
    log.info("drawing")
    figures = _draw(subject, findings, examples)
    if (folder / METRICS).exists():
        with as_picture("history.png"):
            figures["history"] = plot_history(read_history(folder / METRICS), subject.controls, model.record.kept_step)
    about = {
        "run": folder.resolve().name,
        "subset": subset,
        "examples": {k: row["star"] for k, row in examples.items()},
    }
    return Examined(without_nan(_numbers(subject, findings) | about), rows, figures)


def _subject(model: TrainedModel, domains: Domains, subset: str) -> Subject:
    """The stars of a subset, and what the model makes of them; InputError for too few of them."""
    stars, matched = stars_to_score(domains.synth, domains.obs, subset).to("cpu"), domains.matched
    synth, obs = stars
    count = len(obs.flux)
    if count < 2 * FOLDS:
        raise InputError(f"domains: expected at least {2 * FOLDS} stars in '{subset}' to tell apart, got {count}")
    labels = {name: values[:count].numpy() for name, values in star_labels(domains, subset).items()}
    log.info("translating %d stars of '%s'", count, subset)
    made = translate(model.translator, synth, obs)
    truth = domains.obs.truth(subset)
    controls: dict[str, float] = {}
    models = {"reconstructed": made.oo}
    if matched:
        without = translations(model.controls, (model.translator.space_s, model.translator.space_o), synth, obs)
        controls = control_scores(synth, obs, without, None if truth is None else truth.cpu())
        models = {"synthetic": synth.flux, "mean shift": without["shift"][0], "translated": made.so}
        models |= {} if truth is None else {"noiseless truth": truth.cpu()}
    return Subject(model, stars, matched, labels, made, models, controls)


def _find(subject: Subject, bar: tqdm) -> Findings:
    model, (synth, obs), made, labels = subject.model, subject.stars, subject.made, subject.labels
    latents = None
    if model.translator.has_axes:
        latents = examine_latents(model.translator, made.z_s, made.z_o, labels, subject.matched)
    log.info("asking classifiers")
    with threadpool_limits(1):  # scikit-learn's work is in pieces so small that two threads mostly wait for each other
        apart = tell_apart(synth, obs, made, None if latents is None else latents.effect)
    bar.update(TELLING_APART)
    log.info("telling physics from paint")
    if len(model.split_sample) == 0:  # not validated yet: nobody has looked at training stars
        _, model.split_sample = model.encode_obs(obs.flux, mask=obs.mask)
    physics = examine_physics(model, synth)
    bar.update(PHYSICS)
    bins = {
        name: bin_scores(labels[name], subject.models, seen_by_both(synth, obs)[1] if subject.matched else obs)
        for name in BINNED
        if name in labels and np.isfinite(labels[name]).any()
    }
    return Findings(latents, apart, physics, bins)


def _draw(subject: Subject, findings: Findings, examples: Mapping[str, Mapping[str, float]]) -> dict[str, Figure]:
    """All figures; examples: rows of stars.csv by what they are examples of."""
    figures = _draw_spectra(subject, examples)
    found = findings.apart.separations
    titles = [
        f"{title}: AUC {found[name]['auc']:.2f} ± {found[name]['spread']:.2f}"
        for title, name in zip(findings.apart.maps, ("synthetic", "translated", "shared latents"), strict=True)
    ]
    with as_picture("embedding.png"):
        figures["embedding"] = plot_embedding(findings.apart.maps, titles)
    if findings.bins:
        with as_picture("bins.png"):
            figures["bins"] = plot_bins(findings.bins)
    if findings.physics.labels:
        with as_picture("physics.png"):
            figures["physics"] = plot_physics(findings.physics.labels)
    if findings.latents is not None:
        with as_picture("latents.png"):
            figures["latents"] = plot_latents(findings.latents)
    return figures


def _draw_spectra(subject: Subject, examples: Mapping[str, Mapping[str, float]]) -> dict[str, Figure]:
    """The examples, and the residuals of all stars."""
    model, (synth, obs) = subject.model, subject.stars
    models = {name: flux for name, flux in subject.models.items() if name in DRAWN}
    hidden = model.hidden.get("synth") if subject.matched else None
    wavelength, mean = model.wavelength.cpu().numpy(), masked_mean(obs)
    windows, lines = star_windows(wavelength, synth, obs), known_lines(model.emulator, mean)
    figures = {}
    for which, row in examples.items():
        star, title = int(row["star"]), star_title(which, row)
        curves = {name: flux[star].numpy() for name, flux in models.items()}
        with as_picture(f"star_{which}.png"):
            figures[f"star_{which}"] = plot_star(wavelength, obs.rows(star), curves, windows, lines, hidden, title)
    residuals = {name: (flux - obs.flux).where(obs.mask, torch.nan).numpy() for name, flux in models.items()}
    with as_picture("residuals.png"):
        figures["residuals"] = plot_residuals(wavelength, residuals)
    return figures


def _offset(model: TrainedModel) -> dict[str, float]:
    """How far each label of all stars alike may be off, 1 sigma, where the population was learnt; otherwise none."""
    if (covariance := model.record.offset) is None:
        return {}
    return dict(zip(model.label_names, covariance.diagonal().sqrt().tolist(), strict=True))


def _numbers(subject: Subject, findings: Findings) -> dict[str, Any]:
    model, controls, wavelength = subject.model, subject.controls, subject.model.wavelength.cpu()
    scores = matched_scores(model.translator, *subject.stars, subject.matched)
    left = None
    if "floor_synth_obs" in controls:
        floor, shifted = controls["floor_synth_obs"], controls["shift_synth_obs"]
        left = (scores["x_synth_obs"] - floor) / (shifted - floor)
    return {
        "name": model.record.config["name"],
        "step": model.step,
        "stars": len(subject.stars.obs.flux),
        "matched": subject.matched,
        "pixels": len(wavelength),
        "wavelength": [wavelength[0].item(), wavelength[-1].item()],
        "scores": scores,
        "controls": dict(controls),
        "labels": list(subject.labels),
        "offset": _offset(model),
        "gap_left": left,
        "signals": subject.made.signals,
        "physics": {"cycle_under_noise": findings.physics.cycle, "labels": findings.physics.labels},
        "latents": [] if findings.latents is None else findings.latents.rows(),
        "separation": findings.apart.separations,
        "bins": {
            label: {name: values.tolist() for name, values in found.items()} for label, found in findings.bins.items()
        },
        "versions": {package: version(package) for package in ("torch", "numpy", "scikit-learn")},
    }

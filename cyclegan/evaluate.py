"""python -m cyclegan.evaluate checkpoint=RUN: score a finished run again, and write a report of it."""

import csv
import json
import logging
import math
import sys
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import hydra
import numpy as np
import torch
from matplotlib.figure import Figure
from omegaconf import DictConfig, OmegaConf
from threadpoolctl import threadpool_limits
from torch import Tensor

from cyclegan.checkpoint import Trained, find_checkpoint, find_domains, load_trained
from cyclegan.config import LoggerConfig
from cyclegan.domains import Domains, HDF5Domain, star_labels, stars_to_score
from cyclegan.features import strong_features
from cyclegan.figures import (
    DPI,
    Line,
    label_facts,
    plot_embedding,
    plot_history,
    plot_residuals,
    plot_star,
    read_history,
    star_windows,
)
from cyclegan.label_figures import label_edges, plot_bins, plot_latents, plot_physics
from cyclegan.latents import examine_latents
from cyclegan.logs import wandb_logger
from cyclegan.physics import examine_physics
from cyclegan.report import page
from cyclegan.results import format_table, read_metrics, without_nan, write_json
from cyclegan.scores import SCORE_BATCH, control_scores, matched_scores, squared_deviation, star_scores
from cyclegan.separation import FOLDS, embed, halves, separation
from cyclegan.spectra import Spectra, masked_mean, typical_weight
from cyclegan.transfer import Transfer
from cyclegan.translator import Translator
from emulator.command import InputError, config_folder, errors_in_one_line, run, validate, written_together
from emulator.lines import LINES
from emulator.payne import Payne

log = logging.getLogger(__name__)

ROUNDING = 1e-5  # relative: what another processor or another build of torch may change in a score
BINNED = ("teff", "logg", "fe_h")


@dataclass
class EvaluateConfig:
    checkpoint: str
    split: str = field(metadata={"choices": ("val", "test")})
    output: str | None
    synth: str | None
    obs: str | None
    logger: LoggerConfig


class ScoresDifferError(RuntimeError):
    """A checkpoint does not score what training logged; the message names the first score and where to look."""


class Translations(NamedTuple):
    """What a translator makes of N stars of each domain, in flux (N, P), and their shared latents (N, Zs).

    so: given each star's own split latent, as it is scored; so_other: given that of another star, as it is used;
    os: observed to synthetic; oo: observed spectra reconstructed; signals: deviations of reconstructions and cycles.
    """

    so: Tensor
    so_other: Tensor
    os: Tensor
    oo: Tensor
    z_s: Tensor
    z_o: Tensor
    signals: dict[str, float]


@dataclass
class Compared:
    """A score that training logged, and what the checkpoint scores now."""

    score: str
    logged_in: str
    logged: float
    rescored: float
    identical: bool


@torch.no_grad()
def translate(translator: Translator, synth: Spectra, obs: Spectra) -> Translations:
    """Translate, reconstruct and cycle synth (N, P) and obs (N, P)."""
    space_s, space_o = translator.space_s, translator.space_o
    split = torch.cat([translator.encoder_o(space_o.project(x_o).flux)[1] for x_o in obs.chunks(SCORE_BATCH)])
    others = split.roll(1, dims=0).split(SCORE_BATCH)
    parts, sums = [], []
    for x_s, x_o, other in zip(synth.chunks(SCORE_BATCH), obs.chunks(SCORE_BATCH), others, strict=True):
        c = translator.cross(space_s.project(x_s).flux, space_o.project(x_o).flux)
        so_other = translator.generator_o(c.z_s, other)
        ss, sos, os = (space_s.restore(coordinates) for coordinates in (c.ss, c.sos, c.os))
        oo, oso, so, so_other = (space_o.restore(coordinates) for coordinates in (c.oo, c.oso, c.so, so_other))
        parts.append((so, so_other, os, oo, c.z_s, c.z_o))
        returned = (ss, x_s), (oo, x_o), (sos, x_s), (oso, x_o)
        sums.append(torch.stack([squared_deviation(*pair).sum(dim=0) for pair in returned]))
    weighted, _, pixels = torch.stack(sums).sum(dim=0).T
    names = "reconstruction_synth", "reconstruction_obs", "cycle_synth", "cycle_obs"
    signals = dict(zip(names, (weighted / pixels).tolist(), strict=True))
    return Translations(*(torch.cat(part) for part in zip(*parts, strict=True)), signals)


def read_scores(path: Path) -> dict:
    """What a run's scores.json holds; InputError for another file."""
    try:
        return dict(json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: expected the scores of a run in JSON, got '{error}'") from error


def logged_scores(folder: Path, step: int) -> dict[str, dict[str, float]]:
    """What training logged of the val stars after `step` batches: by file, its scores. Empty where it logged none."""
    found = {}
    path = folder / "scores.json"
    if path.exists() and (scores := read_scores(path)).get("steps") == step:
        found[path.name] = {name: value for name, value in scores.items() if isinstance(value, float)}
    path = folder / "metrics.csv"
    for row in read_metrics(path):
        if int(row["step"]) == step - 1 and row.get("z_synth"):
            values = {name: float(value) for name, value in row.items() if value}
            found[path.name] = {name: value for name, value in values.items() if not name.startswith("train/")}
    return found


def compare(logged: dict[str, dict[str, float]], rescored: dict[str, float], exact: bool) -> list[Compared]:
    """Each logged score beside the one found now. metrics.csv holds single precision.

    exact: whether its rows were scored on a CPU, as they are here; otherwise they may differ by ROUNDING.
    """
    rows = []
    for file, scores in logged.items():
        for name, found in rescored.items():
            if name not in scores or math.isnan(found):
                continue
            if file == "metrics.csv":
                found = float(np.float32(found))
            tolerance = 0.0 if exact or file == "scores.json" else ROUNDING
            identical = abs(found - scores[name]) <= tolerance * abs(scores[name])
            rows.append(Compared(name, file, scores[name], found, identical))
    return rows


def known_lines(emulator: Payne | None, mean: Tensor) -> list[Line]:
    """The lines to mark: an emulator's strong features, or those of the line list where there is none.

    mean (P,): observed flux, on the emulator's pixels. An element's response says little by itself: a weak line answers
    as much as a saturated one. Times the depth that the spectra have there, the lines that one sees come first.
    """
    if emulator is not None:
        found = [
            (feature, 1 - mean[feature.start : feature.stop].min().item()) for feature in strong_features(emulator)
        ]
        return [Line(feature.wavelength, feature.element, -feature.response * depth) for feature, depth in found]
    columns = LINES.wavelength.tolist(), LINES.species.tolist(), LINES.strength.tolist()
    return [Line(place, species.split()[0], strength) for place, species, strength in zip(*columns, strict=True)]


def bin_scores(values: np.ndarray, models: dict[str, Tensor], obs: Spectra) -> dict[str, np.ndarray]:
    """X scores of models (N, P) by name, in bins of a label (N,): `edges` (B + 1,), `stars` (B,), scores (B,)."""
    edges = label_edges(values)
    bins = len(edges) - 1
    known = np.isfinite(values)
    where = np.digitize(values[known], edges[1:-1])
    columns = {"edges": edges, "stars": np.bincount(where, minlength=bins)}
    for name, model in models.items():
        weighted, _, pixels = squared_deviation(model, obs).numpy()[known].T
        with np.errstate(invalid="ignore"):  # a bin without stars has no score
            columns[name] = np.bincount(where, weighted, bins) / np.bincount(where, pixels, bins)
    return columns


class Shown:
    """Spectra as a classifier is shown them: with the noise and the masks of observed ones, weighted, (N, P)."""

    def __init__(self, obs: Spectra) -> None:
        self.obs, self.mean, self.weight = obs, masked_mean(obs), typical_weight(obs)

    def real(self) -> np.ndarray:
        return self._weighted(self.obs.flux)

    def noisy(self, flux: Tensor, seed: int) -> np.ndarray:
        """Noiseless flux (N, P), with the noise that the errors of the observed stars of the same rows state."""
        noise = torch.randn(flux.shape, generator=torch.Generator().manual_seed(seed))
        return self._weighted(flux + noise * self.obs.error)

    def _weighted(self, flux: Tensor) -> np.ndarray:
        return torch.where(self.obs.mask, (flux - self.mean) * self.weight, 0.0).numpy()


def tell_apart(
    synth: Spectra, obs: Spectra, made: Translations, effect: np.ndarray | None
) -> tuple[dict[str, dict[str, float]], dict[str, dict]]:
    """How well classifiers tell observed stars from others: by whose the others are, `separation`s; and t-SNE maps.

    The control `observed` asks them to tell observed stars from observed stars. effect (Zs,): of the shared latents on
    spectra, by which they are weighted; None: by their spread.
    """
    shown = Shown(obs)
    real = shown.real()
    others = {"synthetic": shown.noisy(synth.flux, seed=0), "translated": shown.noisy(made.so_other, seed=1)}
    latents = torch.cat([made.z_o, made.z_s])
    latents = ((latents - latents.mean(dim=0)) / latents.std(dim=0).clamp_min(1e-6)).numpy()
    z_o, z_s = (latents if effect is None else latents * effect).reshape(2, len(real), -1)
    found = {name: separation(real, other) for name, other in others.items()}
    found |= {"observed": separation(real, real), "shared latents": separation(z_o, z_s)}
    a, b = next(halves(len(real)))
    maps = {}
    for title, name, first, second in (
        ("before", "synthetic", real, others["synthetic"]),
        ("after", "translated", real, others["translated"]),
        ("shared latents", "synthetic", z_o, z_s),
    ):
        log.info("t-SNE: %s", title)
        points = embed(first[a], second[b])
        maps[title] = dict(zip(("observed", name), points, strict=True))
    return found, maps


def star_title(which: str, star: dict[str, float]) -> str:
    """What is known of a row of stars.csv, for the head of its picture."""
    facts = [f"{which}: star {star['star']}", *label_facts(star)]
    facts.append(f"S/N {star['signal_to_noise']:.0f}")
    if "x_translated" in star:
        facts.append(f"x {star['x_untranslated']:.2f} → {star['x_translated']:.2f} σ²")
    else:
        facts.append(f"reconstructed to {star['reconstruction']:.2f} σ²")
    return ", ".join(facts).replace("-", "−")


class Examined(NamedTuple):
    """What the report is made of: numbers as scores.json holds them, the rows of stars.csv, and figures by name."""

    numbers: dict
    stars: list[dict[str, float]]
    figures: dict[str, Figure]


def star_rows(
    synth: Spectra, obs: Spectra, made: Translations, shift: Tensor, labels: dict[str, np.ndarray], matched: bool
) -> list[dict[str, float]]:
    """The rows of stars.csv: labels (N,) that are known, signal to noise, and deviations before and after."""
    columns = {"star": np.arange(len(obs.flux)), **labels}
    columns["signal_to_noise"] = (obs.flux / obs.error).where(obs.mask, torch.nan).nanmedian(dim=1).values.numpy()
    columns["reconstruction"] = star_scores(made.oo, obs)
    if matched:
        columns["x_untranslated"] = star_scores(synth.flux, obs)
        columns["x_mean_shift"] = star_scores(synth.flux + shift, obs)
        columns["x_translated"] = star_scores(made.so, obs)
        columns["x_obs_synth"] = star_scores(made.os, synth)
    return [dict(zip(columns, row, strict=True)) for row in zip(*(c.tolist() for c in columns.values()), strict=True)]


def draw_spectra(
    trained: Trained,
    synth: Spectra,
    obs: Spectra,
    models: dict[str, Tensor],
    examples: dict[str, dict[str, float]],
    hidden: Tensor | None,
) -> dict[str, Figure]:
    """The examples, rows of stars.csv by what they are examples of, and the residuals of all stars.

    models: (N, P) each, named as in `figures.COLOURS`; hidden (P,): pixels whose lines theory lacks.
    """
    wavelength, mean = trained.wavelength.cpu().numpy(), masked_mean(obs)
    windows = star_windows(wavelength, (masked_mean(synth) - mean).abs().numpy())
    lines = known_lines(trained.emulator, mean)
    figures = {}
    for which, row in examples.items():
        star, title = row["star"], star_title(which, row)
        curves = {name: model[star].numpy() for name, model in models.items()}
        figures[f"star_{which}"] = plot_star(wavelength, obs.rows(star), curves, windows, lines, hidden, title)
    residuals = {name: (model - obs.flux).where(obs.mask, torch.nan).numpy() for name, model in models.items()}
    figures["residuals"] = plot_residuals(wavelength, residuals)
    return figures


def examine(trained: Trained, domains: Domains, split: str, folder: Path) -> Examined:
    """All that the report shows of the stars of a split; folder: of the run, whose metrics.csv is drawn."""
    matched = domains.matched
    synth, obs = (stars.to("cpu") for stars in stars_to_score(domains.synth, domains.obs, split))
    count = len(obs.flux)
    if count < 2 * FOLDS:
        raise InputError(f"domains: expected at least {2 * FOLDS} stars in '{split}' to tell apart, got {count}")
    labels = {name: values[:count].numpy() for name, values in star_labels(domains, split).items()}
    translator, wavelength = trained.translator, trained.wavelength.cpu()
    log.info("translating %d stars of '%s'", count, split)
    made = translate(translator, synth, obs)
    scores = matched_scores(translator, synth, obs, matched)
    shift = translator.space_o.mean - translator.space_s.mean
    truth = domains.obs.truth(split)
    controls, models = {}, {"reconstructed": made.oo}
    if matched:
        controls = control_scores(synth, obs, shift, None if truth is None else truth.cpu())
        models = {"synthetic": synth.flux, "mean shift": synth.flux + shift, "translated": made.so}
        models |= {} if truth is None else {"noiseless truth": truth.cpu()}

    dense = trained.config.networks.kind == "dense"  # other latents lie along the spectrum
    latents = examine_latents(translator, made.z_s, made.z_o, labels, matched) if dense else None

    log.info("asking classifiers")
    with threadpool_limits(1):  # scikit-learn's work is in pieces so small that two threads mostly wait for each other
        separations, maps = tell_apart(synth, obs, made, latents and latents.effect)

    log.info("telling physics from paint")
    model = Transfer(trained, str(folder))
    if len(model.split_sample) == 0:  # not validated yet: nobody has looked at training stars
        _, model.split_sample = model.encode_obs(obs.flux, mask=obs.mask)
    physics = examine_physics(model, synth)

    log.info("drawing")
    stars = star_rows(synth, obs, made, shift, labels, matched)
    order = np.argsort([row["x_translated" if matched else "reconstruction"] for row in stars])  # NaN last
    examples = {which: stars[order[i]] for which, i in (("best", 0), ("median", count // 2), ("worst", -1))}
    drawn = {name: model for name, model in models.items() if name in ("synthetic", "translated", "reconstructed")}
    hidden = trained.hidden.get("synth") if matched else None
    figures = draw_spectra(trained, synth, obs, drawn, examples, hidden)
    titles = [
        f"{title}: AUC {found['auc']:.2f} ± {found['spread']:.2f}"
        for title, found in zip(
            maps, (separations[n] for n in ("synthetic", "translated", "shared latents")), strict=True
        )
    ]
    figures["embedding"] = plot_embedding(maps, titles)
    bins = {
        name: bin_scores(labels[name], models, obs) for name in BINNED if np.isfinite(labels.get(name, np.nan)).any()
    }
    if bins:
        figures["bins"] = plot_bins(bins)
    if physics.labels:
        figures["physics"] = plot_physics(physics.labels)
    if latents:
        figures["latents"] = plot_latents(latents)
    if (folder / "metrics.csv").exists():
        figures["history"] = plot_history(read_history(folder / "metrics.csv"), controls)

    left = None
    if "floor_synth_obs" in controls:
        floor, shifted = controls["floor_synth_obs"], controls["shift_synth_obs"]
        left = (scores["x_synth_obs"] - floor) / (shifted - floor)
    numbers = {
        "name": trained.config.name,
        "run": folder.resolve().name,
        "step": trained.step,
        "split": split,
        "stars": count,
        "matched": matched,
        "pixels": len(wavelength),
        "wavelength": [wavelength[0].item(), wavelength[-1].item()],
        "scores": scores,
        "controls": controls,
        "labels": list(labels),
        "gap_left": left,
        "signals": made.signals,
        "physics": {"cycle_under_noise": physics.cycle, "labels": physics.labels},
        "latents": latents.rows() if latents else [],
        "separation": separations,
        "bins": {label: {name: values.tolist() for name, values in found.items()} for label, found in bins.items()},
        "examples": {which: row["star"] for which, row in examples.items()},
        "versions": {package: version(package) for package in ("torch", "numpy", "scikit-learn")},
    }
    return Examined(without_nan(numbers), stars, figures)


def write(examined: Examined, folder: Path) -> None:
    """report.html, scores.json, stars.csv and figures/*.png."""
    (folder / "figures").mkdir()
    pictures = {}
    for name, figure in examined.figures.items():
        path = folder / "figures" / f"{name}.png"
        figure.savefig(path, dpi=DPI)
        pictures[name] = path.read_bytes()
    write_json(folder / "scores.json", examined.numbers)
    with (folder / "stars.csv").open("w", newline="") as file:
        rows = csv.DictWriter(file, examined.stars[0])
        rows.writeheader()
        rows.writerows(examined.stars)
    (folder / "report.html").write_text(page(examined.numbers, examined.stars, pictures), encoding="utf-8")


def log_to_wandb(folder: Path, output: Path, trained: Trained, examined: Examined, project: str) -> None:
    """The pictures, the table of stars and the numbers, to the W&B run that `folder` is of."""
    name = f"{trained.config.name}-{folder.resolve().name}"
    logger = wandb_logger(folder, project, name, None, OmegaConf.to_container(trained.config))
    for figure in examined.figures:
        logger.log_image(f"evaluation/{figure}", [str(output / "figures" / f"{figure}.png")], step=trained.step)
    rows = [list(star.values()) for star in examined.stars]
    logger.log_table("evaluation/stars", columns=list(examined.stars[0]), data=rows)
    numbers = examined.numbers["scores"] | examined.numbers["controls"] | examined.numbers["signals"]
    numbers |= {f"auc {name}": found["auc"] for name, found in examined.numbers["separation"].items()}
    logger.experiment.summary.update({f"evaluation/{name}": value for name, value in numbers.items()})
    logger.experiment.finish()


def evaluate(config: DictConfig) -> list[Compared]:
    """Score a checkpoint again and write the report that `config` (validated) asks for; what was compared.

    Raises InputError for input that cannot be used, ScoresDifferError where the scores are others than training logged
    by more than rounding. Nothing is written then.
    """
    checkpoint = find_checkpoint(config.checkpoint)
    folder = checkpoint.parent
    output = folder / "evaluation" if config.output is None else Path(config.output)
    finished = folder / "scores.json"
    device = read_scores(finished).get("device", "unknown") if finished.exists() else "unknown"
    # Emulated stars get the noise that the device draws on which they were trained; all else is done on the CPU.
    drawn_on = "cuda" if device.startswith("cuda") and torch.cuda.is_available() else "cpu"
    domains = find_domains(load_trained(checkpoint, drawn_on), config)
    trained = load_trained(checkpoint)
    with written_together(output) as unfinished:
        synth, obs = (stars.to("cpu") for stars in stars_to_score(domains.synth, domains.obs, "val"))
        found = matched_scores(trained.translator, synth, obs, domains.matched)
        compared = compare(logged_scores(folder, trained.step), found, exact=device == "cpu")
        check_alike(compared, domains)
        examined = examine(trained, domains, config.split, folder)
        examined.numbers.update(
            checkpoint=checkpoint.name, finished=finished.exists(), rescored=[asdict(row) for row in compared]
        )
        write(examined, unfinished)
    log.info("the report is %s", output / "report.html")
    if config.logger.wandb:
        log_to_wandb(folder, output, trained, examined, config.logger.project)
    return compared


def check_alike(compared: list[Compared], domains: Domains) -> None:
    """Print what was compared; raise ScoresDifferError if a score is another by more than rounding."""
    if not compared:
        log.warning("training logged no scores at this step: there is nothing to compare with")
        return
    rows = [
        {
            "score": row.score,
            "logged in": row.logged_in,
            "logged": repr(row.logged),
            "scored again": repr(row.rescored),
            "identical": "yes" if row.identical else "no",
        }
        for row in compared
    ]
    print(format_table(rows), flush=True)
    for row in compared:
        if abs(row.rescored - row.logged) > ROUNDING * abs(row.logged):
            files = [str(domain.path) for domain in (domains.synth, domains.obs) if isinstance(domain, HDF5Domain)]
            where = f"in {' and '.join(files)}" if files else "from the emulator on the device of its training"
            raise ScoresDifferError(
                f"scores differ: {row.score} was {row.logged:.6g} in {row.logged_in}, is {row.rescored:.6g} now;"
                f" expected the spectra of the run's training {where}"
            )


@hydra.main(version_base="1.3", config_path=config_folder(), config_name="evaluate")
def main(config: DictConfig) -> None:
    with errors_in_one_line():
        try:
            compared = evaluate(validate(config, EvaluateConfig))
        except ScoresDifferError as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(1) from None
    if different := [row for row in compared if not row.identical]:
        worst = max(abs(row.rescored / row.logged - 1) for row in different)
        print(f"error: {len(different)} scores differ by rounding, {worst:.0e} at most", file=sys.stderr)
        raise SystemExit(1)


if __name__ == "__main__":
    run(main, "evaluate")

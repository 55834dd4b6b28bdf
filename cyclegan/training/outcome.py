"""What a finished training leaves in its folder: scores and pictures."""

import logging
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cyclegan.domains.domains import Domains, Stars, star_labels
from cyclegan.domains.from_file import HDF5Domain
from cyclegan.domains.uniform import is_learned
from cyclegan.figures.axes import DPI, label_facts
from cyclegan.figures.history import plot_history
from cyclegan.figures.spectra import plot_stars
from cyclegan.linear.maps import translations
from cyclegan.scores.scores import SCORES, control_scores, matched_scores
from cyclegan.scores.signals import SIGNALS, signals
from cyclegan.spectra.spectra import SCORE_BATCH
from cyclegan.trained.run_folder import METRICS, SCORED, read_history
from cyclegan.training.data import SpectraData
from cyclegan.training.logs import WANDB, SideLogger
from cyclegan.training.module import CycleGAN
from cyclegan.training.populations import write_populations
from cyclegan.training.schema import TrainConfig
from cyclegan.translator.translator import Translator
from emulator.commands.results import without_nan, write_json
from emulator.commands.side_outputs import as_picture, as_side_output, save_picture

log = logging.getLogger(__name__)

EXAMPLES = 2  # stars to draw


class Finished(NamedTuple):
    """A training that is through; facts: what else scores.json is to hold; wandb: where its pictures go, too."""

    config: TrainConfig
    folder: Path
    module: CycleGAN
    data: SpectraData
    domains: Domains
    facts: dict[str, object]
    wandb: SideLogger | None


def finish(run: Finished) -> dict[str, object]:
    """Score the translator, write scores.json and the pictures, and return what scores.json holds."""
    folder, matched = run.folder, run.domains.matched
    translator, val = run.module.translator.cpu(), run.data.scored().to("cpu")
    controls = {}
    if matched:
        truth = run.domains.obs.truth("val")
        made = translations(run.module.record.controls, (translator.space_s, translator.space_o), *val)
        controls = control_scores(*val, made, None if truth is None else truth.cpu())
    blind = signals(
        run.module.as_one, *val
    )  # first: one of them is how much variables vary, which standard axes make equal
    translator = run.module.as_model
    versions = {package: version(package) for package in ("torch", "pytorch-lightning", "numpy", "hydra-core")}
    scores: dict[str, Any] = matched_scores(translator, *val, matched) | controls | blind
    scores = {name: without_nan(value) for name, value in scores.items()} | run.facts | {"versions": versions}
    write_json(folder / SCORED, scores)
    write_history(folder, controls, run.module.record.kept_step)
    may_differ = isinstance(run.domains.obs, HDF5Domain) or run.module.pairing.share < 1
    # Where it was learned, what was found is drawn already.
    if (may_differ or run.config.selection.by != "none") and not is_learned(run.config.domains.population):
        write_label_distributions(run)
    if matched:
        labels, hidden = star_labels(run.domains, "val"), run.module.record.hidden.get("synth")
        write_stars(folder, translator, run.domains.synth.wavelength, val, labels, hidden)
    if run.wandb is not None and not run.wandb.lost:
        with as_side_output(WANDB):
            for figure in sorted(folder.glob("*.png")):
                run.wandb.log_image(figure.stem, [str(figure)])
            run.wandb.experiment.summary.update({name: value for name, value in scores.items() if name != "versions"})
            run.wandb.experiment.finish()
    tell(scores, matched, folder)
    return scores


def tell(scores: Mapping[str, Any], matched: bool, folder: Path) -> None:
    """Log the scores; where no star is matched, the signals to go by."""
    log.info("%s", "  ".join(f"{name} {scores[name]:.4g}" for name in SCORES if scores.get(name) is not None))
    if not matched:
        told = "  ".join(f"{name} {scores[name]:.3g}" for name in SIGNALS if scores[name] is not None)
        log.info("no star is known in both domains, so go by these, the first most (docs/health.md): %s", told)
    log.info("everything about this run is in %s", folder)


def write_history(folder: Path, controls: dict[str, float], kept: int | None) -> None:
    """Write history.png; kept: after how many steps networks were kept, where these are not the last."""
    with as_picture("history.png"):
        save_picture(plot_history(read_history(folder / METRICS), controls, kept), folder / "history.png", DPI)


def write_label_distributions(run: Finished) -> None:
    """Write populations.png where labels of synthetic stars are known: of all, of those paired, of observed ones."""
    pairs, epoch = run.module.pairing.pairs, run.module.pairing.epoch
    if pairs is None or epoch is None:
        return
    synth, obs = run.data.drawn_labels(epoch)
    if not synth:
        return
    everybody = torch.stack(list(synth.values()), dim=1).cpu()
    sets = {"all synthetic": everybody, "paired": everybody[pairs.synth]}
    write_populations(run.folder, tuple(synth), sets, obs)


@torch.no_grad()
def write_stars(
    folder: Path,
    translator: Translator,
    wavelength: Tensor,
    stars: Stars,
    labels: Mapping[str, Tensor],
    hidden: Tensor | None,
) -> None:
    """Write stars.png: matched stars (N, P) before and after translation; labels (N,) by name, where they are known."""
    synth, obs = stars
    translated = []
    for x_s, x_o in zip(synth.chunks(SCORE_BATCH), obs.chunks(SCORE_BATCH), strict=True):
        _, split = translator.encoder_o(translator.space_o.project(x_o).flux)
        translated.append(translator.synth_to_obs(x_s, split))
    so = torch.cat(translated)
    titles = [
        ", ".join([f"star {i} of 'val'", *label_facts({name: values[i].item() for name, values in labels.items()})])
        for i in range(min(EXAMPLES, len(so)))
    ]
    with as_picture("stars.png"):
        save_picture(plot_stars(wavelength, synth, obs, so, titles, hidden), folder / "stars.png", DPI)

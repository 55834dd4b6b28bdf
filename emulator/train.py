"""python -m emulator.train: make the grid of spectra if there is none, train the Payne on it, report its errors."""

import json
import logging
import math
import platform
import textwrap
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig
from matplotlib.figure import Figure
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from emulator.apogee import apogee_wavelength
from emulator.commands.config import config_folder, read_config, validate
from emulator.commands.device import find_device, processor_threads
from emulator.commands.errors import InputError
from emulator.commands.metrics import MetricsTable
from emulator.commands.outputs import check_apart, inputs_of
from emulator.commands.processes import LoneTrainer, TrainingProgress, seed
from emulator.commands.results import write_json
from emulator.commands.running import errors_in_one_line, run
from emulator.commands.schema import MOST_SEED
from emulator.commands.side_outputs import as_picture, save_picture
from emulator.commands.writing import written_together
from emulator.grid import GridData, find_or_make_grid
from emulator.labels import LABELS, sample_grid_labels
from emulator.lacking import take_out
from emulator.lines import LINES, Lines
from emulator.list_formats import write_list
from emulator.module import PayneModule, absolute_error_percentiles
from emulator.payne import Payne
from emulator.synthesis import own_lines
from emulator.wavelength import MEDIA, with_gaps

log = logging.getLogger(__name__)

LACKING = ".lacking.txt"  # beside the output: the lines that were left out of its list
WHOLE = ".lines.txt"  # and the list, where it is another than the built-in one


@dataclass
class GridConfig:
    """The spectra to train on: one's own grid, or how to make one."""

    path: str | None
    built_in: str
    stars: int = field(metadata={"minimum": 20})
    workers: int | None = field(metadata={"minimum": 1})
    lines: str | None
    medium: str | None = field(metadata={"choices": MEDIA})
    lacking: float = field(metadata={"minimum": 0.0, "maximum": 1.0})
    lacking_seed: int | None = field(metadata={"minimum": 0, "maximum": MOST_SEED})
    lines_added: str | None


@dataclass
class TrainingConfig:
    """The network and its training."""

    width: int = field(metadata={"minimum": 1})
    components: int = field(metadata={"minimum": 1})
    batch_size: int = field(metadata={"minimum": 1})
    steps: int = field(metadata={"minimum": 1})
    learning_rate: float = field(metadata={"above": 0.0})


@dataclass
class EmulatorConfig:
    """conf/emulator.yaml."""

    seed: int = field(metadata={"minimum": 0, "maximum": MOST_SEED})
    output: str
    grid: GridConfig
    training: TrainingConfig


def load_config(overrides: Sequence[str] = ()) -> EmulatorConfig:
    """The configuration of this command, for a caller that is not Hydra; overrides read like "grid.stars=500"."""
    config = read_config(Path(config_folder()) / "emulator.yaml")
    del config["hydra"]
    config.merge_with(OmegaConf.from_dotlist(list(overrides)))
    return validate(config, EmulatorConfig)


def train_payne(config: EmulatorConfig, folder: str | Path) -> Path:
    """Make the built-in grid if the configuration names no other and none is kept, and train a Payne on it.

    Writes config.output; beside it a .json with errors, times and versions, a .png of the worst spectra, and lists of
    its lines and of those left out, where they are not the built-in ones; and the training log into `folder`. Returns
    the path of the emulator. Raises InputError for what cannot be used.
    """
    output, training = Path(config.output), config.training
    _check(config)
    seed(config.seed)
    report_name, picture_name = (output.with_suffix(suffix).name for suffix in (".json", ".png"))
    own = _is_report(output.with_suffix(".json"))
    # Around all the work: a place that cannot be written fails first.
    with written_together(
        output.parent, (report_name, output.name, picture_name), inputs_of(config.grid), "emulator.train", own
    ) as unfinished:
        start = time.perf_counter()
        path, lines = _find_grid(config)
        grid_ready = time.perf_counter()
        # Apple's devices have no float64, which wavelengths need.
        device = find_device("auto", "device")
        grid = GridData(path, training.components, training.batch_size, training.steps, config.seed, device)
        payne = _fit(grid, training, folder, device)
        payne.lines = lines
        seconds = {"grid": round(grid_ready - start, 1), "training": round(time.perf_counter() - grid_ready, 1)}
        labels, truth = (tensor.cpu() for tensor in grid.test)
        with torch.no_grad():
            flux = payne(labels)
        median, high = absolute_error_percentiles(flux, truth)
        if not math.isfinite(high):
            rate = training.learning_rate
            raise InputError(f"training diverged: expected a training.learning_rate that converges, got {rate}")
        report = {"median_error": median, "p95_error": high, "seconds": seconds, **_about(grid, path)}
        write_json(unfinished / report_name, report | {"config": asdict(config), "versions": _versions()})
        payne.save(unfinished / output.name)
        with as_picture(picture_name):
            save_picture(plot_worst(payne, labels, flux, truth), unfinished / picture_name, dpi=150)
    log.info("held-out spectra: absolute flux error %.5f (median), %.5f (95th percentile)", median, high)
    return output


def _check(config: EmulatorConfig) -> None:
    """Raise InputError for keys that do not fit each other."""
    output, own = Path(config.output), config.grid
    if output.suffix != ".pt":
        raise InputError(f"config key 'output': expected a file name ending in .pt, got {output}")
    check_apart([output.with_suffix(suffix) for suffix in (LACKING, WHOLE)], inputs_of(own))
    for key, given in (("lines", own.lines), ("lacking", own.lacking or None), ("lines_added", own.lines_added)):
        if own.path is not None and given is not None:
            raise InputError(
                f"config key 'grid': expected path or {key}, got both: a grid of your own is not synthesised"
            )
    if own.lines is None and own.medium is not None:
        raise InputError(
            f"config key 'grid.medium': expected a line list beside it, got {own.medium} and no grid.lines"
        )


def _is_report(path: Path) -> bool:
    """Whether there is what this command writes beside an emulator."""
    try:
        return {"median_error", "grid"} <= set(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return False


def _find_grid(config: EmulatorConfig) -> tuple[str, Lines | None]:
    """The file of the grid to train on, made now if it is the built-in one and not there yet; its lines, if known."""
    own = config.grid
    if own.path is not None:
        return own.path, None
    lines = LINES if own.lines is None else own_lines(own.lines, own.medium)
    if own.lacking:
        lines, lacking = take_out(lines, own.lacking, config.seed if own.lacking_seed is None else own.lacking_seed)
        _write_list(config.output, LACKING, lacking)
    if own.lines_added is not None:
        lines = lines.merged(own_lines(own.lines_added))
    if lines is not LINES:
        _write_list(config.output, WHOLE, lines)
    find_or_make_grid(
        own.built_in, own.stars, config.seed, apogee_wavelength(), own.workers, None if lines is LINES else lines
    )
    return own.built_in, lines


def _write_list(output: str, suffix: str, lines: Lines) -> None:
    path = Path(output).with_suffix(suffix)
    write_list(path, lines, "moog")
    log.info("%d lines in %s", len(lines.wavelength), path)


def untrained(config: EmulatorConfig) -> Payne:
    """A Payne with the labels, ranges and wavelengths of the one that the built-in grid makes, which knows no spectrum.

    What does not fit that one does not fit this one either, and is known without the work.
    """
    labels = torch.from_numpy(sample_grid_labels(config.grid.stars, np.random.default_rng(config.seed))).float()
    return Payne(LABELS, *labels.aminmax(dim=0), torch.from_numpy(apogee_wavelength()), width=1).eval()


def _fit(grid: GridData, training: TrainingConfig, folder: str | Path, device: str) -> Payne:
    """A Payne trained on a grid, in evaluation mode on the CPU."""
    payne = Payne(grid.label_names, grid.label_low, grid.label_high, grid.wavelength, training.width)
    module = PayneModule(payne, grid.mean, grid.components, training.steps, training.learning_rate)
    trainer = LoneTrainer(
        max_epochs=1,
        accelerator=device,
        logger=MetricsTable(Path(folder) / "emulator" / "metrics.csv"),
        callbacks=[TrainingProgress()],
        log_every_n_steps=min(50, training.steps),
        val_check_interval=max(1, training.steps // 20),
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    with processor_threads(1):  # steps of milliseconds: threads gain little, and on a busy machine lose tenfold
        trainer.fit(module, grid)
    return payne.cpu().eval()


def _about(grid: GridData, path: str) -> dict[str, Any]:
    """What the report says of a grid."""
    labels = zip(grid.label_names, grid.label_low, grid.label_high, strict=True)
    return {
        "spectra": {"train": len(grid.train[0]), "validation": len(grid.validation[0]), "test": len(grid.test[0])},
        "grid": {
            "path": path,
            "pixels": len(grid.wavelength),
            "wavelength": [grid.wavelength[0].item(), grid.wavelength[-1].item()],
            "labels": {name: [low.item(), high.item()] for name, low, high in labels},
        },
    }


def _versions() -> dict[str, str]:
    packages = {package: version(package) for package in ("torch", "pytorch-lightning")}
    return {"python": platform.python_version(), **packages}


def plot_worst(payne: Payne, labels: Tensor, flux: Tensor, truth: Tensor, stars: int = 3) -> Figure:
    """The spectra with the largest mean absolute error, of emulated flux and truth (N, P) at labels (N, L)."""
    error = (flux - truth).abs().mean(dim=1)
    worst = error.topk(min(stars, len(error))).indices.tolist()
    wavelength = payne.wavelength.numpy()
    x = with_gaps(wavelength, wavelength)
    figure = Figure(figsize=(18, 4 * len(worst)), layout="constrained")
    panels = figure.subplots(2 * len(worst), 1, sharex=True, height_ratios=[3, 1] * len(worst), squeeze=False)[:, 0]
    for row, spectrum, residual in zip(worst, panels[::2], panels[1::2], strict=True):
        true, emulated = (with_gaps(values[row].numpy(), wavelength) for values in (truth, flux))
        spectrum.plot(x, true, color="black", lw=0.7, label="grid")
        spectrum.plot(x, emulated, color="tab:red", lw=0.7, label="emulated (residual: emulated - grid)")
        residual.plot(x, emulated - true, color="tab:red", lw=0.7)
        residual.axhline(0, color="black", lw=0.5)
        values = (f"{name}={value:.4g}" for name, value in zip(payne.label_names, labels[row].tolist(), strict=True))
        title = f"mean |residual| {error[row]:.4f} at  " + "   ".join(values)
        spectrum.set_title(textwrap.fill(title, 210), fontsize=10, loc="left")
        spectrum.set_ylabel("normalised flux")
        residual.set_ylabel("residual")
    panels[0].legend(loc="lower right", ncols=2)
    panels[-1].set_xlabel("vacuum wavelength [Å]")
    return figure


@hydra.main(version_base="1.3", config_path=config_folder(), config_name="emulator")
def main(config: DictConfig) -> None:
    """Train the Payne that the configuration asks for."""
    with errors_in_one_line():
        train_payne(validate(config, EmulatorConfig), HydraConfig.get().runtime.output_dir)


if __name__ == "__main__":
    run(main, "emulator")

"""python -m cyclegan.train +experiment=NAME: train a translator between two domains of spectra, and score it."""

import fcntl
import logging
import math
import shutil
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

import hydra
import torch
import wandb
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer, seed_everything
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint
from pytorch_lightning.loggers import Logger
from torch import Tensor

from cyclegan.alignment import Pairs
from cyclegan.anchors import read_anchors
from cyclegan.checkpoint import BEST, DATA_STATE, LAST, read_checkpoint
from cyclegan.config import TrainConfig, check_together
from cyclegan.data import Batch, SpectraData
from cyclegan.domains import EmulatedDomain, make_domains, star_labels
from cyclegan.features import Feature, draw_hidden, hidden_pixels, strong_features, write_features
from cyclegan.figures import label_facts, plot_history, plot_stars, read_history
from cyclegan.files import SpectraFile
from cyclegan.health import SIGNALS, Health, signals
from cyclegan.label_figures import plot_label_distributions
from cyclegan.logs import RunProgress, csv_logger, wandb_logger
from cyclegan.module import CycleGAN, LossWeights, TrainingDivergedError
from cyclegan.results import without_nan, write_json
from cyclegan.scores import SCORE_BATCH, SCORES, control_scores, matched_scores
from cyclegan.spectra import Spectra
from cyclegan.transfer import find_device
from cyclegan.translator import Translator, build_discriminators, build_translator
from emulator.command import InputError, config_folder, errors_in_one_line, run, validate, written_whole
from emulator.labels import LABELS
from emulator.payne import Payne
from emulator.train import load_config, train_payne

log = logging.getLogger(__name__)

EXAMPLES = 2  # stars to draw
UNNAMED = "train"  # a configuration of no experiment
BUILT_IN = Path("models/payne.pt")  # the emulator that is made where it is not there
CHANGEABLE = ("trainer", "losses", "logger")  # groups of keys, when a run is resumed


def find_or_train_emulator(path: Path, folder: Path) -> Payne:
    """The emulator kept at `path`; where there is none at BUILT_IN, one trained on the built-in grid and kept."""
    if not path.exists() and path.resolve() == BUILT_IN.resolve():
        log.info("no emulator at %s: making the grid of spectra and training one, about 5 minutes, once", path)
        train_payne(load_config([f"output={path}"]), folder)
    return Payne.load(path)


def prepare_emulator(config: DictConfig, folder: Path) -> tuple[Payne | None, dict[str, Tensor]]:
    """The emulator of the domains without a file, on the pixels of the other's, and what is hidden of it from which.

    Hidden features are listed in `folder`.
    """
    domains, hidden = config.domains, {}
    paths = {name: domains[name].path for name in ("synth", "obs")}
    if paths["synth"] is not None and domains.synth.hidden_share > 0:
        raise InputError(
            "config key 'domains.synth.hidden_share': expected 0 beside domains.synth.path, as lines can be hidden from"
            f" an emulator alone, got {domains.synth.hidden_share}"
        )
    if None not in paths.values():
        return None, hidden
    wavelength = None
    for path in filter(None, paths.values()):
        with SpectraFile(path, domains.skip_pixels, domains.wavelength) as file:
            wavelength = file.wavelength
    emulator = find_or_train_emulator(Path(domains.emulator), folder)
    if unknown := [name for name in emulator.label_names if name not in LABELS]:
        text = "%s: labels %s are none of a survey's (%s): drawn uniformly over the emulator's range"
        log.warning(text, domains.emulator, ", ".join(unknown), ", ".join(LABELS))
    if wavelength is None and domains.skip_pixels > (most := len(emulator.wavelength) - 2):
        raise InputError(f"config key 'domains.skip_pixels': expected at most {most}, got {domains.skip_pixels}")
    emulator = emulator.on(emulator.wavelength[domains.skip_pixels :] if wavelength is None else wavelength)
    if paths["synth"] is None and domains.synth.hidden_share > 0:
        seed = config.seed if domains.hidden_seed is None else domains.hidden_seed
        features = hide_features(emulator, domains.synth.hidden_share, seed)
        write_features(features, folder / "hidden_features_synth.csv")
        hidden["synth"] = hidden_pixels(features, len(emulator.wavelength))
    return emulator, hidden


def recorded_emulator(record: dict, where: Path) -> tuple[Payne | None, dict[str, Tensor]]:
    """What `prepare_emulator` gave the run of a checkpoint's record, whatever has become of the emulator's file."""
    return record["emulator"] and Payne.from_contents(record["emulator"], str(where)), record["hidden"]


def hide_features(emulator: Payne, share: float, seed: int) -> list[Feature]:
    """`share` of each element's strong features, drawn by seed."""
    return draw_hidden(strong_features(emulator), share, torch.Generator().manual_seed(seed))


def build(config: DictConfig, data: SpectraData, record: dict) -> CycleGAN:
    """The module that a configuration describes, for the spectra of `data`."""
    spaces = data.make_spaces(config.networks.components if config.networks.kind == "dense" else None)
    stars = data.coordinates(spaces, epoch=0)
    scale = torch.cat([side.flux for side in stars]).std(dim=0).clamp_min(1e-3)
    if config.networks.shared + config.networks.split > len(scale):
        raise InputError(
            f"config key 'networks.shared': expected shared and split together at most {len(scale)}, as"
            f" networks.components, got {config.networks.shared} + {config.networks.split}"
        )
    translator = build_translator(config.networks, spaces, scale)
    losses, trainer = config.losses, config.trainer
    continuum = data.synth.continuum if isinstance(data.synth, EmulatedDomain) else None
    record |= {
        "config": OmegaConf.to_container(config),
        "wavelength": data.synth.wavelength.cpu(),
        "medium": "vacuum",
        "matched": data.matched,
        "continuum": continuum and continuum.contents(),
    }
    return CycleGAN(
        translator,
        build_discriminators(config.networks, translator, scale),
        LossWeights(**{name: losses[name] for name in LossWeights._fields}),
        trainer.epochs * trainer.steps,
        trainer.warm_up,
        trainer.learning_rate,
        trainer.discriminator_learning_rate,
        trainer.log_every,
        record,
    )


def make_trainer(
    settings: DictConfig, folder: Path, loggers: list[Logger], health: Health, device: torch.device, matched: bool
) -> Trainer:
    """A Trainer as `trainer` of a configuration says, that keeps the best and the last checkpoint in a run's folder."""
    monitor = "x_synth_obs" if matched else None  # without matched stars nothing says which epoch is best: the last is
    # Before the last checkpoint is written, which has to know of it, and not, as Lightning would, after the epoch.
    best = ModelCheckpoint(folder, BEST, monitor=monitor, save_on_train_epoch_end=False, enable_version_counter=False)
    last = LastCheckpoint(folder / f"{LAST}.ckpt", settings.checkpoint_every)
    return Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        max_epochs=settings.epochs,
        reload_dataloaders_every_n_epochs=1,
        logger=loggers,
        callbacks=[health, RunProgress(), best, last],
        enable_progress_bar=False,
        log_every_n_steps=settings.log_every,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def train(config: DictConfig, folder: Path, group: str | None = None) -> dict[str, float]:
    """Train as `config` (validated) says, into `folder`, and return what scores.json holds.

    If the folder holds a checkpoint, the run goes on from there. Raises InputError for input that cannot be used,
    TrainingDivergedError where a loss is no longer a number.
    """
    check_together(config)
    seed_everything(config.seed, workers=True, verbose=False)
    settings, last = config.trainer, folder / f"{LAST}.ckpt"
    device = torch.device(find_device(settings.accelerator, "config key 'trainer.accelerator'"))
    checkpoint = read_checkpoint(last) if last.exists() else None
    resumed_step = checkpoint["global_step"] if checkpoint else 0

    paired = config.losses.pairs > 0
    if checkpoint and paired and checkpoint[DATA_STATE]["metric"] is None:
        raise InputError(
            f"config key 'losses.pairs': expected 0, as {last} is of a run without pairs, got {config.losses.pairs}"
        )

    if checkpoint:
        emulator, hidden = recorded_emulator(checkpoint["record"], last)
    else:
        emulator, hidden = prepare_emulator(config, folder)
    record = {"emulator": emulator and emulator.contents(), "hidden": hidden}
    pool = 1 if config.selection.by == "none" else config.selection.pool
    domains = make_domains(config.domains, emulator and emulator.to(device), hidden, pool)
    synth, obs, matched = domains
    start, cpu_start = time.perf_counter(), time.process_time()
    pairs = config.pairs
    data = SpectraData(
        synth,
        obs,
        matched,
        settings.batch_size,
        settings.steps,
        config.seed,
        paired=paired,
        share=pairs.share,
        choice=config.selection.by,
        pool=config.selection.pool,
        unjudged=math.ceil(settings.warm_up * settings.epochs),
        anchors=None if config.domains.anchors is None else read_anchors(config.domains.anchors, domains),
    )
    module = build(config, data, record)
    if checkpoint:
        try:
            module.load_state_dict(checkpoint["state_dict"])
        except RuntimeError as error:
            raise InputError(f"{last}: expected a checkpoint of the networks configured, got another's") from error

    OmegaConf.save(config, folder / "config.yaml")
    loggers = [csv_logger(folder, resumed_step)]
    if config.logger.wandb:
        name = f"{config.name}-{folder.name}"
        loggers.append(wandb_logger(folder, config.logger.project, name, group, OmegaConf.to_container(config)))
    health = Health()
    trainer = make_trainer(settings, folder, loggers, health, device, matched)
    log.info("%s: %d steps, into %s", config.name, settings.epochs * settings.steps, folder)
    with warnings.catch_warnings():
        # The batches lie on the device already: there is nothing for worker processes to do.
        warnings.filterwarnings("ignore", ".*does not have many workers.*|.*exists and is not empty.*")
        try:
            trainer.fit(module, data, ckpt_path=last if checkpoint else None, weights_only=True)
        except SystemExit:  # Lightning's, when it is interrupted
            if last.exists():
                print(f"\ngo on with: python -m cyclegan.train resume={folder}", file=sys.stderr)
            raise

    translator, stars = module.translator.cpu(), data.val_dataloader()
    val = Batch(stars.synth.to("cpu"), stars.obs.to("cpu"))
    controls = {}
    if matched:
        truth, shift = obs.truth("val"), translator.space_o.mean - translator.space_s.mean
        controls = control_scores(*val, shift, None if truth is None else truth.cpu())
    blind = signals(translator, *val)  # first: one of them is how much variables vary, which standard axes make equal
    translator = translator.turned(record.get("axes", {}))
    scores = without_nan(matched_scores(translator, *val, matched) | controls | blind) | {
        "faults": health.faults,
        "steps": trainer.global_step,
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(time.process_time() - cpu_start, 1),
        "resumed_at_step": resumed_step,
        "seed": config.seed,
        "device": str(device),
        "versions": {package: version(package) for package in ("torch", "pytorch-lightning", "numpy", "hydra-core")},
    }
    with written_whole(folder / "scores.json") as unfinished:
        write_json(unfinished, scores)
    draw_history(folder, controls)
    if config.selection.by != "none" or pairs.share < 1:
        draw_label_distributions(folder, *data.drawn_labels(settings.epochs - 1), data.pairs)
    if matched:
        draw_stars(folder, translator, synth.wavelength, *val, star_labels(domains, "val"), hidden.get("synth"))
    if config.logger.wandb:
        for figure in sorted(folder.glob("*.png")):
            loggers[1].log_image(figure.stem, [str(figure)])
        loggers[1].experiment.summary.update({name: value for name, value in scores.items() if name != "versions"})
        loggers[1].experiment.finish()
    log.info("%s", "  ".join(f"{name} {scores[name]:.4g}" for name in SCORES if scores.get(name) is not None))
    if not matched:
        told = "  ".join(f"{name} {scores[name]:.3g}" for name in SIGNALS if scores[name] is not None)
        log.info("no star is known in both domains, so go by these, the first most (docs/health.md): %s", told)
    log.info("everything about this run is in %s", folder)
    return scores


def draw_history(folder: Path, controls: dict[str, float]) -> None:
    """Write history.png."""
    with written_whole(folder / "history.png") as unfinished:
        plot_history(read_history(folder / "metrics.csv"), controls).savefig(unfinished, dpi=110)


def draw_label_distributions(folder: Path, synth: dict[str, Tensor], obs: dict[str, Tensor], pairs: Pairs) -> None:
    """Write labels.png where labels (n,) of synthetic stars are known: of all, of those paired, of observed ones."""
    if not synth:
        return
    everybody = torch.stack(list(synth.values()), dim=1).cpu().numpy()
    known = torch.stack([obs[name] for name in synth], dim=1).cpu().numpy() if set(synth) <= set(obs) else None
    with written_whole(folder / "labels.png") as unfinished:
        figure = plot_label_distributions(tuple(synth), everybody, everybody[pairs.synth.numpy()], known)
        figure.savefig(unfinished, dpi=110)


@torch.no_grad()
def draw_stars(
    folder: Path,
    translator: Translator,
    wavelength: Tensor,
    synth: Spectra,
    obs: Spectra,
    labels: dict[str, Tensor],
    hidden: Tensor | None,
) -> None:
    """Write stars.png: matched stars (N, P) before and after translation; labels (N,) by name, where they are known."""
    translated = []
    for x_s, x_o in zip(synth.chunks(SCORE_BATCH), obs.chunks(SCORE_BATCH), strict=True):
        _, split = translator.encoder_o(translator.space_o.project(x_o).flux)
        translated.append(translator.synth_to_obs(x_s, split))
    so = torch.cat(translated)
    titles = [
        ", ".join([f"star {i} of 'val'", *label_facts({name: values[i].item() for name, values in labels.items()})])
        for i in range(min(EXAMPLES, len(so)))
    ]
    with written_whole(folder / "stars.png") as unfinished:
        plot_stars(wavelength, synth, obs, so, titles, hidden).savefig(unfinished, dpi=110)


class LastCheckpoint(Checkpoint):
    """Writes a run's last checkpoint every few batches, and when an epoch has been scored.

    Never between an epoch's last batch and its scores: a run resumed from there would lack them.
    """

    def __init__(self, path: Path, every: int) -> None:
        self.path, self.every = path, every

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        if trainer.global_step % self.every == 0 and not trainer.is_last_batch:
            self._write(trainer)

    def on_validation_end(self, trainer: Trainer, *_: object) -> None:
        self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        with written_whole(self.path) as unfinished:  # Lightning's own way copies where /tmp is another disk
            trainer.save_checkpoint(unfinished, False)  # not the weights alone


def resumed_config(config: DictConfig, overrides: list[str]) -> tuple[DictConfig, Path]:
    """The configuration and the folder of the run to resume; overrides given beside `resume` hold."""
    folder = Path(config.resume)
    saved = folder / "config.yaml"
    if not saved.is_file() or not (folder / f"{LAST}.ckpt").is_file():
        raise InputError(f"config key 'resume': expected a run's folder with config.yaml and {LAST}.ckpt, got {folder}")
    changes = OmegaConf.from_dotlist([o for o in overrides if not o.startswith(("resume=", "+experiment=", "hydra."))])
    config = OmegaConf.load(saved)
    for key in (override.split("=")[0].lstrip("+~") for override in overrides):
        moved = key in ("domains.synth.path", "domains.obs.path") and OmegaConf.select(config, key) is not None
        if not (moved or key.split(".")[0] in ("resume", "experiment", *CHANGEABLE)):
            raise InputError(
                f"config key '{key}': expected only {', '.join(CHANGEABLE)}, or where a domain's file is now, beside"
                " resume, as a run keeps its theory, its networks and its seed"
            )
    return OmegaConf.merge(config, changes), folder


def experiments() -> list[str]:
    """The names that `+experiment=` takes."""
    return sorted(path.stem for path in Path(config_folder(), "experiment").glob("*.yaml"))


class BusyError(InputError):
    """Another process is training in that folder."""


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keep a run's folder from other processes, which get BusyError; a process that dies lets go of it.

    Runs started within a second would otherwise be given the same one.
    """
    with (folder / "train.log").open("a") as log_file:
        try:
            fcntl.flock(log_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyError(f"{folder}: expected a folder that no other run is writing to, got a busy one") from error
        except OSError:  # a file system that keeps nobody out
            log.debug("%s cannot be locked", folder)
        yield


def discard(folder: Path) -> None:
    """Take out of a run's folder what was put there before the run began, and remove it if nothing else is in it."""
    shutil.rmtree(folder / ".hydra", ignore_errors=True)
    for path in (folder / "train.log", *folder.glob("hidden_features_*.csv")):
        path.unlink(missing_ok=True)
    with suppress(OSError):  # somebody's own files are there, and stay
        folder.rmdir()


@hydra.main(version_base="1.3", config_path=config_folder(), config_name="train")
def main(config: DictConfig) -> None:
    job = HydraConfig.get()
    folder = Path(job.runtime.output_dir)
    sweep = job.mode == RunMode.MULTIRUN
    group = f"{config.name}-{Path(job.sweep.dir).name}" if sweep else None
    with errors_in_one_line():
        try:
            if config.resume is not None:
                config, resumed = resumed_config(config, list(job.overrides.task))
                discard(folder)  # the run goes on in its own
                folder = resumed
            elif config.name == UNNAMED:
                raise InputError(f"expected a name, as +experiment={'|'.join(experiments())} gives one, got none")
            with claimed(folder):
                train(validate(config, TrainConfig), folder, group)
        except BusyError:
            raise  # the folder and its files are another's
        except (InputError, TrainingDivergedError) as error:
            wandb.finish(exit_code=1)
            if sweep:  # one job's failure is a row of the table, and the others go on
                (folder / "failed.txt").write_text(f"{error}\n")
                print(f"error: {error}", file=sys.stderr)
                return
            if isinstance(error, TrainingDivergedError):
                kept = folder / f"{LAST}.ckpt"
                where = f"the last good checkpoint is {kept}" if kept.exists() else "before the first checkpoint"
                print(f"error: {error}; {where}", file=sys.stderr)
                raise SystemExit(1) from None
            if not (folder / "config.yaml").exists():
                discard(folder)  # nothing came of it
            raise


if __name__ == "__main__":
    run(main, "train")

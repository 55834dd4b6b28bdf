"""python -m cyclegan.train +experiment=NAME: train a translator between two domains of spectra, and score it."""

import json
import logging
import math
import shutil
import sys
import time
import warnings
from contextlib import suppress
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
from torch import Tensor

from cyclegan.config import TrainConfig, check_together
from cyclegan.data import SpectraData
from cyclegan.domains import Domain, EmulatedDomain, HDF5Domain
from cyclegan.features import Feature, draw_hidden, hidden_pixels, strong_features, write_features
from cyclegan.figures import plot_history, plot_stars, read_history
from cyclegan.logs import RunProgress, csv_logger, wandb_logger
from cyclegan.module import CycleGAN, LossWeights, TrainingDivergedError
from cyclegan.scores import SCORE_BATCH, SCORES, control_scores, matched_scores
from cyclegan.spectra import Spectra
from cyclegan.translator import build_discriminators, build_translator
from emulator.command import InputError, config_folder, errors_in_one_line, run, validate, written_whole
from emulator.payne import Payne
from emulator.train import load_config, train_payne

log = logging.getLogger(__name__)

LAST, BEST = "last", "best"  # names of the checkpoints in a run's folder
EXAMPLES = 3  # stars to draw


def find_or_train_emulator(path: Path, folder: Path) -> Payne:
    """The emulator kept at `path`; where there is none, one trained on the built-in grid, and kept there."""
    if not path.exists():
        log.info("no emulator at %s: making the grid of spectra and training one, about 6 minutes, once", path)
        train_payne(load_config([f"output={path}"]), folder)
    return Payne.load(path)


def make_domains(config: DictConfig, folder: Path, device: torch.device) -> tuple[Domain, Domain, dict]:
    """The synthetic and the observed domain, and what a checkpoint records of them; hidden features go to `folder`."""
    domains, emulator, made, record = config.domains, None, [], {"emulator": None, "hidden": None}
    for name in ("synth", "obs"):
        domain = domains[name]
        if domain.path is not None:
            made.append(HDF5Domain(domain.path, domains.skip_pixels))
            continue
        if emulator is None:
            emulator = find_or_train_emulator(Path(domains.emulator), folder)
            record["emulator"] = emulator.contents()
            emulator.to(device)
        hidden = None
        if domain.hidden_share > 0:
            features = hide_features(emulator, domain.hidden_share, config.seed)
            write_features(features, folder / f"hidden_features_{name}.csv")
            hidden = record["hidden"] = hidden_pixels(features, len(emulator.wavelength))
        made.append(EmulatedDomain(emulator, domains.stars, domains.matched_stars, hidden, domain.noisy))
    return *made, record


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
    record |= {
        "config": OmegaConf.to_container(config),
        "wavelength": data.synth.wavelength.cpu(),
        "medium": "vacuum",
    }
    return CycleGAN(
        translator,
        build_discriminators(config.networks, translator, scale),
        LossWeights(**{name: losses[name] for name in LossWeights._fields}),
        losses.gan,
        losses.real,
        trainer.epochs * trainer.steps,
        trainer.warm_up,
        trainer.learning_rate,
        trainer.discriminator_learning_rate,
        trainer.log_every,
        record,
    )


def train(config: DictConfig, folder: Path, group: str | None = None) -> dict[str, float]:
    """Train as `config` (validated) says, into `folder`, and return what scores.json holds.

    If the folder holds a checkpoint, the run goes on from there. Raises InputError for input that cannot be used,
    TrainingDivergedError where a loss is no longer a number.
    """
    check_together(config)
    seed_everything(config.seed, workers=True, verbose=False)
    settings, last = config.trainer, folder / f"{LAST}.ckpt"
    device = torch.device("cuda" if settings.accelerator != "cpu" and torch.cuda.is_available() else "cpu")
    if settings.accelerator == "gpu" and device.type == "cpu":
        raise InputError("config key 'trainer.accelerator': expected cpu or auto, got gpu, and there is none here")
    checkpoint = read_checkpoint(last) if last.exists() else None
    resumed_step = checkpoint["global_step"] if checkpoint else 0

    synth, obs, record = make_domains(config, folder, device)
    start, cpu_start = time.perf_counter(), time.process_time()
    pairs = config.pairs
    data = SpectraData(
        synth,
        obs,
        settings.batch_size,
        settings.steps,
        config.seed,
        paired=config.losses.pairs + config.losses.pair_latents > 0,
        block=pairs.block,
        share=pairs.share,
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
    best = ModelCheckpoint(folder, BEST, monitor="x_synth_obs", enable_version_counter=False)
    trainer = Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        max_epochs=settings.epochs,
        reload_dataloaders_every_n_epochs=1,
        logger=loggers,
        callbacks=[best, LastCheckpoint(last, settings.checkpoint_every), RunProgress()],
        enable_progress_bar=False,
        log_every_n_steps=settings.log_every,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    with warnings.catch_warnings():
        # The batches lie on the device already: there is nothing for worker processes to do.
        warnings.filterwarnings(
            "ignore", ".*does not have many workers.*|.*Experiment logs directory.*|.*exists and is not empty.*"
        )
        trainer.fit(module, data, ckpt_path=last if checkpoint else None, weights_only=True)

    module.cpu()
    val_synth, val_obs = (domain.matched("val").to("cpu") for domain in (synth, obs))
    scores = matched_scores(module.translator, val_synth, val_obs)
    truth = obs.truth("val")
    shift = module.translator.space_o.mean - module.translator.space_s.mean
    controls = control_scores(val_synth, val_obs, shift, None if truth is None else truth.cpu())
    scores = {name: None if math.isnan(value) else value for name, value in (scores | controls).items()}
    scores |= {
        "steps": trainer.global_step,
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(time.process_time() - cpu_start, 1),
        "resumed_at_step": resumed_step,
        "seed": config.seed,
        "device": str(device),
        "versions": {package: version(package) for package in ("torch", "pytorch-lightning", "numpy", "hydra-core")},
    }
    with written_whole(folder / "scores.json") as unfinished:
        unfinished.write_text(json.dumps(scores, indent=2) + "\n")
    draw_figures(folder, module, synth, val_synth, val_obs, controls, record["hidden"])
    if config.logger.wandb:
        for figure in ("history", "stars"):
            loggers[1].log_image(figure, [str(folder / f"{figure}.png")])
        loggers[1].experiment.summary.update({name: value for name, value in scores.items() if name != "versions"})
        loggers[1].experiment.finish()
    log.info("%s", "  ".join(f"{name} {scores[name]:.4g}" for name in SCORES if scores[name] is not None))
    log.info("everything about this run is in %s", folder)
    return scores


@torch.no_grad()
def draw_figures(
    folder: Path,
    module: CycleGAN,
    domain: Domain,
    synth: Spectra,
    obs: Spectra,
    controls: dict[str, float],
    hidden: Tensor | None,
) -> None:
    """Write history.png and stars.png."""
    with written_whole(folder / "history.png") as unfinished:
        plot_history(read_history(folder / "metrics.csv"), controls).savefig(unfinished, dpi=110)
    translator = module.translator.eval()
    translated = []
    for x_s, x_o in zip(synth.chunks(SCORE_BATCH), obs.chunks(SCORE_BATCH), strict=True):
        _, split = translator.encoder_o(translator.space_o.project(x_o).flux)
        translated.append(translator.synth_to_obs(x_s, split))
    so = torch.cat(translated)
    titles = [f"star {i} of the matched set" for i in range(min(EXAMPLES, len(so)))]
    with written_whole(folder / "stars.png") as unfinished:
        plot_stars(domain.wavelength, synth, obs, so, titles, hidden).savefig(unfinished, dpi=110)


def read_checkpoint(path: Path) -> dict:
    """What a checkpoint holds; InputError if it cannot be read."""
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        return {name: checkpoint[name] for name in ("global_step", "state_dict")}
    except Exception as error:
        raise InputError(f"{path}: expected a checkpoint of this program, got a file that does not load") from error


class LastCheckpoint(Checkpoint):
    """Writes a run's last checkpoint every few batches, and when an epoch has been scored.

    Never between an epoch's last batch and its scores: a run resumed from there would lack them.
    """

    def __init__(self, path: Path, every: int) -> None:
        self.path, self.every = path, every

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        if trainer.global_step % self.every == 0 and not trainer.is_last_batch:
            trainer.save_checkpoint(self.path, False)  # not the weights alone

    def on_validation_end(self, trainer: Trainer, *_: object) -> None:
        trainer.save_checkpoint(self.path, False)  # not the weights alone


def resumed_config(config: DictConfig, overrides: list[str]) -> tuple[DictConfig, Path]:
    """The configuration and the folder of the run to resume; overrides given beside `resume` hold."""
    folder = Path(config.resume)
    saved = folder / "config.yaml"
    if not saved.is_file() or not (folder / f"{LAST}.ckpt").is_file():
        raise InputError(f"config key 'resume': expected a run's folder with config.yaml and {LAST}.ckpt, got {folder}")
    changes = OmegaConf.from_dotlist([o for o in overrides if not o.startswith(("resume=", "+experiment=", "hydra."))])
    return OmegaConf.merge(OmegaConf.load(saved), changes), folder


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
            train(validate(config, TrainConfig), folder, group)
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
    run(main)

"""python -m cyclegan.train +experiment=NAME: train a translator between two domains of spectra, and score it."""

import json
import logging
import math
import shutil
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer, seed_everything
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor

from cyclegan.config import TrainConfig
from cyclegan.data import SpectraData
from cyclegan.domains import Domain, EmulatedDomain, HDF5Domain
from cyclegan.features import Feature, draw_hidden, hidden_pixels, strong_features, write_features
from cyclegan.figures import plot_history, plot_stars, read_history
from cyclegan.logs import RunProgress, csv_logger, wandb_logger
from cyclegan.module import CycleGAN, LossWeights, TrainingDivergedError
from cyclegan.scores import SCORES, control_scores
from cyclegan.spectra import Spectra, masked_mean
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
        log.info("no emulator at %s: making the grid of spectra and training one, about 8 minutes, once", path)
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
    seed_everything(config.seed, workers=True, verbose=False)
    settings, last = config.trainer, folder / f"{LAST}.ckpt"
    device = torch.device("cuda" if settings.accelerator != "cpu" and torch.cuda.is_available() else "cpu")
    if settings.accelerator == "gpu" and device.type == "cpu":
        raise InputError("config key 'trainer.accelerator': expected cpu or auto, got gpu, and there is none here")
    resumed_step = read_step(last) if last.exists() else 0

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

    OmegaConf.save(config, folder / "config.yaml")
    loggers = [csv_logger(folder, resumed_step)]
    if config.logger.wandb:
        name = f"{config.name}-{folder.name}"
        loggers.append(wandb_logger(folder, config.logger.project, name, group, OmegaConf.to_container(config)))
    best = ModelCheckpoint(folder, BEST, monitor="x_synth_obs", enable_version_counter=False)
    kept = ModelCheckpoint(folder, LAST, every_n_train_steps=settings.checkpoint_every, enable_version_counter=False)
    trainer = Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        max_epochs=settings.epochs,
        reload_dataloaders_every_n_epochs=1,
        logger=loggers,
        callbacks=[best, kept, RunProgress()],
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
        try:
            trainer.fit(module, data, ckpt_path=last if resumed_step else None, weights_only=True)
        except RuntimeError as error:
            if resumed_step and "loading state_dict" in str(error):
                raise InputError(f"{last}: expected a checkpoint of the networks configured, got another's") from error
            raise
    if trainer.interrupted:
        raise KeyboardInterrupt
    trainer.save_checkpoint(last, False)

    scores = {name: float(value) for name, value in trainer.callback_metrics.items() if not name.startswith("train/")}
    val_synth, val_obs = (domain.matched("val") for domain in (synth, obs))
    shift = masked_mean(obs.draw(config.seed)) - masked_mean(synth.draw(config.seed))
    controls = control_scores(val_synth, val_obs, shift, obs.truth("val"))
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
    translator = module.translator.cpu().eval()
    translated = []
    for x_s, x_o in zip(synth.chunks(100), obs.chunks(100), strict=True):
        _, split = translator.encoder_o(translator.space_o.project(x_o).flux)
        translated.append(translator.synth_to_obs(x_s, split))
    so = torch.cat(translated)
    titles = [f"star {i} of the matched set" for i in range(min(EXAMPLES, len(so)))]
    with written_whole(folder / "stars.png") as unfinished:
        plot_stars(domain.wavelength, synth, obs, so, titles, hidden).savefig(unfinished, dpi=110)


def read_step(checkpoint: Path) -> int:
    """The number of batches a checkpoint has trained on; InputError if it cannot be read."""
    try:
        return torch.load(checkpoint, map_location="cpu", weights_only=True)["global_step"]
    except Exception as error:
        raise InputError(
            f"{checkpoint}: expected a checkpoint of this program, got a file that does not load"
        ) from error


def resumed_config(config: DictConfig, overrides: list[str]) -> tuple[DictConfig, Path]:
    """The configuration and the folder of the run to resume; overrides given beside `resume` hold."""
    folder = Path(config.resume)
    saved = folder / "config.yaml"
    if not saved.is_file() or not (folder / f"{LAST}.ckpt").is_file():
        raise InputError(f"config key 'resume': expected a run's folder with config.yaml and {LAST}.ckpt, got {folder}")
    changes = OmegaConf.from_dotlist([o for o in overrides if not o.startswith(("resume=", "+experiment=", "hydra."))])
    return OmegaConf.merge(OmegaConf.load(saved), changes), folder


@hydra.main(version_base="1.3", config_path=config_folder(), config_name="train")
def main(config: DictConfig) -> None:
    job = HydraConfig.get()
    folder = Path(job.runtime.output_dir)
    sweep = job.mode == RunMode.MULTIRUN
    group = f"{config.name}-{Path(job.sweep.dir).name}" if sweep else None
    try:
        with errors_in_one_line():
            try:
                if config.resume is not None:
                    resumed, run_folder = resumed_config(config, list(job.overrides.task))
                    shutil.rmtree(folder)  # the run goes on in its own folder
                    folder = run_folder
                    config = resumed
                train(validate(config, TrainConfig), folder, group)
            except InputError:
                if not (folder / "config.yaml").exists() and not sweep and folder.exists():
                    shutil.rmtree(folder)  # nothing came of it
                raise
    except TrainingDivergedError as error:
        print(f"error: {error}; the last good checkpoint is in {folder}", file=sys.stderr)
        if not sweep:
            raise SystemExit(1) from None
        (folder / "failed.txt").write_text(f"{error}\n")


if __name__ == "__main__":
    run(main)

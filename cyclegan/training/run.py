"""A training from its configuration to its scores: build, fit, finish."""

import logging
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from omegaconf import OmegaConf
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.loggers import Logger
from torch import Tensor

from cyclegan.domains.domains import Domains, check_fingerprints
from cyclegan.domains.uniform import Learned
from cyclegan.trained.checkpoint import Checkpoint, read_checkpoint
from cyclegan.trained.run_folder import CONFIG, LAST, SCORED
from cyclegan.trained.uncertainty import errors_of
from cyclegan.training import following
from cyclegan.training.build import build, build_domains, make_trainer
from cyclegan.training.data import SpectraData
from cyclegan.training.ending import Ending
from cyclegan.training.health import Health
from cyclegan.training.keeping import Keeping
from cyclegan.training.logs import WANDB, metrics_table, wandb_logger
from cyclegan.training.module import CycleGAN
from cyclegan.training.outcome import Finished, finish
from cyclegan.training.populations import learn_population, write_lonely
from cyclegan.training.schema import AGREEMENT, TrainConfig, check_together
from cyclegan.training.sizing import settled, without_auto
from cyclegan.training.theory import Theory, prepare_theory
from cyclegan.translator.networks import make_networks
from emulator.commands.device import find_device, processor_threads
from emulator.commands.errors import InputError
from emulator.commands.joining import leading, place_of_this
from emulator.commands.processes import seed
from emulator.commands.ranks import LostError, Ranks
from emulator.commands.side_outputs import as_side_output
from emulator.commands.writing import write_whole

log = logging.getLogger(__name__)


@dataclass
class Clock:
    """Wall-clock and processor seconds since it was made."""

    def __post_init__(self) -> None:
        self.start, self.processor_start = time.perf_counter(), time.process_time()

    def seconds(self) -> dict[str, float]:
        """By the names that scores.json has for them."""
        return {
            "seconds": round(time.perf_counter() - self.start, 1),
            "cpu_seconds": round(time.process_time() - self.processor_start, 1),
        }


def train(config: TrainConfig, folder: Path, group: str | None = None) -> dict[str, object]:
    """Train as `config` says, into `folder`, and return what scores.json holds.

    If the folder holds a checkpoint, the run goes on from there. Raises InputError for input that cannot be used,
    TrainingDivergedError where a loss is no longer a number, LostError where another process of the run has gone.
    """
    check_together(config)
    if (folder / SCORED).exists() and not (folder / CONFIG).exists():
        raise InputError(f"{folder}: expected a folder of its own for the run, got one of another command's files")
    seed(config.seed)
    settings = config.trainer
    outside = settings.devices * settings.nodes > 1 and place_of_this() is not None
    if group is not None and outside:
        raise InputError(
            f"config key 'trainer.devices': expected 1 in a sweep under srun or torchrun, got {settings.devices}"
        )
    threads, device = settings.threads, find_device(settings.accelerator, "config key 'trainer.accelerator'")
    # What an accelerator leaves to the processor, as finding the components, is large whatever the networks are.
    if threads is None and device == "cpu":
        threads = make_networks(without_auto(config.networks)).threads
        if threads is None and settings.devices > 1 and not outside:
            threads = max(1, torch.get_num_threads() // settings.devices)
    ending = Ending(settings.requeue)
    with (
        processor_threads(threads),
        ending.listening(),
        leading(settings.devices, settings.nodes, device, following.__name__) as meet,
    ):
        return _train(config, folder, group, torch.device(device), ending, meet)


def _train(
    config: TrainConfig,
    folder: Path,
    group: str | None,
    device: torch.device,
    ending: Ending,
    meet: Callable[[], Ranks],
) -> dict[str, object]:
    checkpoint = _checkpoint_of(folder, config)
    theory = prepare_theory(config, folder) if checkpoint is None else _theory_of(checkpoint, folder)
    domains = build_domains(config, theory, device)
    if checkpoint is not None:
        check_fingerprints(domains, checkpoint.record.spectra)
    clock, met = Clock(), None
    if isinstance(theory.population, Learned):
        theory, met = learn_population(config, theory, domains, folder)
    config, module, data = _settle_and_build(config, domains, theory, met if domains.obs.fixed else None)
    # Of stars that are drawn from a file anew in each epoch, pairs know the epoch's alone.
    write_lonely(module.pairing.obs_met if domains.obs.fixed else met, domains.obs, folder)
    if checkpoint is not None:
        try:
            module.load_state_dict(checkpoint.weights)
        except RuntimeError as error:
            text = f"{folder / LAST}: expected a checkpoint of the networks configured, got another's"
            raise InputError(text) from error

    write_whole(folder / CONFIG, OmegaConf.to_yaml(asdict(config)))
    loggers: list[Logger] = [metrics_table(folder, checkpoint)]
    wandb = None
    if config.logger.wandb:
        name = f"{config.name}-{folder.name}"
        with as_side_output(WANDB):
            wandb = wandb_logger(folder, config.logger.project, name, group, asdict(config))
            loggers.append(wandb)
    health = Health(data.scored())
    keeping = Keeping(data.scored()) if config.trainer.keep == AGREEMENT else None
    watchers: list[Callback] = [health] if keeping is None else [health, keeping]
    trainer = make_trainer(config.trainer, folder, loggers, watchers, device, domains.matched, ending)
    log.info("%s: %d steps, into %s", config.name, module.schedule.steps, folder)
    module.ranks = meet()
    following.tell_begin(module.ranks, module.updates, config.networks, config.ensemble, device)
    _fit(trainer, module, data, folder, checkpoint is not None)
    module.ranks.end()
    changed = keeping is not None and keeping.restore(module, trainer.global_step, data.stars)
    if config.ensemble > 1:
        truth = domains.obs.truth("val") if domains.matched else None
        module.record.errors = errors_of(module.as_model, data.scored(), domains.matched, truth)
        changed = True
    if changed:
        trainer.save_checkpoint(folder / LAST, False)
    facts = {
        "faults": health.faults,
        "steps": trainer.global_step,
        "kept_step": trainer.global_step if keeping is None else keeping.step,
        **clock.seconds(),
        "resumed_at_step": 0 if checkpoint is None else checkpoint.step,
        "seed": config.seed,
        "device": str(device),
    }
    return finish(Finished(config, folder, module, data, domains, facts, wandb))


def _settle_and_build(
    config: TrainConfig, domains: Domains, theory: Theory, met: Tensor | None
) -> tuple[TrainConfig, CycleGAN, SpectraData]:
    """The configuration with nothing left open, the module and the data; the stars of the first epoch go with this."""
    stars = SpectraData(domains, 1, config.seed).stars(epoch=0)
    config = settled(config, domains, stars)
    return config, *build(config, domains, theory, stars, met)


def _checkpoint_of(folder: Path, config: TrainConfig) -> Checkpoint | None:
    """The checkpoint to go on from, if there is one; InputError where the run cannot become what is configured."""
    last = folder / LAST
    if not last.exists():
        return None
    checkpoint = read_checkpoint(last)
    if config.losses.get("pairs") and checkpoint.pairing.get("metric") is None:
        raise InputError(
            f"config key 'losses.pairs': expected 0, as {last} is of a run without pairs, got {config.losses['pairs']}"
        )
    return checkpoint


def _theory_of(checkpoint: Checkpoint, folder: Path) -> Theory:
    record = checkpoint.record
    where = str(folder / LAST)
    emulator, observed = record.emulator_of(where), record.observed_emulator_of(where)
    return Theory(emulator, record.hidden, record.population_of_theory(), record.offset, observed)


def _fit(trainer: Trainer, module: CycleGAN, data: SpectraData, folder: Path, resuming: bool) -> None:
    with warnings.catch_warnings():
        # The batches lie on the device already: there is nothing for worker processes to do.
        warnings.filterwarnings("ignore", ".*does not have many workers.*|.*exists and is not empty.*")
        # Rows are so many steps of the run apart, not of an epoch.
        warnings.filterwarnings("ignore", ".*smaller than the logging interval.*")
        # What is logged are sums over all processes already.
        warnings.filterwarnings("ignore", ".*sync_dist=True.*")
        try:
            trainer.fit(module, data, ckpt_path=folder / LAST if resuming else None, weights_only=True)
        except (SystemExit, LostError):  # the first is Lightning's, when it is interrupted
            if (folder / LAST).exists():
                print(f"\ngo on with: python -m cyclegan.train resume={folder}", file=sys.stderr)
            raise

"""python -m cyclegan.train +experiment=NAME: train a translator between two domains of spectra, and score it."""

import math
import sys
from pathlib import Path

import hydra
import wandb
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cyclegan.scores.scores import SCORES
from cyclegan.trained.run_folder import CONFIG, LAST
from cyclegan.training.following import follow
from cyclegan.training.logs import WANDB
from cyclegan.training.module import TrainingDivergedError
from cyclegan.training.resuming import BusyError, claimed, discard, resumed_config
from cyclegan.training.run import train
from cyclegan.training.schema import TrainConfig
from emulator.commands.config import config_folder, validate
from emulator.commands.errors import InputError
from emulator.commands.joining import Place, place_of_this
from emulator.commands.overrides import as_text
from emulator.commands.running import errors_in_one_line, run
from emulator.commands.side_outputs import as_side_output
from emulator.commands.writing import write_whole

UNNAMED = "train"  # a configuration of no experiment


def experiments() -> list[str]:
    """The names that `+experiment=` takes."""
    return sorted(path.stem for path in Path(config_folder(), "experiment").glob("*.yaml"))


@hydra.main(version_base="1.3", config_path=config_folder(), config_name="train")
def main(config: DictConfig) -> float:
    """Train what the configuration asks for, in the folder that Hydra made for it, or in that of the run to resume.

    What a search makes small: the first of the scores, infinite where there is none.
    """
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
                found = train(validate(config, TrainConfig), folder, group)
        except BusyError:
            raise  # the folder and its files are another's
        except (InputError, TrainingDivergedError) as error:
            with as_side_output(WANDB):
                wandb.finish(exit_code=1)
            if sweep:  # one job's failure is a row of the table, and the others go on
                write_whole(folder / "failed.txt", f"{error}\n")
                print(f"error: {error}", file=sys.stderr)
                return math.inf
            if isinstance(error, TrainingDivergedError):
                kept = folder / LAST
                where = f"the last good checkpoint is {kept}" if kept.exists() else "before the first checkpoint"
                print(f"error: {error}; {where}", file=sys.stderr)
                raise SystemExit(1) from None
            if not (folder / CONFIG).exists():
                discard(folder)  # nothing came of it
            raise
    score = found.get(SCORES[0])
    return score if isinstance(score, float) and math.isfinite(score) else math.inf


def place_in_another(arguments: list[str]) -> Place | None:
    """The place of this process in the run that a command line asks for, where another one is the first of it.

    None where each process has a run of its own, and where the command line cannot be understood: each tells why.
    """
    if {"-m", "--multirun"} & set(arguments):
        return None
    overrides = [one for one in as_text(arguments) if not one.startswith(("-", "hydra"))]
    try:
        place = place_of_this()
        if place is None or place.number == 0:
            return None
        with hydra.initialize_config_dir(config_folder(), version_base="1.3"):
            config = hydra.compose("train", overrides)
        if config.resume is not None:
            config, _ = resumed_config(config, overrides)
        devices, nodes = (OmegaConf.select(config, f"trainer.{key}", default=1) for key in ("devices", "nodes"))
    except (HydraException, OmegaConfBaseException, InputError):
        return None
    return place if devices != 1 or nodes != 1 else None


if __name__ == "__main__":
    place = place_in_another(sys.argv[1:])
    if place is None:
        run(main, "train", more_groups=["experiment"])
    else:
        follow(place)  # Hydra would make a folder of its own for this one

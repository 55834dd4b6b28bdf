"""python -m cyclegan.evaluate checkpoint=RUN: score a finished run again, and write a report of it."""

import logging
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import hydra
import torch
from omegaconf import DictConfig

from cyclegan.domains.domains import stars_to_score
from cyclegan.evaluation.advice import advise
from cyclegan.evaluation.examine import Examined, examine
from cyclegan.evaluation.report import page
from cyclegan.evaluation.rescore import Compared, ScoresDifferError, check_alike, compare_scores, logged_scores
from cyclegan.figures.axes import REPORT_DPI
from cyclegan.scores.scores import matched_scores
from cyclegan.spectra.tables import write_rows
from cyclegan.trained.domains import find_domains
from cyclegan.trained.loading import load
from cyclegan.trained.model import TrainedModel
from cyclegan.trained.run_folder import SCORED, find_checkpoint, read_scores
from cyclegan.training.logs import WANDB, wandb_logger
from cyclegan.training.schema import LoggerConfig
from emulator.commands.config import config_folder, validate
from emulator.commands.device import processor_threads
from emulator.commands.outputs import inputs_of
from emulator.commands.results import write_json
from emulator.commands.running import errors_in_one_line, run
from emulator.commands.side_outputs import as_picture, as_side_output, save_picture
from emulator.commands.writing import write_whole, written_together

log = logging.getLogger(__name__)

OUTPUTS = ("report.html", SCORED, "stars.csv")


@dataclass
class EvaluateConfig:
    """What this command takes; conf/evaluate.yaml says what each key is."""

    checkpoint: str
    subset: str = field(metadata={"choices": ("val", "test")})
    output: str | None
    synth: str | None
    obs: str | None
    logger: LoggerConfig


def write(examined: Examined, folder: Path) -> None:
    """report.html, scores.json, stars.csv and figures/*.png."""
    (folder / "figures").mkdir()
    pictures = {}
    for name, figure in examined.figures.items():
        path = folder / "figures" / f"{name}.png"
        with as_picture(path.name):
            save_picture(figure, path, REPORT_DPI)
            pictures[name] = path.read_bytes()
    write_json(folder / SCORED, examined.numbers)
    write_rows(folder / "stars.csv", list(examined.stars[0]), [list(star.values()) for star in examined.stars])
    write_whole(folder / "report.html", page(examined.numbers, examined.stars, pictures))


@as_side_output(WANDB)
def log_to_wandb(folder: Path, output: Path, model: TrainedModel, examined: Examined, project: str) -> None:
    """The pictures, the table of stars and the numbers, to the W&B run that `folder` is of."""
    config = model.record.config
    logger = wandb_logger(folder, project, f"{config['name']}-{folder.resolve().name}", None, config)
    for figure in examined.figures:
        if (picture := output / "figures" / f"{figure}.png").exists():
            logger.log_image(f"evaluation/{figure}", [str(picture)], step=model.step)
    rows = [list(star.values()) for star in examined.stars]
    logger.log_table("evaluation/stars", columns=list(examined.stars[0]), data=rows)
    numbers = examined.numbers["scores"] | examined.numbers["controls"] | examined.numbers["signals"]
    numbers |= {f"auc {name}": found["auc"] for name, found in examined.numbers["separation"].items()}
    logger.experiment.summary.update({f"evaluation/{name}": value for name, value in numbers.items()})
    logger.experiment.finish()


def evaluate(config: EvaluateConfig) -> list[Compared]:
    """Score a checkpoint again and write the report that `config` asks for; what was compared.

    Raises InputError for input that cannot be used, ScoresDifferError where the scores are others than training logged
    by more than rounding. Nothing is written then.
    """
    checkpoint = find_checkpoint(config.checkpoint)
    folder = checkpoint.parent
    output = folder / "evaluation" if config.output is None else Path(config.output)
    finished = folder / SCORED
    device = read_scores(finished).get("device", "unknown") if finished.exists() else "unknown"
    # Emulated stars get the noise that the device draws on which they were trained; all else is done on the CPU.
    drawn_on = "cuda" if device.startswith("cuda") and torch.cuda.is_available() else "cpu"
    model = load(checkpoint, "cpu")
    domains = find_domains(model, config.synth, config.obs, drawn_on)
    with written_together(output, OUTPUTS, inputs_of(config), "evaluate") as unfinished:
        stars = stars_to_score(domains.synth, domains.obs, "val").to("cpu")
        # Sums depend in their last digits on how many threads add them up: here as many as in training.
        with processor_threads(model.record.config["trainer"].get("threads") or model.record.networks.threads):
            found = matched_scores(model.translator, *stars, domains.matched)
        compared = compare_scores(
            logged_scores(folder, model.step, model.record.kept_step), found, exact=device == "cpu"
        )
        check_alike(compared, domains)
        examined = examine(model, domains, config.subset, folder)
        examined.numbers.update(
            checkpoint=checkpoint.name, finished=finished.exists(), rescored=[asdict(row) for row in compared]
        )
        advice = advise(examined.numbers)
        examined.numbers["advice"] = advice._asdict()
        write(examined, unfinished)
    log.info("may I use this run? %s: %s", advice.answer, " ".join(advice.why))
    log.info("the report is %s", output / "report.html")
    if config.logger.wandb:
        log_to_wandb(folder, output, model, examined, config.logger.project)
    return compared


@hydra.main(version_base="1.3", config_path=config_folder(), config_name="evaluate")
def main(config: DictConfig) -> None:
    """Evaluate what the configuration asks for; exit code 1 where scores are not those that were logged."""
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

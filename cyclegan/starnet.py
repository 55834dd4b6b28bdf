"""python -m cyclegan.starnet checkpoint=RUN: how much of the synthetic gap is closed, as a network measures it.

StarNet (Fabbro et al. 2018, MNRAS 475, 2978) reads labels off spectra. Trained on theory and shown observed spectra it
is wrong by what theory lacks; trained on translated theory it should be as good as if it had been trained on observed
spectra with their true labels.
"""

import logging
from dataclasses import dataclass, field
from pathlib import Path

import hydra
import torch
from omegaconf import DictConfig

from cyclegan.figures.axes import DPI
from cyclegan.figures.labels import plot_fitted, plot_label_residuals
from cyclegan.synthetic_gap.lessons import (
    REMEDY,
    SYNTHETIC,
    TRANSLATED,
    Read,
    Teaching,
    compare_lessons,
    make_lessons,
    plot_gap,
    shared_labels,
    stacked,
    teach,
    without_outliers,
)
from cyclegan.synthetic_gap.network import FEWEST_PIXELS
from cyclegan.trained.domains import find_domains
from cyclegan.trained.loading import load
from cyclegan.trained.run_folder import find_checkpoint
from emulator.commands.config import config_folder, validate
from emulator.commands.device import DEVICES, find_device
from emulator.commands.errors import InputError
from emulator.commands.outputs import inputs_of
from emulator.commands.results import format_table, write_json
from emulator.commands.running import errors_in_one_line, run
from emulator.commands.schema import MOST_SEED
from emulator.commands.side_outputs import as_picture, save_picture
from emulator.commands.writing import written_together

log = logging.getLogger(__name__)

OUTPUTS = ("starnet.json", "labels.png", "residuals.png", "gap.png")


@dataclass
class StarNetConfig:
    """What this command takes; conf/starnet.yaml says what each key is."""

    checkpoint: str
    subset: str = field(metadata={"choices": ("val", "test")})
    epochs: int = field(metadata={"minimum": 1})
    batch_size: int = field(metadata={"minimum": 1})
    learning_rate: float = field(metadata={"above": 0.0})
    seed: int = field(metadata={"minimum": 0, "maximum": MOST_SEED})
    synth: str | None
    obs: str | None
    device: str = field(metadata={"choices": DEVICES})
    output: str | None


def starnet(config: StarNetConfig) -> list[dict[str, str | float]]:
    """Train and test what `config` asks for; writes starnet.json and pictures, all or nothing.

    Raises InputError for input that cannot be used.
    """
    accelerator = find_device(config.device, "config key 'device'")
    checkpoint = find_checkpoint(config.checkpoint)
    model = load(checkpoint, "cpu")
    synth, obs, _ = find_domains(model, config.synth, config.obs)
    if len(model.wavelength) < FEWEST_PIXELS:
        raise InputError(f"{checkpoint}: expected at least {FEWEST_PIXELS} pixels, got {len(model.wavelength)}")
    names = shared_labels(synth, obs, config.subset)
    lessons = make_lessons(synth, obs, model, names, config.seed)
    teaching = Teaching(config.epochs, config.batch_size, config.learning_rate, config.seed, accelerator)
    stars = obs.matched(config.subset)
    truth = stacked(obs.known_labels(config.subset), names, f"observed stars of '{config.subset}'")
    output = checkpoint.parent / "starnet" if config.output is None else Path(config.output)
    theory, translated = lessons[SYNTHETIC].spectra, lessons[TRANSLATED].spectra
    with written_together(output, OUTPUTS, inputs_of(config), "starnet") as unfinished:
        read = {}
        for name, lesson in lessons.items():
            module = teach(lesson, teaching, name)
            read[name] = module.predict(without_outliers(stars, theory) if name == REMEDY else stars)
        rows = compare_lessons(read, truth, names)
        found = {"run": str(config.checkpoint), "subset": config.subset, "stars": len(truth), "rows": rows}
        write_json(unfinished / "starnet.json", found)
        ways = {name: Read(values, torch.ones(len(values), dtype=torch.bool)) for name, values in read.items()}
        with as_picture("labels.png"):
            save_picture(plot_fitted(ways, truth, names), unfinished / "labels.png", DPI)
        with as_picture("residuals.png"):
            save_picture(plot_label_residuals(ways, truth, names), unfinished / "residuals.png", DPI)
        with as_picture("gap.png"):
            real = obs.draw(config.seed + 10)
            save_picture(plot_gap(real, theory, translated, config.seed), unfinished / "gap.png", DPI)
    print(format_table(rows))
    log.info("StarNet's table and pictures in %s", output)
    return rows


@hydra.main(version_base="1.3", config_path=config_folder(), config_name="starnet")
def main(config: DictConfig) -> None:
    """Teach and try what the configuration asks for."""
    with errors_in_one_line():
        starnet(validate(config, StarNetConfig))


if __name__ == "__main__":
    run(main, "starnet")

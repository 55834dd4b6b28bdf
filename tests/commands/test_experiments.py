"""Every file in conf/experiment composes, validates, and runs for two steps."""

import json
import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from processes import search_quickly

from cyclegan.training.schema import TrainConfig
from emulator.commands.config import config_folder, validate
from emulator.commands.errors import InputError
from emulator.commands.schema import TARGET

FILES = sorted(Path(config_folder(), "experiment").glob("*.yaml"))
TWO_STEPS = (
    "trainer.epochs=1",
    "trainer.steps=2",
    "trainer.batch_size=8",
    "domains.stars=96",
    "domains.matched_stars=20",
    "domains.skip_pixels=0",
    "logger.wandb=false",
)
SMALL = {
    "cyclegan.translator.dense.Dense": ("networks.shared=4", "networks.components=12", "networks.width=16"),
    "cyclegan.translator.convolutional.Convolutional": ("networks.shared=2", "networks.channels=[4,8]"),
}


def composed(name, *overrides):
    with initialize_config_dir(config_folder(), version_base="1.3"):
        return validate(compose("train", [f"+experiment={name}", *overrides]), TrainConfig)


def inputs(name, payne_file, domain_files):
    """The emulator or the files that an experiment asks for."""
    text = Path(config_folder(), "experiment", f"{name}.yaml").read_text()
    synth, obs = (f"domains.{side}.path={path}" for side, path in zip(("synth", "obs"), domain_files, strict=True))
    if "override /domains: files" in text:
        return [synth, obs]
    further = [obs] if "override /domains: observed" in text else []
    further += [f"domains.synth.emulator={payne_file}"] if "emulator: models/" in text else []
    return [f"domains.emulator={payne_file}", *further]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_experiment_composes_under_a_name_of_its_own(file, payne_file, domain_files):
    config = composed(file.stem, *inputs(file.stem, payne_file, domain_files))
    assert config.name == file.stem


@pytest.mark.parametrize(("name", "missing"), [("payne2data", "obs"), ("theory2data", "synth"), ("classic", "synth")])
def test_a_file_that_an_experiment_needs_is_asked_for(name, missing):
    with pytest.raises(InputError, match=f"config key 'domains.{missing}.path': expected a value, got none"):
        composed(name, *(["domains.obs.path=obs.h5"] if missing == "synth" else []))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_experiment_is_headed_by_its_command(file):
    lines = file.read_text().splitlines()
    assert lines[0] == "# @package _global_"
    assert re.match(rf"# python -m cyclegan\.train \+experiment={file.stem}\b", lines[1])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_experiment_runs(file, start, payne_file, domain_files, tmp_path):
    given = inputs(file.stem, payne_file, domain_files)
    small = SMALL[composed(file.stem, *given).networks[TARGET]]
    command = start(
        tmp_path, f"+experiment={file.stem}", *given, *TWO_STEPS, *small, tiny=(), before=search_quickly
    ).wait()
    assert command.code == 0, command.err
    assert "logging interval" not in command.err  # longer than an epoch, as by default
    assert json.loads((command.run / "scores.json").read_text())["steps"] == 2

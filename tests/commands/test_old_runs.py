"""Every command that takes a run: one of version 0.1 is refused in one line, and left as it was."""

import shutil

import pytest
import torch
from omegaconf import OmegaConf
from processes import all_finished

COMMANDS = {
    "transfer": ["checkpoint=run", "input={synth}", "output=out.h5", "device=cpu"],
    "fit": ["checkpoint=run", "input={obs}", "output=out", "device=cpu"],
    "evaluate": ["checkpoint=run", "output=out", "logger.wandb=false"],
    "discover": ["checkpoint=run", "output=out"],
    "starnet": ["checkpoint=run", "output=out", "device=cpu"],
    "train": ["resume=run"],
}
OLD_KEYS = {"networks": {"kind": "dense"}, "losses": {"gan": "original", "real": "spectra", "sliced_wasserstein": 0.0}}


def make_old(folder):
    """Make a run's folder one of version 0.1: no version in its record, and keys that are gone in its configuration."""
    checkpoint = torch.load(folder / "last.ckpt", weights_only=True)
    del checkpoint["record"]["version"]
    config = OmegaConf.to_container(OmegaConf.merge(checkpoint["record"]["config"], OLD_KEYS))
    del config["networks"]["_target_"]
    checkpoint["record"]["config"] = config
    torch.save(checkpoint, folder / "last.ckpt")
    OmegaConf.save(config, folder / "config.yaml")


def held(folder):
    """All files of a run but its log, by their path."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "train.log"]
    return {path.relative_to(folder): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def refused(start, payne2payne_run, synth_file, obs_file, tmp_path_factory):
    """Every command, finished, and what its folder held before."""
    before = {}

    def begin(name):
        folder = tmp_path_factory.mktemp(name)
        shutil.copytree(payne2payne_run, folder / "run")
        make_old(folder / "run")
        before[name] = held(folder / "run")
        arguments = [argument.format(synth=synth_file, obs=obs_file) for argument in COMMANDS[name]]
        return start(folder, *arguments, module=f"cyclegan.{name}", tiny=())

    return all_finished(begin, COMMANDS, 2), before


@pytest.mark.parametrize("name", COMMANDS)
def test_a_run_of_version_0_1_is_refused_and_left_as_it_was(refused, name):
    commands, before = refused
    command = commands[name]
    assert command.code == 2, command.err
    (line,) = command.err.splitlines()
    assert line.startswith("error: run")
    assert "expected a run of version 0.2 or later of this program, got one of version 0.1: train it again" in line
    after = held(command.folder / "run")
    assert after.keys() == before[name].keys()
    assert after == before[name]
    assert {path.name for path in command.folder.iterdir()} - {"runs"} == {"run", "out", "err"}
    assert not list(command.folder.glob("runs/*/*"))

"""trainer.threads: cyclegan/training/run.py works on as many as are asked for, and puts back as many as before."""

import dataclasses
from contextlib import nullcontext

import pytest
import torch
from hydra import compose, initialize_config_dir
from processes import TINY, TINY_CONV
from threadpoolctl import threadpool_info

from cyclegan.training import run
from cyclegan.training.schema import TrainConfig
from emulator.commands.config import config_folder, validate
from emulator.commands.errors import InputError

BEFORE = 3  # unlike what any of the runs below asks for


@pytest.fixture(autouse=True)
def threads():
    """A number of threads to come back to."""
    usual = torch.get_num_threads()
    torch.set_num_threads(BEFORE)
    yield
    torch.set_num_threads(usual)


def pools():
    """How many threads each library of NumPy's and PyTorch's has."""
    return {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}


def configured(*overrides, sizes=TINY):
    files = ("domains=files", "domains.synth.path=synth.h5", "domains.obs.path=obs.h5")
    with initialize_config_dir(config_folder(), version_base="1.3"):
        return validate(compose("train", [*sizes, *files, *overrides]), TrainConfig)


@pytest.mark.parametrize(
    ("sizes", "asked", "device", "given"),
    [
        (TINY, "null", "cpu", 1),  # dense networks are small
        (TINY, "2", "cpu", 2),
        (TINY_CONV, "null", "cpu", BEFORE),
        (TINY_CONV, "2", "cpu", 2),
        (TINY, "null", "cuda", BEFORE),  # and lie elsewhere
        (TINY, "2", "cuda", 2),
    ],
)
def test_a_training_works_on_as_many_as_are_asked_for(sizes, asked, device, given, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(run, "find_device", lambda *_: device)

    def train(config, folder, group, found, ending, meet):
        seen.append((found.type, torch.get_num_threads()))
        return {"steps": 16}

    monkeypatch.setattr(run, "_train", train)
    assert run.train(configured(f"trainer.threads={asked}", sizes=sizes), tmp_path) == {"steps": 16}
    assert seen == [(device, given)]
    assert torch.get_num_threads() == BEFORE


@pytest.mark.parametrize(("devices", "given"), [(2, 2), (8, 1)])
def test_processes_of_one_machine_share_its_threads(devices, given, tmp_path, monkeypatch):
    torch.set_num_threads(4)
    monkeypatch.setattr(run, "leading", lambda *_: nullcontext())
    monkeypatch.setattr(run, "_train", lambda *_: {"threads": torch.get_num_threads()})
    found = run.train(configured(f"trainer.devices={devices}", sizes=TINY_CONV), tmp_path)
    assert found == {"threads": given}


def test_a_training_that_fails_puts_them_back(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        run.train(configured("trainer.threads=2"), tmp_path)
    assert torch.get_num_threads() == BEFORE


def test_a_whole_training_puts_them_back(domain_files, tmp_path):
    config = configured("trainer.threads=2", "trainer.epochs=1", "logger.wandb=false", "domains.skip_pixels=0")
    sides = zip(config.domains.sides().items(), domain_files, strict=True)
    moved = {name: dataclasses.replace(side, path=str(path)) for (name, side), path in sides}
    before = pools()
    found = run.train(dataclasses.replace(config, domains=dataclasses.replace(config.domains, **moved)), tmp_path)
    assert found["steps"] == 8
    assert torch.get_num_threads() == BEFORE
    assert before.items() <= pools().items()  # others may have been loaded


def test_as_many_as_none_is_refused():
    with pytest.raises(InputError, match=r"'trainer\.threads': expected at least 1, got 0"):
        configured("trainer.threads=0")

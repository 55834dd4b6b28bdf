"""trainer.devices: a run of several processes is the run of one, and ends as one."""

import os
import signal
import subprocess
import sys
from functools import partial

import pytest
import torch
from processes import at_step, signal_at

from cyclegan.train import place_in_another
from emulator.commands import joining

RUN = ("logger.wandb=false", "hydra.run.dir=run", "domains=files", "domains.skip_pixels=0")
SRUN = {
    "SLURM_JOB_ID": str(os.getpid()),
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_STEP_NODELIST": "localhost",
}


def kill_the_other_at(step):
    """Kill the other process of a run in that step of the first."""
    started, others = joining._started, []

    def noted(*arguments):
        others.extend(started(*arguments))
        return others

    joining._started = noted
    at_step("training_step", step, lambda: [other.kill() for other in others])


@pytest.fixture(scope="module")
def runs(start, domain_files, tmp_path_factory):
    """A run of two processes, of which one is killed, resumed by one; and the other way round, under srun."""
    paths = [f"domains.{side}.path={path}" for side, path in zip(("synth", "obs"), domain_files, strict=True)]
    killed, ended = (tmp_path_factory.mktemp(name) for name in ("killed", "ended"))
    started = [
        start(killed, *RUN, *paths, "trainer.devices=2", before=partial(kill_the_other_at, 13)),
        start(ended, *RUN, *paths, before=partial(signal_at, "training_step", 5, signal.SIGTERM)),
    ]
    found = {name: each.wait() for name, each in zip(("killed", "ended"), started, strict=True)}
    again = start(killed, "resume=run", "trainer.devices=1", tiny=())
    arguments = ["resume=run", "trainer.devices=2"]
    place = {"SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
    first = start(ended, *arguments, tiny=(), environment=SRUN | place)
    second = subprocess.run(
        [sys.executable, "-m", "cyclegan.train", *arguments],
        cwd=ended,
        env=os.environ | SRUN | {"SLURM_PROCID": "1", "SLURM_LOCALID": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    found |= {"killed, resumed": again.wait(), "ended, resumed": first.wait()}
    return found | {"second": second}


def weights_of(run):
    return torch.load(run / "last.ckpt", weights_only=True)["state_dict"]


@pytest.mark.parametrize("name", ["killed, resumed", "ended, resumed"])
def test_whatever_the_number_of_processes_the_networks_are_the_same(runs, files_run, name):
    assert runs[name].code == 0, runs[name].err
    expected = weights_of(files_run)
    for key, found in weights_of(runs[name].folder / "run").items():
        torch.testing.assert_close(found, expected[key], atol=2e-5, rtol=1e-4, msg=key)


def test_a_process_that_is_killed_ends_the_run_in_one_line(runs):
    command = runs["killed"]
    expected = "error: process 1 of 2: expected it to work to the end of the training, got signal 9\n"
    assert (command.code, command.err.splitlines(keepends=True)[-1]) == (1, expected)
    assert torch.load(command.folder / "run" / "last.ckpt", weights_only=True)["global_step"] >= 12


def test_only_the_first_process_says_and_writes_anything(runs):
    second = runs["second"]
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert [path for path in (runs["ended"].folder / "runs").rglob("*") if path.is_file()] == []


def test_more_processes_than_stars_of_a_batch_are_refused(start, tmp_path):
    command = start(tmp_path, "trainer.devices=17").wait()
    expected = "error: config key 'trainer.devices': expected at most 16 processes, the stars of a batch, got 17\n"
    assert (command.code, command.err) == (2, expected)
    assert [path for path in (tmp_path / "runs").rglob("*") if path.is_file()] == []


def test_another_process_of_one_run_is_told_from_runs_of_their_own(tmp_path, monkeypatch):
    def place(*arguments):
        found = place_in_another(["name=a", *arguments])
        return None if found is None else found.number

    assert place("trainer.devices=2") is None  # nobody started several
    for name, value in (SRUN | {"SLURM_PROCID": "1", "SLURM_LOCALID": "1"}).items():
        monkeypatch.setenv(name, value)
    assert place("trainer.devices=2") == 1
    assert place("trainer.nodes=2", "hydra.run.dir=runs/a") == 1
    assert place() is None
    assert place("trainer.devices=2", "-m") is None
    assert place("trainer.devises=2") is None
    assert place(f"resume={tmp_path}", "trainer.devices=2") is None
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert place("trainer.devices=2") is None
    monkeypatch.delenv("SLURM_STEP_NODELIST")
    assert place() is None

"""emulator/commands/joining.py: several processes only where they are asked for, and one line where they cannot be."""

import os
import sys

import pytest
import torch

from emulator.commands.errors import InputError
from emulator.commands.joining import Place, leading, place_of_this
from emulator.commands.ranks import ALONE, LostError

SRUN = {
    "SLURM_JOB_ID": "77",
    "SLURM_STEP_ID": "2",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NODELIST": "n[07-08]",
}
TORCHRUN = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "n1", "MASTER_PORT": "29400"}
TORCHRUN |= {"TORCHELASTIC_RUN_ID": "none"}
FAILING = """
import sys
from emulator.commands.joining import LOCAL, Place, following

number, count, port = map(int, sys.argv[1:])
with following(Place(number, count, number, LOCAL, port)) as ranks:
    assert next(ranks.orders()).told == {"stars": 3}
    raise ValueError("no room for them")
"""


@pytest.fixture
def environment(monkeypatch):
    """environment(variables): nothing is set but these."""

    def put(variables):
        monkeypatch.setattr(os, "environ", variables)

    put({})
    return put


def refusal(*arguments):
    with pytest.raises(InputError) as error, leading(*arguments, "nothing.that.runs"):
        raise AssertionError("processes are waited for")
    return str(error.value)


def test_who_started_several_says_which_one_this_is(environment):
    assert place_of_this() is None
    environment(SRUN)
    assert place_of_this() == Place(3, 4, 1, "n07", 20000 + 77 * 31 + 2)
    environment(SRUN | {"MASTER_ADDR": "n1", "MASTER_PORT": "12345"})
    assert place_of_this()[3:5] == ("n1", 12345)
    environment(TORCHRUN)
    assert place_of_this() == Place(1, 2, 1, "n1", 29400, by_torchrun=True)
    environment({"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "RANK": "1", "WORLD_SIZE": "2"})  # of a batch script, stray
    assert place_of_this() is None
    environment(SRUN | {"SLURM_PROCID": "first"})
    with pytest.raises(InputError, match="expected what srun or torchrun sets, got"):
        place_of_this()


def test_one_device_asks_nobody_whatever_the_surroundings(environment):
    for variables in (SRUN, TORCHRUN):
        environment(variables)
        with leading(1, 1, "cpu", "nothing.that.runs") as meet:
            assert meet() is ALONE


def test_what_cannot_be_is_told_before_anything_is_started(environment, monkeypatch):
    assert refusal(1, 2, "cpu") == "config key 'trainer.nodes': expected 1 without srun or torchrun, got 2"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert refusal(2, 1, "cuda") == "config key 'trainer.devices': expected at most 1, the GPUs there are, got 2"
    environment(SRUN | {"SLURM_PROCID": "0"})
    assert refusal(3, 1, "cpu").endswith("expected 4 in all, as srun or torchrun started processes, got 3 x 1")
    environment(TORCHRUN)
    assert refusal(2, 1, "cpu") == "config key 'trainer.devices': expected 1 in process 1 of a launcher, got 2"


def test_what_goes_wrong_in_another_process_is_told_by_the_first(tmp_path, monkeypatch):
    (tmp_path / "failing.py").write_text(FAILING)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.pathsep.join(sys.path)}")

    def work():
        with leading(2, 1, "cpu", "failing") as meet:
            ranks = meet()
            ranks.tell({"stars": 3})
            while True:
                ranks.work_on(0, 0)

    with pytest.raises(LostError) as error:
        work()
    expected = "process 1 of 2: expected it to work to the end of the training, got 'no room for them'"
    assert str(error.value) == expected

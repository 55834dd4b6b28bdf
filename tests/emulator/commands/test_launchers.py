"""emulator/commands/launchers.py: jobs of other processes, what they raise, and launchers that are not there."""

import sys

import pytest
from hydra import compose, initialize_config_dir

from cyclegan import transfer
from emulator.commands.config import config_folder
from emulator.commands.errors import InputError
from emulator.commands.launchers import importable, not_installed, of_launcher
from emulator.commands.running import errors_in_one_line


def test_a_sweeper_that_is_not_installed_is_told_with_its_pip_line(capsys):
    with (
        pytest.raises(SystemExit, match="2"),
        errors_in_one_line("train"),
        initialize_config_dir(config_folder(), version_base="1.3"),
    ):
        compose("train", ["hydra/sweeper=optuna"])
    told = "hydra/sweeper=optuna: expected hydra-optuna-sweeper, found none: pip install hydra-optuna-sweeper"
    assert capsys.readouterr().err == f"error: {told}\n"
    assert not_installed("In 'hydra/config': Could not find 'hydra/launcher/submitit_slurm'\n\nAvailable") == (
        "hydra/launcher=submitit_slurm: expected hydra-submitit-launcher, found none: pip install"
        " hydra-submitit-launcher"
    )
    assert not_installed("Could not find 'hydra/launcher/submitit_slrum'") is None
    assert not_installed("Could not find 'networks/dens'") is None


def test_a_command_is_sent_to_other_processes_as_its_module_has_it(monkeypatch):
    def main():
        """As the module has it that a user runs, whose name is `__main__`."""

    assert importable(main) is main
    monkeypatch.setitem(sys.modules, "__main__", transfer)
    main.__module__ = "__main__"
    assert importable(main) is transfer.main


def test_what_ends_a_job_is_told_in_one_line():
    ended = type("UncompletedJobError", (RuntimeError,), {"__module__": "submitit.core.utils"})
    told = of_launcher(ended("Job 7 has not produced any output\nError stream produced:\n---\nerror: a.h5: no\n\n"))
    assert isinstance(told, InputError)
    assert str(told) == "a.h5: no"
    killed = type("TerminatedWorkerError", (RuntimeError,), {"__module__": "joblib.externals.loky.process_executor"})
    assert str(of_launcher(killed("A worker was killed. Perhaps memory\nmore"))) == (
        "expected the launcher's jobs to end, got: A worker was killed"
    )
    assert of_launcher(RuntimeError("a fault of our own")) is None

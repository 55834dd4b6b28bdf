"""training/ending.py: a run that is asked to end, and a job of SLURM that is run again."""

import logging
import os
import signal

import pytest

from cyclegan.training.ending import Ending


def code_of(ending, numbers, held=False):
    """The exit code after these signals; held: as in the middle of a batch, which is then through."""
    with pytest.raises(SystemExit) as end:
        send(ending, numbers, held)
    return end.value.code


def send(ending, numbers, held):
    with ending.listening():
        ending.held = held
        for number in numbers:
            os.kill(os.getpid(), number)
        assert held, "the process goes on"
        assert ending.asked == numbers[0]
        ending.release()


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """scontrol(script): a command of that name, which writes what it was called with into the file that is returned."""

    def make(script):
        path = tmp_path / "scontrol"
        path.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n{script}\n')
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        monkeypatch.setenv("SLURM_JOB_ID", "77")
        return tmp_path / "calls"

    return make


def test_where_there_is_nothing_to_lose_the_end_is_at_once():
    assert code_of(Ending(requeue=False), [signal.SIGTERM]) == 143
    assert code_of(Ending(requeue=False), [signal.SIGUSR1]) == 143


def test_otherwise_it_waits_and_a_second_signal_changes_nothing():
    assert code_of(Ending(requeue=False), [signal.SIGTERM, signal.SIGTERM, signal.SIGUSR1], held=True) == 143


def test_the_handlers_are_those_from_before():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)]
    with Ending(requeue=False).listening():
        assert signal.getsignal(signal.SIGTERM) not in before
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)] == before


def test_a_warned_job_is_run_again_where_that_is_configured(scontrol):
    calls = scontrol("exit 0")
    assert code_of(Ending(requeue=False), [signal.SIGUSR1]) == 143
    assert code_of(Ending(requeue=True), [signal.SIGTERM]) == 143  # as scancel sends it
    assert not calls.exists()
    assert code_of(Ending(requeue=True), [signal.SIGUSR1]) == 0
    assert calls.read_text() == "requeue 77\n"


def test_a_job_that_is_not_taken_back_is_told_of(scontrol, caplog, monkeypatch):
    scontrol("echo Requested operation is disabled >&2; exit 1")
    with caplog.at_level(logging.WARNING):
        assert code_of(Ending(requeue=True), [signal.SIGUSR1]) == 143
        monkeypatch.setenv("PATH", "/nowhere")
        assert code_of(Ending(requeue=True), [signal.SIGUSR1]) == 143
        monkeypatch.delenv("SLURM_JOB_ID")
        assert code_of(Ending(requeue=True), [signal.SIGUSR1]) == 143
    told = [record.getMessage().partition(": expected ")[2] for record in caplog.records]
    assert told[0] == "that SLURM takes job 77 back, got 'Requested operation is disabled'"
    assert told[1].startswith("that SLURM takes job 77 back, got '[Errno 2] No such file")
    assert told[2] == "a job of SLURM, got no SLURM_JOB_ID"

"""emulator/commands/streams.py: a log that cannot be written costs the log."""

import logging

import pytest
from small_disk import room_for

from emulator.commands.streams import LogFile


@pytest.fixture
def logger():
    logger = logging.Logger("apart")
    yield logger
    for handler in logger.handlers:
        handler.close()


def test_a_log_is_written(tmp_path, logger):
    logger.addHandler(LogFile(str(tmp_path / "a.log")))
    logger.warning("first")
    logger.warning("second")
    assert (tmp_path / "a.log").read_text() == "first\nsecond\n"


def test_a_log_without_a_place_is_told_of_once(tmp_path, logger, capsys):
    logger.addHandler(LogFile(str(tmp_path / "none" / "a.log")))
    logger.warning("first")
    logger.warning("second")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{tmp_path}/none/a.log is not written on: ")
    assert "No such file" in line


def test_a_log_on_a_full_disk_is_told_of_once(tmp_path, logger, capsys):
    logger.addHandler(LogFile(str(tmp_path / "a.log")))
    with room_for(20):
        for number in range(10):
            logger.warning("number %d", number)
        logger.handlers[0].close()
    (line,) = capsys.readouterr().err.splitlines()
    assert "a.log is not written on: " in line
    assert "File too large" in line

"""emulator/commands/writing.py: files that appear whole or not at all, whatever ends a command."""

import multiprocessing
import os
import signal
import sys
from pathlib import Path

import pytest

from emulator.commands.errors import InputError
from emulator.commands.running import run
from emulator.commands.writing import written_together, written_whole


def test_a_file_takes_its_name_only_when_whole(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with written_whole(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def interrupted():
        with written_whole(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_signal_that_comes_as_soon_as_the_file_is_there_leaves_none(tmp_path, monkeypatch):
    touch = Path.touch

    def touched(path):
        touch(path)
        sys.exit(143)  # what the commands' handler of SIGTERM does

    monkeypatch.setattr(Path, "touch", touched)
    with pytest.raises(SystemExit), written_whole(tmp_path / "file.txt"):
        pass
    assert list(tmp_path.iterdir()) == []


def terminate_while_writing(folder):
    def main():
        with written_whole(folder / "file.txt") as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGTERM)

    run(main, "")


def test_a_command_that_is_terminated_leaves_nothing_half_written(tmp_path):
    process = multiprocessing.get_context("fork").Process(target=terminate_while_writing, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == 143
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "inside"):
        with pytest.raises(InputError, match=str(path)), written_whole(path):
            pass


def write_half(folder):
    with written_together(folder) as unfinished:
        (unfinished / "report.html").write_text("half")
        raise KeyError


def test_files_come_together_or_not_at_all(tmp_path):
    folder = tmp_path / "new" / "report"
    with pytest.raises(KeyError):
        write_half(folder)
    assert list(tmp_path.iterdir()) == []
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    (folder / "report.html").write_text("old")
    with written_together(folder) as unfinished:
        (unfinished / "figures").mkdir()
        (unfinished / "figures" / "a.png").write_text("picture")
        (unfinished / "report.html").write_text("whole")
        assert (folder / "report.html").read_text() == "old"
    assert {path.name for path in folder.iterdir()} == {"notes.txt", "report.html", "figures"}
    assert (folder / "report.html").read_text() == "whole"

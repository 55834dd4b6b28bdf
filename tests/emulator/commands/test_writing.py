"""emulator/commands/writing.py: files that appear whole or not at all, whatever ends a command."""

import multiprocessing
import os
import re
import signal
import sys
from pathlib import Path

import pytest
from small_disk import room_for

from emulator.commands.errors import InputError
from emulator.commands.running import run
from emulator.commands.writing import Unfinished, write_whole, written_together, written_whole


def test_a_file_takes_its_name_only_when_whole(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with written_whole(path) as file:
        file.write(b"whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def interrupted():
        with written_whole(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_signal_that_comes_as_soon_as_the_file_is_there_leaves_none(tmp_path, monkeypatch):
    made = Unfinished.__init__

    def terminated(self, *args):
        made(self, *args)
        sys.exit(143)  # what the commands' handler of SIGTERM does

    monkeypatch.setattr(Unfinished, "__init__", terminated)
    with pytest.raises(SystemExit), written_whole(tmp_path / "file.txt"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_file_and_its_name_are_on_the_disk_before_the_old_one_is_gone(tmp_path, monkeypatch):
    """Where the machine loses power, a name must not stand for a file whose contents are not there yet."""
    order, sync, replace = [], os.fsync, Path.replace
    monkeypatch.setattr(
        os, "fsync", lambda handle: (order.append(Path(f"/proc/self/fd/{handle}").resolve().name), sync(handle))
    )
    monkeypatch.setattr(Path, "replace", lambda one, other: (order.append("named"), replace(one, other))[1])
    write_whole(tmp_path / "file.txt", "whole")
    assert order[0].startswith(".unfinished-")
    assert order[1:] == ["named", tmp_path.name]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_mode_is_that_of_any_other_file(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        write_whole(tmp_path / "file.txt", "whole")
    finally:
        os.umask(before)
    assert (tmp_path / "file.txt").stat().st_mode & 0o777 == mode


def test_a_link_that_is_laid_where_a_file_will_be_made_is_not_followed(tmp_path, monkeypatch):
    (tmp_path / "victim").write_text("mine")
    monkeypatch.setattr("emulator.commands.writing._unfinished_name", lambda: ".guessed")
    (tmp_path / ".guessed.txt").symlink_to(tmp_path / "victim")
    with pytest.raises(InputError, match=r"file\.txt: expected a place to write a file, got 'File exists'"):
        write_whole(tmp_path / "file.txt", "whole")
    assert (tmp_path / "victim").read_text() == "mine"
    assert not (tmp_path / "file.txt").exists()


def test_names_of_unfinished_files_cannot_be_guessed(tmp_path):
    names = set()
    for _ in range(3):
        with written_whole(tmp_path / "file.txt"):
            names |= {path.name for path in tmp_path.glob(".unfinished-*")}
    assert len(names) == 3
    assert all(len(name.rpartition("-")[2]) == len("0123456789abcdef.txt") for name in names)


def left_by_a_killed_process(folder, together):
    """What a process that is killed while it writes into a folder leaves there."""

    def write():
        with written_together(folder, ["a"], {}, "a test") if together else written_whole(folder / "file.txt"):
            os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(target=write)
    process.start()
    process.join()
    return list(folder.iterdir())


@pytest.mark.parametrize("together", [False, True])
def test_what_a_dead_process_left_is_removed_by_the_next(tmp_path, together):
    (left,) = left_by_a_killed_process(tmp_path, together)
    assert left.name.startswith(".unfinished-")
    with written_whole(tmp_path / "other.txt"):
        alive = set(tmp_path.iterdir())
        write_whole(tmp_path / "file.txt", "whole")  # of a live process, this one, all stays
        assert left not in alive
        assert alive < set(tmp_path.iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"other.txt", "file.txt"}


def test_what_another_machine_left_stays(tmp_path):
    theirs = tmp_path / f".unfinished-00000000-{2**22 + 1}-0123456789abcdef.txt"
    theirs.touch()
    write_whole(tmp_path / "file.txt", "whole")
    assert theirs.exists()


def test_a_full_disk_is_told_with_what_was_needed(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with room_for(10**6), pytest.raises(InputError) as raised:
        write_whole(path, b"x" * (3 * 10**6))
    assert re.fullmatch(
        rf"{path}: expected room for more than 3\.0 MB in {tmp_path}, got room for [\d.]+ MB \('File too large'\)",
        str(raised.value),
    )
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def terminate_while_writing(folder, number):
    def main():
        with written_whole(folder / "file.txt") as file:
            file.write(b"half")
            os.kill(os.getpid(), number)

    run(main, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_terminated_leaves_nothing_half_written(tmp_path, number):
    def write():
        signal.signal(number, signal.SIG_DFL)  # these tests may be run by nohup
        terminate_while_writing(tmp_path, number)

    process = multiprocessing.get_context("fork").Process(target=write)
    process.start()
    process.join()
    assert process.exitcode == 128 + number
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_is_to_outlive_its_terminal_does(tmp_path):
    def write():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        terminate_while_writing(tmp_path, signal.SIGHUP)

    process = multiprocessing.get_context("fork").Process(target=write)
    process.start()
    process.join()
    assert process.exitcode == 0
    assert (tmp_path / "file.txt").read_text() == "half"


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "inside"):
        with pytest.raises(InputError, match=str(path)), written_whole(path):
            pass


OWN = (["report.html"], {}, "a test")


def write_half(folder):
    with written_together(folder, *OWN) as unfinished:
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
    with written_together(folder, *OWN) as unfinished:
        (unfinished / "figures").mkdir()
        (unfinished / "figures" / "a.png").write_text("picture")
        (unfinished / "report.html").write_text("whole")
        assert (folder / "report.html").read_text() == "old"
    assert {path.name for path in folder.iterdir()} == {"notes.txt", "report.html", "figures"}
    assert (folder / "report.html").read_text() == "whole"


@pytest.mark.parametrize("names", [["report.html", "scores.json"], ["report.html"]])
def test_files_of_another_command_stay(tmp_path, names):
    """Told before the work where it is known which files there will be, and after it otherwise."""
    (tmp_path / "scores.json").write_text("training's")

    def write():
        with written_together(tmp_path, names, {}, "evaluate") as unfinished:
            for name in ("scores.json", "report.html"):
                (unfinished / name).write_text("ours")

    with pytest.raises(InputError, match=r"scores\.json: expected a file that evaluate wrote, or none, got another's"):
        write()
    assert (tmp_path / "scores.json").read_text() == "training's"
    assert [path.name for path in tmp_path.iterdir()] == ["scores.json"]


def test_an_input_stays_under_whatever_name(tmp_path):
    (tmp_path / "report.html").touch()  # an earlier time's
    (tmp_path / "stars.csv").write_text("input")
    (tmp_path / "link").symlink_to(tmp_path / "stars.csv")
    with (
        pytest.raises(InputError, match=r"stars\.csv: expected another file to write than 'input', got the same"),
        written_together(tmp_path, ["report.html", "stars.csv"], {"input": str(tmp_path / "link")}, "evaluate"),
    ):
        pass
    assert (tmp_path / "stars.csv").read_text() == "input"


def test_what_finds_no_room_is_told_by_the_name_that_it_would_have_had(tmp_path):
    def write():
        with written_together(tmp_path / "report", *OWN) as unfinished:
            write_whole(unfinished / "report.html", b"x" * 3000)

    with room_for(1000), pytest.raises(InputError) as raised:
        write()
    assert str(raised.value).startswith(f"{tmp_path}/report/report.html: expected room for more than 0.0 MB in ")
    assert ".unfinished" not in str(raised.value)

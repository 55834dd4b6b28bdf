"""emulator/commands/progress.py: bars where somebody watches, and only there."""

import io
import os
import re
import termios
from pathlib import Path

import cyclegan
from emulator.commands.progress import progress

PROJECT = Path(cyclegan.__file__).parents[1]


def test_a_terminal_gets_a_bar_with_the_time_left():
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    with os.fdopen(theirs, "w") as terminal:
        assert list(progress(range(3), "counting", unit="star", file=terminal)) == [0, 1, 2]
        shown = os.read(ours, 10**5).decode()
    os.close(ours)
    assert re.search(r"counting: 100%.* 3/3 \[00:00<00:00, .*star/s\]", shown)


def test_a_pipe_and_a_file_get_nothing():
    file = io.StringIO()
    assert list(progress(range(3), "counting", file=file)) == [0, 1, 2]
    with progress(what="counting", total=3, file=file) as bar:
        bar.update(3)
    assert file.getvalue() == ""


def test_all_bars_are_of_this_kind():
    modules = [path for package in ("cyclegan", "emulator") for path in (PROJECT / package).rglob("*.py")]
    drawing = {path.name for path in modules if re.search(r"\btqdm\(|ProgressBar", path.read_text())}
    assert drawing == {"progress.py"}


def test_a_command_whose_output_is_read_by_a_program_says_nothing_of_its_progress(files_run):
    assert "batch/s" not in (files_run.parents[2] / "err").read_text()

"""Every command under calls of the system that fail, and killed: a sample of docs/reliability.md's long form."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
QUICK = ("transfer", "atlas", "apogee", "validate", "convert")
MEMORY = Path("/dev/shm")  # a disk to which all is brought at once


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    """The library that stands between a process and the system."""
    if sys.platform != "linux" or shutil.which("cc") is None:
        pytest.skip("calls of the system cannot be made to fail here: that takes Linux and a C compiler")
    library = tmp_path_factory.mktemp("faults") / "calls.so"
    command = ["cc", "-shared", "-fPIC", "-o", library, TESTS / "faults" / "calls.c", "-ldl"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return library


@pytest.mark.parametrize(("fails", "kills", "names"), [(98, 9, QUICK), (3, 1, ("train",))], ids=["quick", "train"])
def test_no_fault_leaves_half_a_file_or_a_traceback(calls, tmp_path, fails, kills, names):
    environment = dict(os.environ) | ({"TMPDIR": str(MEMORY)} if MEMORY.is_dir() else {})
    environment |= {
        "LD_PRELOAD": str(calls),
        "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]),
    }
    command = [sys.executable, "-m", "faults.harness", str(fails), str(kills), "1", *names]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert f"{fails} calls failed, {kills} kills, 0 faults" in done.stdout

"""Training on files of which only some stars are in memory at a time."""

import os
import signal
from functools import partial

import h5py
import pytest
import torch
from processes import at_step, signal_at


def little_memory(then=None):
    """Room for 90 training stars; then: something else to do before the command."""
    from cyclegan.domains import from_file, on_disk

    from_file.AT_ONCE = on_disk.AT_ONCE = 90
    if then is not None:
        then()


def touch_at(step):
    """Change a file that the process draws from, after so many batches."""
    at_step("training_step", step, partial(os.utime, "obs.h5", ns=(0, 0)))


@pytest.fixture(scope="module")
def commands(start, domain_files, tmp_path_factory):
    """A run on files of 400 stars; the same killed and taken up again; and one whose file changes under it."""
    folder = tmp_path_factory.mktemp("on_disk")
    arguments = (
        "+experiment=theory2data",
        "domains.synth.path=synth.h5",
        "domains.obs.path=obs.h5",
        "domains.skip_pixels=0",
        "logger.wandb=false",
        "hydra.run.dir=run",
    )
    whole, killed, changed = (folder / name for name in ("whole", "killed", "changed"))
    for one in (whole, killed, changed):
        one.mkdir()
        for file in domain_files:
            os.link(file, one / file.name) if one is not changed else (one / file.name).write_bytes(file.read_bytes())
    kill = partial(signal_at, "training_step", 12, signal.SIGKILL)
    started = [
        start(whole, *arguments, before=little_memory),
        start(killed, *arguments, before=partial(little_memory, kill)),
        start(changed, *arguments, before=partial(little_memory, partial(touch_at, 7))),
    ]
    done = [one.wait() for one in started]
    return [*done, start(killed, "resume=run", tiny=(), before=little_memory).wait()]


def test_a_killed_run_resumes_to_the_same_bits(commands):
    whole, killed, _, again = commands
    assert whole.code == 0, whole.err
    assert killed.code == -signal.SIGKILL
    assert again.code == 0, again.err
    one, other = (torch.load(run.folder / "run" / "last.ckpt", weights_only=True) for run in (whole, again))
    assert one["state_dict"].keys() == other["state_dict"].keys()
    assert all(torch.equal(value, other["state_dict"][name]) for name, value in one["state_dict"].items())
    pairs = [state["pairing"]["pairs"] for state in (one, other)]
    assert all(torch.equal(a, b) for a, b in zip(*pairs, strict=True))
    assert max(int(side.max()) for side in pairs[0]) < 90  # rows of a draw


def test_a_file_that_changes_under_a_run_is_told_in_one_line(commands):
    _, _, changed, _ = commands
    assert changed.code == 2
    (line,) = (line for line in changed.err.splitlines() if line.startswith("error"))
    assert line.startswith("error: obs.h5: expected a file that stays as it is while it is read, ")
    assert "Traceback" not in changed.err
    with h5py.File(changed.folder / "obs.h5") as file:
        assert len(file["spectra train"]) == 400

"""Pictures that cannot be drawn, services that are not there, a reader that goes away: commands end their work."""

import json
import os
from pathlib import Path

import pytest


def break_pictures():
    from matplotlib.figure import Figure

    def savefig(self, *args, **options):
        raise RuntimeError("Failed to process string with tex because latex could not be found\nmore")

    Figure.savefig = savefig


def prefer_latex():
    import matplotlib

    matplotlib.rcParams.update({"text.usetex": True, "font.family": ["no such font"]})


@pytest.mark.parametrize("before", [break_pictures, prefer_latex])
def test_a_training_ends_without_its_pictures(start, payne_file, tmp_path, before):
    own = (f"domains.emulator={payne_file}", "logger.wandb=false", "trainer.epochs=1", "hydra.run.dir=run")
    done = start(tmp_path, *own, before=before).wait()
    assert done.code == 0, done.err
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert scores["x_synth_obs"] > 0
    told = [line for line in (tmp_path / "run" / "train.log").read_text().splitlines() if "left out" in line]
    pictures = {path.name for path in Path(tmp_path, "run").iterdir() if path.suffix == ".png"}
    if before is prefer_latex:
        assert (told, pictures) == ([], {"history.png", "stars.png"})
        return
    assert pictures == set()
    assert [line.rpartition("] - ")[2] for line in told] == [
        f"{name}.png is left out: Failed to process string with tex because latex could not be found"
        for name in ("history", "stars")
    ]


def test_a_report_is_written_without_its_pictures(start, files_run, tmp_path):
    options = (f"checkpoint={files_run}", f"output={tmp_path}/report", "logger.wandb=false")
    done = start(tmp_path, *options, module="cyclegan.evaluate", before=break_pictures).wait()
    assert done.code == 0, done.err
    assert "star_best.png is left out: Failed to process string with tex" in done.out
    page = (tmp_path / "report" / "report.html").read_text()
    assert "The picture star_best could not be drawn." in page
    assert "<img" not in page


def leave():
    """What `| head -0` does, to both streams."""
    reader, writer = os.pipe()
    os.close(reader)
    for stream in (1, 2):
        os.dup2(writer, stream)


@pytest.mark.parametrize(
    ("module", "written"), [("cyclegan.transfer", "out.h5"), ("cyclegan.evaluate", "report/report.html")]
)
def test_the_work_is_done_though_nobody_reads_on(start, payne2payne_run, synth_file, tmp_path, module, written):
    own = {"cyclegan.transfer": [f"input={synth_file}", "output=out.h5"]}
    options = own.get(module, ["output=report", "logger.wandb=false"])
    done = start(tmp_path, f"checkpoint={payne2payne_run}", *options, module=module, before=leave).wait()
    assert done.code == 0
    assert (tmp_path / written).stat().st_size > 1000


def test_a_training_goes_on_though_nobody_reads_on(start, payne_file, tmp_path):
    own = (f"domains.emulator={payne_file}", "logger.wandb=false", "trainer.epochs=1", "hydra.run.dir=run")
    done = start(tmp_path, *own, before=leave).wait()
    assert done.code == 0
    assert json.loads((tmp_path / "run" / "scores.json").read_text())["steps"] == 8
    assert "BrokenPipe" not in (tmp_path / "run" / "train.log").read_text()


def lose_wandb():
    """W&B's service dies in mid-run."""
    from wandb.sdk.wandb_run import Run

    original = Run.log

    def log(self, data, *args, **options):
        if data.get("trainer/global_step", 0) > 4:
            raise ConnectionResetError("the service is gone")
        return original(self, data, *args, **options)

    Run.log = log


@pytest.mark.parametrize(
    ("environment", "before", "reason"),
    [
        ({"WANDB_MODE": "sometimes"}, None, "environment variable WANDB_MODE: expected one of online, offline,"),
        ({"WANDB_MODE": "online"}, None, "No API key configured"),
        ({}, lose_wandb, "the service is gone"),
    ],
)
def test_a_training_goes_on_without_wandb(start, payne_file, tmp_path, environment, before, reason):
    own = (f"domains.emulator={payne_file}", "trainer.epochs=1", "hydra.run.dir=run")
    done = start(tmp_path, *own, environment=environment, before=before).wait()
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "run" / "scores.json").read_text())["steps"] == 8
    told = [line for line in (tmp_path / "run" / "train.log").read_text().splitlines() if "left out" in line]
    assert len(told) == 1
    assert f"Weights & Biases is left out: {reason}" in told[0]

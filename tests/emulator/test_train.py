"""emulator/train.py, python -m emulator.train, as a user meets it: real processes, real files."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import emulator.grid
from emulator.apogee import apogee_wavelength
from emulator.commands.errors import InputError
from emulator.grid import GridData, read_grid
from emulator.labels import LABELS, sample_grid_labels
from emulator.lacking import take_out
from emulator.lines import LINES
from emulator.payne import Payne
from emulator.synthesis import own_lines
from emulator.train import load_config, plot_worst, train_payne

MODULE = "emulator.train"
TINY = ["training.width=8", "training.components=6", "training.steps=40", "training.batch_size=16"]


def launch(folder, *overrides):
    command = [sys.executable, "-m", "emulator.train", *TINY, *overrides]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.fixture
def grid_file(tmp_path):
    """Sixty spectra of twelve pixels, each linear in two labels."""
    random = np.random.default_rng(0)
    labels = random.uniform(-1.0, 1.0, (60, 2))
    with h5py.File(tmp_path / "own.h5", "w") as file:
        file["labels"] = labels
        file["spectra"] = 0.9 + 0.05 * labels @ random.normal(size=(2, 12))
        file["wavelength"] = np.linspace(5000.0, 5011.0, 12)
        file.attrs.update(label_names=["age", "mass"], medium="vacuum")
    return tmp_path / "own.h5"


def test_a_grid_of_the_users_own_becomes_an_emulator_with_its_report(start, tmp_path, grid_file):
    longer = (*TINY, "training.steps=600", "training.width=32")
    done = start(tmp_path, *longer, f"grid.path={grid_file.name}", "output=own/payne.pt", module=MODULE).wait()
    assert done.code == 0, done.err
    written = tmp_path / "own"
    assert sorted(path.name for path in written.iterdir()) == ["payne.json", "payne.png", "payne.pt"]
    assert not (tmp_path / "models").exists()
    assert (written / "payne.png").read_bytes().startswith(b"\x89PNG")

    payne = Payne.load(written / "payne.pt")
    assert payne.label_names == ("age", "mass")
    labels, truth = GridData(grid_file, components=6, batch_size=1, steps=1, seed=1).test
    with torch.no_grad():
        error = (payne(labels) - truth).abs().numpy()
    report = json.loads((written / "payne.json").read_text())
    expected = np.percentile(error, [50, 95], method="inverted_cdf")
    assert [report["median_error"], report["p95_error"]] == pytest.approx(expected.tolist(), rel=1e-3)
    assert report["median_error"] < 0.01
    assert report["config"]["seed"] == 1
    assert report["spectra"] == {"train": 54, "validation": 3, "test": 3}
    assert set(report["seconds"]) == {"grid", "training"}

    (log,) = tmp_path.glob("runs/emulator/*/emulator/metrics.csv")
    rows = list(csv.DictReader(log.open()))
    assert float([row["val/median_error"] for row in rows if row["val/median_error"]][-1]) < 0.01


def test_spectra_with_unknown_labels_are_left_out_of_the_training(start, tmp_path, grid_file):
    with h5py.File(grid_file, "r+") as file:
        file["labels"][10:30, 1] = np.nan
    done = start(tmp_path, *TINY, f"grid.path={grid_file.name}", "output=payne.pt", module=MODULE).wait()
    assert done.code == 0, done.err
    assert "it/s" not in done.out + done.err  # bars are for a terminal
    assert (done.out + done.err).count("own.h5: left out 20 of 60 spectra, as a label of theirs is unknown") == 1
    assert json.loads((tmp_path / "payne.json").read_text())["spectra"] == {"train": 36, "validation": 2, "test": 2}


def test_the_built_in_grid_is_made_kept_and_learned(tmp_path, monkeypatch):
    monkeypatch.setattr(emulator.grid, "ProcessPoolExecutor", lambda *_: ThreadPoolExecutor(1))
    grid = tmp_path / "grid.h5"
    paths = [f"output={tmp_path}/payne.pt", f"grid.built_in={grid}", "grid.stars=20"]
    config = load_config([*TINY, *paths])
    train_payne(config, tmp_path / "log")
    made = grid.stat()
    payne = Payne.load(tmp_path / "payne.pt")
    assert payne.label_names == LABELS
    assert torch.equal(payne.wavelength, torch.from_numpy(apogee_wavelength()))
    np.testing.assert_allclose(payne.label_low, read_grid(grid).labels.min(axis=0), rtol=1e-6)

    first = payne.state_dict()
    train_payne(config, tmp_path / "log again")
    assert (grid.stat().st_ino, grid.stat().st_mtime_ns) == (made.st_ino, made.st_mtime_ns)
    again = Payne.load(tmp_path / "payne.pt").state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_a_theory_can_lack_lines_and_get_them_back(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(emulator.grid, "make_grid", lambda *given: asked.append(given[-1]) or fake_grid(*given[:4]))
    common = [*TINY, f"grid.built_in={tmp_path}/grid.h5", "grid.stars=20", "grid.lacking=0.5", "grid.lacking_seed=3"]
    train_payne(load_config([*common, f"output={tmp_path}/lacking.pt"]), tmp_path / "log")
    left, taken = take_out(LINES, 0.5, 3)
    assert asked[0].fingerprint() == left.fingerprint()
    listed = own_lines(tmp_path / "lacking.lacking.txt")
    np.testing.assert_allclose(listed.log_gf, taken.log_gf, atol=6e-4)
    payne = Payne.load(tmp_path / "lacking.pt")
    assert payne.lines.fingerprint() == left.fingerprint()
    assert payne.on(payne.wavelength[5:]).lines.fingerprint() == left.fingerprint()

    added = [f"grid.lines_added={tmp_path}/lacking.lacking.txt", f"output={tmp_path}/corrected.pt"]
    (tmp_path / "grid.h5").unlink()
    train_payne(load_config([*common, *added]), tmp_path / "log")
    assert len(asked[1].wavelength) == len(LINES.wavelength)
    np.testing.assert_allclose(asked[1].wavelength, LINES.wavelength, atol=6e-4)
    np.testing.assert_allclose(own_lines(tmp_path / "corrected.lines.txt").excitation, asked[1].excitation, atol=6e-4)


def fake_grid(path, n, seed, wavelength):
    labels = sample_grid_labels(n, np.random.default_rng(seed))
    with h5py.File(path, "w") as file:
        file["labels"], file["wavelength"] = labels, wavelength
        file["spectra"] = 0.9 + 0.01 * np.repeat(labels[:, 4:5], len(wavelength), axis=1)
        file.attrs.update(label_names=LABELS, medium="vacuum", seed=seed)


@pytest.mark.parametrize("key", ["lines=LIST", "lacking=0.3", "lines_added=LIST"])
def test_lines_of_a_grid_of_ones_own_cannot_be_chosen(tmp_path, key):
    with pytest.raises(InputError, match=f"'grid': expected path or {key.partition('=')[0]}, got both"):
        train_payne(load_config([f"output={tmp_path}/payne.pt", "grid.path=own.h5", f"grid.{key}"]), tmp_path)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+grid.typo=1", "unknown config key 'grid.typo'"),
        ("trainign.steps=3", "Could not override 'trainign.steps'"),
        ("grid.path=nowhere.h5", "nowhere.h5: expected a grid of spectra"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(start, tmp_path, override, message):
    done = start(tmp_path, *TINY, override, module=MODULE).wait()
    assert done.code == 2, done.err
    assert done.err.count("\n") == 1, done.err
    assert done.err.startswith("error: ")
    assert message in done.err
    assert not list(tmp_path.glob("models/*"))


def test_a_place_that_cannot_be_written_is_told_before_the_work(grid_file):
    with pytest.raises(InputError, match=r"own\.h5: expected a place to write"):
        train_payne(load_config([f"output={grid_file}/payne.pt"]), grid_file.parent)


def test_an_output_that_its_own_report_would_overwrite_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"expected a file name ending in \.pt, got .*payne\.json"):
        train_payne(load_config([f"output={tmp_path}/payne.json"]), tmp_path)


def test_a_training_that_diverges_writes_no_emulator(tmp_path, grid_file):
    output = tmp_path / "payne.pt"
    config = load_config([*TINY, f"grid.path={grid_file}", f"output={output}", "training.learning_rate=1e30"])
    with pytest.raises(InputError, match="diverged"):
        train_payne(config, tmp_path / "log")
    assert not output.exists()


@pytest.mark.parametrize("override", ["training.steps=many", "training.learning_rate=0", "grid.stars=19", "sead=1"])
def test_bad_values_are_named(override):
    with pytest.raises(InputError, match=override.partition("=")[0]):
        load_config([override])


@pytest.mark.parametrize("kill", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_run_leaves_no_file_under_its_name(tmp_path, kill):
    process = launch(tmp_path, "grid.stars=5000", "grid.workers=1")
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("models/.unfinished-*.h5")) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert list(tmp_path.glob("models/.unfinished-*.h5"))
    finally:
        process.send_signal(kill)
        process.communicate(timeout=60)
    left = list((tmp_path / "models").iterdir())
    assert not [path for path in left if not path.name.startswith(".")]
    assert kill == signal.SIGKILL or not left


def test_the_configuration_without_hydra_is_that_of_the_command():
    config = load_config(["grid.stars=77"])
    assert set(asdict(config)) == {"seed", "output", "grid", "training"}
    assert config.grid.stars == 77
    assert config.grid.path is None


def test_the_picture_does_not_join_chips():
    wavelength = torch.tensor([1.0, 2.0, 3.0, 4.0, 9.0, 10.0, 11.0, 12.0], dtype=torch.float64)
    payne = Payne(["age"], torch.zeros(1), torch.ones(1), wavelength, width=2)
    truth, flux = torch.ones(5, 8), torch.ones(5, 8)
    flux[3] += 0.1
    flux[1] += 0.2
    figure = plot_worst(payne, torch.linspace(0, 1, 5)[:, None], flux, truth)
    spectrum, residual = figure.axes[:2]
    assert "age=0.25" in spectrum.get_title(loc="left")
    assert len(figure.axes) == 6
    for line in (*spectrum.lines, residual.lines[0]):
        np.testing.assert_array_equal(np.isnan(line.get_ydata()), [False] * 4 + [True] + [False] * 4)

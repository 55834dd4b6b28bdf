"""python -m cyclegan.transfer, as a user meets it: what it writes, what it refuses, and what it leaves when stopped."""

import os
import resource
import signal
from functools import partial

import h5py
import pytest
import torch
from transfers import contents, run_transfer, write_table

from cyclegan.trained.model import TrainedModel
from emulator.commands.errors import InputError


def test_a_file_translated_back_says_so(payne2payne_run, synth_file, tmp_path):
    for source, output, direction in (
        (synth_file, tmp_path / "there.h5", "synth_to_obs"),
        (tmp_path / "there.h5", tmp_path / "back.h5", "obs_to_synth"),
    ):
        run_transfer(checkpoint=payne2payne_run, input=source, output=output, direction=direction)
        with h5py.File(output) as file:
            assert file.attrs["direction"] == direction
    found = [contents(tmp_path / f"{name}.h5") for name in ("there", "back")]
    for one in found:
        assert one["distance test"].dtype == "float32"
        assert one["counterpart test"].dtype == bool
        assert (one["counterpart test"] == (one["distance test"] <= 1)).all()
    assert (found[0]["distance test"] != found[1]["distance test"]).any()  # of each domain's own training stars


def test_a_run_without_training_stars_says_nothing_of_counterparts(payne2payne_run, synth_file, tmp_path, caplog):
    checkpoint = torch.load(payne2payne_run / "last.ckpt", weights_only=True)
    del checkpoint["record"]["familiar"]  # as of a run before there were any
    torch.save(checkpoint, tmp_path / "old.ckpt")
    run_transfer(checkpoint=payne2payne_run, input=synth_file, output=tmp_path / "there.h5")
    with caplog.at_level("INFO"):
        run_transfer(checkpoint=tmp_path / "old.ckpt", input=tmp_path / "there.h5", output=tmp_path / "out.h5")
    assert not {"distance test", "counterpart test"} & contents(tmp_path / "out.h5").keys()
    assert sum("keeps no training stars" in line for line in caplog.messages) == 1


def swapped(path, name, values):
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = values
    return path


BAD = {
    "no such run": ({"checkpoint": "nowhere"}, ["nowhere", "checkpoint", "none"]),
    "no checkpoint": ({"checkpoint": "other.txt"}, ["other.txt", "does not load"]),
    "no such file": ({"input": "nowhere.h5"}, ["nowhere.h5", "no such file"]),
    "a file of something else": ({"input": "other.txt"}, ["other.txt", "truncated or other"]),
    "a truncated file": ({"input": "cut.h5"}, ["cut.h5", "truncated"]),
    "other wavelengths": ({"input": "moved.h5"}, ["moved.h5", "203 pixels", "nearest to"]),
    "fewer pixels": ({"input": "narrow.h5"}, ["narrow.h5", "203 pixels", "got 200 pixels"]),
    "no spectra": ({"input": "empty.h5"}, ["empty.h5", "expected spectra, got none"]),
    "an error of zero": ({"input": "zero.h5"}, ["zero.h5", "errors above 0", "row 39"]),
    "the input as the output": ({"output": "synth.h5"}, ["synth.h5", "another file to write than 'input'"]),
    "the split's file as the output": (
        {"split": "obs.h5", "output": "./obs.h5"},
        ["obs.h5", "another file to write than 'split'"],
    ),
    "a place that cannot be written": ({"output": "other.txt/out.h5"}, ["other.txt/out.h5", "a place to write"]),
    "another's file as the output": ({"output": "zero.h5"}, ["zero.h5", "a file that transfer wrote", "it is kept"]),
    "a run's checkpoint as the output": ({"output": "files_run/last.ckpt"}, ["last.ckpt", "it is kept"]),
    "a folder for the output": ({"output": "folder"}, ["folder", "got a folder"]),
    "no such split": ({"split": "median"}, ["'split'", "mean, drawn or a file of spectra", "median"]),
    "a split file of another grid": ({"split": "moved.h5"}, ["moved.h5", "203 pixels"]),
    "a split file without usable stars": ({"split": "blind.h5"}, ["blind.h5", "usable spectra"]),
    "a split for theory": ({"split": "drawn", "direction": "obs_to_synth"}, ["'split'", "obs_to_synth"]),
    "nothing to translate": ({"input": None}, ["'input'", "neither"]),
    "two things to translate": ({"labels": "labels.csv"}, ["'input'", "both"]),
    "no device": ({"device": "gpu"}, ["device", "got gpu"]),
}
LABELS = {
    "labels to theory": ({}, {"direction": "obs_to_synth"}, ["'direction'", "labels", "obs_to_synth"]),
    "a missing label": ({"logg": None}, {}, ["labels.csv", "got no logg"]),
    "an unknown label": ({"age": ["1"] * 5}, {}, ["labels.csv", "unknown age"]),
    "a label that is not a number": ({"logg": ["3", "3", "x", "3", "3"]}, {}, ["labels.csv", "'logg' in row 2", "'x'"]),
    "a label that is NaN": ({"logg": ["3", "3", "3", "nan", "3"]}, {}, ["labels.csv", "'logg'", "nan in row 3"]),
    "a label out of range": ({"teff": ["5000"] * 4 + ["9000"]}, {}, ["labels.csv", "'teff'", "9000 in row 4"]),
    "no such table": ({}, {"labels": "nowhere.csv"}, ["nowhere.csv", "No such file"]),
    "an empty table": ({}, {"labels": "empty.csv"}, ["empty.csv", "a row"]),
    "a table without stars": ({}, {"labels": "header.csv"}, ["header.csv", "a row for each star"]),
    "a table with a short row": ({}, {"labels": "short.csv"}, ["short.csv", "20 values in row 0, got 2"]),
    "a table in no encoding": ({}, {"labels": "synth.h5"}, ["synth.h5", "header"]),
    "a run between files": ({}, {"checkpoint": "files_run"}, ["files_run", "emulated", "emulator of it"]),
}


@pytest.fixture
def folder(tmp_path, synth_file, obs_file, trained, monkeypatch, files_run):
    """Somewhere to go wrong in, and what was there before."""
    monkeypatch.chdir(tmp_path)
    original = synth_file.read_bytes()
    for name in ("synth", "moved", "narrow", "empty", "zero"):
        (tmp_path / f"{name}.h5").write_bytes(original)
    for name in ("obs", "blind"):
        (tmp_path / f"{name}.h5").write_bytes(obs_file.read_bytes())
    (tmp_path / "cut.h5").write_bytes(original[: len(original) // 2])
    (tmp_path / "other.txt").write_text("stars\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "header.csv").write_text(",".join(trained.label_names) + "\n")
    (tmp_path / "short.csv").write_text("id," + ",".join(trained.label_names) + "\nme,5000\n")
    (tmp_path / "files_run").symlink_to(files_run)
    grid, found = trained.wavelength.numpy(), contents(synth_file)
    swapped(tmp_path / "moved.h5", "wavelength", grid + 0.05)
    swapped(tmp_path / "narrow.h5", "wavelength", grid[3:])
    for name in ("spectra test", "spectra_err test", "mask test"):
        swapped(tmp_path / "narrow.h5", name, found[name][:, 3:])
        swapped(tmp_path / "empty.h5", name, found[name][:0])
    for name in ("labels test", "id test"):
        with h5py.File(tmp_path / "empty.h5", "r+") as file:
            del file[name]
    with h5py.File(tmp_path / "zero.h5", "r+") as file:
        file["spectra_err test"][39, 5] = 0
    with h5py.File(tmp_path / "blind.h5", "r+") as file:
        file["mask test"][:] = False
        for name in ("spectra", "spectra_err", "mask"):  # fewer than there are spectra to translate
            values = file[f"{name} test"][:9]
            del file[f"{name} test"]
            file[f"{name} test"] = values
    return tmp_path


def refused(folder, config):
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    with pytest.raises(InputError) as caught:
        run_transfer(**{k: v for k, v in config.items() if v is not None})
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    return str(caught.value)


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_told_in_one_line_and_nothing_is_written(name, folder, payne2payne_run):
    changes, words = BAD[name]
    common = {"checkpoint": payne2payne_run, "input": "synth.h5", "output": "out.h5", "batch_size": 16}
    line = refused(folder, common | changes)
    assert "\n" not in line
    assert all(word in line for word in words), line


@pytest.mark.parametrize("name", LABELS)
def test_bad_labels_are_told_in_one_line_and_nothing_is_written(name, folder, payne2payne_run, trained):
    columns, changes, words = LABELS[name]
    write_table(trained, folder / "labels.csv", **columns)
    line = refused(folder, {"checkpoint": payne2payne_run, "labels": "labels.csv", "output": "out.h5"} | changes)
    assert "\n" not in line
    assert all(word in line for word in words), line


def killed_by(number):
    """Make the process send itself a signal at its third batch."""
    original, calls = TrainedModel.translate_seen, []

    def translate(self, *arguments):
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), number)
        return original(self, *arguments)

    TrainedModel.translate_seen = translate


def with_little_room():
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))


def test_the_command(start, payne2payne_run, synth_file, tmp_path):
    """It works; one with a mistyped value, or with no room left, is told; one that is stopped leaves nothing."""
    common = f"checkpoint={payne2payne_run}", f"input={synth_file}", "batch_size=8"

    def process(name, *overrides, before=None):
        (tmp_path / name).mkdir()
        return start(tmp_path / name, *common, *overrides, module="cyclegan.transfer", before=before)

    started = {
        "good": process("good", "output=deep/out.h5"),
        "mistyped": process("mistyped", "output=out.h5", "direction=sideways"),
        "unknown": process("unknown", "output=out.h5", "outptu=out.h5"),
        "nowhere": process("nowhere"),
        "full": process("full", "output=out.h5", before=with_little_room),
        "terminated": process("terminated", "output=out.h5", before=partial(killed_by, signal.SIGTERM)),
        "interrupted": process("interrupted", "output=out.h5", before=partial(killed_by, signal.SIGINT)),
    }
    commands = {name: process.wait() for name, process in started.items()}
    codes = {name: command.code for name, command in commands.items()}
    assert codes == dict.fromkeys(("mistyped", "unknown", "nowhere", "full"), 2) | {
        "good": 0,
        "terminated": 143,
        "interrupted": 130,
    }, {name: command.err for name, command in commands.items()}
    left = {name: sorted(path.name for path in command.folder.iterdir()) for name, command in commands.items()}
    assert left.pop("good") == ["deep", "err", "out"]
    assert all(names == ["err", "out"] for names in left.values()), left
    assert (
        contents(tmp_path / "good" / "deep" / "out.h5")["spectra test"].shape
        == contents(synth_file)["spectra test"].shape
    )
    for name, words in {
        "mistyped": ["'direction'", "synth_to_obs, obs_to_synth", "sideways"],
        "unknown": ["outptu"],
        "nowhere": ["'output'", "expected a value"],
        "full": ["out.h5", "room"],
    }.items():
        line = commands[name].err.splitlines()[-1].rpartition("\r")[2]
        assert line.startswith("error: ")
        assert all(word in line for word in words), line
        if name != "full":  # HDF5 may add to stderr that it cannot close a file either that hits such a limit
            assert "Traceback" not in commands[name].err
    assert commands["good"].err == ""  # no bar where nobody watches
    alone = (~contents(tmp_path / "good" / "deep" / "out.h5")["counterpart test"]).sum()
    assert f"{alone} of them have no counterpart" in commands["good"].out + commands["good"].err


def test_spectra_that_are_not_normalised_are_told_and_nothing_is_written(synth_file, payne2payne_run, tmp_path):
    path, output = tmp_path / "counts.h5", tmp_path / "out.h5"
    path.write_bytes(synth_file.read_bytes())
    with h5py.File(path, "r+") as file:
        for name in ("spectra test", "spectra_err test"):
            values = 5000 * file[name][()]
            del file[name]
            file[name] = values
    with pytest.raises(InputError, match=r"counts.h5: expected flux normalised .* in 'spectra test', got a median of"):
        run_transfer(checkpoint=payne2payne_run, input=path, output=output)
    assert not output.exists()

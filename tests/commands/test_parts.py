"""Commands over parts: what they join is what one process makes, to the bit; a part that fails is made alone."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from transfers import contents, run_transfer, write_table

import cyclegan
from cyclegan.fit import FitConfig, fit, fit_part
from cyclegan.spectra.spectra import Spectra
from cyclegan.spectra.writer import written_spectra
from emulator.commands.config import config_folder, validate
from emulator.commands.errors import InputError
from emulator.commands.parts import Part

PROJECT = Path(cyclegan.__file__).parents[1]


def same(one, other):
    """Whether two files hold the same datasets and attributes, to the bit."""
    first, second = contents(one), contents(other)
    assert first.keys() == second.keys()
    for name, values in first.items():
        assert values.dtype == second[name].dtype
        assert np.array_equal(values, second[name], equal_nan=values.dtype.kind == "f"), name
    with h5py.File(one) as a, h5py.File(other) as b:
        assert a.attrs.keys() == b.attrs.keys()
        assert all(np.array_equal(a.attrs[key], b.attrs[key]) for key in a.attrs)
    return first


def in_parts(several, **settings):
    for part in Part.each(several):
        run_transfer(part=part, parts=several, **settings)
    run_transfer(parts=several, **settings)


@pytest.mark.parametrize("split", ["mean", "drawn", "as many", "fewer"])
def test_joined_parts_are_what_one_process_makes(split, payne2payne_run, synth_file, obs_file, tmp_path):
    if split == "fewer":
        path = tmp_path / "fewer.h5"
        path.write_bytes(obs_file.read_bytes())
        with h5py.File(path, "r+") as file:
            for name in ("spectra test", "spectra_err test", "mask test"):
                values = file[name][:20]
                del file[name]
                file[name] = values
        split = path
    settings = {
        "checkpoint": payne2payne_run,
        "input": synth_file,
        "batch_size": 7,
        "split": obs_file if split == "as many" else split,
    }
    run_transfer(output=tmp_path / "whole.h5", **settings)
    in_parts(3, output=tmp_path / "joined.h5", **settings)
    found = same(tmp_path / "whole.h5", tmp_path / "joined.h5")
    assert found["spectra test"].shape[0] == 40
    assert found["id test"].tolist() == [f"star {i}".encode() for i in range(40)]
    assert not (tmp_path / "joined.h5.parts").exists()


def test_several_subsets_and_tables_of_labels_are_joined_too(payne2payne_run, obs_file, trained, tmp_path):
    for given in (
        {"input": obs_file, "direction": "obs_to_synth"},
        {"labels": write_table(trained, tmp_path / "labels.csv", rows=9)},
    ):
        settings = {"checkpoint": payne2payne_run, "batch_size": 4, **given}
        run_transfer(output=tmp_path / "whole.h5", **settings)
        in_parts(3, output=tmp_path / "joined.h5", **settings)
        same(tmp_path / "whole.h5", tmp_path / "joined.h5")


@pytest.mark.parametrize("theirs", ["input", "split"])
def test_a_part_may_hold_nothing_usable_where_the_whole_does(theirs, payne2payne_run, synth_file, obs_file, tmp_path):
    path = tmp_path / "blind.h5"
    path.write_bytes(obs_file.read_bytes())
    with h5py.File(path, "r+") as file:
        masked = np.arange(40)[:, None] < 16
        file["mask test"][:] = file["mask test"][()] & ~masked
    settings = {"checkpoint": payne2payne_run, "batch_size": 8}
    if theirs == "input":
        settings |= {"input": path, "direction": "obs_to_synth"}
    else:
        settings |= {"input": synth_file, "split": path}
    run_transfer(output=tmp_path / "whole.h5", **settings)
    in_parts(4, output=tmp_path / "joined.h5", **settings)
    found = same(tmp_path / "whole.h5", tmp_path / "joined.h5")
    assert (np.isnan(found["spectra test"]).all(axis=1) == (np.arange(40) < 16)).all()
    if theirs == "input":
        with h5py.File(path, "r+") as file:
            for subset in ("train", "test"):
                file[f"mask {subset}"][:] = False
        with pytest.raises(InputError, match=r"blind.h5: expected usable pixels, got none in any of 65 spectra"):
            in_parts(4, output=tmp_path / "joined.h5", **settings)


def test_a_failed_part_is_made_alone_and_others_are_kept(payne2payne_run, synth_file, tmp_path):
    """One row is damaged; once it is mended the parts of the damaged file are made anew, as the file is another."""
    path, output = tmp_path / "synth.h5", tmp_path / "out.h5"
    path.write_bytes(synth_file.read_bytes())
    with h5py.File(path, "r+") as file:
        file["spectra_err test"][20, 5] = 0
    settings = {"checkpoint": payne2payne_run, "input": path, "output": output, "batch_size": 8}
    with pytest.raises(InputError, match=r"out.h5: expected 5 parts, got 4; part 3/5: .*synth.h5: expected errors"):
        in_parts(5, **settings)
    assert not output.exists()
    kept = {part: part.path(output) for part in Part.each(5) if part.number != 3}
    before = {part: where.stat().st_ino for part, where in kept.items()}
    with pytest.raises(InputError, match="expected errors above 0"):
        run_transfer(part="3/5", **settings)
    with pytest.raises(InputError, match="got 4; part 3/5"):
        in_parts(5, **settings)
    assert {part: where.stat().st_ino for part, where in kept.items()} == before
    with h5py.File(path, "r+") as file:
        file["spectra_err test"][20, 5] = 0.007
    in_parts(5, **settings)
    run_transfer(**settings | {"output": tmp_path / "whole.h5"})
    same(tmp_path / "whole.h5", output)


BAD = {
    "6/5": ["'part'", "expected a part as 3/16", "got 6/5"],
    "1/6": ["part 1/6: expected at most 5 parts", "batches of up to 8"],
}


@pytest.mark.parametrize("part", BAD)
def test_a_part_that_cannot_be_leaves_nothing(part, payne2payne_run, synth_file, tmp_path):
    with pytest.raises(InputError) as caught:
        run_transfer(checkpoint=payne2payne_run, input=synth_file, output=tmp_path / "out.h5", batch_size=8, part=part)
    assert all(word in str(caught.value) for word in BAD[part])
    assert list(tmp_path.iterdir()) == []


def test_the_command_makes_all_parts_and_joins_them(start, payne2payne_run, synth_file, tmp_path):
    def process(name, *overrides):
        (tmp_path / name).mkdir()
        arguments = (f"checkpoint={payne2payne_run}", "output=out.h5", "device=cpu", "batch_size=8", *overrides)
        return start(tmp_path / name, *arguments, module="cyclegan.transfer")

    started = {
        "good": process("good", f"input={synth_file}", "parts=3"),
        "none": process("none", "input=nowhere.h5", "parts=3"),
        "zero": process("zero", f"input={synth_file}", "parts=0"),
        "beyond": process("beyond", f"input={synth_file}", "part=4/3"),
    }
    commands = {name: process.wait() for name, process in started.items()}
    codes = {name: command.code for name, command in commands.items()}
    assert codes == {"good": 0, "none": 2, "zero": 2, "beyond": 2}, {n: c.err for n, c in commands.items()}
    run_transfer(checkpoint=payne2payne_run, input=synth_file, output=tmp_path / "whole.h5", batch_size=8)
    same(tmp_path / "whole.h5", tmp_path / "good" / "out.h5")
    for name, words in {
        "none": "nowhere.h5: expected",
        "zero": "'parts': expected at least 1",
        "beyond": "4/3",
    }.items():
        assert len(commands[name].err.splitlines()) == 1
        assert words in commands[name].err
    left = {name: {path.name for path in command.folder.iterdir()} for name, command in commands.items()}
    assert left["good"] == {"err", "out", "out.h5", "multirun"}
    assert left["none"] == {"err", "out", "multirun"}


def run_fit(**settings):
    """`python -m cyclegan.fit` with KEY=VALUE of these, on the CPU."""
    config = OmegaConf.load(f"{config_folder()}/fit.yaml")
    del config["hydra"], config["defaults"]
    given = {"device": "cpu", "starts": 1} | {name: str(value) for name, value in settings.items()}
    checked = validate(OmegaConf.merge(config, given), FitConfig)
    return fit(checked) if checked.part is None else fit_part(checked, Part.read(checked.part, "part"))


def test_fits_in_parts_are_those_of_one_process(payne2payne_run, trained, tmp_path, monkeypatch):
    monkeypatch.setattr("cyclegan.fitting.least_squares.STEPS", 2)
    monkeypatch.setattr("cyclegan.fitting.forward.TEMPLATES", 16)
    monkeypatch.setattr("cyclegan.fit.draw", lambda *_: None)
    # Of all stars that are known, whichever part they are in.
    monkeypatch.setattr("cyclegan.fit.map_covariance", lambda own, truth: (own.labels - truth).double().T.cov())
    low, high = trained.emulator.label_low, trained.emulator.label_high
    labels = low + (high - low) * (0.3 + 0.4 * torch.rand(16, len(low), generator=torch.Generator().manual_seed(3)))
    flux = trained.from_labels(labels)
    spectra = Spectra(flux, torch.full_like(flux, 0.01), torch.ones_like(flux, dtype=torch.bool))
    with written_spectra(tmp_path / "obs.h5", "a test", trained.wavelength, trained.label_names) as writer:
        writer.append("val", spectra.rows(slice(9)), labels=labels[:9])
        writer.append("test", spectra.rows(slice(9, 16)), labels=labels[9:])
    settings = {"checkpoint": payne2payne_run, "input": tmp_path / "obs.h5", "batch_size": 4, "known": "val"}
    whole = run_fit(output=tmp_path / "whole", **settings)
    for part in Part.each(3):
        run_fit(part=part, parts=3, output=tmp_path / "joined", **settings)
    joined = run_fit(parts=3, output=tmp_path / "joined", **settings)
    assert str({**joined, "rate": None}) == str({**whole, "rate": None})  # NaN equals none
    assert all(rate > 0 for rate in joined["rate"].values())
    names = {path.name for path in (tmp_path / "whole").iterdir()}
    assert {path.name for path in (tmp_path / "joined").iterdir()} == names
    for name in ("translator.csv", "emulator.csv"):
        assert (tmp_path / "joined" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    with h5py.File(tmp_path / "joined" / "labels.h5") as one, h5py.File(tmp_path / "whole" / "labels.h5") as other:
        stored = []
        other.visititems(lambda name, found: stored.append(name) if isinstance(found, h5py.Dataset) else None)
        assert all(np.array_equal(one[name][()], other[name][()], equal_nan=True) for name in stored)
    assert not (tmp_path / "joined.parts").exists()


@pytest.mark.parametrize(("launcher", "parts"), [("submitit_local", 1), ("joblib", 2)])
def test_a_launcher_makes_the_parts(launcher, parts, start, payne2payne_run, synth_file, tmp_path):
    """One job in a process of its own, of a launcher for clusters; several in this one."""
    arguments = (f"checkpoint={payne2payne_run}", f"input={synth_file}", "output=out.h5", "device=cpu", "batch_size=8")
    chosen = (f"parts={parts}", f"hydra/launcher={launcher}", *(["hydra.launcher.n_jobs=1"] * (parts > 1)))
    environment = {"PYTHONPATH": str(PROJECT)}
    command = start(tmp_path, *arguments, *chosen, module="cyclegan.transfer", environment=environment).wait()
    assert (command.code, command.err) == (0, "")
    run_transfer(checkpoint=payne2payne_run, input=synth_file, output=tmp_path / "whole.h5", batch_size=8)
    same(tmp_path / "whole.h5", tmp_path / "out.h5")
    assert f"{parts} parts joined in out.h5" in command.out

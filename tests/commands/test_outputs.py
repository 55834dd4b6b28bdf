"""What no command writes over: what it reads, and what another one made."""

import shutil

import h5py
import numpy as np
import pytest
from apogee_stars import star
from apstar import write_apstar
from omegaconf import OmegaConf

from cyclegan.apogee import main as apogee
from cyclegan.training.run import train
from cyclegan.training.schema import TrainConfig
from emulator.commands.config import config_folder, validate
from emulator.commands.errors import InputError
from emulator.convert import ConvertConfig, convert
from emulator.payne import Payne
from emulator.train import load_config, train_payne


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def run(files_run, tmp_path):
    """A copy of a finished run, beside a file of observed spectra in a folder of its own."""
    shutil.copytree(files_run, tmp_path / "run")
    return tmp_path / "run"


def test_an_evaluation_leaves_the_scores_of_the_training(run, start, tmp_path):
    before = files_of(run)
    (tmp_path / "here").mkdir()
    done = start(tmp_path / "here", f"checkpoint={run}", f"output={run}", module="cyclegan.evaluate").wait()
    assert done.code == 2
    assert (
        done.err
        == f"error: {run}/scores.json: expected a file that evaluate wrote, or none, got another's: it is kept\n"
    )
    assert files_of(run) == before


@pytest.mark.parametrize("name", ["labels.h5", "translator.csv"])
def test_a_fit_leaves_its_input_and_tables_of_others(payne2payne_run, domain_files, start, tmp_path, name):
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(domain_files[1], data / name)
    options = (f"checkpoint={payne2payne_run}", f"input={data / name}", f"output={data}", "subset=test", "device=cpu")
    done = start(tmp_path, *options, module="cyclegan.fit").wait()
    assert done.code == 2
    assert f"error: {data / name}: expected another file to write than 'input', got the same" in done.err
    assert (data / name).read_bytes() == domain_files[1].read_bytes()
    assert [path.name for path in data.iterdir()] == [name]


def test_a_training_begins_in_no_folder_of_another_command(payne2payne_run, tmp_path):
    (tmp_path / "scores.json").write_text("{}")
    with pytest.raises(InputError, match="expected a folder of its own for the run"):
        train(validate(OmegaConf.load(payne2payne_run / "config.yaml"), TrainConfig), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["scores.json"]


@pytest.mark.parametrize("option", ["--labels", "--wavelength", "--like", "--continuum"])
def test_a_conversion_leaves_what_it_reads(tmp_path, option, capsys):
    write_apstar(tmp_path / "apStar-r12-2M00000001+0000000.fits", *star(1))
    out = tmp_path / "out.h5"
    with h5py.File(out, "w") as file:
        file["wavelength"] = np.linspace(15200, 15300, 100)
    before = out.read_bytes()
    (tmp_path / "link.h5").symlink_to(out)
    for name in (out, tmp_path / "link.h5"):
        with pytest.raises(SystemExit):
            apogee([str(next(tmp_path.glob("*.fits"))), str(out), option, str(name)])
        assert f"expected another file to write than '{option}', got the same" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        apogee([str(next(tmp_path.glob("*.fits"))), str(out)])
    assert "out.h5: expected a file that apogee wrote, or none, got another's" in capsys.readouterr().err
    assert out.read_bytes() == before


def convert_with(**keys):
    config = OmegaConf.load(f"{config_folder()}/convert.yaml")
    del config["hydra"], config["defaults"]
    return convert(validate(OmegaConf.merge(config, {name: str(value) for name, value in keys.items()}), ConvertConfig))


def test_an_emulator_is_not_converted_over_its_wavelengths_or_a_trained_one(payne, tmp_path):
    wavelength, own = tmp_path / "w.pt", tmp_path / "own.pt"
    with h5py.File(wavelength, "w") as file:
        file["wavelength"] = payne.wavelength.numpy()
    payne.save(own)
    (tmp_path / "own.json").write_text("{}")  # what training writes beside it
    before = files_of(tmp_path)
    for output, said in (
        (wavelength, "another file to write than 'wavelength'"),
        (own, r"that emulator\.convert wrote"),
    ):
        with pytest.raises(InputError, match=said):
            convert_with(input=tmp_path / "none.npz", wavelength=wavelength, output=output)
    assert files_of(tmp_path) == before


def test_an_emulator_is_not_trained_over_another_or_the_lines_it_is_made_of(payne, tmp_path):
    payne.save(tmp_path / "converted.pt")
    (tmp_path / "own.lines.txt").write_text("lines")
    before = files_of(tmp_path)
    for overrides, said in (
        ([f"output={tmp_path}/converted.pt"], r"converted\.pt: expected a file that emulator\.train wrote"),
        ([f"output={tmp_path}/own.pt", f"grid.lines={tmp_path}/own.lines.txt"], "another file to write than 'lines'"),
    ):
        with pytest.raises(InputError, match=said):
            train_payne(load_config(overrides), tmp_path)
    assert files_of(tmp_path) == before
    assert Payne.load(tmp_path / "converted.pt").label_names == payne.label_names

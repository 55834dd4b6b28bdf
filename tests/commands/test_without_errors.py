"""Files of spectra without errors: every command takes them as if the floor were written out, and says so once."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from transfers import contents, run_transfer

from cyclegan.scores.scores import SCORES
from cyclegan.spectra.spectra import ERROR_FLOOR
from cyclegan.validate import validate_files

TOLD = "no errors ('spectra_err SUBSET'), so 0.005, the floor, is taken for that of each pixel"
UNKNOWN = "noise is unknown: what is in units of it, as scores, chi-square and errors of labels, means little"
BOTH = ("none", "floor")


def changed(path, folder, errors):
    """A copy whose errors are none, or the floor."""
    folder.mkdir(exist_ok=True)
    copy = Path(shutil.copy(path, folder))
    with h5py.File(copy, "r+") as file:
        for name in [name for name in file if name.startswith("spectra_err")]:
            if errors == "none":
                del file[name]
            else:
                file[name][...] = ERROR_FLOOR
    return copy


@pytest.fixture(scope="module")
def files(domain_files, tmp_path_factory):
    """The two files of a sky, by what their errors are."""
    folder = tmp_path_factory.mktemp("errors")
    return {errors: [changed(path, folder / errors, errors) for path in domain_files] for errors in BOTH}


def finished(started):
    commands = {name: process.wait() for name, process in started.items()}
    assert all(command.code == 0 for command in commands.values()), {n: c.err for n, c in commands.items()}
    return commands


@pytest.fixture(scope="module")
def trained_on(start, files, tmp_path_factory):
    """Finished trainings on them."""
    fixed = ("domains=files", "domains.skip_pixels=0", "logger.wandb=false")
    return finished(
        {
            errors: start(
                tmp_path_factory.mktemp(errors), *fixed, f"domains.synth.path={synth}", f"domains.obs.path={obs}"
            )
            for errors, (synth, obs) in files.items()
        }
    )


def assert_told_once(command, synth, obs):
    told = (command.out + command.err).splitlines()
    assert sum(TOLD in line for line in told) == 2
    assert sum(line.endswith(f"{synth}: {TOLD}") for line in told) == 1
    assert sum(line.endswith(f"{obs}: {TOLD}; the {UNKNOWN}") for line in told) == 1


def numbers_of(path):
    numbers = json.loads(path.read_text())
    return {name: value for name, value in numbers.items() if name not in ("seconds", "cpu_seconds")}


def test_a_training_is_the_same_number_by_number(trained_on, files):
    assert_told_once(trained_on["none"], *files["none"])
    assert TOLD not in trained_on["floor"].out + trained_on["floor"].err
    none, floor = (torch.load(trained_on[errors].run / "last.ckpt", weights_only=True) for errors in BOTH)
    assert none["state_dict"].keys() == floor["state_dict"].keys()
    for name, values in floor["state_dict"].items():
        assert torch.equal(none["state_dict"][name], values), name
    for side in ("synth", "obs"):
        assert none["record"]["spectra"][side]["sha256"] == floor["record"]["spectra"][side]["sha256"]
    assert numbers_of(trained_on["none"].run / "scores.json") == numbers_of(trained_on["floor"].run / "scores.json")


def test_so_is_a_report(start, trained_on, files, tmp_path):
    arguments = (f"checkpoint={trained_on['none'].run}", f"output={tmp_path / 'report'}", "logger.wandb=false")
    command = finished({"none": start(tmp_path, *arguments, module="cyclegan.evaluate")})["none"]
    assert_told_once(command, *files["none"])
    found, logged = (numbers_of(at / "scores.json") for at in (tmp_path / "report", trained_on["floor"].run))
    assert all(found["scores"][name] == logged[name] for name in SCORES)


@pytest.mark.parametrize("direction", ["synth_to_obs", "obs_to_synth"])
def test_so_is_a_translation(direction, trained_on, files, tmp_path, caplog):
    made, observed = {}, direction == "obs_to_synth"
    for errors in BOTH:
        source, output = files[errors][observed], tmp_path / f"{errors}.h5"
        with caplog.at_level("INFO"):
            run_transfer(checkpoint=trained_on["floor"].run, input=source, output=output, direction=direction)
        made[errors] = contents(output)
        with h5py.File(output) as file:
            assert file.attrs.get("error") == ("assumed: the input has none" if errors == "none" else None)
    (told,) = [record for record in caplog.records if TOLD in record.getMessage()]
    assert (told.levelname == "WARNING") == (UNKNOWN in told.getMessage()) == observed
    assert made["none"].keys() == made["floor"].keys()
    assert all(np.array_equal(made["none"][name], values) for name, values in made["floor"].items())
    assert (made["none"]["spectra_err val"] == np.float32(ERROR_FLOOR)).all()


def test_so_is_a_fit(start, payne2payne_run, obs_file, tmp_path):
    fixed = (f"checkpoint={payne2payne_run}", "device=cpu", "starts=1")
    started = {}
    for errors in BOTH:
        source = changed(obs_file, tmp_path / errors, errors)
        with h5py.File(source, "r+") as file:
            for name in [name for name in file if name.endswith((" train", " test"))]:
                rows = file.pop(name)[:4]
                if name.endswith("test"):
                    file[name] = rows
        arguments = (*fixed, f"input={source}", f"output={tmp_path / errors / 'found'}")
        started[errors] = start(tmp_path / errors, *arguments, module="cyclegan.fit")
    commands = finished(started)
    assert (commands["none"].out + commands["none"].err).count(TOLD) == 1
    assert f"obs.h5: {TOLD}; the {UNKNOWN}" in commands["none"].out + commands["none"].err
    for name in ("translator.csv", "emulator.csv"):
        none, floor = ((tmp_path / errors / "found" / name).read_text() for errors in BOTH)
        assert none == floor


def test_what_is_taken_for_errors_is_told_with_the_table(files, capsys):
    tables = {}
    for errors in BOTH:
        assert validate_files(files[errors]) == []
        tables[errors] = capsys.readouterr().out.replace(f"{files[errors][0].parent}", "")
    assert tables["none"].count(f"  {TOLD}; if these are observed, their {UNKNOWN}\n") == 2
    lines = [line for line in tables["none"].splitlines() if TOLD not in line]
    assert lines == tables["floor"].splitlines()

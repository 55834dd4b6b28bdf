"""python -m cyclegan.convert, and what follows it: from a star's file to its translation, without code."""

import numpy as np
import pytest
import torch
from apogee_stars import converted, star
from apstar import write_apstar
from handmade import make_checkpoint, save_checkpoint
from reference import REFERENCE
from sdss5_files import write_mwm
from transfers import contents, run_transfer

from cyclegan.apogee import main as apogee
from cyclegan.convert import main
from cyclegan.spectra.files import SpectraFile
from cyclegan.spectra.spaces import projected_on
from cyclegan.translator.dense import Dense
from cyclegan.translator.translator import build_translator
from emulator.apogee import APOGEE


@pytest.mark.parametrize("command", [main, apogee])
def test_help_fits_a_screen(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as end:
        command(["--help"])
    told = capsys.readouterr().out
    assert end.value.code == 0
    assert told.count("\n") <= 40
    assert f"cyclegan.{'convert' if command is main else 'apogee'} [OPTIONS] IN [IN ...] OUT.h5" in told


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """What a training on twenty stars of the survey would leave after one step."""
    folder = tmp_path_factory.mktemp("run")
    for seed in range(20):
        write_apstar(folder / f"{seed}.fits", *star(seed), name=f"2M{seed}")
    converted(*folder.glob("*.fits"), folder / "obs.h5", "--val", 0, "--test", 0)
    with SpectraFile(folder / "obs.h5") as file:
        spectra = file.read("train")
    networks = Dense(shared=3, split=1, components=8, width=8)
    spaces = networks.spaces(spectra, spectra)
    scale = projected_on(spaces[0], spectra).flux.std(dim=0).clamp_min(1e-3)
    translator = build_translator(networks, spaces, scale)
    wavelength = torch.from_numpy(APOGEE.cut())
    save_checkpoint(make_checkpoint(translator, networks, wavelength, torch.randn(30, 1)), folder / "last.ckpt")
    return folder / "last.ckpt"


def translated(run, path, folder):
    """A file's star in theory's domain, by two commands."""
    main([str(path), str(folder / "star.h5"), "--val", "0", "--test", "0"])
    run_transfer(checkpoint=run, input=folder / "star.h5", output=folder / "theory.h5", direction="obs_to_synth")
    return contents(folder / "theory.h5")


def test_a_star_of_either_survey_becomes_the_same_theory(run, tmp_path):
    flux, error, bits = star(50)
    write_apstar(tmp_path / "ap.fits", flux, error, bits, name="2M50")
    write_mwm(tmp_path / "mwm.fits", {"APOGEE/APO": (flux, 1 / error**2, bits)}, name="2M50")
    found = {}
    for name in ("ap", "mwm"):
        (tmp_path / name).mkdir()
        found[name] = translated(run, tmp_path / f"{name}.fits", tmp_path / name)
        assert found[name]["id train"].tolist() == [b"2M50"]
    np.testing.assert_allclose(*(found[name]["spectra train"] for name in found), atol=1e-3)


@pytest.mark.reference
@pytest.mark.parametrize("name", ["apStar-dr17-2M17335483-2753043", "apVisit-r13-5095-55844-128"])
def test_a_real_star_is_translated(run, tmp_path, name):
    if not (path := REFERENCE / "fits" / f"{name}.fits").exists():
        pytest.skip(f"REAL STAR NOT TRANSLATED: there is no {path}")
    found = translated(run, path, tmp_path)
    assert found["spectra train"].shape == (1, len(APOGEE.cut()))
    assert np.isfinite(found["spectra train"]).all()
    assert found["mask train"].mean() > 0.75

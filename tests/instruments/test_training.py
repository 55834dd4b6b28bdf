"""A second instrument, from its survey's files to a translator: what docs/instruments.md says is done."""

import json

import numpy as np
import pytest
import torch
from galah import write_star
from hydra import compose, initialize_config_dir
from processes import TINY

from cyclegan.convert import main as convert
from cyclegan.spectra.files import SpectraFile
from cyclegan.trained.loading import load
from cyclegan.training.run import train
from cyclegan.training.schema import TrainConfig
from emulator.commands.config import config_folder, validate
from emulator.hermes import HERMES

STARS = 30
KNOWN, LACKING = (6520.0, 6564.61), (6600.0, 6680.0)  # lines, vacuum Angstrom: theory lacks two


def spectrum_of(number, lines):
    """Counts on a slope; the lines of each star are as deep as its number says."""

    def spectrum(wavelength):
        absorbed = sum(np.exp(-0.5 * ((wavelength - at) / 0.3) ** 2) for at in lines)
        noise = np.random.default_rng(number + len(lines)).standard_normal(len(wavelength))
        return (800 + 0.05 * wavelength) * (1 - (0.1 + 0.4 * number / STARS) * absorbed + 0.01 * noise)

    return spectrum


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Theory's and observed stars, the same ones, from FITS files of the red arm to HDF5, on a coarse grid."""
    folder = tmp_path_factory.mktemp("galah")
    np.save(folder / "grid.npy", HERMES.cut()[(HERMES.cut() > 6490) & (HERMES.cut() < 6730)][::4])
    for name, lines in (("synth", KNOWN), ("obs", KNOWN + LACKING)):
        (folder / name).mkdir()
        for number in range(STARS):
            velocity = 10.0 * number - 100
            write_star(folder / name, 170418003701205 + number, spectrum_of(number, lines), 0.01, velocity, arms=(3,))
        options = (
            ["--wavelength", str(folder / "grid.npy")] if name == "synth" else ["--like", str(folder / "synth.h5")]
        )
        convert(
            [str(folder / name), str(folder / f"{name}.h5"), "--val", "0.2", "--test", "0.1", "--seed", "1", *options]
        )
    return folder


def test_two_files_of_it_train_a_translator(files):
    overrides = [f"domains.{name}.path={files / name}.h5" for name in ("synth", "obs")]
    with initialize_config_dir(config_folder(), version_base="1.3"):
        config = compose("train", ["domains=files", *TINY, *overrides, "domains.skip_pixels=0", "logger.wandb=false"])
    (files / "run").mkdir()
    train(validate(config, TrainConfig), files / "run")
    scores = json.loads((files / "run" / "scores.json").read_text())
    with SpectraFile(files / "synth.h5") as synth, SpectraFile(files / "obs.h5") as obs:
        assert synth.subsets == obs.subsets
        assert synth.identities("val") == obs.identities("val")  # the same stars, which scores were made of
        theory, seen, wavelength = synth.read("val"), obs.read("val"), obs.wavelength
    assert scores["x_synth_obs"] < scores["gap_synth_obs"] / 2
    model = load(files / "run", "cpu")
    assert torch.equal(model.wavelength, wavelength)
    translated = model.synth_to_obs(theory.flux, theory.error, theory.mask)
    lacking = torch.stack([(wavelength - at).abs() < 1 for at in LACKING]).any(dim=0)
    # However short the training: the mean of what theory lacks is learnt first.
    assert (seen.flux - theory.flux)[:, lacking].mean() < -0.05
    off = (translated - seen.flux)[:, lacking].mean().abs()
    assert off < 0.5 * (theory.flux - seen.flux)[:, lacking].mean().abs()

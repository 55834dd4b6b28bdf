"""cyclegan/training/theory.py: what cannot be used is told before the minutes that the built-in emulator takes."""

import h5py
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir

import cyclegan.training.theory
from cyclegan.training.schema import TrainConfig
from cyclegan.training.theory import BUILT_IN, prepare_theory
from emulator.apogee import apogee_wavelength
from emulator.commands.config import config_folder, validate
from emulator.commands.errors import InputError
from emulator.labels import LABELS, sample_grid_labels
from emulator.payne import Payne
from emulator.train import load_config, untrained

SOME = apogee_wavelength()[1000:1040]  # of the built-in emulator


@pytest.fixture
def made(tmp_path, monkeypatch):
    """The configurations with which the emulator was made, in a folder without one; it is quick here, and dull."""
    configs = []

    def train_payne(config, folder):
        configs.append(config)
        (tmp_path / "models").mkdir()
        untrained(config).save(config.output)

    monkeypatch.setattr(cyclegan.training.theory, "train_payne", train_payne)
    monkeypatch.chdir(tmp_path)
    return configs


def write(path, wavelength=SOME, stars=24):
    random = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file["wavelength"] = wavelength
        file.attrs["label_names"] = LABELS
        for subset in ("train", "val", "test"):
            file[f"spectra {subset}"] = random.uniform(0.8, 1.0, (stars, len(wavelength)))
            file[f"spectra_err {subset}"] = np.full((stars, len(wavelength)), 0.01)
            file[f"labels {subset}"] = sample_grid_labels(2000, random)[:stars]
    return path


def prepare(folder, *overrides, experiment="payne2data"):
    with initialize_config_dir(config_folder(), version_base="1.3"):
        config = validate(compose("train", [f"+experiment={experiment}", *overrides]), TrainConfig)
    return prepare_theory(config, folder)


def test_the_stand_in_has_the_ranges_and_pixels_of_what_is_made():
    payne, config = untrained(load_config(["grid.stars=50"])), load_config(["grid.stars=50"])
    labels = sample_grid_labels(50, np.random.default_rng(config.seed))
    np.testing.assert_allclose(payne.label_low, labels.min(axis=0), rtol=1e-6)
    np.testing.assert_allclose(payne.label_high, labels.max(axis=0), rtol=1e-6)
    assert torch.equal(payne.wavelength, torch.from_numpy(apogee_wavelength()))


def test_a_file_that_fits_has_its_emulator_made_once_and_is_told_of_once(made, tmp_path, caplog):
    path = write(tmp_path / "obs.h5")
    with h5py.File(path, "r+") as file:
        file["spectra val"][2, 3] = np.nan
    for _ in range(2):
        emulator = prepare(tmp_path, f"domains.obs.path={path}").emulator
    assert [config.output for config in made] == [str(BUILT_IN)]
    assert torch.equal(emulator.wavelength, torch.from_numpy(SOME))
    assert "masked" not in caplog.text  # which is told by what reads the file for good


def other(payne, **changes):
    """An emulator like another but for some of what `Payne` takes."""
    own = {
        "label_names": payne.label_names,
        "label_low": payne.label_low,
        "label_high": payne.label_high,
        "wavelength": payne.wavelength,
    }
    return Payne(**(own | changes), width=2)


def prepare_both(folder, synth, obs):
    for name, payne in (("synth", synth), ("obs", obs)):
        payne.save(folder / f"{name}.pt")
    paths = [f"domains.{name}.emulator={folder}/{name}.pt" for name in ("synth", "obs")]
    with initialize_config_dir(config_folder(), version_base="1.3"):
        config = validate(compose("train", ["+experiment=lines2lines", *paths]), TrainConfig)
    return prepare_theory(config, folder)


def test_each_domain_may_have_an_emulator_of_its_own(tmp_path, payne):
    theory = prepare_both(tmp_path, payne, other(payne))
    assert theory.emulator.output.in_features == payne.output.in_features
    assert theory.observed.output.in_features == 2
    assert prepare_both(tmp_path, payne, payne).observed is not None


def test_one_emulator_for_both_is_no_other(made, tmp_path, payne):
    payne.save(tmp_path / "own.pt")
    paths = ["domains.emulator=own.pt", "domains.synth.emulator=own.pt", "domains.obs.emulator=own.pt"]
    with initialize_config_dir(config_folder(), version_base="1.3"):
        config = validate(compose("train", ["+experiment=payne2payne", *paths]), TrainConfig)
    assert prepare_theory(config, tmp_path).observed is None
    assert made == []


def test_emulators_of_both_domains_have_to_fit(tmp_path, payne):
    names = [*payne.label_names[:-1], "age"]
    with pytest.raises(
        InputError, match=r"domains.synth.emulator and .*: expected the same labels, got .* and .*, age"
    ):
        prepare_both(tmp_path, payne, other(payne, label_names=names))
    with pytest.raises(InputError, match="expected the same wavelengths, got 203 and 202 pixels"):
        prepare_both(tmp_path, payne, other(payne, wavelength=payne.wavelength[1:]))
    with pytest.raises(InputError, match="expected the same range of 'teff'"):
        prepare_both(tmp_path, payne, other(payne, label_low=payne.label_low - 1.0))


def optical(path):
    write(path, np.linspace(5000.0, 5040.0, 41))


def with_values(name, rows, value):
    def spoil(path):
        with h5py.File(path, "r+") as file:
            file[name][rows] = value

    return spoil


BAD = {
    "wavelengths of another instrument": (optical, [], "among its own 7214 pixels, .* got 5000.000 A at pixel 0"),
    "a truncated file": (lambda path: path.write_bytes(path.read_bytes()[:3000]), [], "obs.h5: .* truncated"),
    "an error of zero": (
        with_values("spectra_err test", np.s_[3, 5], 0),
        [],
        "obs.h5: expected errors above 0 in 'spectra_err test', got 0 in row 3, pixel 5",
    ),
    "counts": (with_values("spectra train", np.s_[:], 5000), [], "obs.h5: .* a median of 5000"),
    "too few stars to score": (lambda path: write(path, stars=3), [], "at least 4 stars in 'val', got 3"),
    "blind stars": (
        with_values("spectra train", np.s_[1:], np.nan),
        [],
        "at least 20 spectra in 'train', as .*, got 1",
    ),
    "pixels to skip": (None, ["domains.skip_pixels=39"], "at least 2 wavelengths from pixel 39 on, got 1"),
    "anchors that are not there": (None, ["domains.anchors=nowhere.csv"], "nowhere.csv: expected a header"),
    "nothing known": (None, ["domains.population.known=nowhere.csv"], "nowhere.csv: .* found no file"),
    "a table of others": (
        None,
        ["domains/population=table", "domains.population.path=few.csv"],
        "few.csv: expected the emulator's labels",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_nothing_is_made_for_what_cannot_be_used(made, tmp_path, case):
    spoil, overrides, words = BAD[case]
    path = write(tmp_path / "obs.h5")
    (tmp_path / "few.csv").write_text("teff,logg\n5000,4\n")
    if spoil is not None:
        spoil(path)
    with pytest.raises(InputError, match=words) as caught:
        prepare(tmp_path, f"domains.obs.path={path}", *overrides)
    assert "\n" not in str(caught.value)
    assert made == []


def test_an_optical_file_is_refused_in_one_line_and_leaves_nothing(start, tmp_path):
    optical(tmp_path / "obs.h5")
    command = start(tmp_path, "+experiment=payne2data", "domains.obs.path=obs.h5", "logger.wandb=false").wait()
    assert command.code == 2
    (line,) = command.err.splitlines()
    assert line.startswith("error: emulator: expected the spectra's wavelengths among its own 7214 pixels, 15168.")
    assert not (tmp_path / "models").exists()
    assert list(tmp_path.glob("runs/*/*")) == []


def test_runs_of_other_seeds_may_lack_the_same_lines(payne_file, tmp_path):
    tables = {}
    for seed, hidden in ((1, 5), (2, 5), (2, "null")):
        folder = tmp_path / f"{seed}-{hidden}"
        folder.mkdir()
        prepare(
            folder,
            f"domains.emulator={payne_file}",
            f"domains.hidden_seed={hidden}",
            f"seed={seed}",
            experiment="payne2payne",
        )
        tables[seed, hidden] = (folder / "hidden_features_synth.csv").read_text()
    assert tables[1, 5] == tables[2, 5] != tables[2, "null"]

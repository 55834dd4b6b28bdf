"""python -m cyclegan.train: what cannot be used is told in one line with exit code 2, and leaves nothing behind."""

import math
import shutil
from copy import deepcopy

import h5py
import numpy as np
import pytest
from processes import TINY, TINY_CONV, all_finished

CONV = ("networks=conv",)
CONFIGURATIONS = {
    "a mistyped key": (["trainer.stepz=3"], ["trainer.stepz", "--cfg job", "is 'trainer.steps' meant?"]),
    "files that are not named": (["+experiment=theory2data"], ["path'", "expected a value, got none"]),
    "an added key": (["+typo=1"], ["unknown config key 'typo'", "networks"]),
    "an added key in a group": (["+trainer.stepz=3"], ["unknown config key 'trainer.stepz'", "steps"]),
    "a key below a value": (["+seed.x=3"], ["seed"]),
    "an unknown experiment": (["+experiment=nothing"], ["experiment/nothing", "payne2payne"]),
    "an unknown group": (["networks=nothing"], ["networks/nothing", "dense"]),
    "text for a number": (["networks.shared=abc"], ["'networks.shared'", "abc"]),
    "a fraction for a whole number": (["trainer.epochs=1.5"], ["'trainer.epochs'", "1.5"]),
    "text for yes or no": (["logger.wandb=perhaps"], ["'logger.wandb'", "perhaps"]),
    "no value": (["trainer.epochs=null"], ["'trainer.epochs'"]),
    "no latent variables": (["networks.shared=0"], ["'networks.shared'", "at least 1", "got 0"]),
    "a negative seed": (["seed=-1"], ["'seed'", "at least 0", "got -1"]),
    "more pixels to skip than there are": (
        ["domains.skip_pixels=9000"],
        ["'domains.skip_pixels'", "at most", "got 9000"],
    ),
    "a seed of too many digits": (["seed=99999999999"], ["'seed'", "at most 4294967295", "got 99999999999"]),
    "a key of the other kind of networks": (["networks.channels=[4]"], ["networks.channels", "--cfg job"]),
    "a key of version 0.1": (["networks.kind=conv"], ["networks.kind", "--cfg job"]),
    "no kind of networks": (
        ["networks._target_=os.system"],
        ["'networks._target_'", "a kind of", "os.system"],
    ),
    "a number for a list": (["networks.channels=3", *CONV], ["'networks.channels'", "expected a list"]),
    "no channels": (["networks.channels=[]", *CONV], ["'networks.channels'", "one at least", "got none"]),
    "lines hidden from a file": (
        ["domains.synth.path=synth.h5", "domains.synth.hidden_share=0.3"],
        ["'domains.synth.hidden_share'", "emulator alone", "0.3"],
    ),
    "an emulator of a file": (
        ["domains.obs.path=obs.h5", "domains.obs.emulator=other.pt"],
        ["'domains.obs.emulator'", "null beside domains.obs.path", "other.pt"],
    ),
    "an emulator that is not there": (["domains.emulator=nowhere.pt"], ["nowhere.pt", "emulator.train", "found none"]),
    "a negative weight": (["losses.pairs=-1"], ["'losses.pairs'", "at least 0", "got -1"]),
    "a weight that is no number": (["losses.pairs=nan"], ["'losses.pairs'", "got nan"]),
    "text for a weight": (["losses.pairs=much"], ["'losses.pairs'", "much"]),
    "a weight of no term": (["+losses.sliced_wasserstein=1"], ["'losses.sliced_wasserstein'", "latent_cycle", "pairs"]),
    "a learning rate of zero": (["trainer.learning_rate=0"], ["'trainer.learning_rate'", "more than 0"]),
    "a share above one": (["pairs.share=1.5"], ["'pairs.share'", "at most 1", "1.5"]),
    "no loss at all": (
        [f"losses.{name}=0" for name in ("synth", "obs", "adversarial", "pairs", "independence", "latent_cycle")],
        ["'losses'", "above 0"],
    ),
    "a choice by judges without judges": (
        ["selection.by=discriminator", "losses.adversarial=0"],
        ["'losses.adversarial'", "selection.by=discriminator"],
    ),
    "a choice by pairs without pairs": (["selection.by=density", "losses.pairs=0"], ["'losses.pairs'", "density"]),
    "an accelerator that is not there": (["trainer.accelerator=gpu"], ["'trainer.accelerator'", "gpu"]),
    "more latents than components": (["networks.shared=12"], ["'networks.shared'", "12", "12 + 1"]),
    "more components than spectra": (["networks.components=5000"], ["'networks.components'", "5000", "192"]),
    "dense networks without a width": (["networks.width=null"], ["'networks.width': expected an integer, got None"]),
    "conv networks without channels": (["networks.channels=null", *CONV], ["'networks.channels'"]),
    "a run to resume that is not there": (["resume=nowhere"], ["'resume'", "last.ckpt", "nowhere"]),
    "a folder that cannot be written": (["hydra.run.dir=a_file/run"], ["a_file"]),
    "a folder for an emulator": (["domains.emulator=."], ["expected a file written by Payne.save"]),
    "another file for an emulator": (["domains.emulator=a_file"], ["a_file", "Payne.save"]),
    "an emulator of hot stars": (["domains.emulator=hot.pt"], ["label 'teff'", "9000 to 12000", "got 0 of"]),
}


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def rewritten(name, change):
    def spoil(path):
        with h5py.File(path, "r+") as file:
            values = file[name][()]
            del file[name]
            if (changed := change(values)) is not None:
                file[name] = changed

    return spoil


def with_pixel(value):
    def change(values):
        values[3, 5] = value
        return values

    return change


def fewer_pixels(path):
    with h5py.File(path, "r+") as file:
        for name in list(file):
            values = file[name][..., :-3]
            del file[name]
            file[name] = values


def no_stars(path):
    for name in ("spectra train", "spectra_err train"):
        rewritten(name, lambda values: values[:0])(path)


# What happens to obs.h5, and the words that must be in the line.
FILES = {
    "a missing file": (lambda path: path.unlink(), ["obs.h5", "no such file"]),
    "a truncated file": (cut, ["obs.h5", "truncated"]),
    "a file of something else": (lambda path: path.write_text("stars\n"), ["obs.h5", "HDF5"]),
    "an absent dataset": (rewritten("spectra_err val", lambda _: None), ["obs.h5", "'spectra_err val'"]),
    "other wavelengths": (rewritten("wavelength", lambda w: w + 0.5), ["wavelengths", "in synth", "in obs"]),
    "other pixels": (fewer_pixels, ["pixels", "203 in synth", "200 in obs"]),
    "an error of zero": (rewritten("spectra_err train", with_pixel(0)), ["obs.h5", "'spectra_err train'", "row 3"]),
    "a negative error": (rewritten("spectra_err val", with_pixel(-0.01)), ["'spectra_err val'", "-0.01", "pixel 5"]),
    "an empty domain": (no_stars, ["obs.h5", "'train'", "empty"]),
    "nothing usable": (rewritten("spectra train", lambda f: f * math.nan), ["obs.h5", "'spectra train'", "none"]),
    "other matched stars": (
        lambda path: [rewritten(f"{name} val", lambda v: v[1:])(path) for name in ("spectra", "spectra_err")],
        ["'val'", "60 in synth, 59 in obs"],
    ),
}


@pytest.fixture(scope="module")
def refused(start, payne, payne_file, domain_files, tmp_path_factory):
    """Every command above, finished: by what was wrong with it."""

    def configured(name):
        folder = tmp_path_factory.mktemp("config")
        (folder / "a_file").write_text("not an emulator\n")
        hot = deepcopy(payne)
        hot.label_low[0], hot.label_high[0] = 9000.0, 12000.0
        hot.save(folder / "hot.pt")
        overrides, _ = CONFIGURATIONS[name]
        sizes = TINY_CONV if CONV[0] in overrides else TINY
        return start(folder, f"domains.emulator={payne_file}", "logger.wandb=false", *overrides, tiny=sizes)

    def read(name):
        folder = tmp_path_factory.mktemp("files")
        for path in domain_files:
            shutil.copy(path, folder)
        FILES[name][0](folder / "obs.h5")
        paths = "domains=files", "domains.synth.path=synth.h5", "domains.obs.path=obs.h5", "domains.skip_pixels=0"
        return start(folder, *paths, "logger.wandb=false")

    return all_finished(configured, CONFIGURATIONS, 3) | all_finished(read, FILES, 3)


CASES = {name: words for name, (_, words) in (CONFIGURATIONS | FILES).items()}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_told_in_one_line_and_leaves_no_run(refused, name):
    command = refused[name]
    assert command.code == 2, command.err
    (line,) = command.err.splitlines()
    assert line.startswith("error: ")
    assert all(word in line for word in CASES[name]), line
    assert list(command.folder.glob("runs/*/*")) == []
    assert not (command.folder / "a_file").is_dir()


def test_files_with_nan_and_infinite_pixels_train_and_say_so(start, domain_files, tmp_path):
    for path in domain_files:
        shutil.copy(path, tmp_path)
    for value, row in ((math.nan, 0), (math.inf, 1)):
        with h5py.File(tmp_path / "obs.h5", "r+") as file:
            file["spectra train"][row, 20:30] = value
            file["spectra val"][row, 20:30] = value
    paths = "domains=files", "domains.synth.path=synth.h5", "domains.obs.path=obs.h5", "domains.skip_pixels=0"
    command = start(tmp_path, *paths, "logger.wandb=false", "trainer.epochs=1").wait()
    assert command.code == 0, command.err
    assert "masked 20 of 81200 pixels in 'train'" in command.out
    assert "masked 20 of 12180 pixels in 'val'" in command.out
    metrics = np.genfromtxt(command.run / "metrics.csv", delimiter=",", names=True)
    assert np.isfinite(metrics["traincycle_obs"]).sum() == 4
    assert np.isfinite(metrics["x_synth_obs"]).sum() == 1


def test_a_checkpoint_that_does_not_load_is_told(start, payne_file, tmp_path):
    run = tmp_path / "run"
    first = start(tmp_path, f"domains.emulator={payne_file}", "logger.wandb=false", "hydra.run.dir=run").wait()
    assert first.code == 0, first.err
    cut(run / "last.ckpt")
    command = start(tmp_path, "resume=run", tiny=()).wait()
    assert command.code == 2
    (line,) = command.err.splitlines()
    assert "last.ckpt: expected a checkpoint of this program, got a file that does not load" in line

"""python -m cyclegan.train, as a user meets it: what a run leaves in its folder."""

import csv
import json
import os
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from processes import TINY, TINY_CONV
from reference import REFERENCE

from cyclegan.domains.effects import PhotonNoise
from cyclegan.domains.emulated import EmulatedDomain
from cyclegan.domains.exposure import Observation
from cyclegan.domains.hidden import hidden_pixels, strong_features
from cyclegan.domains.survey import Survey
from cyclegan.linear.maps import LINEAR
from cyclegan.scores.scores import SCORES
from cyclegan.scores.signals import SIGNALS
from cyclegan.spectra.spaces import Components
from cyclegan.spectra.spectra import ERROR_FLOOR
from cyclegan.trained.loading import load
from cyclegan.training import theory
from cyclegan.training.resuming import BusyError, claimed
from cyclegan.translator.networks import make_networks
from cyclegan.translator.translator import build_translator
from emulator.commands.errors import InputError
from emulator.payne import Payne


def on_a_terminal(command, **options):
    """The exit code of a command, and what a terminal shows of its errors and bars."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 200))
    with os.fdopen(ours, "rb", buffering=0) as screen:
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs, **options) as process:
            os.close(theirs)
            seen = b""
            with suppress(OSError):  # the end of a terminal that nobody writes to any more
                while part := screen.read(4096):
                    seen += part
        return process.returncode, seen.decode()


@pytest.fixture(scope="module")
def run(payne_file, tmp_path_factory):
    """The folder of a run, by the very command of the README."""
    folder = tmp_path_factory.mktemp("train")
    command = [sys.executable, "-m", "cyclegan.train", "+experiment=payne2payne", *TINY, "logger.wandb=false"]
    # Relative to the folder in which the command is given.
    command.append(f"domains.emulator={os.path.relpath(payne_file, folder)}")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    code, seen = on_a_terminal(command, cwd=folder, env=environment)
    assert code == 0, seen
    (run,) = folder.glob("runs/payne2payne/*")
    assert "training: 100%" in seen
    assert "x_synth_obs=" in seen
    return run


@pytest.fixture(scope="module")
def scores(run):
    return json.loads((run / "scores.json").read_text())


def test_a_run_folder_holds_all_that_belongs_to_it(run):
    names = {path.name for path in run.iterdir()}
    files = {"config.yaml", "scores.json", "metrics.csv", "best.ckpt", "last.ckpt", "history.png", "stars.png"}
    assert files | {"hidden_features_synth.csv"} <= names
    for picture in ("history.png", "stars.png"):
        assert (run / picture).read_bytes().startswith(b"\x89PNG")


CONTROLS = "gap", *LINEAR


def test_the_scores_have_every_key(scores):
    keys = {*SCORES, "x_synth_obs_mse", "x_obs_synth_mse", "dead_latents"}
    keys |= {f"{control}_{way}" for control in CONTROLS for way in ("synth_obs", "obs_synth")}
    keys |= {*SIGNALS, "weakest_latent", "split_told", "split_effect", "faults"}
    keys |= {
        "floor_synth_obs",
        "steps",
        "kept_step",
        "seconds",
        "cpu_seconds",
        "resumed_at_step",
        "seed",
        "device",
        "versions",
    }
    assert set(scores) == keys
    assert scores["steps"] == 16
    assert scores["seed"] == 1
    assert scores["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]  # the build is not always told
    assert scores["floor_synth_obs"] < scores["shift_synth_obs"] < scores["gap_synth_obs"]
    assert scores["floor_synth_obs"] == pytest.approx(1, abs=0.1)


def test_the_composed_configuration_is_kept(run):
    config = OmegaConf.load(run / "config.yaml")
    assert config.name == "payne2payne"
    assert config.networks.shared == 4
    assert config.domains.synth.hidden_share == 0.3


def test_metrics_are_logged_every_few_steps_and_scores_every_epoch(run, scores):
    rows = list(csv.DictReader((run / "metrics.csv").open()))
    assert [int(row["step"]) for row in rows if row["train/cycle_obs"]] == list(range(1, 16, 2))
    scored = [row for row in rows if row["x_synth_obs"]]
    assert [int(row["step"]) for row in scored] == [7, 15]
    for name in SCORES:
        assert float(scored[-1][name]) == pytest.approx(scores[name], rel=1e-4)


def test_hidden_features_are_a_share_of_each_elements_and_seeded(run, payne):
    hidden = list(csv.DictReader((run / "hidden_features_synth.csv").open()))
    elements = [feature.element for feature in strong_features(payne)]
    for element in set(elements):
        assert sum(row["element"] == element for row in hidden) == round(0.3 * elements.count(element))
    again = theory.hide_features(payne, 0.3, seed=1)
    assert [int(row["start"]) for row in hidden] == [feature.start for feature in again]
    assert theory.hide_features(payne, 0.3, seed=2) != again


def test_a_checkpoint_stands_alone(run, payne):
    checkpoint = torch.load(run / "last.ckpt", weights_only=True)
    record = checkpoint["record"]
    assert torch.equal(record["wavelength"], payne.wavelength)
    assert record["medium"] == "vacuum"
    labels = (payne.label_low + payne.label_high)[None] / 2
    assert torch.equal(Payne.from_contents(record["emulator"], "the checkpoint")(labels), payne(labels))
    assert OmegaConf.create(record["config"]) == OmegaConf.load(run / "config.yaml")
    hidden = theory.hide_features(payne, 0.3, seed=1)
    assert torch.equal(record["hidden"]["synth"], hidden_pixels(hidden, len(payne.wavelength)))
    parts = {name.split(".")[0] for name in checkpoint["state_dict"]}
    assert parts == {"translator", "discriminators"}
    assert checkpoint["global_step"] == 16


def test_the_scores_are_those_of_a_line_of_numpy_on_the_last_checkpoint(run, payne, scores):
    """The checkpoint's weights, applied by hand to all matched stars at once."""
    checkpoint = torch.load(run / "last.ckpt", weights_only=True)
    state = {name: t for name, t in checkpoint["state_dict"].items() if name.startswith("translator.")}
    state = {name.removeprefix("translator."): t for name, t in state.items()}
    networks = make_networks(checkpoint["record"]["config"]["networks"])
    hidden = checkpoint["record"]["hidden"]["synth"]
    synth = EmulatedDomain(payne, Survey(), 2, 40, hidden, Observation()).matched("val")
    obs = EmulatedDomain(payne, Survey(), 2, 40, None, Observation([PhotonNoise(payne.wavelength)])).matched("val")

    spaces = [Components(*(state[f"space_{d}.{name}"] for name in ("mean", "weight", "basis"))) for d in "so"]
    translator = build_translator(networks, tuple(spaces), state["encoder_s.scale"])
    translator.load_state_dict(state)
    with torch.no_grad():
        _, split = translator.encoder_o(translator.space_o.project(obs).flux)
        so = translator.synth_to_obs(synth, split).double().numpy()
    expected = (((so - obs.flux.numpy()) / np.maximum(obs.error.numpy(), ERROR_FLOOR)) ** 2).mean()
    assert scores["x_synth_obs"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["classic", "theory2data"])
def test_files_train_with_no_emulator_at_all(start, domain_files, tmp_path, name):
    synth, obs = domain_files
    paths = f"domains.synth.path={synth}", f"domains.obs.path={obs}"
    finished = start(tmp_path, f"+experiment={name}", *paths, "domains.skip_pixels=3", "logger.wandb=false").wait()
    assert finished.code == 0, finished.err
    scores = json.loads((finished.run / "scores.json").read_text())
    assert "floor_synth_obs" not in scores
    assert len(torch.load(finished.run / "last.ckpt", weights_only=True)["record"]["wavelength"]) == 200
    assert not (tmp_path / "models").exists()


def test_without_a_split_latent_its_score_is_null(start, payne_file, tmp_path):
    finished = start(
        tmp_path, f"domains.emulator={payne_file}", "networks.split=0", "trainer.epochs=1", "logger.wandb=false"
    ).wait()
    assert finished.code == 0, finished.err
    scores = json.loads((finished.run / "scores.json").read_text())
    assert scores["z_split"] is None
    assert all(scores[name] is not None for name in SCORES if name != "z_split")


def test_conv_networks_train_too(start, payne_file, tmp_path):
    finished = start(tmp_path, f"domains.emulator={payne_file}", "logger.wandb=false", tiny=TINY_CONV).wait()
    assert finished.code == 0, finished.err
    assert json.loads((finished.run / "scores.json").read_text())["steps"] == 16


def test_a_folder_is_one_runs_at_a_time(tmp_path):
    with (
        claimed(tmp_path),
        pytest.raises(BusyError, match="no other run"),
        claimed(tmp_path),
    ):
        pass
    with claimed(tmp_path):  # whoever is through lets go of it
        pass


def test_where_no_emulator_is_kept_one_is_trained_and_kept(payne, tmp_path, monkeypatch, caplog):
    """The training itself is tests/emulator/test_emulator_train.py's; here it is enough that it is asked for, once."""
    asked = []

    def train_payne(config, folder):
        asked.append(config.output)
        payne.save(config.output)

    monkeypatch.setattr(theory, "train_payne", train_payne)
    monkeypatch.chdir(tmp_path)
    path = Path("models", "payne.pt")
    with caplog.at_level("INFO"):
        first = theory.find_or_train_emulator(path, tmp_path)
        second = theory.find_or_train_emulator(path, tmp_path)
    assert asked == [str(path)]
    assert "no emulator" in caplog.text
    assert str(path) in caplog.text
    assert torch.equal(first.output.weight, payne.output.weight)
    assert torch.equal(second.output.weight, payne.output.weight)
    with pytest.raises(InputError, match=r"mine.pt: expected an emulator's file, .* found none"):
        theory.find_or_train_emulator(Path("models", "mine.pt"), tmp_path)


@pytest.mark.reference
def test_theory_becomes_like_real_stars(start, tmp_path):
    """Kurucz models against APOGEE spectra, far fewer and far shorter than a run of the experiment."""
    maker = REFERENCE / "make_domains.py"
    if not maker.exists():
        pytest.skip(f"REAL SPECTRA NOT TESTED: there is no {maker}")
    subprocess.run([sys.executable, maker, tmp_path, "--train", "600", "--val", "100"], check=True)
    finished = start(
        tmp_path,
        "+experiment=theory2data",
        "domains.synth.path=synth.h5",
        "domains.obs.path=obs.h5",
        "trainer.epochs=4",
        "trainer.steps=80",
        "trainer.accelerator=cpu",
        "logger.wandb=false",
        tiny=(),
    ).wait()
    assert finished.code == 0, finished.err
    scores = json.loads((finished.run / "scores.json").read_text())
    noise = 0.95  # what the noiseless truth scores
    assert (scores["x_synth_obs"] - noise) / (scores["shift_synth_obs"] - noise) < 0.32
    assert scores["x_obs_synth"] < 0.35
    assert max(scores[name] for name in SCORES if name.startswith("z_")) < 0.05


@pytest.mark.parametrize("by", ["none", "density"])
def test_where_sets_do_not_match_the_labels_of_paired_stars_are_drawn(start, payne_file, tmp_path, by):
    share = "0.5" if by == "none" else "1.0"
    overrides = ("+experiment=payne2payne", f"domains.emulator={payne_file}", "logger.wandb=false")
    command = start(tmp_path, *overrides, f"selection.by={by}", f"pairs.share={share}").wait()
    assert command.code == 0, command.err
    picture = (command.run / "populations.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    (command.run / "populations.png").unlink()  # as if it had been killed just before
    again = start(tmp_path, f"resume={command.run}", tiny=()).wait()
    assert again.code == 0, again.err
    assert (command.run / "populations.png").read_bytes() == picture


def test_two_files_of_other_stars_train_without_matched_scores(start, domain_files, tmp_path):
    paths = [f"domains.{side}.path={path}" for side, path in zip(("synth", "obs"), domain_files, strict=True)]
    few = tmp_path / "few.h5"
    few.write_bytes(domain_files[1].read_bytes())
    with h5py.File(few, "r+") as file:
        for name in ("spectra val", "spectra_err val", "mask val"):
            if name in file:
                values = file[name][:20]
                del file[name]
                file[name] = values
        for name in [name for name in file if name.endswith(" val") and len(file[name]) > 20]:
            del file[name]
    common = ("+experiment=theory2data", paths[0], f"domains.obs.path={few}", "domains.skip_pixels=0")
    (tmp_path / "refused").mkdir()
    (tmp_path / "trained").mkdir()
    refused = start(tmp_path / "refused", *common, "logger.wandb=false")
    trained = start(tmp_path / "trained", *common, "domains.matched=false", "logger.wandb=false").wait()
    assert "expected the same stars in 'val' of both" in refused.wait().err
    assert trained.code == 0, trained.err
    scores = json.loads((trained.run / "scores.json").read_text())
    assert "x_synth_obs" not in scores
    assert 0 <= scores["agreement"] <= 1
    assert not torch.load(trained.run / "last.ckpt", weights_only=True)["record"]["matched"]


def test_without_an_experiment_nothing_begins(start, payne_file, tmp_path):
    bad = start(tmp_path, f"domains.emulator={payne_file}", "trainer.epochs=1", tiny=()).wait()
    assert bad.code == 2
    assert "error: expected a name, as +experiment=classic|lines2lines|payne2data|" in bad.err


def test_where_steps_only_spoil_the_start_is_what_a_run_ends_with(start, domain_files, tmp_path):
    files = [f"domains.{side}.path={path}" for side, path in zip(("synth", "obs"), domain_files, strict=True)]
    overrides = "domains=files", "domains.skip_pixels=0", "trainer.keep=agreement", "trainer.learning_rate=0.1"
    finished = start(tmp_path, *files, *overrides, "name=few", "logger.wandb=false").wait()
    assert finished.code == 0, finished.err
    scores = json.loads((finished.run / "scores.json").read_text())
    assert scores["kept_step"] == 0
    assert scores["x_synth_obs"] < scores["shift_synth_obs"]
    model = load(finished.run, "cpu")
    assert model.record.kept_step == 0
    again = start(
        tmp_path, f"checkpoint={finished.run}", "logger.wandb=false", module="cyclegan.evaluate", tiny=()
    ).wait()
    assert again.code == 0, again.err

"""resume=RUN_DIR: a run that was killed or stopped ends as one that never was, bit for bit."""

import json
import shutil
import signal
from functools import partial

import h5py
import pytest
import torch
from omegaconf import OmegaConf
from processes import signal_at

from cyclegan.scores.scores import SCORES
from cyclegan.training.resuming import claimed
from cyclegan.training.run import train
from cyclegan.training.schema import TrainConfig
from emulator.commands.config import validate
from emulator.commands.errors import InputError

RUN = (
    "trainer.epochs=3",
    "losses.adversarial=0.1",
    "logger.wandb=false",
    "hydra.run.dir=run",
)

# Epochs of 8 batches, a checkpoint every 4. Where in the run, and by what, it is stopped; from which batch it goes on.
INTERRUPTIONS = {
    "killed in mid-epoch": ("training_step", 14, signal.SIGKILL, 12),
    "killed in the first epoch, between log rows": ("training_step", 6, signal.SIGKILL, 5),
    "killed before an epoch is scored": ("on_validation_epoch_end", 16, signal.SIGKILL, 12),
    "killed between epochs": ("on_train_epoch_start", 16, signal.SIGKILL, 16),
    "stopped by hand": ("training_step", 13, signal.SIGINT, 12),
    "terminated in a step": ("training_step", 13, signal.SIGTERM, 14),
    "warned after an epoch's last step": ("on_validation_epoch_end", 16, signal.SIGUSR1, 16),
}
DOMAINS = {
    "killed in mid-epoch": "emulated",
    "killed in the first epoch, between log rows": "emulated",
    "killed before an epoch is scored": "files",
    "killed between epochs": "files",
    "stopped by hand": "files",
    "terminated in a step": "files",
    "warned after an epoch's last step": "files",
}
CODES = {signal.SIGKILL: -signal.SIGKILL, signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGUSR1: 143}


@pytest.fixture(scope="module")
def finished(start, payne_file, domain_files, tmp_path_factory):
    """Every interrupted run, resumed to its end, and the runs never interrupted: finished commands by name."""
    overrides = {
        "emulated": [f"domains.emulator={payne_file}"],
        "files": ["domains=files", "domains.skip_pixels=0", "trainer.keep=agreement"],
    }
    overrides["files"] += [
        f"domains.{side}.path={path}" for side, path in zip(("synth", "obs"), domain_files, strict=True)
    ]
    folders = {name: tmp_path_factory.mktemp("resume") for name in (*overrides, *INTERRUPTIONS)}
    whole = {kind: start(folders[kind], *RUN, *overrides[kind]) for kind in overrides}
    interrupted = {}
    for name, (hook, step, number, resumed_at) in INTERRUPTIONS.items():
        every = "trainer.checkpoint_every=5" if resumed_at == 5 else "trainer.checkpoint_every=4"
        before, own = partial(signal_at, hook, step, number), list(overrides[DOMAINS[name]])
        if DOMAINS[name] == "emulated":
            shutil.copy(payne_file, folders[name] / "own.pt")
            own = ["domains.emulator=own.pt"]
        interrupted[name] = start(folders[name], *RUN, *own, every, before=before)
    for name, started in interrupted.items():
        code = started.wait().code
        assert code == CODES[INTERRUPTIONS[name][2]], name
        assert not (folders[name] / "run" / "scores.json").exists(), name
        (folders[name] / "own.pt").unlink(missing_ok=True)  # the run holds its emulator
    said = (folders["stopped by hand"] / "err").read_text()
    assert f"\ngo on with: python -m cyclegan.train resume={folders['stopped by hand']}/run\ninterrupted\n" in said
    resumed = {name: start(folders[name], "resume=run", tiny=()) for name in interrupted}
    return {name: started.wait() for name, started in (whole | resumed).items()}


def checkpoint(command, name="last"):
    return torch.load(command.folder / "run" / f"{name}.ckpt", weights_only=True)


def assert_same(a, b, where):
    assert type(a) is type(b), where
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}[{i}]")
    else:
        assert a == b, where


@pytest.fixture(params=INTERRUPTIONS)
def pair(request, finished):
    """A resumed run beside the one never interrupted, and the batch from which it was to go on."""
    name = request.param
    assert finished[name].code == 0, finished[name].err
    return finished[name], finished[DOMAINS[name]], INTERRUPTIONS[name][3]


def test_a_resumed_run_ends_with_the_same_weights(pair):
    resumed, whole, _ = pair
    for key in ("state_dict", "optimizer_states", "global_step", "epoch"):
        assert_same(checkpoint(resumed)[key], checkpoint(whole)[key], key)


def test_the_best_checkpoint_is_the_same(pair):
    resumed, whole, _ = pair
    assert_same(checkpoint(resumed, "best")["state_dict"], checkpoint(whole, "best")["state_dict"], "best")


def test_a_resumed_run_goes_on_where_its_last_checkpoint_was(pair):
    resumed, whole, step = pair
    scores, expected = (json.loads((c.folder / "run" / "scores.json").read_text()) for c in (resumed, whole))
    assert scores["resumed_at_step"] == step
    assert expected["resumed_at_step"] == 0
    assert {name: scores[name] for name in SCORES} == {name: expected[name] for name in SCORES}
    assert scores["steps"] == 24


def test_metrics_are_those_of_a_run_never_interrupted_line_for_line(pair):
    resumed, whole, _ = pair
    metrics, expected = ((one.folder / "run" / "metrics.csv").read_text() for one in (resumed, whole))
    assert metrics == expected


def test_a_resumed_run_stays_in_its_folder(pair):
    resumed, _, _ = pair
    outside = [
        path for path in resumed.folder.rglob("*") if path.is_file() and resumed.folder / "run" not in path.parents
    ]
    assert sorted(path.name for path in outside) == ["err", "out"]


def test_a_finished_run_that_is_resumed_is_left_as_it_was(start, finished, tmp_path):
    shutil.copytree(finished["files"].folder / "run", tmp_path / "run")
    before = {name: (tmp_path / "run" / name).read_bytes() for name in ("last.ckpt", "metrics.csv", "scores.json")}
    again = start(tmp_path, "resume=run", tiny=()).wait()
    assert again.code == 0, again.err
    assert_same(
        torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["state_dict"],
        checkpoint(finished["files"])["state_dict"],
        "",
    )
    assert (tmp_path / "run" / "metrics.csv").read_bytes() == before["metrics.csv"]
    scores, expected = json.loads((tmp_path / "run" / "scores.json").read_text()), json.loads(before["scores.json"])
    assert {name: scores[name] for name in SCORES} == {name: expected[name] for name in SCORES}


def test_another_theory_is_refused(start, finished, tmp_path):
    shutil.copytree(finished["emulated"].folder / "run", tmp_path / "run")
    before = (tmp_path / "run" / "scores.json").read_bytes()
    for override in ("domains.hidden_seed=7", "seed=3", "domains.obs.path=obs.h5"):
        bad = start(tmp_path, "resume=run", override, tiny=()).wait()
        assert bad.code == 2
        assert f"error: config key '{override.split('=')[0]}': expected only trainer, losses, logger" in bad.err
    assert (tmp_path / "run" / "scores.json").read_bytes() == before


@pytest.mark.parametrize("side", ["synth", "obs"])
def test_other_spectra_under_the_same_name_are_refused(finished, domain_files, tmp_path, side):
    """Moved ones are the same; of a checkpoint that is older than this check nothing is known."""
    shutil.copytree(finished["files"].folder / "run", tmp_path / "run")
    config = OmegaConf.load(tmp_path / "run" / "config.yaml")
    for name, path in zip(("synth", "obs"), domain_files, strict=True):
        config.domains[name].path = str(shutil.copy(path, tmp_path))
    kept = (tmp_path / "run" / "last.ckpt").read_bytes()
    train(validate(config, TrainConfig), tmp_path / "run")
    with h5py.File(tmp_path / f"{side}.h5", "r+") as file:
        file["spectra train"][5, 7] += 1e-3
    (tmp_path / "run" / "last.ckpt").write_bytes(kept)
    with pytest.raises(
        InputError, match=rf"{side}\.h5: expected the spectra that the run was trained with, in a file of"
    ):
        train(validate(config, TrainConfig), tmp_path / "run")
    contents = checkpoint(finished["files"])
    del contents["record"]["spectra"]
    torch.save(contents, tmp_path / "run" / "last.ckpt")
    train(validate(config, TrainConfig), tmp_path / "run")


def test_pairs_cannot_begin_in_the_middle_of_a_run(finished, tmp_path):
    """They would start the split latent afresh."""
    shutil.copytree(finished["files"].folder / "run", tmp_path / "run")
    contents = checkpoint(finished["files"])
    contents["pairing"]["metric"] = None  # as of a run that never had pairs
    torch.save(contents, tmp_path / "run" / "last.ckpt")
    with pytest.raises(InputError, match=r"'losses\.pairs': expected 0"):
        train(validate(OmegaConf.load(tmp_path / "run" / "config.yaml"), TrainConfig), tmp_path / "run")


def test_a_folder_that_another_run_writes_to_is_left_alone(start, payne_file, tmp_path):
    log_file = tmp_path / "run" / "train.log"
    log_file.parent.mkdir()
    log_file.write_text("another's\n")
    with claimed(log_file.parent):
        second = start(tmp_path, f"domains.emulator={payne_file}", "name=second", "hydra.run.dir=run").wait()
    assert second.code == 2
    assert "run: expected a folder that no other run is writing to" in second.err
    assert log_file.read_text().startswith("another's\n")
    assert not (log_file.parent / "config.yaml").exists()


def test_other_networks_than_the_checkpoints_are_told_and_nothing_is_touched(start, finished, tmp_path):
    shutil.copytree(finished["files"].folder / "run", tmp_path / "run")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
    config = OmegaConf.load(tmp_path / "run" / "config.yaml")
    config.networks.shared = 5
    OmegaConf.save(config, tmp_path / "run" / "config.yaml")
    before["config.yaml"] = (tmp_path / "run" / "config.yaml").read_bytes()
    bad = start(tmp_path, "resume=run", "trainer.epochs=4", tiny=()).wait()
    assert bad.code == 2
    (line,) = [line for line in bad.err.splitlines() if line.startswith("error: ")]
    assert "last.ckpt: expected a checkpoint of the networks configured" in line
    after = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
    after.pop("train.log", None)
    before.pop("train.log", None)
    assert after == before


def test_a_variable_in_a_config_is_not_looked_up(start, files_run, tmp_path):
    shutil.copytree(files_run, tmp_path / "run")
    with (tmp_path / "run" / "config.yaml").open("a") as file:
        file.write("extra: ${oc.env:SECRET}\n")
    bad = start(tmp_path, "resume=run", environment={"SECRET": "swordfish"}, tiny=()).wait()
    assert bad.code == 2
    assert "config key 'extra': expected a value, got an interpolation" in bad.err
    assert "swordfish" not in bad.err + bad.out

"""cyclegan/training/logs.py: what W&B's own record of an offline run holds, and when a run is offline."""

import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import wandb
from processes import TINY
from wandb.sdk.lib.wbauth import write_netrc_auth

from cyclegan.scores.scores import SCORES
from cyclegan.trained.checkpoint import Checkpoint
from cyclegan.training.logs import metrics_table, wandb_logger
from emulator.commands.errors import InputError


@pytest.fixture(scope="module")
def recorded(payne_file, tmp_path_factory):
    """A run on a machine with no key and no WANDB_MODE, all of whose requests would go to `door`.

    By a process that ends as a user's does: what W&B sends, it sends at the end at the latest.
    """
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.setblocking(False)
        address = f"http://127.0.0.1:{door.getsockname()[1]}"
        environment = os.environ | dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), address)
        environment |= {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        del environment["WANDB_MODE"]
        folder = tmp_path_factory.mktemp("wandb")
        options = *TINY, f"domains.emulator={payne_file}", "name=logged", "logger.project=stars"
        command = [sys.executable, "-m", "cyclegan.train", *options]
        finished = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert finished.returncode == 0, finished.stderr
        with pytest.raises(BlockingIOError):  # nobody knocked
            door.accept()
    (run,) = folder.glob("runs/logged/*")
    return run


@pytest.fixture(scope="module")
def record(recorded):
    """W&B's own record: a list of what it holds, for each type."""
    (run,) = recorded.glob("wandb/offline-run-*")
    inspect = [Path(sys.executable).with_name("wandb"), "leet", "inspect", "--json", run]
    finished = subprocess.run(inspect, capture_output=True, text=True, check=True)
    entries = {}
    for line in finished.stdout.splitlines():
        entry = json.loads(line)
        entries.setdefault(entry["type"], []).append(entry[entry["type"]])
    return entries


def test_the_record_says_which_run_it_is_of(recorded, record):
    (run,) = record["run"]
    assert run["project"] == "stars"
    assert run["display_name"] == f"logged-{recorded.name}"
    assert run["run_id"] == (recorded / "wandb_id").read_text()
    assert run["config"]["update"]["networks"]["shared"] == 4
    assert run["config"]["update"]["losses"]["pairs"] == 1.0
    assert "group" not in run


def test_the_record_holds_every_metric(recorded, record):
    history = [entry["item"] for entry in record["history"]]
    rows = list(csv.DictReader((recorded / "metrics.csv").open()))
    for row in rows:
        values = {name: float(value) for name, value in row.items() if value and name not in ("step", "epoch")}
        (item,) = [
            item for item in history if item["trainer/global_step"] == int(row["step"]) and set(values) <= set(item)
        ]
        assert {name: item[name] for name in values} == pytest.approx(values)


def test_the_record_holds_the_images(recorded, record):
    media = next(recorded.glob("wandb/offline-run-*")) / "files"
    for name in ("history", "stars"):
        key = f"{name}.filenames"
        ((path,),) = [entry["item"][key] for entry in record["history"] if key in entry["item"]]
        assert (media / path).read_bytes() == (recorded / f"{name}.png").read_bytes()


def test_the_summary_holds_the_scores(recorded, record):
    scores = json.loads((recorded / "scores.json").read_text())
    summary = {}
    for entry in record["summary"]:
        summary |= entry.get("update", {})
    assert {name: summary[name] for name in (*SCORES, "gap_synth_obs")} == pytest.approx(
        {name: scores[name] for name in (*SCORES, "gap_synth_obs")}
    )
    assert record["exit"][0]["exit_code"] == 0


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """What the logger is asked for, on a machine without a key."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("cyclegan.training.logs.SideLogger", lambda **options: options)
    for name in ("WANDB_MODE", "WANDB_API_KEY", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    return lambda: wandb_logger(tmp_path, "project", "name", None, {})


def test_without_a_key_a_run_is_offline(asked):
    assert asked()["mode"] == "offline"


def test_with_a_key_a_run_is_online(asked, monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert asked()["mode"] == "online"
    monkeypatch.delenv("WANDB_API_KEY")
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password key\n")
    (tmp_path / ".netrc").chmod(0o600)
    assert asked()["mode"] == "online"


def test_a_key_is_found_where_wandb_itself_writes_it(asked, tmp_path, monkeypatch):
    monkeypatch.setenv("NETRC", str(tmp_path / "keys"))
    write_netrc_auth(host=wandb.Settings().base_url, api_key="0" * 40)
    assert (tmp_path / "keys").exists()
    assert asked()["mode"] == "online"


@pytest.mark.parametrize(
    ("text", "mode"), [("machine api.wandb.ai login user password key\n", 0o644), ("what\n", 0o600)]
)
def test_a_file_of_keys_that_cannot_be_used_is_no_key(asked, tmp_path, text, mode):
    (tmp_path / ".netrc").write_text(text)
    (tmp_path / ".netrc").chmod(mode)
    assert asked()["mode"] == "offline"


def test_a_mode_that_there_is_not_is_told(asked, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "of-line")
    with pytest.raises(InputError, match=r"environment variable WANDB_MODE: expected one of online, .*, got of-line"):
        asked()


@pytest.mark.parametrize("mode", ["disabled", "offline", "online"])
def test_the_environment_decides_if_it_says(asked, monkeypatch, mode):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_MODE", mode)
    assert asked()["mode"] == mode


def test_a_resumed_run_is_the_same_run(asked):
    first, again = asked(), asked()
    assert first["id"] == again["id"]


def checkpoint_at(count, **latest):
    return Checkpoint(count, {}, None, {}, latest)


def test_the_row_of_a_checkpoints_own_step_is_in_it(tmp_path):
    metrics_table(tmp_path, checkpoint_at(4, epoch=0, loss=0.5, step=3)).write()
    for _ in range(2):  # also when it came to the file before the process died
        (row,) = csv.DictReader((tmp_path / "metrics.csv").open())
        assert row == {"epoch": "0", "loss": "0.5", "step": "3"}
        metrics_table(tmp_path, checkpoint_at(4, epoch=0, loss=0.5, step=3)).write()


def test_rows_before_the_step_of_the_checkpoint_are_kept(tmp_path):
    logger = metrics_table(tmp_path, None)
    for step in range(6):
        logger.log_metrics({"loss": step / 3, "epoch": 0}, step)
    logger.log_metrics({"score": 1.5, "epoch": 0}, 5)
    logger.write()
    before = list(csv.DictReader((tmp_path / "metrics.csv").open()))

    metrics_table(tmp_path, checkpoint_at(4)).write()
    after = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    assert after == [{name: row[name] for name in ("epoch", "loss", "step")} for row in before[:4]]
    assert list(after[0]) == ["epoch", "loss", "step"]


@pytest.mark.parametrize("cut", ["0,", "0,3", "0,3,0.1", "0,3,1e-"])
def test_a_row_that_a_kill_cut_short_is_left_out(tmp_path, cut):
    (tmp_path / "metrics.csv").write_text(f"epoch,step,x\n0,1,0.5\n0,2,0.25\n{cut}")
    metrics_table(tmp_path, checkpoint_at(9)).write()
    assert [row["step"] for row in csv.DictReader((tmp_path / "metrics.csv").open())] == ["1", "2"]

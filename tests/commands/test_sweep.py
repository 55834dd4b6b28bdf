"""cyclegan/sweep.py and train -m: one folder a job, one table at the end, and no job lost by another's failure."""

import csv
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from processes import TINY

from cyclegan.scores.scores import SCORES
from cyclegan.scores.signals import SIGNALS
from cyclegan.sweep import rank_correlations, read_jobs

# Two by two jobs that end, two that diverge, three whose latents do not fit into twelve components.
SWEEP = ("networks.shared=3,4,40", "trainer.learning_rate=0.001,0.01,1e20", "hydra.sweep.dir=sweep")
GOOD = {("3", "0.001"), ("3", "0.01"), ("4", "0.001"), ("4", "0.01")}


@pytest.fixture(scope="module")
def sweep(start, payne_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    return start(folder, *SWEEP, f"domains.emulator={payne_file}", "name=grid", tiny=("-m", *TINY)).wait()


@pytest.fixture(scope="module")
def rows(sweep):
    with (sweep.folder / "sweep" / "sweep.csv").open() as file:
        return list(csv.DictReader(file))


def test_every_job_has_its_folder_and_its_row(sweep, rows):
    assert sorted(row["job"] for row in rows) == [str(job) for job in range(9)]
    for row in rows:
        scores = sweep.folder / "sweep" / row["job"] / "scores.json"
        assert scores.exists() == ((row["networks.shared"], row["trainer.learning_rate"]) in GOOD)
        if scores.exists():
            found = json.loads(scores.read_text())
            assert {name: float(row[name]) for name in SCORES} == pytest.approx({name: found[name] for name in SCORES})


def test_the_sweep_is_drawn(sweep):
    assert (sweep.folder / "sweep" / "sweep.png").read_bytes().startswith(b"\x89PNG")


def test_the_best_job_comes_first_and_failed_ones_last(rows):
    scores = [float(row["x_synth_obs"]) for row in rows]
    assert scores[:4] == sorted(scores[:4])
    assert all(map(math.isnan, scores[4:]))
    assert {(row["networks.shared"], row["trainer.learning_rate"]) for row in rows[:4]} == GOOD


def test_only_what_was_varied_is_told_with_how_each_job_ended(rows):
    assert list(rows[0]) == ["job", "networks.shared", "trainer.learning_rate", *SCORES, *SIGNALS, "ended"]
    for row in rows:
        if row["networks.shared"] == "40":
            assert "expected shared and split together at most 12" in row["ended"]
        elif float(row["trainer.learning_rate"]) == 1e20:
            assert "step" in row["ended"]
            assert "loss" in row["ended"]
        else:
            assert row["ended"] == "done"


def test_the_table_is_printed_at_the_end(sweep, rows):
    printed = sweep.out.splitlines()
    header = next(i for i, line in enumerate(printed) if line.startswith("job  networks.shared"))
    assert [line.split()[0] for line in printed[header + 1 : header + 10]] == [row["job"] for row in rows]
    assert printed[-1].endswith("sweep.csv")


def test_failures_are_told_in_one_line_each(sweep):
    lines = [line for line in sweep.err.splitlines() if "error: " in line]
    assert len(lines) == 5
    assert "Traceback" not in sweep.err


def test_the_jobs_are_one_group_of_runs(sweep):
    groups, identities = set(), set()
    for run in (sweep.folder / "sweep").glob("[0-3]/wandb/offline-run-*"):
        inspect = [Path(sys.executable).with_name("wandb"), "leet", "inspect", "--json", run]
        lines = subprocess.run(inspect, capture_output=True, text=True, check=True).stdout.splitlines()
        (found,) = [entry["run"] for entry in map(json.loads, lines) if entry["type"] == "run"]
        groups.add(found["run_group"])
        identities.add(found["run_id"])
    assert groups == {"grid-sweep"}
    assert len(identities) > 1


def make_job(folder, overrides, scores=None, failure=None):
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text("".join(f"- {override}\n" for override in overrides))
    if scores is not None:
        (folder / "scores.json").write_text(json.dumps(dict.fromkeys(SCORES, scores)))
    if failure is not None:
        (folder / "failed.txt").write_text(f"{failure}\n")


def test_jobs_are_read_best_first(tmp_path):
    make_job(tmp_path / "0", ["seed=1", "networks.shared=4"], 2.0)
    make_job(tmp_path / "1", ["seed=1", "networks.shared=8"], failure="step 3: the loss 'cycle_obs' became nan")
    make_job(tmp_path / "2", ["seed=1", "networks.shared=16"], 1.0)
    make_job(tmp_path / "3", ["seed=1", "+experiment=classic"])
    jobs = read_jobs(tmp_path)
    assert [job["job"] for job in jobs] == ["2", "0", "1", "3"]
    assert [job["ended"] for job in jobs[2:]] == ["step 3: the loss 'cycle_obs' became nan", "unfinished"]
    assert "seed" not in jobs[0]
    assert [job["networks.shared"] for job in jobs] == ["16", "4", "8", ""]


def test_signals_are_ranked_against_scores():
    """One falls as the score rises, one rises with its square, one is the same for all; a failed job says nothing."""
    score = [3.0, 1.0, 2.0, math.nan]
    rows = [
        dict.fromkeys((*SCORES, *SIGNALS), 0.5) | {"x_synth_obs": x, "agreement": -x, "auc_obs": x**2} for x in score
    ]
    found = {row["signal"]: row["x_synth_obs"] for row in rank_correlations(rows)}
    assert found["agreement"] == pytest.approx(-1)
    assert found["auc_obs"] == pytest.approx(1)
    assert math.isnan(found["wasserstein"])
    assert all(math.isnan(row["x_synth_obs"]) for row in rank_correlations(rows[:2]))


@pytest.mark.parametrize("text", ["no JSON", "[1]", '{"x_synth_obs": "low"}'])
def test_scores_that_cannot_be_read_cost_their_job_alone(tmp_path, text):
    make_job(tmp_path / "0", ["seed=1"], 2.0)
    make_job(tmp_path / "1", ["seed=2"], 1.0)
    (tmp_path / "1" / "scores.json").write_text(text)
    good, bad = read_jobs(tmp_path)
    assert (good["job"], good["x_synth_obs"]) == ("0", 2.0)
    assert math.isnan(bad["x_synth_obs"])
    assert bad["ended"] == "done" or "scores.json: expected the scores of a run in JSON" in bad["ended"]

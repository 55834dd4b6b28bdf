"""cyclegan/trained/run_folder.py: what lies in a run's folder is found by its name, and read back."""

import json

import numpy as np
import pytest

from cyclegan.trained.run_folder import BEST, LAST, MODEL, find_checkpoint, read_history, read_metrics, read_scores
from emulator.commands.errors import InputError

METRICS = "step,epoch,loss,x_synth_obs\n1,0,0.5,\n3,0,0.4,\n3,0,,2.5\n"


def test_a_runs_folder_stands_for_its_last_checkpoint(tmp_path):
    for name in (LAST, BEST):
        (tmp_path / name).touch()
    assert find_checkpoint(tmp_path) == tmp_path / LAST
    assert find_checkpoint(str(tmp_path)) == tmp_path / LAST
    assert find_checkpoint(tmp_path / BEST) == tmp_path / BEST


def test_a_shared_folder_stands_for_its_model(tmp_path):
    (tmp_path / MODEL).touch()
    assert find_checkpoint(tmp_path) == find_checkpoint(tmp_path / MODEL) == tmp_path / MODEL
    (tmp_path / LAST).touch()  # a run that something was shared into is a run
    assert find_checkpoint(tmp_path) == tmp_path / LAST


@pytest.mark.parametrize("name", ["", "nowhere", "best.ckpt"])
def test_where_there_is_none_that_is_told(tmp_path, name):
    with pytest.raises(
        InputError, match=r"expected a checkpoint or a run's folder with last\.ckpt or model\.safetensors, found none"
    ):
        find_checkpoint(tmp_path / name)


@pytest.mark.parametrize("cut", ["", "5,0,0.3", "5,0,0.3,1", "5,", "5"])
def test_a_row_that_a_kill_cut_short_is_left_out(tmp_path, cut):
    path = tmp_path / "metrics.csv"
    path.write_text(METRICS + cut)
    assert [row["step"] for row in read_metrics(path)] == ["1", "3", "3"]
    assert read_metrics(tmp_path / "none.csv") == []


def test_a_history_has_each_column_where_it_has_values(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text(METRICS)
    found = read_history(path)
    assert set(found) == {"loss", "x_synth_obs"}
    for name, steps, values in (("loss", [1, 3], [0.5, 0.4]), ("x_synth_obs", [3], [2.5])):
        np.testing.assert_array_equal(found[name][0], steps)
        np.testing.assert_array_equal(found[name][1], values)


@pytest.mark.parametrize("text", ["", "no JSON", "3", '["steps"]'])
def test_other_files_than_scores_are_told(tmp_path, text):
    path = tmp_path / "scores.json"
    path.write_text(json.dumps({"steps": 16}))
    assert read_scores(path) == {"steps": 16}
    path.write_text(text)
    with pytest.raises(InputError, match=r"scores\.json: expected the scores of a run in JSON"):
        read_scores(path)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"step,loss\n1,much\n", b"loss\n1\n", b"step,loss\n1,\x002\n"])
def test_other_files_than_metrics_are_told(tmp_path, content):
    (tmp_path / "metrics.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"metrics.csv: expected .* metrics of a run") as caught:
        read_history(tmp_path / "metrics.csv")
    assert "\n" not in str(caught.value)


def test_scores_that_are_no_text_are_told(tmp_path):
    (tmp_path / "scores.json").write_bytes(b"\xff")
    with pytest.raises(InputError, match=r"scores.json: expected the scores of a run in JSON"):
        read_scores(tmp_path / "scores.json")


def test_a_step_that_no_run_reaches_is_told(tmp_path):
    (tmp_path / "metrics.csv").write_text(METRICS + f"{'9' * 5000},0,0.1,\n")
    with pytest.raises(InputError, match=r"metrics.csv: .* \(a step of more than 15 digits\)$"):
        read_metrics(tmp_path / "metrics.csv")

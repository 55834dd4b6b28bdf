"""cyclegan/figures/history.py: scores and losses of a run, and of a sweep, read back from what is drawn."""

import numpy as np
import pytest

from cyclegan.figures.history import plot_history, plot_sweep
from cyclegan.trained.run_folder import read_history


def test_a_history_is_read_where_there_are_values(tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,step,loss,score\n0,1,0.5,\n0,3,0.25,\n0,3,,7\n")
    history = read_history(tmp_path / "metrics.csv")
    assert set(history) == {"loss", "score"}
    np.testing.assert_array_equal(history["loss"], [[1, 3], [0.5, 0.25]])
    np.testing.assert_array_equal(history["score"], [[3], [7]])


def test_every_score_and_loss_is_in_the_history():
    steps = np.array([1, 2])
    names = ("x_synth_obs", "z_shared", "train/cycle_obs", "train/adversarial_obs", "train/discriminators")
    figure = plot_history(dict.fromkeys(names, (steps, steps + 0.5)), {"shift_synth_obs": 4.0}, kept=2)
    labels = [text.get_text() for axes in figure.axes for text in axes.get_legend().get_texts()]
    assert set(labels) == {
        "x_synth_obs = 2.5",
        "mean shift: 4",
        "networks kept",
        "z_shared = 2.5",
        "cycle obs",
        "adversarial obs",
        "discriminators",
    }


def test_a_run_without_an_adversary_says_so():
    figure = plot_history({"train/cycle_obs": (np.array([1]), np.array([2.0]))}, {})
    said = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert said == [["none in this run"], ["none in this run"], [], ["none in this run"]]


def test_a_sweep_is_drawn_key_by_key_with_medians_and_failures():
    rows = [
        {"job": str(i), "networks.shared": shared, "losses.pairs": pairs, "x_synth_obs": score, "ended": "done"}
        for i, (shared, pairs, score) in enumerate(
            [("4", "0.3", 1.1), ("16", "0.3", 1.3), ("4", "1", 1.2), ("16", "1", np.nan)]
        )
    ]
    shared, pairs = plot_sweep(rows, ["networks.shared", "losses.pairs"]).axes
    assert [text.get_text() for text in shared.get_xticklabels()] == ["4", "16"]  # as numbers go, not as letters do
    assert [text.get_text() for text in pairs.get_xticklabels()] == ["0.3", "1"]
    medians = [line.get_ydata()[0] for line in shared.lines if len(line.get_ydata()) == 2 and line.get_lw() == 2]
    assert medians == pytest.approx([1.15, 1.3])
    assert [text.get_text() for text in shared.texts] == ["1 failed"]

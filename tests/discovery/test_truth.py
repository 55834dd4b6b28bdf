"""cyclegan/discovery/truth.py: lines that were found beside those that were hidden."""

import numpy as np
import pytest
import torch
from lacking import random_labels

from cyclegan.discovery.lines import MissingLine
from cyclegan.discovery.truth import HiddenLines, judge_lines, known_truth
from cyclegan.domains.hidden import Feature, read_features, write_features
from cyclegan.trained.run_folder import HIDDEN
from emulator.commands.errors import InputError


def test_lines_are_judged_by_what_was_hidden():
    features = [
        Feature("Fe", 10, 15, 15002.5, -0.2),
        Feature("N", 30, 35, 15007.5, -0.1),
        Feature("C", 50, 55, 15012.5, 0),
    ]
    missing, gain = np.zeros((1, 80)), np.zeros((80, 3))
    missing[0, 10:15], missing[0, 30:35], missing[0, 50:55] = 0.1, 0.05, 0.01  # the last too shallow to count
    gain[10:15, 0], gain[30:35, 1], gain[30:35, 2] = -0.2, -0.15, -0.1  # carbon moves the line of CN more

    def line(pixel, element, second=""):
        nan = float("nan")
        return MissingLine(
            15000 + pixel / 4, pixel - 1, pixel + 2, 0.1, 8.0, 1e-6, element, -0.1, 9.0, second, nan, nan, False
        )

    truth = HiddenLines(features, missing, gain)
    rows = judge_lines([line(12, "Fe"), line(32, "C", "N"), line(70, "Fe")], ("Fe", "C", "N"), truth)
    assert rows["all"] == {
        "masked": 2, "found": 2, "found_share": 1.0, "first": 0.5, "either": 1.0, "strongest": 1.0,
        "attainable": 0.5, "lines": 3, "precise": pytest.approx(2 / 3),
    }  # fmt: skip
    assert rows["N"]["first"] == 0.0
    assert rows["N"]["strongest"] == 1.0
    assert rows["N"]["attainable"] == 0.0
    assert rows["Fe"]["precise"] == 0.5
    assert rows["C"]["masked"] == 0
    nothing = judge_lines([], ("Fe", "C", "N"), truth)["all"]
    assert nothing["found_share"] == 0.0
    assert np.isnan(nothing["first"])


def test_what_was_hidden_is_what_the_emulator_has_and_theory_has_not(trained, payne, payne2payne_run):
    stars, reference = random_labels(payne, 3), random_labels(payne, 2, seed=1)
    truth = known_truth(trained.forward_model, payne2payne_run, stars, reference)
    hidden = trained.hidden["synth"].numpy()
    assert truth.features == read_features(payne2payne_run / HIDDEN)
    with torch.no_grad():
        expected = np.where(hidden, 1 - payne(reference).numpy(), 0.0)
    np.testing.assert_allclose(truth.missing, expected, atol=1e-6)
    columns = [i for i, name in enumerate(payne.label_names) if name.endswith("_h")]
    slopes = (payne.output.weight / (payne.label_high - payne.label_low))[:, columns].detach().numpy()
    np.testing.assert_allclose(truth.gain, np.where(hidden[:, None], slopes, 0.0), rtol=1e-3, atol=1e-5)


def test_lines_beyond_the_spectra_are_refused(trained, payne, tmp_path):
    write_features([Feature("Fe", 200, 204, 15800.0, -1.0)], tmp_path / HIDDEN)
    stars = random_labels(payne, 2)
    with pytest.raises(InputError, match=r"lines that were hidden among 203 pixels, got one up to pixel 204"):
        known_truth(trained.forward_model, tmp_path, stars, stars)


def test_where_nothing_was_hidden_nothing_is_known(trained, payne, payne2payne_run, tmp_path):
    stars = random_labels(payne, 2)
    assert known_truth(trained.forward_model.complete(), payne2payne_run, stars, stars) is None
    assert known_truth(trained.forward_model, tmp_path, stars, stars) is None  # a run whose table is gone

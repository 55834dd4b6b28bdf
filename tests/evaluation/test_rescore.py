"""cyclegan/evaluation/rescore.py: what a checkpoint scores now beside what training logged."""

import json

import numpy as np
import pytest
from skies import SkyDomain

from cyclegan.domains.domains import Domains
from cyclegan.evaluation.rescore import Compared, ScoresDifferError, check_alike, compare_scores, logged_scores
from emulator.commands.errors import InputError


def test_scores_are_compared_to_the_digits_that_were_logged():
    found = {"x_synth_obs": 1 / 3, "z_obs": 0.25, "z_split": float("nan")}
    logged = {"scores.json": {"x_synth_obs": 1 / 3, "z_obs": 0.25 * (1 + 1e-15)}}
    logged["metrics.csv"] = {"x_synth_obs": float(np.float32(1 / 3)), "z_obs": 0.25 * (1 + 1e-6)}
    verdicts = {(row.score, row.logged_in): row.identical for row in compare_scores(logged, found, exact=True)}
    assert verdicts == {
        ("x_synth_obs", "scores.json"): True,
        ("z_obs", "scores.json"): False,
        ("x_synth_obs", "metrics.csv"): True,
        ("z_obs", "metrics.csv"): False,
    }
    elsewhere = compare_scores(logged, found, exact=False)
    assert [row.identical for row in elsewhere] == [True, False, True, True]


def test_what_was_logged_of_a_step_is_found(tmp_path):
    rows = ("step,x_synth_obs,z_synth,train/cycle_obs", "7,3.0,0.3,0.9", "15,2.0,0.2,", "15,,,0.5", "23,1.0,0.1,")
    (tmp_path / "metrics.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "scores.json").write_text(json.dumps({"steps": 24, "x_synth_obs": 1.0, "seed": 3, "z_split": None}))
    assert logged_scores(tmp_path, 16) == {"metrics.csv": {"step": 15.0, "x_synth_obs": 2.0, "z_synth": 0.2}}
    found = logged_scores(tmp_path, 24)
    assert found["scores.json"] == {"x_synth_obs": 1.0}
    assert found["metrics.csv"]["x_synth_obs"] == 1.0
    assert logged_scores(tmp_path, 12) == {}


def test_more_than_rounding_is_an_error(sky, capsys, caplog):
    domains = Domains(SkyDomain(sky.synth, sky.val_synth), SkyDomain(sky.obs, sky.val_obs), matched=True)
    rounded = Compared("z_obs", "metrics.csv", 0.25, 0.25 * (1 + 1e-6), identical=False)
    check_alike([rounded], domains)
    assert capsys.readouterr().out.splitlines()[1].split()[-1] == "no"
    other = Compared("z_obs", "metrics.csv", 0.25, 0.26, identical=False)
    with pytest.raises(ScoresDifferError, match=r"z_obs was 0\.25 in metrics\.csv, is 0\.26 now; .* from the emulator"):
        check_alike([rounded, other], domains)
    check_alike([], domains)
    assert "nothing to compare with" in caplog.text


def test_logged_scores_that_are_no_numbers_are_refused(tmp_path):
    (tmp_path / "metrics.csv").write_text("step,z_synth\n15,much\n")
    with pytest.raises(InputError, match=r"metrics.csv: expected numbers in the metrics of a run, got others"):
        logged_scores(tmp_path, 16)

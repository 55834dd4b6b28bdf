"""cyclegan/evaluation/advice.py: whether a run may be used, for which stars and labels, and what for not."""

import pytest

from cyclegan.evaluation.advice import advise


def numbers(**other):
    """Of a run that is good at all that it is asked for."""
    return {
        "matched": True,
        "finished": True,
        "scores": {"x_synth_obs": 1.05, "x_obs_synth": 0.2},
        "controls": {
            **{"shift_synth_obs": 5.0, "shift_obs_synth": 10.0, "floor_synth_obs": 1.0},
            **{"transport_synth_obs": 1.7, "transport_obs_synth": 0.5, "ridge_synth_obs": 1.2, "ridge_obs_synth": 0.4},
        },
        "separation": {"translated": {"auc": 0.5}},
        "physics": {"cycle_under_noise": {"0": 0.05, "0.1": 0.051, "1": 0.4}, "labels": []},
        "bins": {},
        "offset": {},
    } | other


def row(label, known=None, theory=None, bias=0.0, scatter=0.1, spread=1.0):
    return {"label": label, "fidelity": known, "theory": theory, "bias": bias, "scatter": scatter, "spread": spread}


def test_a_good_run_may_be_used_and_says_how_good():
    advice = advise(numbers())
    assert advice.answer == "yes"
    assert advice.why == [
        "From synthetic to observed, 1 % is left of what shifting the mean leaves.",
        "From observed to synthetic, 2 % is left of what shifting the mean leaves.",
    ]
    assert advice.limits == [
        "Stars unlike those of the training: transfer writes each star's distance from them, above 1 for such ones."
    ]


@pytest.mark.parametrize(
    ("score", "answer"),
    [(1.0, "yes"), (1.59, "yes"), (1.61, "with care"), (2.9, "with care"), (3.1, "no"), (6.0, "no")],
)
def test_the_worse_way_decides(score, answer):
    scores = {"x_synth_obs": score, "x_obs_synth": 0.2}
    assert advise(numbers(scores=scores)).answer == answer
    # Without the truth, noise is the floor; and where a shift is as good as can be, nothing was learnt.
    controls = {name: value for name, value in numbers()["controls"].items() if "floor" not in name}
    assert advise(numbers(scores=scores, controls=controls)).answer == answer
    assert advise(numbers(controls=controls | {"shift_synth_obs": 0.99})).answer == "no"


def test_a_linear_map_that_does_as_well_is_told():
    scores = {"x_synth_obs": 1.2, "x_obs_synth": 0.2}
    first, second = advise(numbers(scores=scores)).why
    assert first.endswith("; a linear map does as well.")
    assert "linear" not in second


@pytest.mark.parametrize(("auc", "answer"), [(0.5, "with care"), (0.8, "no")])
def test_without_matched_stars_nothing_is_sure(auc, answer):
    advice = advise(numbers(matched=False, scores={}, controls={}, separation={"translated": {"auc": auc}}))
    assert advice.answer == answer
    assert f"an AUC of {auc:.2f}" in advice.why[0]
    assert advice.limits[-1] == "Claims on single stars: only whole sets were compared."


def test_what_is_hidden_under_the_noise_or_not_finished_is_told():
    hidden = {"cycle_under_noise": {"0": 0.05, "0.1": 0.15, "1": 0.4}, "labels": []}
    advice = advise(numbers(physics=hidden))
    assert (advice.answer, advice.why[-1]) == (
        "no",
        "Noise that no telescope sees makes a cycle 3.0 times worse: something is hidden.",
    )
    assert advise(numbers(finished=False)).answer == "with care"


def test_labels_are_sorted_by_what_a_translation_makes_of_them():
    rows = [
        row("teff", 0.98, 0.8),
        row("fe_h"),  # whose derivatives are not known
        row("ni_h", 0.76, 0.8),
        row("vmic", 0.9, 0.8, scatter=0.6),
        row("o_h", 0.9, 0.8, bias=-0.3),
        row("na_h", 0.74, 0.8),
        row("k_h", scatter=1.1),
        row("s_h", bias=5.1, spread=10.0),
    ]
    advice = advise(numbers(physics=numbers()["physics"] | {"labels": rows}))
    assert advice.labels == {
        "kept": ["teff", "fe_h", "ni_h"],
        "rough": ["vmic", "o_h"],
        "lost": ["na_h", "k_h", "s_h"],
    }
    assert advice.limits[0].startswith("Measuring na_h, k_h, s_h on translated spectra")


def test_stars_are_those_that_were_scored_and_bad_bins_are_named():
    bins = {
        "edges": [3000.0, 3500.0, 4000.0, 4500.0, 4912.34],
        "stars": [2, 40, 40, 40],
        "mean shift": [9.0, 3.0, 3.0, 1.02],
        "translated": [9.0, 2.5, 1.1, 1.05],
        "noiseless truth": [1.0, 1.0, 1.0, 1.0],
    }
    advice = advise(numbers(bins={"teff": bins}))
    assert advice.stars == ["teff 3500 to 4912 K"]
    assert [limit for limit in advice.limits if "hardly" in limit] == [
        "Stars of teff 3500 to 4000 K: hardly better than a shift of the mean."
    ]


def test_an_offset_of_all_labels_alike_is_a_limit():
    limits = advise(numbers(offset={"teff": 96.0, "fe_h": 0.051})).limits
    assert limits[0] == "Labels better than what all stars may be off by alike (1 sigma): teff 96 K, fe_h 0.051 dex."

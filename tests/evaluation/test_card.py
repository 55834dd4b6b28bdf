"""cyclegan/evaluation/card.py: a card says what is known, and of what is not that it is not."""

import re

import pytest
import yaml
from faults.good_inputs import write_run
from skies import PIXELS

from cyclegan.evaluation.card import Told, card
from cyclegan.trained.loading import load

NOTHING = Told(scores=None, evaluated=None, versions={"cyclegan": "0.2.0"}, licence=None, citation=None, programs=())
SCORES = {
    "x_synth_obs": 1.053,
    "x_obs_synth": 0.0902,
    "gap_synth_obs": 24.06,
    "gap_obs_synth": 60.3,
    "shift_synth_obs": 4.8,
    "shift_obs_synth": None,
    "floor_synth_obs": 0.98,
    "z_shared": 0.033,
    "faults": {"overtrained": {"step": 4}},
    "versions": {"torch": "2.13.0"},
    "device": "cpu",
}
EVALUATED = {
    "matched": True,
    "finished": True,
    "scores": {"x_synth_obs": 1.05, "x_obs_synth": 0.2},
    "controls": {"shift_synth_obs": 5.0, "shift_obs_synth": 10.0, "floor_synth_obs": 1.0},
    "physics": {
        "labels": [
            {"label": "teff", "bias": 1.5, "scatter": 20.25, "spread": 700.0, "fidelity": 0.991, "theory": 0.9},
            {"label": "fe_h", "bias": None, "scatter": 0.3, "spread": 0.25, "fidelity": None, "theory": None},
        ],
        "cycle_under_noise": {"0": 0.01, "0.1": 0.011, "1": 0.5},
    },
    "bins": {"teff": {"edges": [4000.0, 5000.0], "stars": [9]}},
    "offset": {},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The model of an ensemble whose domains are emulated."""
    folder = tmp_path_factory.mktemp("run")
    write_run(folder)
    return load(folder, "cpu")


def rows(text, title):
    """The cells of the first table under a title, without the line below its head."""
    part = text.split(f"## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[:1] + lines[2:]]


def test_its_head_is_what_the_hub_reads(model):
    head, _, text = card(model, NOTHING._replace(licence="cc-by-4.0")).removeprefix("---\n").partition("\n---\n")
    found = yaml.safe_load(head)
    assert found["license"] == "cc-by-4.0"
    assert found["library_name"] == "cyclegan-stellar-spectra"
    assert {"astronomy", "stellar-spectra", "safetensors"} <= set(found["tags"])
    assert text.strip().startswith("# by hand")
    assert yaml.safe_load(card(model, NOTHING).split("---")[1])["license"] == "unknown"


def test_it_says_what_is_translated_and_of_which_stars(model):
    text, wavelength = card(model, NOTHING), model.wavelength
    assert f"{PIXELS} pixels, {wavelength[0]:.2f} to {wavelength[-1]:.2f} Å in vacuum" in text
    assert "an ensemble of 2 translators" in text
    assert "with lines deleted in 2% of its pixels" in text
    assert "stars like the 30 of a table of labels, which is in this folder" in text
    head, *labels = rows(text, "Labels and training stars")
    assert head == ["label", "unit", "the emulator takes", "training stars"]
    low, high = model.forward_model.emulator.label_low[0], model.forward_model.emulator.label_high[0]
    assert labels[0][:3] == ["`teff`", "K", f"{low:.6g} to {high:.6g}"]
    drawn = [float(value) for value in labels[0][3].split(" to ")]
    known = model.record.population["labels"][:, 0]
    assert known.min() - 50 < drawn[0] < drawn[1] < known.max() + 50


def test_scores_stand_beside_their_controls(model):
    text = card(model, NOTHING._replace(scores=SCORES))
    assert rows(text, "How good it is") == [
        ["", "no translation", "mean shift", "**translated**", "noiseless truth"],
        ["synthetic to observed", "24.1", "4.8", "1.05", "0.98"],
        ["observed to synthetic", "60.3", "–", "0.0902", "–"],
    ]
    assert "Faults that the training saw: overtrained." in text
    assert "Trained with torch 2.13.0, on cpu." in text


def test_limits_are_those_of_the_report(model):
    text = card(model, NOTHING._replace(evaluated=EVALUATED))
    limits = rows(text, "Limits by label")
    assert limits[1:] == [["`teff`", "1.5", "20.2", "700", "0.991", "0.9"], ["`fe_h`", "–", "0.3", "0.25", "–", "–"]]
    assert "0.01 at 0; 0.011 at 0.1; 0.5 at 1." in text


def test_it_answers_what_a_reader_asks_first_as_the_report_does(model):
    text = card(model, NOTHING._replace(evaluated=EVALUATED)).split("## May I use it?")[1].split("\n## ")[0]
    assert "**Yes, for stars like those it was trained on.**" in text
    assert "- **Why:** From synthetic to observed, 1 % is left of what shifting the mean leaves." in text
    assert "- **For stars of:** teff 4000 to 5000 K" in text
    assert "- **Labels. Carried over:** teff" in text
    assert "theory does:** fe\\_h" in text
    assert "- **Not for:** Measuring fe\\_h on translated spectra" in text


def test_what_is_not_known_is_said(model):
    text = card(model, NOTHING)
    assert "No scores of this checkpoint were in the run's folder" in text
    assert text.count("Not measured: `python -m cyclegan.evaluate checkpoint=RUN` does") == 2
    assert "Of the weights: not stated" in text
    assert "No star is known in both sets" in card(model, NOTHING._replace(scores={"x_synth_obs": None}))


def test_hashes_of_the_data_are_told(model):
    model.record.spectra = {"obs": {"size": 1234, "modified": 1.0, "sha256": "ab" * 32}}
    text = card(model, NOTHING)
    model.record.spectra = {}
    assert f"Data, observed: 1234 bytes; SHA-256 of the spectra read: `{'ab' * 32}`." in text


@pytest.mark.parametrize("text", ["<script>x</script>", "a | b", "# a", "[a](http://b)", "`a`", "a\n\n# b", "\x1b[2J"])
def test_what_others_wrote_is_text_and_no_more(model, text):
    physics = EVALUATED["physics"] | {"labels": [EVALUATED["physics"]["labels"][0] | {"label": text}]}
    evaluated = EVALUATED | {"physics": physics, "bins": {text: EVALUATED["bins"]["teff"]}}
    scores = SCORES | {"faults": {text: 1}, "device": text, "x_synth_obs": 1.0, "gap_synth_obs": text}
    plain = card(model, NOTHING._replace(scores=SCORES, evaluated=EVALUATED, citation="Me 2026"))
    name = model.record.config["name"]
    model.record.config["name"] = text
    given = card(model, NOTHING._replace(scores=scores, evaluated=evaluated, citation=text))
    model.record.config["name"] = name
    assert given.count("\n# ") == plain.count("\n# ") == 1
    assert len(rows(given, "Limits by label")[1]) == 6
    outside = re.sub(r"`[^`\n]*`", "", given)  # of code
    assert "<script>" not in outside
    assert "[a](" not in outside
    assert "\x1b" not in given


@pytest.mark.parametrize("other", [3, "x", [], {}, [1], {"a": {}}, None])
def test_scores_of_anything_else_make_a_card_too(model, other):
    assert "## How good it is" in card(model, NOTHING._replace(scores=dict.fromkeys(SCORES, other)))

"""cyclegan/discover.py: the lines that a toy theory lacks, which are known to the pixel and by their makers."""

import csv
import json

import numpy as np
import pytest
import torch
from conftest import PIXELS, line_pixels, toy_wavelength

from cyclegan.derivatives import responses
from cyclegan.discover import Evidence, Line, Truth, find_lines, gather, judge, weigh
from cyclegan.features import Feature
from emulator.command import InputError

HIDDEN = {"fe_h": 2, "si_h": 1, "mg_h": 0}  # which of an element's lines theory lacks
DEPTH = 0.01


def labels(payne, n, seed=0):
    random = torch.rand(n, len(payne.label_names), generator=torch.Generator().manual_seed(seed))
    return payne.label_low + random * (payne.label_high - payne.label_low)


@pytest.fixture(scope="module")
def places():
    return {name: line_pixels()[name][which] for name, which in HIDDEN.items()}


@pytest.fixture(scope="module")
def theory(payne, places):
    """The toy emulator without some lines, set to the continuum, as a map from labels (B, L) to flux (B, P)."""
    mask = torch.zeros(PIXELS, dtype=torch.bool)
    for centre in places.values():
        mask[centre - 3 : centre + 4] = True
    return lambda stars: payne(stars).masked_fill(mask, 1.0)


@pytest.fixture(scope="module")
def evidence(payne, theory):
    """The translation is perfect: observed spectra are the emulator's."""
    return gather([(theory, payne)], payne.label_names, labels(payne, 6), labels(payne, 2, seed=1))


def found(evidence, **changes):
    elements, seen = evidence
    settings = {"depth": DEPTH, "significance": 5.0} | changes
    return find_lines(seen, elements, toy_wavelength().numpy(), **settings)


def test_derivatives_are_the_emulators_own(payne):
    """It is linear: its response to a label is a column of its output layer, over the label's range."""
    column = payne.label_names.index("si_h")
    (response,) = responses(payne, labels(payne, 1), [column])
    expected = payne.output.weight[:, column] / (payne.label_high - payne.label_low)[column]
    torch.testing.assert_close(response[:, 0], expected, rtol=1e-4, atol=1e-6)


def test_every_line_that_theory_lacks_is_found_with_its_maker(payne, evidence, places):
    lines = found(evidence)
    makers = {int(np.abs(toy_wavelength().numpy() - line.wavelength).argmin()): line.element for line in lines}
    for name, centre in places.items():
        near = [element for pixel, element in makers.items() if abs(pixel - centre) <= 3]
        assert name.removesuffix("_h").capitalize() in near, name
    assert all(min(abs(pixel - centre) for centre in places.values()) <= 4 for pixel in makers)


def test_what_theory_has_is_not_found(payne):
    assert found(gather([(payne, payne)], payne.label_names, labels(payne, 4), labels(payne, 2))) == []


def test_a_shift_of_the_mean_has_no_maker(payne, theory):
    shift = (payne(labels(payne, 50)) - theory(labels(payne, 50))).detach().mean(dim=0)
    shifted = [(theory, lambda stars: theory(stars) + shift)]
    assert found(gather(shifted, payne.label_names, labels(payne, 4), labels(payne, 2))) == []


def test_runs_that_disagree_are_less_sure(payne, theory):
    def other(stars):
        return payne(stars) + 0.05 * (payne(stars) - theory(stars)) * torch.linspace(-9, 9, PIXELS)

    stars = labels(payne, 4), labels(payne, 2)
    _, one = gather([(theory, payne)], payne.label_names, *stars)
    _, two = gather([(theory, payne), (theory, other)], payne.label_names, *stars)
    there = np.abs(one.gain).max(axis=1) > 0.01
    assert (two.error[there] > one.error[there]).any(axis=1).mean() > 0.9


def test_a_second_element_that_moves_a_line_half_as_much_cannot_be_excluded():
    wavelength = np.linspace(15000.0, 15010.0, 41)
    profile = np.exp(-0.5 * ((np.arange(41) - 20) / 2) ** 2)
    noise = 1e-4 * np.random.default_rng(0).normal(size=(41, 2))
    for ratio, expected in ((0.7, True), (0.3, False)):
        gain = -0.1 * profile[:, None] * [1.0, ratio] + noise
        seen = Evidence(0.2 * profile[None], gain, np.full((41, 2), 1e-3))
        (line,) = find_lines(seen, ("C", "N"), wavelength, DEPTH, 5.0)
        assert (line.element, line.second, line.cannot_exclude) == ("C", "N", expected)
        assert line.wavelength == wavelength[20]
        assert line.depth == pytest.approx(0.2)
        assert line.start <= 18
        assert line.stop >= 23
    lonely = seen._replace(gain=seen.gain * [1.0, 0.0])
    (line,) = find_lines(lonely, ("C", "N"), wavelength, DEPTH, 5.0)
    assert line.second == ""
    assert np.isnan(line.second_response)


def test_the_error_of_a_response_is_that_of_stars_and_of_pixels():
    """Normal scatter of 64 stars about nothing: its own eighth, and again as the scatter of pixels."""
    gain = np.random.default_rng(0).normal(size=(64, 5000, 1))
    error = weigh(np.zeros((1, 5000)), [gain]).error
    assert np.median(error) == pytest.approx(2**0.5 / 8, rel=0.05)


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
        return Line(15000 + pixel / 4, pixel - 1, pixel + 2, 0.1, element, -0.1, 9.0, second, nan, nan, False)

    truth = Truth(features, missing, gain)
    rows = judge([line(12, "Fe"), line(32, "C", "N"), line(70, "Fe")], ("Fe", "C", "N"), truth)
    assert rows["all"] == {
        "masked": 2, "found": 2, "found_share": 1.0, "first": 0.5, "either": 1.0, "strongest": 1.0,
        "attainable": 0.5, "lines": 3, "precise": pytest.approx(2 / 3),
    }  # fmt: skip
    assert rows["N"]["first"] == 0.0
    assert rows["N"]["strongest"] == 1.0
    assert rows["N"]["attainable"] == 0.0
    assert rows["Fe"]["precise"] == 0.5
    assert rows["C"]["masked"] == 0
    nothing = judge([], ("Fe", "C", "N"), truth)["all"]
    assert nothing["found_share"] == 0.0
    assert np.isnan(nothing["first"])


def test_without_abundances_nothing_can_be_named(payne):
    with pytest.raises(InputError, match="expected abundances among them"):
        gather([(payne, payne)], ("teff", "logg"), labels(payne, 2), labels(payne, 2))


def test_the_command(start, payne2payne_run, files_run, tmp_path):
    """A tiny run: all files come, controls find nothing or name by chance, and what cannot be used is told."""

    def process(name, *overrides, run=payne2payne_run):
        (tmp_path / name).mkdir()
        arguments = [f"checkpoint={run}", f"output={tmp_path / name / 'found'}", "stars=4", "depth=0.005", *overrides]
        return start(tmp_path / name, *arguments, module="cyclegan.discover")

    started = {
        "good": process("good", "significance=0"),
        "shift": process("shift", "control=mean_shift"),
        "twice": process("twice", f"others=[{payne2payne_run}]"),
        "files": process("files", run=files_run),
        "labels": process("labels", "labels=nowhere.csv"),
        "typo": process("typo", "control=magic"),
    }
    commands = {name: process.wait() for name, process in started.items()}
    codes = {name: command.code for name, command in commands.items()}
    assert codes == {"good": 0, "shift": 0, "twice": 0, "files": 2, "labels": 2, "typo": 2}, {
        name: command.err for name, command in commands.items()
    }
    assert "a run whose synthetic domain is emulated" in commands["files"].err
    assert "nowhere.csv" in commands["labels"].err
    assert "mean_shift, shuffled_labels" in commands["typo"].err
    output = tmp_path / "good" / "found"
    with (output / "lines.csv").open() as file:
        lines = list(csv.DictReader(file))
    numbers = json.loads((output / "discovery.json").read_text())
    assert numbers["lines"] == len(lines) > 0
    assert numbers["judged"]["all"]["masked"] > 0
    assert (output / "summary.png").read_bytes().startswith(b"\x89PNG")
    assert {path.stem for path in output.glob("*.png")} == {"summary", *(line["element"] for line in lines)}
    assert json.loads((tmp_path / "shift" / "found" / "discovery.json").read_text())["lines"] == 0
    assert json.loads((tmp_path / "twice" / "found" / "discovery.json").read_text())["runs"] == 2

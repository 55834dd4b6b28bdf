"""cyclegan/discovery/list_truth.py: a fitted list beside the lines that were taken out."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from cyclegan.discovery.lines import MissingLine
from cyclegan.discovery.list_truth import judge_list, lines_taken_out, pair, right
from cyclegan.discovery.strengths import Fitted
from emulator.lacking import take_out
from emulator.lines import LINES, Lines
from emulator.payne import Payne

TRUTH = Lines(
    wavelength=np.array([15600.0, 15600.3, 15700.0]),
    species=np.array(["Fe I", "CN", "Si I"]),
    excitation=np.array([6.0, 1.0, 7.0]),
    log_gf=np.array([-1.0, -1.5, -0.5]),
    strength=np.array([-4.0, -5.0, -4.5]),
)


def line(wavelength, species, log_gf, excitation, companion=False):
    return Fitted(wavelength, species, log_gf, excitation, 0.01, 0.1, 0.2, 0.9, 0.001, [], False, companion)


def found(wavelength, depth):
    return MissingLine(wavelength, 0, 1, depth, 9.0, 1e-6, "Fe", -0.1, 9.0, "", math.nan, math.nan, False)


FITTED = [
    line(15600.05, "Fe I", -0.8, 6.1),
    line(15600.3, "CN", 0.0, 0.0, companion=True),
    line(15650.0, "Fe I", 0.0, 6.0),
    line(15700.0, "Fe I", 0.0, 6.0),
]
FOUND = [found(15600.0, 0.2), found(15650.0, 0.1), found(15700.0, 0.02)]


@pytest.fixture
def pairs():
    return pair(FITTED, FOUND, TRUTH)


def test_each_line_that_was_found_is_beside_the_strongest_line_on_which_it_lies(pairs):
    assert [one.true for one in pairs] == [0, None, 2]
    assert [one.depth for one in pairs] == [0.2, 0.1, 0.02]


def test_deep_lines_are_judged(pairs):
    rows = judge_list(pairs, TRUTH)
    assert set(rows) == {"Fe I", "all"}
    row = rows["all"]
    assert (row["listed"], row["on_a_line"], row["species_right"]) == (2, 0.5, 0.5)
    assert (row["log_gf"], row["excitation"]) == pytest.approx((0.2, 0.1))
    assert (row["log_gf_pull"], row["excitation_pull"]) == pytest.approx((2.0, 0.5))
    assert [one.line for one in right(pairs, TRUTH)] == [FITTED[0]]


def test_nothing_right_has_no_median():
    wrong = pair([replace(FITTED[0], species="Si I")], FOUND, TRUTH)
    row = judge_list(wrong, TRUTH)["all"]
    assert row["species_right"] == 0
    assert math.isnan(row["log_gf"])


def payne(lines):
    made = Payne(["teff"], torch.zeros(1), torch.ones(1), torch.tensor([15000.0, 15001.0]), width=1)
    made.lines = lines
    return made


def test_what_was_taken_out_is_what_the_observed_emulator_has_beyond():
    left, taken = take_out(LINES, 0.3, 1)
    assert lines_taken_out(payne(left), payne(LINES)).fingerprint() == taken.fingerprint()
    assert lines_taken_out(payne(left), None) is None
    assert lines_taken_out(payne(None), payne(LINES)) is None
    assert lines_taken_out(payne(left), payne(None)) is None

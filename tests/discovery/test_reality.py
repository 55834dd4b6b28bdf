"""cyclegan/discovery/reality.py: lines beside known ones, counted by hand."""

import math

import numpy as np
import pytest
from skies import toy_wavelength

from cyclegan.discovery.known_lines import KnownLine
from cyclegan.discovery.lines import MissingLine
from cyclegan.discovery.reality import Reality, judge_by_known, marked, reality_of_table, within
from emulator.commands.errors import InputError
from emulator.wavelength import LIGHT_SPEED

X = toy_wavelength().numpy()
NOTHING = np.zeros(len(X))


def line(pixel, element="Fe", second=""):
    return MissingLine(
        X[pixel], pixel - 2, pixel + 3, 0.05, 8.0, 1e-6, element, -0.1, 9.0, second, math.nan, math.nan, False
    )


def known(pixel, *elements, off=0.0, width=0.0):
    return KnownLine(X[pixel] * (1 + off / LIGHT_SPEED), " ".join(elements), elements, width)


def reality(*lines, covered=slice(None)):
    where = np.zeros(len(X), dtype=bool)
    where[covered] = True
    return Reality(list(lines), X, where, {})


def test_recall_precision_offsets_and_names():
    true = reality(known(20, "Fe", off=-2.0), known(50, "Si", off=4.0), known(80, "Mn"), known(120), covered=slice(150))
    lines = [line(20), line(50, "Fe", "Si"), line(120), line(65), line(180)]
    found = judge_by_known(lines, ("Fe", "Si"), true)
    assert (found["known"], found["found"], found["recall"]) == (4, 3, 0.75)
    assert (found["reported"], found["right"], found["precision"]) == (4, 3, 0.75)  # pixel 180 is not covered
    assert found["offset"]["km_s"]["median"] == pytest.approx(0, abs=1e-3)
    assert found["offset"]["km_s"]["scatter"] == pytest.approx(1.4826 * 2, abs=1e-3)
    assert found["offset"]["angstrom"]["scatter"] == pytest.approx(1.4826 * 2 * 15150 / LIGHT_SPEED, rel=2e-3)
    assert (found["named"], found["agree"], found["either"]) == (2, 0.5, 1.0)


def test_where_theory_has_metals_as_one_iron_is_right_for_all_of_them():
    found = judge_by_known([line(20), line(50)], ("Fe",), reality(known(20, "Ni"), known(50)))
    assert (found["named"], found["agree"]) == (1, 1.0)


def test_nothing_found_is_no_division_by_zero():
    found = judge_by_known([], ("Fe",), reality(known(20)))
    assert found["recall"] == 0
    assert math.isnan(found["precision"])
    assert math.isnan(found["offset"]["km_s"]["median"])


def test_a_foreign_feature_takes_a_lines_maker_away():
    lines = [line(20, second="Si"), line(50), line(80)]
    kept, marks = marked(lines, [known(21, "DIB"), known(56, width=4.0)], reality(known(80, "Fe")), NOTHING)
    assert [one.element for one in kept] == ["", "", "Fe"]
    assert kept[0].second == ""
    assert kept[0].response == lines[0].response
    assert [mark["foreign"] for mark in marks] == ["DIB", f"{X[56]:.2f}", ""]
    assert [mark["known"] for mark in marks] == ["", "", "Fe"]
    assert marks[2]["offset_km_s"] == pytest.approx(0)
    assert marked(lines, [], None, NOTHING) == (lines, [{}, {}, {}])


def test_a_table_covers_each_chip_from_its_first_line_to_its_last(tmp_path):
    path = tmp_path / "lines.csv"
    places = [X[10], X[40], X[150], (X[99] + X[100]) / 2, 17000.0]
    path.write_text("wavelength\n" + "\n".join(f"{place:.6f}" for place in places))
    found = reality_of_table(path, X)
    assert found.about == {"table": str(path), "lines": 5, "in_pixels": 3}
    assert np.flatnonzero(found.covered).min() in (10, 11)  # digits are lost in the table
    assert set(np.flatnonzero(found.covered)) - {10, 40, 150} == set(range(11, 40))
    assert found.covers(line(30))
    assert not found.covers(line(120))
    assert within([], X) == []
    path.write_text("wavelength\n16000\n")
    with pytest.raises(InputError, match=r"lines in the run's pixels, 15135.6 to .* got lines of 16000.0 to 16000.0 A"):
        reality_of_table(path, X)

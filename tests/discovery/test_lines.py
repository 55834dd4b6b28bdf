"""cyclegan/discovery/lines.py: the lines that a toy theory lacks, which are known to the pixel and by their makers."""

import csv

import numpy as np
import pytest
from lacking import hidden_places, lacking_theory, random_labels
from skies import toy_wavelength

from cyclegan.discovery.evidence import Evidence, gather
from cyclegan.discovery.lines import APART, MissingLine, find_lines, write_lines
from emulator.wavelength import velocity_step

DEPTH = 0.01


@pytest.fixture(scope="module")
def theory(payne):
    return lacking_theory(payne)


@pytest.fixture(scope="module")
def evidence(payne, theory):
    """The translation is perfect: observed spectra are the emulator's."""
    return gather([(theory, payne)], payne.label_names, random_labels(payne, 6), random_labels(payne, 2, seed=1))


def found(evidence, **changes):
    elements, seen = evidence
    settings = {"depth": DEPTH, "false_discoveries": 0.05} | changes
    return find_lines(seen, elements, toy_wavelength().numpy(), **settings)


def made(missing, gain, still=None):
    """Evidence that is sure to a thousandth."""
    nothing = np.zeros(len(gain)) if still is None else still
    return Evidence(missing, np.full(missing.shape, 1e-3), gain, np.full(gain.shape, 1e-3), nothing)


def test_of_the_lines_reported_the_share_that_is_false_is_what_was_asked_for():
    """400 lines, of which some are as weak as the noise, which is everywhere."""
    random = np.random.default_rng(0)
    pixels, noise = 20000, 2e-3
    wavelength = np.exp(np.log(15000.0) + np.arange(pixels) * 1.4e-5)
    places = np.arange(25, pixels, 50)
    depth = noise * random.uniform(1, 12, len(places))
    lack = noise * random.normal(size=pixels)
    lack[places] += depth
    gain = -0.5 * lack[:, None]
    seen = Evidence(lack[None], np.full((1, pixels), noise), gain, np.full(gain.shape, 1e-3), np.zeros(pixels))
    for rate in (0.05, 0.2):
        lines = find_lines(seen, ("Fe",), wavelength, 1e-4, rate)
        right = [abs(np.abs(wavelength - line.wavelength).argmin() - places).min() == 0 for line in lines]
        assert len(lines) > 200
        assert 1 - np.mean(right) < 1.3 * rate
        assert max(line.q for line in lines) <= rate


def test_a_line_whose_maker_is_unknown_is_reported_as_such():
    profile = np.exp(-0.5 * ((np.arange(41) - 20) / 2) ** 2)
    wavelength = np.linspace(15000.0, 15010.0, 41)
    seen = made(0.2 * profile[None], 1e-4 * profile[:, None] * [1.0, -1.0])
    (line,) = find_lines(seen, ("C", "N"), wavelength, DEPTH, 0.05)
    assert (line.element, line.second) == ("", "")
    assert line.significance == pytest.approx(200)
    assert np.isnan(line.response)


def test_what_does_not_move_with_the_stars_is_no_line():
    profile = np.exp(-0.5 * ((np.arange(41) - 20) / 2) ** 2)
    seen = made(0.2 * profile[None], 0 * profile[:, None], still=np.ones(41))
    assert find_lines(seen, ("C",), np.linspace(15000.0, 15010.0, 41), DEPTH, 0.05) == []


def test_every_line_that_theory_lacks_is_found_with_its_maker(evidence):
    lines, places = found(evidence), hidden_places()
    makers = {int(np.abs(toy_wavelength().numpy() - line.wavelength).argmin()): line.element for line in lines}
    for name, centre in places.items():
        near = [element for pixel, element in makers.items() if abs(pixel - centre) <= 3]
        assert name.removesuffix("_h").capitalize() in near, name
    assert all(min(abs(pixel - centre) for centre in places.values()) <= 4 for pixel in makers)


def test_what_theory_has_is_not_found(payne):
    assert found(gather([(payne, payne)], payne.label_names, random_labels(payne, 4), random_labels(payne, 2))) == []


def test_a_shift_of_the_mean_has_no_maker(payne, theory):
    shift = (payne(random_labels(payne, 50)) - theory(random_labels(payne, 50))).detach().mean(dim=0)
    shifted = [(theory, lambda stars: theory(stars) + shift)]
    assert found(gather(shifted, payne.label_names, random_labels(payne, 4), random_labels(payne, 2))) == []


def test_a_second_element_that_moves_a_line_half_as_much_cannot_be_excluded():
    wavelength = np.linspace(15000.0, 15010.0, 41)
    profile = np.exp(-0.5 * ((np.arange(41) - 20) / 2) ** 2)
    noise = 1e-4 * np.random.default_rng(0).normal(size=(41, 2))
    for ratio, expected in ((0.7, True), (0.3, False)):
        gain = -0.1 * profile[:, None] * [1.0, ratio] + noise
        seen = made(0.2 * profile[None], gain)
        (line,) = find_lines(seen, ("C", "N"), wavelength, DEPTH, 0.05)
        assert (line.element, line.second, line.cannot_exclude) == ("C", "N", expected)
        assert line.wavelength == wavelength[20]
        assert line.depth == pytest.approx(0.2)
        assert line.start <= 18
        assert line.stop >= 23
    lonely = seen._replace(gain=seen.gain * [1.0, 0.0])
    (line,) = find_lines(lonely, ("C", "N"), wavelength, DEPTH, 0.05)
    assert line.second == ""
    assert np.isnan(line.second_response)


def test_what_is_near_is_told_in_velocity_whatever_the_pixels_are():
    """Two lines that are resolved, and two that are not, on grids of one and of two pixels a step."""
    found = []
    for fineness in (1, 2):
        wavelength = np.exp(np.log(15000.0) + np.arange(200 * fineness) * 1.4e-5 / fineness)
        step = velocity_step(wavelength)
        velocity = step * np.arange(len(wavelength))
        centres = (150.0, 150.0 + 3 * APART, 500.0, 500.0 + 0.6 * APART)
        depths = (0.2, 0.15, 0.2, 0.1)
        lack = sum(d * np.exp(-0.5 * ((velocity - c) / 5) ** 2) for c, d in zip(centres, depths, strict=True))
        seen = made(lack[None], -0.5 * lack[:, None])
        found.append(find_lines(seen, ("Fe",), wavelength, DEPTH, 0.05))
    assert len(found[0]) == len(found[1]) == 3
    for coarse, fine in zip(*found, strict=True):
        assert fine.wavelength == pytest.approx(coarse.wavelength, abs=0.12)  # half a coarse pixel
        assert fine.response == pytest.approx(coarse.response, rel=0.1)  # the same pixels would give 1.5 times
        assert (fine.stop - fine.start) / (coarse.stop - coarse.start) == pytest.approx(2, rel=0.35)


def test_lines_are_written_as_a_table(tmp_path):
    nan = float("nan")
    lines = [
        MissingLine(15001.5, 3, 9, 0.1, 12.0, 1e-9, "Fe", -0.2, 7.5, "Si", -0.15, 5.5, True),
        MissingLine(15020.25, 40, 44, 0.05, 4.0, 0.01, "C", -0.1, 6.0, "", nan, nan, False),
    ]
    write_lines(lines, tmp_path / "lines.csv")
    with (tmp_path / "lines.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["wavelength"]) for row in rows] == [15001.5, 15020.25]
    assert [(row["element"], row["second"], row["cannot_exclude"]) for row in rows] == [
        ("Fe", "Si", "True"),
        ("C", "", "False"),
    ]
    assert [row["second_response"] for row in rows] == ["-0.15", "nan"]
    write_lines(lines, tmp_path / "marked.csv", [{"known": "Fe I"}, {"known": ""}])
    with (tmp_path / "marked.csv").open(newline="") as file:
        assert [row["known"] for row in csv.DictReader(file)] == ["Fe I", ""]
    write_lines([], tmp_path / "none.csv")
    assert (tmp_path / "none.csv").read_text().splitlines() == [",".join(rows[0])]

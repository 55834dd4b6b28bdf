"""cyclegan/figures/lines.py: what figures of missing lines draw, read back from them."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from drawn import drawn_line
from skies import toy_wavelength

from cyclegan.figures.axes import AFTER, BEFORE, OBSERVED
from cyclegan.figures.lines import SHOWN_LINES, maker, plot_discovery, plot_element
from emulator.wavelength import chip_starts

X = toy_wavelength().numpy()


class Missing(NamedTuple):
    """A line as `cyclegan.discovery` finds it."""

    wavelength: float
    start: int
    stop: int
    depth: float
    element: str
    second: str = "Ni"
    cannot_exclude: bool = False


def line_at(pixel, element="Fe", depth=0.1, **rest):
    return Missing(X[pixel], pixel - 2, pixel + 3, depth, element, **rest)


def test_a_maker_that_cannot_be_excluded_is_named_beside_the_first():
    assert maker(line_at(20)) == "Fe"
    assert maker(line_at(20, cannot_exclude=True)) == "Fe/Ni"
    assert maker(line_at(20, "")) == "?"


@pytest.fixture
def theory():
    """Flux of theory, of the translation, and the response to two elements, that lack a line at pixel 30."""
    synth = np.full(len(X), 0.95)
    line = 0.1 * np.exp(-0.5 * ((np.arange(len(X)) - 30) / 1.5) ** 2)
    gain = np.stack([-0.2 * line, -3 * line], axis=1)
    return synth, synth - line, gain


def test_what_theory_lacks_is_drawn_with_its_makers_response(theory):
    synth, translated, gain = theory
    lines, hidden = [line_at(30, "Si")], torch.zeros(len(X), dtype=torch.bool)
    hidden[28:33] = True
    figure = plot_discovery(X, synth, translated, gain, ("Fe", "Si"), lines, gain + 0.01, hidden, "a giant")
    top, gap, response = figure.axes
    assert top.get_title(loc="left") == "a giant"
    assert response.get_ylabel() == "[Si/H]"  # and none of iron, of which no line is lacking
    drawn = drawn_line(top, "synthetic")
    assert (drawn.get_color(), drawn_line(top, "translated").get_color()) == (BEFORE, AFTER)
    between = np.isnan(drawn.get_xdata())
    assert np.flatnonzero(between).tolist() == chip_starts(X).tolist()
    inside = drawn.get_xdata()[~between]
    assert np.isin(inside, X).all()
    shown = np.isin(X, inside)
    np.testing.assert_allclose(gap.lines[0].get_ydata()[~between], (translated - synth)[shown])
    assert [text.get_text() for text in gap.texts] == ["Si"]
    np.testing.assert_allclose(drawn_line(response, "found").get_ydata()[~between], gain[shown, 1])
    np.testing.assert_allclose(drawn_line(response, "true").get_ydata()[~between], gain[shown, 1] + 0.01)


def test_the_star_itself_and_known_lines_are_drawn_where_they_are_known(theory):
    synth, translated, gain = theory
    synth = synth.copy()
    synth[150] += 0.5  # where the star is not known
    observed = np.where(np.arange(len(X)) < 90, translated - 0.02, np.nan)
    lines = [line_at(30, ""), line_at(50, "Si")]
    known = [X[30], X[150]]
    figure = plot_discovery(X, synth, translated, gain, ("Fe", "Si"), lines, None, None, "a star", observed, known)
    top, gap, response = figure.axes
    assert top.get_xlim()[0] == X[0]
    assert drawn_line(top, "the star").get_color() == OBSERVED
    star, marks = gap.lines[1], drawn_line(gap, "known")
    near = np.nanmin(star.get_ydata())
    assert near == pytest.approx(np.nanmin(observed - synth))
    assert gap.get_ylim()[0] < near
    assert X[30] in marks.get_xdata()
    assert [text.get_text() for text in gap.texts] == ["?", "Si"]
    assert response.get_ylabel() == "[Si/H]"


def test_without_a_truth_and_lines_there_are_neither(theory):
    figure = plot_discovery(X, *theory, ("Fe", "Si"), [], None, None, "a giant")
    assert len(figure.axes) == 2
    figure = plot_discovery(X, *theory, ("Fe", "Si"), [line_at(30)], None, None, "a giant")
    assert [line.get_label() for line in figure.axes[2].lines] == ["found"]


def test_the_deepest_lines_of_an_element_are_drawn_in_order_of_wavelength(theory):
    _, _, gain = theory
    pixels = list(range(15, 190, 11))
    lines = [line_at(pixel, depth=0.01 * number) for number, pixel in enumerate(pixels)]
    figure = plot_element(X, -gain[:, 1], gain[:, 1], "Fe", lines, None)
    panels = [axes for axes in figure.axes if axes.axison]
    deepest = pixels[-SHOWN_LINES:]
    assert [axes.get_title() for axes in panels] == [f"{X[pixel]:.2f} Å: Fe" for pixel in deepest]
    for axes, pixel in zip(panels, deepest, strict=True):
        drawn = drawn_line(axes, "missing flux")
        near = slice(pixel - 12, pixel + 13)  # AROUND, in pixels of 4.14 km/s
        np.testing.assert_allclose(drawn.get_xdata(), X[near] - X[pixel])
        np.testing.assert_allclose(drawn.get_ydata(), gain[near, 1])

"""emulator/added_lines.py: lines that are added make what the whole synthesis makes of them."""

import numpy as np
import pytest

from emulator.added_lines import Stars
from emulator.labels import ABUNDANCES
from emulator.lines import LINES
from emulator.synthesis import synthesize

WAVELENGTH = np.exp(np.arange(np.log(15690.0), np.log(15712.0), 1.4e-5))
KINDS = ((4300.0, 1.2, 1.8, 6.0), (4500.0, 2.0, 1.6, 5.0), (5000.0, 3.0, 1.2, 4.0), (5800.0, 4.4, 1.0, 3.0))
LABELS = np.array([kind + (0.0,) * len(ABUNDANCES) for kind in KINDS])
NEAR = 1e-4


@pytest.fixture(scope="module")
def line():
    """Which of the built-in lines: the strongest of CN near 15705.9, that stands alone."""
    own = np.flatnonzero((np.abs(LINES.wavelength - 15705.9) < 0.3) & (LINES.species == "CN"))
    return int(own[LINES.strength[own].argmax()])


@pytest.fixture(scope="module")
def without(line):
    return LINES.chosen(np.arange(len(LINES.wavelength)) != line)


@pytest.fixture(scope="module")
def stars(without):
    return Stars(LABELS, WAVELENGTH, without)


def data(line):
    return np.array([[LINES.log_gf[line]], [LINES.excitation[line]], [np.log(LINES.wavelength[line])]])


def test_a_line_adds_what_the_whole_synthesis_has(stars, without, line):
    at = data(line)
    window = stars.window(at[2], NEAR)
    added = stars.add(window, (LINES.species[line],), *at).change
    whole = np.stack([synthesize(star, WAVELENGTH) - synthesize(star, WAVELENGTH, without) for star in LABELS])
    assert whole.min() < -0.02
    np.testing.assert_allclose(added, whole[:, window.pixels], atol=3e-4)


@pytest.mark.parametrize(("parameter", "step", "off"), [(0, 1e-2, 0.01), (1, 1e-2, 0.02), (2, 1e-6, 0.2)])
def test_slopes_are_those_of_finite_differences(stars, line, parameter, step, off):
    at = data(line)
    window, further = stars.window(at[2], NEAR), np.zeros((3, 1))
    further[parameter] = step
    above, below = (stars.add(window, ("CN",), *(at + sign * further)).change for sign in (1, -1))
    slopes = stars.add(window, ("CN",), *at).slopes[:, :, 0, parameter]
    expected = (above - below) / (2 * step)
    np.testing.assert_allclose(slopes, expected, atol=off * np.abs(expected).max())


def test_a_line_that_is_there_already_leaves_less_to_add(stars, line):
    at = data(line)
    alone = stars.add(stars.window(at[2], NEAR), ("CN",), *at).change
    there = ("CN", 0.5 + at[0, 0], *at[1:, 0])
    window = stars.window(at[2], NEAR, [there])
    both = stars.add(window, ("CN",), *at).change
    first = stars.add(window, (), *np.zeros((3, 0))).change
    assert np.abs(both - first).max() < 0.8 * np.abs(alone).max()

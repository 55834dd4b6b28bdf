"""cyclegan/figures/axes.py: what all figures share."""

import math

import pytest

from cyclegan.figures.axes import COLUMNS, label_facts, log_scale, panel_grid


@pytest.mark.parametrize(("panels", "shape"), [(1, (1, 1)), (COLUMNS, (1, COLUMNS)), (COLUMNS + 1, (2, COLUMNS))])
def test_panels_stand_in_rows_and_those_left_over_are_empty(panels, shape):
    figure, grid = panel_grid(panels, 2.0, 1.0)
    assert grid.shape == shape
    assert sum(axes.axison for axes in grid.ravel()) == panels
    assert figure.get_size_inches().tolist() == [2.0 * shape[1], 1.0 * shape[0] + 0.5]


def test_a_stars_labels_are_told_as_far_as_they_are_known():
    assert label_facts({"fe_h": -0.213, "teff": 4780.4, "mg_h": 0.1}) == [r"$T_\mathrm{eff}$ 4780 K", "[Fe/H] -0.21"]
    assert label_facts({"alpha_fe": 0.1}) == ["[α/Fe] +0.10"]
    assert label_facts({"teff": math.nan, "logg": 2.5}) == ["log g 2.50"]
    assert label_facts({}) == []


def test_a_logarithmic_axis_has_plain_numbers():
    figure, grid = panel_grid(1, 2.0, 1.0)
    axes = grid[0, 0]
    axes.plot([0, 1], [0.2, 30])
    log_scale(axes)
    figure.canvas.draw()
    major = {text.get_text() for text in axes.get_yticklabels() if text.get_text()}
    minor = {text.get_text() for text in axes.get_yticklabels(minor=True) if text.get_text()}
    assert {"1", "10"} <= major
    assert {"0.2", "0.5", "2", "5", "20"} <= minor

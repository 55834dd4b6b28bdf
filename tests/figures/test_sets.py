"""cyclegan/figures/sets.py: what figures of whole sets of spectra draw, read back from them."""

import numpy as np
from skies import toy_wavelength

from cyclegan.figures.sets import plot_embedding, plot_residuals
from emulator.wavelength import chip_starts

X = toy_wavelength().numpy()


def test_residuals_have_their_median_and_percentiles_in_each_chip():
    random = np.random.default_rng(2)
    residual = 0.01 * random.standard_normal((50, len(X)))
    residual[3, 4] = np.nan
    figure = plot_residuals(X, {"synthetic": residual + 0.05, "translated": residual})
    panels = figure.axes[:4]
    assert [panel.get_xlim() for panel in panels[:2]] == [(c[0], c[-1]) for c in np.split(X, chip_starts(X))]
    first = np.array_split(np.arange(100), 100 // 8)[0]
    expected = np.nanpercentile(residual[:, first], [50, 16, 84])
    found = [line.get_ydata()[0] for line in panels[2].lines[:3]]
    np.testing.assert_allclose(found, expected)
    assert "median +0.05" in panels[0].get_title(loc="left")


def test_a_map_holds_all_points_and_the_number():
    points = np.random.default_rng(3).standard_normal((7, 2))
    figure = plot_embedding({"before": {"observed": points, "synthetic": points + 1}}, ["before: AUC 0.97 ± 0.01"])
    (axes,) = figure.axes
    assert axes.get_title() == "before: AUC 0.97 ± 0.01"
    np.testing.assert_array_equal(axes.collections[0].get_offsets(), points)

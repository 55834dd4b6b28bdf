"""cyclegan/figures/labels.py: what figures of stellar labels draw, read back from them."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from drawn import drawn_line

from cyclegan.figures.axes import AFTER, BEFORE
from cyclegan.figures.labels import (
    WAYS,
    label_axis,
    label_edges,
    plot_bins,
    plot_fitted,
    plot_label_distributions,
    plot_label_residuals,
    plot_physics,
    plot_pulls,
)


@pytest.mark.parametrize("values", [[4310.0, 6480.0], [-0.91, 0.4, np.nan], [1.0, 1.0]])
def test_bins_are_equal_and_hold_every_known_star(values):
    edges = label_edges(np.array(values))
    assert 2 <= len(edges) <= 10
    np.testing.assert_allclose(np.diff(edges), edges[1] - edges[0])
    assert edges[0] <= np.nanmin(values)
    assert np.nanmax(values) <= edges[-1]


def test_bins_show_scores_and_counts():
    columns = {"edges": np.array([0.0, 1, 2]), "stars": np.array([3, 5]), "translated": np.array([1.5, 2.5])}
    upper, lower = plot_bins({"fe_h": columns}).axes
    np.testing.assert_array_equal(drawn_line(upper, "translated").get_xydata(), [[0.5, 1.5], [1.5, 2.5]])
    assert [text.get_text() for text in lower.texts] == ["3", "5"]
    assert lower.get_xlabel() == "[Fe/H] [dex]"


def test_distributions_of_labels_show_each_set_on_its_own_scale():
    random = np.random.default_rng(0)
    everybody = random.uniform([4000, 0], [7000, 5], size=(4000, 2))
    paired = everybody[(everybody[:, 0] > 5000) & (everybody[:, 0] < 6000)]
    for observed, names in (
        (paired[:50], ["all synthetic", "paired", "observed"]),
        (None, ["all synthetic", "paired"]),
    ):
        sets = dict(zip(names, (everybody, paired, observed), strict=False))
        figure = plot_label_distributions(("teff", "mg_h"), sets)
        first, second = figure.axes[:2]
        assert first.get_xlabel() == r"$T_\mathrm{eff}$ [K]"
        assert second.get_xlabel() == "[Mg/H] [dex]"
        assert [text.get_text() for text in figure.legends[0].get_texts()] == names
        heights = {patch.get_label(): patch.get_xy() for patch in first.patches}
        edges, density = heights["paired"].T
        assert density[(edges > 5100) & (edges < 5900)].max() > 2.5 * heights["all synthetic"][:, 1].max()
        assert density[edges < 4900].max() == 0


class Fitted(NamedTuple):
    """Labels as a fit has them."""

    labels: torch.Tensor
    error: torch.Tensor
    converged: torch.Tensor


@pytest.fixture
def fits():
    """The truth of 400 stars in two labels, the second of the first star unknown; two ways of fitting them."""
    random = torch.Generator().manual_seed(0)
    truth = torch.tensor([5000.0, 0.0]) + torch.tensor([300.0, 0.2]) * torch.randn(400, 2, generator=random)
    truth[0, 1] = torch.nan
    error, converged = torch.tensor([50.0, 0.02]).expand(400, 2), torch.ones(400, dtype=torch.bool)
    converged[7] = False
    off = error * torch.randn(400, 2, generator=random)
    ways = {"translator": Fitted(truth + off, error, converged), "emulator": Fitted(truth + 3 * off, error, converged)}
    return ways, truth, ("teff", "fe_h")


def test_fits_are_drawn_against_the_truth_where_both_are_known(fits):
    ways, truth, names = fits
    figure = plot_fitted(*fits)
    for i, (axes, name) in enumerate(zip(figure.axes, names, strict=True)):
        assert axes.get_xlabel() == f"true {label_axis(name)}"
        for way, fitted in ways.items():
            good = fitted.converged & truth[:, i].isfinite()
            assert int(good.sum()) == 399 - i
            line = drawn_line(axes, WAYS[way][0])
            torch.testing.assert_close(torch.tensor(line.get_xdata()), truth[good, i])
            torch.testing.assert_close(torch.tensor(line.get_ydata()), (fitted.labels - truth)[good, i])


def test_residuals_of_labels_have_their_mean_and_scatter(fits):
    ways, truth, _ = fits
    for i, axes in enumerate(plot_label_residuals(*fits).axes):
        told = [text.get_text() for text in axes.texts]
        for text, fitted in zip(told, ways.values(), strict=True):
            off = (fitted.labels - truth)[fitted.converged & truth[:, i].isfinite(), i]
            mean, scatter = (float(number) for number in text.split(" ± "))
            assert mean == pytest.approx(off.mean().item(), abs=0.006 if i == 0 else 6e-5)
            assert scatter == pytest.approx(off.std(correction=0).item(), abs=0.006 if i == 0 else 6e-5)


def test_pulls_are_as_wide_as_errors_are_wrong(fits):
    for axes in plot_pulls(*fits).axes:
        honest, wrong = (float(text.get_text().removeprefix("width ")) for text in axes.texts)
        assert honest == pytest.approx(1, abs=0.15)
        assert wrong == pytest.approx(3, abs=0.45)
        assert drawn_line(axes, "normal").get_ydata().max() == pytest.approx((2 * np.pi) ** -0.5)


def test_physics_shows_each_label_and_says_where_nothing_is_known():
    row = {"label": "teff", "theory": 0.5, "fidelity": 0.9, "bias": 20.0, "scatter": 10.0, "spread": 200.0}
    rows = [row, row | {"label": "mg_h", "fidelity": 0.7}]
    upper, lower = plot_physics(rows).axes
    for line, colour, values in zip(upper.lines, (BEFORE, AFTER), ([0.5, 0.5], [0.9, 0.7]), strict=True):
        assert line.get_color() == colour
        assert line.get_ydata().tolist() == values
    np.testing.assert_allclose(lower.lines[0].get_ydata(), 0.1)
    assert [text.get_text() for text in lower.get_xticklabels()] == [r"$T_\mathrm{eff}$", "[Mg/H]"]
    unknown = plot_physics([row | {"fidelity": np.nan, "theory": np.nan}]).axes[0]
    assert [text.get_text() for text in unknown.texts] == ["not known: the observed domain is no emulator's"]

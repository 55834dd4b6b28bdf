"""cyclegan/figures.py: what the pictures draw, read back from them."""

import numpy as np
import pytest
import torch
from conftest import toy_wavelength

from cyclegan.figures import (
    CHIP_WINDOW,
    COLOURS,
    ELEMENT_SPACING,
    Line,
    plot_embedding,
    plot_history,
    plot_residuals,
    plot_star,
    plot_stars,
    plot_sweep,
    read_history,
    star_windows,
    widest_gap,
)
from cyclegan.label_figures import label_edges, plot_bins, plot_label_distributions
from cyclegan.spectra import Spectra
from emulator.wavelength import chip_starts

X = toy_wavelength().numpy()


def drawn_line(axes, label):
    (line,) = [line for line in axes.lines if line.get_label() == label]
    return line


def test_a_history_is_read_where_there_are_values(tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,step,loss,score\n0,1,0.5,\n0,3,0.25,\n0,3,,7\n")
    history = read_history(tmp_path / "metrics.csv")
    assert set(history) == {"loss", "score"}
    np.testing.assert_array_equal(history["loss"], [[1, 3], [0.5, 0.25]])
    np.testing.assert_array_equal(history["score"], [[3], [7]])


def test_every_score_and_loss_is_in_the_history():
    steps = np.array([1, 2])
    names = ("x_synth_obs", "z_shared", "train/cycle_obs", "train/adversarial_obs", "train/discriminators")
    figure = plot_history(dict.fromkeys(names, (steps, steps + 0.5)), {"shift_synth_obs": 4.0})
    labels = [text.get_text() for axes in figure.axes for text in axes.get_legend().get_texts()]
    assert set(labels) == {
        "x_synth_obs = 2.5",
        "x_synth_obs of the mean shift = 4",
        "z_shared = 2.5",
        "cycle obs",
        "adversarial obs",
        "discriminators",
    }


def test_a_run_without_an_adversary_says_so():
    figure = plot_history({"train/cycle_obs": (np.array([1]), np.array([2.0]))}, {})
    said = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert said == [["none in this run"], ["none in this run"], [], ["none in this run"]]


def test_the_window_is_where_the_gap_is_widest():
    x = np.arange(100.0)
    gap = np.where((x >= 40) & (x < 50), 1.0, 0.1)
    start, mean = widest_gap(x, gap, 10.0)
    assert (start, mean) == (40.0, pytest.approx(1.0))


def test_each_chip_has_its_window_inside_it():
    chips = np.split(X, chip_starts(X))
    gap = np.zeros(len(X))
    gap[-5] = 1.0
    windows = star_windows(X, gap)
    assert len(windows) == len(chips) == 2
    for start, chip in zip(windows, chips, strict=True):
        assert chip[0] <= start
        assert start + CHIP_WINDOW <= chip[-1] or start == chip[0]


@pytest.fixture
def star():
    random = np.random.default_rng(0)
    flux = 1 - 0.3 * random.random(len(X)).astype("float32")
    mask = np.ones(len(X), dtype=bool)
    mask[10:13] = False
    spectrum = Spectra(*(torch.from_numpy(a) for a in (flux, np.full_like(flux, 0.01), mask)))
    return spectrum, {"synthetic": flux + 0.05, "translated": flux + 0.002}


def test_a_star_has_its_residuals_in_flux_and_sigma_and_no_masked_pixels(star):
    spectrum, models = star
    windows = star_windows(X, np.ones(len(X)))
    figure = plot_star(X, spectrum, models, windows, [], None, "a star")
    assert len(figure.axes) == 3 * len(windows)
    fluxes, residuals, deviations = figure.axes[0], figure.axes[2], figure.axes[4]
    x, observed = drawn_line(fluxes, "observed").get_data()
    inside = (windows[0] <= X) & (windows[0] + CHIP_WINDOW >= X)
    between = np.isnan(x)  # the window is wider than the chip: a gap before the next one
    assert np.flatnonzero(between).tolist() == [100]
    np.testing.assert_array_equal(x[~between], X[inside])
    np.testing.assert_array_equal(np.isnan(observed[~between]), ~spectrum.mask.numpy()[inside])
    for axes, expected in ((residuals, (0.05, 0.002)), (deviations, (5, 0.2))):
        for line, value in zip(axes.lines, expected, strict=True):
            values = line.get_ydata()
            assert np.isnan(values).sum() == 3 + 1  # the gap
            np.testing.assert_allclose(values[np.isfinite(values)], value, rtol=1e-3)
    assert drawn_line(fluxes, "translated").get_color() == COLOURS["translated"]


def test_names_of_elements_do_not_overlap_and_the_strongest_are_there(star):
    windows = star_windows(X, np.ones(len(X)))
    random = np.random.default_rng(1)
    strengths = random.permutation(60).tolist()
    places = np.linspace(X[0], X[0] + CHIP_WINDOW, 60).tolist()
    lines = [Line(place, f"E{strength}", strength) for place, strength in zip(places, strengths, strict=True)]
    axes = plot_star(X, *star, windows, lines, None, "a star").axes[0]
    named = sorted(text.get_position()[0] for text in axes.texts)
    assert len(named) > 5
    assert np.diff(named).min() > ELEMENT_SPACING * CHIP_WINDOW
    inner = [line for line in lines if places[3] < line.wavelength < places[-4]]
    assert max(inner, key=lambda line: line.strength).element in {text.get_text() for text in axes.texts}


def test_stars_in_training_show_no_masked_pixel_and_do_not_join_chips(sky):
    mask = sky.val_obs.mask.clone()
    mask[:, 150] = False
    obs = Spectra(sky.val_obs.flux, sky.val_obs.error, mask)
    figure = plot_stars(toy_wavelength(), sky.val_synth, obs, sky.val_synth.flux, ["one", "two"], mask[0])
    assert len(figure.axes) == 5
    before = figure.axes[-1].lines[0].get_ydata()
    assert np.isnan(before).sum() == len(chip_starts(X))
    difference = (sky.val_synth.flux - sky.val_obs.flux).double().numpy()
    np.testing.assert_allclose(before[:5], np.sqrt((difference[:, :5] ** 2).mean(axis=0)), rtol=1e-5)


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
        figure = plot_label_distributions(("teff", "mg_h"), everybody, paired, observed)
        first, second = figure.axes[:2]
        assert first.get_xlabel() == r"$T_\mathrm{eff}$ [K]"
        assert second.get_xlabel() == "[Mg/H] [dex]"
        assert [text.get_text() for text in figure.legends[0].get_texts()] == names
        heights = {patch.get_label(): patch.get_xy() for patch in first.patches}
        edges, density = heights["paired"].T
        assert density[(edges > 5100) & (edges < 5900)].max() > 2.5 * heights["all synthetic"][:, 1].max()
        assert density[edges < 4900].max() == 0


def test_a_sweep_is_drawn_key_by_key_with_medians_and_failures():
    rows = [
        {"job": str(i), "networks.shared": shared, "losses.pairs": pairs, "x_synth_obs": score, "ended": "done"}
        for i, (shared, pairs, score) in enumerate(
            [("4", "0.3", 1.1), ("16", "0.3", 1.3), ("4", "1", 1.2), ("16", "1", np.nan)]
        )
    ]
    shared, pairs = plot_sweep(rows, ["networks.shared", "losses.pairs"]).axes
    assert [text.get_text() for text in shared.get_xticklabels()] == ["4", "16"]  # as numbers go, not as letters do
    assert [text.get_text() for text in pairs.get_xticklabels()] == ["0.3", "1"]
    medians = [line.get_ydata()[0] for line in shared.lines if len(line.get_ydata()) == 2 and line.get_lw() == 2]
    assert medians == pytest.approx([1.15, 1.3])
    assert [text.get_text() for text in shared.texts] == ["1 failed"]

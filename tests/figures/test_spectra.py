"""cyclegan/figures/spectra.py: what figures of single spectra draw, read back from them."""

import numpy as np
import pytest
import torch
from drawn import drawn_line
from matplotlib.backends.backend_agg import FigureCanvasAgg
from skies import toy_wavelength

from cyclegan.figures.axes import COLOURS
from cyclegan.figures.spectra import (
    CHIP_WINDOW,
    ELEMENT_SPACING,
    LineMark,
    plot_star,
    plot_stars,
    star_windows,
    widest_gap,
    widest_gap_of_all_chips,
)
from cyclegan.spectra.spectra import Spectra
from emulator.wavelength import chip_starts

X = toy_wavelength().numpy()


def test_the_window_is_where_the_gap_is_widest():
    x = np.arange(100.0)
    gap = np.where((x >= 40) & (x < 50), 1.0, 0.1)
    start, mean = widest_gap(x, gap, 10.0)
    assert (start, mean) == (40.0, pytest.approx(1.0))


def test_the_window_of_all_chips_lies_within_one():
    x, gap = np.r_[0.0:40.0, 100.0:180.0], np.zeros(120)
    gap[38:42] = 1.0  # at the end of one chip and at the beginning of the next
    gap[80:90] = 0.3
    assert widest_gap_of_all_chips(x, gap, 10.0) == 140.0
    gap[30:40] = 0.5
    assert widest_gap_of_all_chips(x, gap, 9.0) == 30.0


def two_domains(gap, error=0.01):
    """Four stars of each, whose observed flux lies gap (P,) below theory's."""
    flux = torch.ones(4, len(gap))
    observed = flux - torch.as_tensor(gap).float()
    usable = torch.ones_like(flux, dtype=torch.bool)
    return Spectra(flux, torch.full_like(flux, 0.005), usable), Spectra(observed, error * flux, usable.clone())


def test_each_chip_has_its_window_inside_it():
    chips = np.split(X, chip_starts(X))
    gap = np.zeros(len(X))
    gap[-5] = 1.0
    windows = star_windows(X, *two_domains(gap))
    assert len(windows) == len(chips) == 2
    for start, chip in zip(windows, chips, strict=True):
        assert chip[0] <= start
        assert start + CHIP_WINDOW <= chip[-1] or start == chip[0]


def test_the_windows_are_where_the_gap_is_clear_and_not_in_a_band_of_the_earths_air():
    """Lines of a star at 15300 A; bands of wide differences, one with large errors, one masked in most stars."""
    x = np.linspace(15200.0, 15600.0, 2000)
    lines, noisy, masked = ((x >= start) & (x < start + 50) for start in (15300, 15400, 15500))
    synth, obs = two_domains(0.05 * lines + 0.2 * noisy + 0.5 * masked, error=0.006)
    assert 15490 < star_windows(x, synth, obs)[0] < 15510
    obs.error[:, noisy], obs.mask[:3, masked] = 0.045, False
    (window,) = star_windows(x, synth, obs)
    assert 15295 < window < 15310
    figure = plot_stars(torch.from_numpy(x), synth, obs, synth.flux, ["one"], None)
    first, last = figure.axes[0].get_xlim()
    assert first < 15310
    assert last > 15345


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
    windows = star_windows(X, *two_domains(np.ones(len(X))))
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
    windows = star_windows(X, *two_domains(np.ones(len(X))))
    random = np.random.default_rng(1)
    strengths = random.permutation(60).tolist()
    places = np.linspace(X[0], X[0] + CHIP_WINDOW, 60).tolist()
    lines = [LineMark(place, f"E{strength}", strength) for place, strength in zip(places, strengths, strict=True)]
    axes = plot_star(X, *star, windows, lines, None, "a star").axes[0]
    named = sorted(text.get_position()[0] for text in axes.texts)
    assert len(named) > 5
    assert np.diff(named).min() > ELEMENT_SPACING * CHIP_WINDOW
    inner = [line for line in lines if places[3] < line.wavelength < places[-4]]
    assert max(inner, key=lambda line: line.strength).element in {text.get_text() for text in axes.texts}


def test_labels_of_axes_are_no_longer_than_these(sky):
    figure = plot_stars(toy_wavelength(), sky.val_synth, sky.val_obs, sky.val_synth.flux, ["one", "two"], None)
    FigureCanvasAgg(figure).draw()
    for axes in figure.axes:
        assert axes.yaxis.label.get_window_extent().height <= axes.get_window_extent().height


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

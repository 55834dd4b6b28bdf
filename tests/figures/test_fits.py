"""cyclegan/figures/fits.py: what figures of fits draw, read back from them."""

import io

import numpy as np
import pytest
import torch
from drawn import drawn_line

from cyclegan.figures.fits import NAMES, WINDOW, WINDOWS, plot_fits, windows_of
from cyclegan.spectra.spectra import Spectra

X = np.r_[np.arange(15200, 15600, 0.2), np.arange(16000, 16200, 0.2)]
BAD = (15300.0, 15500.0, 16100.0)  # where theory fails


def fluxes(stars):
    flux = 1 - 0.2 * np.exp(-0.5 * ((X[:, None] - np.arange(15205, 16200, 10)) / 0.4) ** 2).sum(axis=1)
    theory = flux + 0.05 * np.exp(-0.5 * ((X[:, None] - BAD) / 2) ** 2).sum(axis=1)
    return np.tile(flux, (stars, 1)), {
        "synthetic": np.tile(theory, (stars, 1)),
        "translated": np.tile(flux, (stars, 1)),
    }


def spectra_of(flux, masked=slice(0)):
    mask = torch.ones(flux.shape, dtype=torch.bool)
    mask[:, masked] = False
    return Spectra(torch.from_numpy(flux), torch.full(flux.shape, 0.01), mask)


def test_windows_lie_where_the_gap_is_largest_and_do_not_overlap():
    flux, models = fluxes(1)
    starts = windows_of(X, np.abs(models["synthetic"] - flux)[0])
    assert len(starts) == WINDOWS
    assert all(start < place < start + WINDOW for start, place in zip(starts, BAD, strict=True))
    everywhere = windows_of(X, np.ones(len(X)))
    assert (np.diff(everywhere) >= WINDOW).all()


@pytest.mark.parametrize("stars", [1, 2])
def test_a_star_is_drawn_with_both_models_and_their_residuals(stars):
    flux, models = fluxes(stars)
    figure = plot_fits(X, spectra_of(flux), models, [f"star {star}" for star in range(stars)])
    assert [part.get_suptitle() for part in figure.subfigs] == [f"star {star}" for star in range(stars)]
    panels = figure.subfigs[0].axes
    assert len(panels) == 2 * WINDOWS + 1
    upper, lower, whole = panels[0], panels[1], panels[-1]
    assert [line.get_label() for line in upper.lines] == ["observed", *NAMES.values()]
    cut = np.isin(X, drawn_line(upper, "observed").get_xdata())
    np.testing.assert_allclose(lower.lines[0].get_ydata(), (models["synthetic"] - flux)[0, cut])
    np.testing.assert_allclose(lower.lines[1].get_ydata(), 0, atol=1e-12)
    rms = np.sqrt(np.mean((models["synthetic"] - flux)[0] ** 2))
    assert whole.lines[0].get_label() == f"theory alone: rms {rms:.4f}"


def test_one_way_alone_is_drawn_too():
    flux, models = fluxes(1)
    figure = plot_fits(X, spectra_of(flux), {"translated": models["translated"]}, ["a star"])
    assert [line.get_label() for line in figure.subfigs[0].axes[0].lines] == ["observed", NAMES["translated"]]


def test_pixels_that_were_not_observed_are_not_drawn():
    flux, models = fluxes(1)
    figure = plot_fits(X, spectra_of(flux, slice(2000, None)), models, ["a star"])
    whole = figure.subfigs[0].axes[-1]
    assert np.isnan(whole.lines[0].get_ydata()[2000:]).all()
    assert [text.get_text() for text in whole.texts] == ["not observed"]
    assert all(axes.get_xlim()[1] < 15700 for axes in figure.subfigs[0].axes[:-1])


def test_the_name_of_a_star_is_no_formula():
    flux, models = fluxes(1)
    figure = plot_fits(X, spectra_of(flux), models, [r"$\nothing$ but a star"])
    figure.savefig(io.BytesIO(), dpi=20)
    assert figure.subfigs[0].get_suptitle() == r"$\nothing$ but a star"

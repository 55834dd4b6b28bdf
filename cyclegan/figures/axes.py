"""What all figures share: colours, panels, legends. Black is observed, blue synthetic, vermilion translated."""

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

COLUMNS = 4  # panels of labels or lines side by side, at most
DPI, REPORT_DPI = 110, 150  # twice what a page of 1000 pixels needs of figures 11 inches wide
# Okabe and Ito's colours, which colour-blind people tell apart.
OBSERVED, BEFORE, AFTER = "black", "#0072B2", "#D55E00"
CYCLE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "black")
COLOURS = {
    "observed": OBSERVED,
    "synthetic": BEFORE,
    "mean shift": "#999999",
    "translated": AFTER,
    "reconstructed": AFTER,
    "noiseless truth": "#009E73",
}


def label_facts(star: Mapping[str, float]) -> list[str]:
    """Temperature, gravity and composition of a star as text, those that are known among its labels by name."""
    formats = {
        "teff": r"$T_\mathrm{{eff}}$ {:.0f} K",
        "logg": "log g {:.2f}",
        "fe_h": "[Fe/H] {:+.2f}",
        "alpha_fe": "[α/Fe] {:+.2f}",
    }
    return [text.format(star[name]) for name, text in formats.items() if math.isfinite(star.get(name, math.nan))]


def panel_grid(panels: int, width: float, height: float) -> tuple[Figure, np.ndarray]:
    """A figure of so many panels, COLUMNS in a row, each of a size in inches; and its grid (rows, columns) of axes."""
    columns = min(COLUMNS, panels)
    rows = -(-panels // columns)
    figure = Figure(figsize=(width * columns, height * rows + 0.5), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.ravel()[panels:]:
        axes.axis("off")
    return figure, grid


def shared_legend(figure: Figure, axes: Axes) -> None:
    """Above all panels, what stands in each of them as in these axes."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=9, markerscale=3)


def log_scale(axes: Axes) -> None:
    """A logarithmic y axis with plain numbers at 1, 2 and 5."""
    axes.set_yscale("log")
    axes.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")

"""Figures of fitted labels against true ones: arrays in, Figure out, in the colours of `figures`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from cyclegan.figures import AFTER, BEFORE, OBSERVED, label_axis

COLUMNS = 4  # of panels, at most
BINS = 41
TAIL = 1.0  # per cent of stars at either end that may fall outside a histogram
WAYS = {
    "translator": ("through the translator", AFTER),
    "emulator": ("through the emulator alone", BEFORE),
    "synthetic": ("trained on synthetic spectra", BEFORE),
    "synthetic, noise added": ("the same, noise added", "#56B4E9"),
    "translated": ("trained on translated spectra", AFTER),
    "observed": ("trained on observed spectra", "#009E73"),
}


class Labels(Protocol):
    """Labels (N, L), as `fit.Fitted` has them, and which stars' fits converged (N,)."""

    labels: Tensor
    converged: Tensor


class LabelsWithErrors(Labels, Protocol):
    """The same with 1 sigma (N, L)."""

    error: Tensor


def plot_fitted(ways: Mapping[str, Labels], truth: Tensor, names: Sequence[str]) -> Figure:
    """Fitted minus true labels against the true ones, (N, L), for each way in which they were fitted."""

    def draw(axes: Axes, i: int) -> None:
        for way, (true, off) in _stars(ways, truth, i).items():
            axes.plot(true, off, ".", ms=3, alpha=0.5, label=WAYS[way][0], color=WAYS[way][1], rasterized=True)
        axes.axhline(0, color=OBSERVED, lw=0.8)
        axes.set_ylim(*_range(np.concatenate([off for _, off in _stars(ways, truth, i).values()])))
        axes.set_xlabel(f"true {label_axis(names[i])}")

    figure = _panels(names, draw)
    figure.supylabel("fitted - true, in the label's unit", fontsize=10)
    return figure


def plot_residuals(ways: Mapping[str, Labels], truth: Tensor, names: Sequence[str]) -> Figure:
    """Histograms of fitted minus true labels (N, L), with the mean and the scatter of each."""

    def draw(axes: Axes, i: int) -> None:
        stars = _stars(ways, truth, i)
        edges = np.linspace(*_range(np.concatenate([off for _, off in stars.values()])), BINS)
        for row, (way, (_, off)) in enumerate(stars.items()):
            axes.hist(off, edges, histtype="step", color=WAYS[way][1], lw=1.3, label=WAYS[way][0])
            text = f"{off.mean():+.2f} ± {off.std():.2f}" if off.std() > 1 else f"{off.mean():+.4f} ± {off.std():.4f}"
            axes.text(0.03, 0.97 - 0.08 * row, text, color=WAYS[way][1], transform=axes.transAxes, va="top", fontsize=8)
        axes.axvline(0, color=OBSERVED, lw=0.8)
        axes.set_ylim(0, axes.get_ylim()[1] * (1.1 + 0.12 * len(stars)))  # for the numbers
        axes.set_xlabel(f"fitted - true {label_axis(names[i])}")

    figure = _panels(names, draw)
    figure.supylabel("stars", fontsize=10)
    return figure


def plot_pulls(ways: Mapping[str, LabelsWithErrors], truth: Tensor, names: Sequence[str]) -> Figure:
    """Histograms of (fitted - true) / error beside the normal distribution that they should have."""

    def draw(axes: Axes, i: int) -> None:
        edges = np.linspace(-5, 5, BINS)
        for row, (way, fitted) in enumerate(ways.items()):
            pulls = ((fitted.labels - truth) / fitted.error)[_good(fitted, truth, i), i].numpy()
            axes.hist(
                pulls.clip(-5, 5), edges, density=True, histtype="step", color=WAYS[way][1], lw=1.3, label=WAYS[way][0]
            )
            text = f"width {pulls.std():.2f}"
            axes.text(0.03, 0.97 - 0.09 * row, text, color=WAYS[way][1], transform=axes.transAxes, va="top", fontsize=8)
        x = np.linspace(-5, 5, 201)
        axes.plot(x, np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), color=OBSERVED, lw=0.8, label="normal")
        axes.set_ylim(0, axes.get_ylim()[1] * 1.25)
        axes.set_xlabel(f"pull of {label_axis(names[i]).split(' [')[0]} [σ], beyond 5 at 5")

    figure = _panels(names, draw)
    figure.supylabel("density of stars", fontsize=10)
    return figure


def _good(fitted: Labels, truth: Tensor, i: int) -> Tensor:
    """Which stars (N,) have label i, fitted and true."""
    return fitted.converged & truth[:, i].isfinite()


def _stars(ways: Mapping[str, Labels], truth: Tensor, i: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For each way the true values of label i, and fitted minus true, of the stars that have them."""
    found = {}
    for way, fitted in ways.items():
        good = _good(fitted, truth, i)
        found[way] = truth[good, i].numpy(), (fitted.labels - truth)[good, i].numpy()
    return found


def _range(values: np.ndarray) -> tuple[float, float]:
    """Where most of the values are, with 0 in it and some room."""
    if not values.size:
        return -1.0, 1.0
    low, high = np.percentile(values, [TAIL, 100 - TAIL])
    low, high = min(low, 0.0), max(high, 0.0)
    room = 0.1 * (high - low) or 1.0
    return low - room, high + room


def _panels(names: Sequence[str], draw: Callable[[Axes, int], None]) -> Figure:
    columns = min(COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(2.9 * columns, 2.5 * rows + 0.5), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for i, axes in enumerate(grid.ravel()):
        if i >= len(names):
            axes.axis("off")
            continue
        draw(axes, i)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.tick_params(labelsize=8)
        axes.xaxis.label.set_size(9)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=9, markerscale=3)
    return figure

"""Figures by and of stellar labels: arrays in, Figure out, in the colours of `figures`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import nonsingular
from torch import Tensor

from cyclegan.figures.axes import AFTER, BEFORE, COLOURS, OBSERVED, log_scale, panel_grid, shared_legend
from cyclegan.scores.latents import Latents

ROUND = [1, 2, 2.5, 5, 10]  # steps between the edges of bins, times a power of ten
BINS = 41
TAIL = 1.0  # per cent of stars at either end that may fall outside a histogram
LABEL_AXES = {
    "teff": r"$T_\mathrm{eff}$ [K]",
    "logg": "log g [dex]",
    "vmic": r"$v_\mathrm{mic}$ [km/s]",
    "vmacro": r"$v_\mathrm{macro}$ [km/s]",
    "alpha_fe": "[α/Fe] [dex]",
}
WAYS = {
    "translator": ("through the translator", AFTER),
    "emulator": ("through the emulator alone", BEFORE),
    "synthetic": ("trained on synthetic spectra", BEFORE),
    "synthetic, noise added": ("the same, noise added", "#56B4E9"),
    "translated": ("trained on translated spectra", AFTER),
    "observed": ("trained on observed spectra", "#009E73"),
}


def label_axis(name: str) -> str:
    """A label's name and unit as an axis shows them."""
    element = name.removesuffix("_h")
    return LABEL_AXES.get(name, name if element == name else f"[{element.capitalize()}/H] [dex]")


def label_edges(values: np.ndarray) -> np.ndarray:
    """Round edges of at most eight bins of equal width that hold all finite values (N,)."""
    finite = values[np.isfinite(values)]
    low, high = nonsingular(finite.min(), finite.max(), expander=0.05)
    return np.asarray(MaxNLocator(8, steps=ROUND).tick_values(low, high))


def plot_bins(bins: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Scores in bins of labels; bins: for each label its `edges` (B + 1,), `stars` (B,) and scores (B,) by name."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    panels = figure.subplots(2, len(bins), sharex="col", sharey="row", squeeze=False, height_ratios=[3, 1])
    for (upper, lower), (label, columns) in zip(panels.T, bins.items(), strict=True):
        edges, stars = columns["edges"], columns["stars"]
        for name, scores in columns.items():
            if name in COLOURS:
                style = {"marker": "o", "ms": 4} if name != "noiseless truth" else {"ls": ":"}
                upper.plot((edges[1:] + edges[:-1]) / 2, scores, color=COLOURS[name], lw=1.2, label=name, **style)
        lower.bar(edges[:-1], stars, np.diff(edges), align="edge", color="lightgrey", edgecolor="white")
        for left, right, count in zip(edges[:-1], edges[1:], stars, strict=True):
            lower.text((left + right) / 2, 0.08 * stars.max(), f"{count}", ha="center", va="bottom", fontsize=8)
        lower.set_xlabel(label_axis(label))
        lower.xaxis.set_major_locator(MaxNLocator(6, steps=ROUND))
        upper.grid(alpha=0.3)
    log_scale(panels[0, 0])
    panels[0, 0].set_ylabel("mean squared deviation [σ²]")
    panels[1, 0].set_ylabel("stars")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=len(labels), loc="outside upper right", fontsize=9, frameon=False)
    return figure


def plot_physics(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """For each label, whose rows `physics.label_rows` gives: correlations of derivatives, and how well it survives."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    x = np.arange(len(rows))
    columns = {
        name: np.array([row[name] for row in rows]) for name in ("theory", "fidelity", "bias", "scatter", "spread")
    }
    for name, text, colour in (("theory", "synthetic", BEFORE), ("fidelity", "translated", AFTER)):
        upper.plot(x, columns[name], "o", color=colour, label=f"{text} spectra")
    if np.isfinite(columns["fidelity"]).any():
        upper.legend(fontsize=9, ncols=2, loc="lower left")
    else:
        upper.text(0.5, 0.5, "not known: the observed domain is no emulator's", transform=upper.transAxes, ha="center")
    upper.set_ylim(min(-0.05, np.nanmin(columns["fidelity"], initial=0) - 0.05), 1.05)
    upper.set_ylabel("correlation of\nd flux / d label")
    relative = columns["spread"]
    lower.errorbar(x, columns["bias"] / relative, columns["scatter"] / relative, fmt="o", color=AFTER, capsize=3)
    lower.axhline(0, color=OBSERVED, lw=0.8)
    lower.set_ylabel("fitted to translated\nminus synthetic [spread]")
    lower.set_xticks(x, [label_axis(row["label"]).split(" [")[0] for row in rows], rotation=45, ha="right")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    return figure


def plot_latents(latents: Latents) -> Figure:
    """Of each shared variable the effect on spectra, the difference between the domains, and the labels it follows."""
    bars = {"effect [σ]": latents.effect}
    if latents.difference is not None:
        bars["difference / range"] = latents.difference
    rows = [1.4, *([0.5 + 0.19 * len(latents.labels)] if latents.follows else [])]
    columns = max(len(bars), len(latents.follows))
    figure = Figure(figsize=(5.5 * columns, 0.7 + sum(rows)), layout="constrained")
    panels = figure.subplots(len(rows), columns, sharex=True, squeeze=False, height_ratios=rows)
    x = np.arange(1, len(latents.effect) + 1)
    for axes, (name, values) in zip(panels[0], bars.items(), strict=True):
        axes.bar(x, values, color=OBSERVED)
        axes.set_ylabel(name)
    log_scale(panels[0, 0])
    for axes, (domain, correlations) in zip(panels[-1], latents.follows.items(), strict=False):
        place = 0.5, len(x) + 0.5, len(latents.labels) - 0.5, -0.5
        image = axes.imshow(correlations, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto", extent=place)
        names = [label_axis(name).split(" [")[0] for name in latents.labels]
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.set_title(f"latents of {domain} spectra", fontsize=10)
    if latents.follows:
        figure.colorbar(image, ax=panels[-1], label="partial correlation", pad=0.01, aspect=15)
    for axes in panels[-1]:
        axes.xaxis.set_major_locator(MaxNLocator(20, integer=True))
        axes.set_xlabel("shared latent variable")
    return figure


def plot_label_distributions(names: tuple[str, ...], sets: Mapping[str, np.ndarray]) -> Figure:
    """Histograms of each label of sets of stars: any, those used, and, where labels of them are known, observed ones.

    sets: labels (n, L) by what the legend calls them, in this order; NaN where a label is not known.
    """
    figure, grid = panel_grid(len(names), 2.75, 2.3)
    styles = (("#999999", "-"), (AFTER, "-"), (OBSERVED, "--"))
    for column, (axes, name) in enumerate(zip(grid.ravel(), names, strict=False)):
        columns = {label: stars[np.isfinite(stars[:, column]), column] for label, stars in sets.items()}
        low, high = np.percentile(next(iter(columns.values())), [0.1, 99.9])
        edges = np.linspace(low, high, 31).tolist()
        for (label, values), (colour, line) in zip(columns.items(), styles, strict=False):
            axes.hist(values, edges, density=True, histtype="step", color=colour, ls=line, lw=1.3, label=label)
        axes.set_xlabel(label_axis(name))
        axes.set_yticks([])
    grid[0, 0].set_ylabel("density of stars")
    shared_legend(figure, grid[0, 0])
    return figure


class Labels(Protocol):
    """Labels (N, L), as `fitter.Fitted` has them, and which stars' fits converged (N,)."""

    @property
    def labels(self) -> Tensor:
        """(N, L), in their units."""
        ...

    @property
    def converged(self) -> Tensor:
        """(N,), bool."""
        ...


class LabelsWithErrors(Labels, Protocol):
    """The same with 1 sigma (N, L)."""

    @property
    def error(self) -> Tensor:
        """(N, L), 1 sigma, in the labels' units."""
        ...


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


def plot_label_residuals(ways: Mapping[str, Labels], truth: Tensor, names: Sequence[str]) -> Figure:
    """Histograms of fitted minus true labels (N, L), with the mean and the scatter of each."""

    def draw(axes: Axes, i: int) -> None:
        stars = _stars(ways, truth, i)
        low, high = _range(np.concatenate([off for _, off in stars.values()]))
        edges = np.linspace(low, high, BINS).tolist()
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
        edges = np.linspace(-5, 5, BINS).tolist()
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
    figure, grid = panel_grid(len(names), 2.9, 2.5)
    for i, axes in enumerate(grid.ravel()[: len(names)]):
        draw(axes, i)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.tick_params(labelsize=8)
        axes.xaxis.label.set_size(9)
    shared_legend(figure, grid[0, 0])
    return figure

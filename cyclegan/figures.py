"""Figures: arrays in, Figure out. Black is observed, blue synthetic, vermilion translated, in all of them."""

import math
from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.scale import SymmetricalLogTransform
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from torch import Tensor

from cyclegan.results import read_metrics
from cyclegan.scores import SCORES
from cyclegan.spectra import ERROR_FLOOR, Spectra
from emulator.wavelength import chip_starts, with_gaps

WINDOW = 90.0  # Angstrom: wide enough for a dozen lines, narrow enough to see each
CHIP_WINDOW = 45.0  # the same where the windows of all chips stand side by side
PANELS = 3  # chips side by side, at most
COLUMNS = 4  # panels of labels or lines side by side, at most
ELEMENT_SPACING = 0.055  # of a window: elements' names closer than this would overlap
PIXEL_GROUP = 8  # pixels whose residuals are counted together
RESIDUAL_BINS = 120
RESIDUAL_TICKS = (-0.3, -0.1, -0.03, -0.01, 0, 0.01, 0.03, 0.1, 0.3)
LINEAR = 0.03  # flux: within it the axis of residuals is linear, beyond it logarithmic
MARKED = 14  # lines in a window, the strongest
DPI = 150  # twice what a page of 1000 pixels needs of figures 11 inches wide

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


class Line(NamedTuple):
    """A spectral line to mark: wavelength in vacuum Angstrom, whose it is, and how strong, in units of one's own."""

    wavelength: float
    element: str
    strength: float


def read_history(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each column of a metrics.csv as (steps, values), where it has values."""
    columns: dict[str, list[tuple[int, float]]] = {}
    for row in read_metrics(path):
        for name, value in row.items():
            if value and name not in ("step", "epoch"):
                columns.setdefault(name, []).append((int(row["step"]), float(value)))
    return {name: tuple(np.array(points).T) for name, points in columns.items()}


def _without_side(loss: str) -> str:
    return loss.removesuffix("_synth").removesuffix("_obs")


def plot_history(history: dict[str, tuple[np.ndarray, np.ndarray]], controls: dict[str, float]) -> Figure:
    """The six scores and all losses against training steps; controls are drawn where they are not off the scale."""
    figure = Figure(figsize=(11, 7.6), layout="constrained")
    translations, latents, fit, judged = figure.subplots(2, 2, sharex=True).ravel()
    for axes in (translations, latents, fit, judged):
        axes.set_prop_cycle(color=CYCLE)
    for name in SCORES:
        if name in history:
            axes = translations if name.startswith("x_") else latents
            axes.plot(*history[name], marker=".", label=f"{name} = {history[name][1][-1]:.3g}")
    for name, said, style in (("shift_synth_obs", "mean shift", "--"), ("floor_synth_obs", "noiseless truth", ":")):
        if name in controls:
            label = f"x_synth_obs of the {said} = {controls[name]:.3g}"
            translations.axhline(controls[name], color="grey", ls=style, label=label)
    translations.set_ylabel("mean squared deviation [σ²]")
    translations.set_title("translation of matched stars")
    latents.set_ylabel("normalised mean absolute difference")
    latents.set_title("differences of latents")
    losses = sorted(name.removeprefix("train/") for name in history if name.startswith("train/"))
    colors = dict(zip(dict.fromkeys(map(_without_side, losses)), cycle(CYCLE)))
    for name in losses:
        axes = judged if "adversarial" in name or "discriminator" in name else fit
        style = {"color": colors[_without_side(name)], "ls": "--" if name.endswith("_obs") else "-"}
        axes.plot(*history[f"train/{name}"], lw=1, label=name.replace("_", " "), **style)
    fit.set_title("losses of encoders and generators")
    fit.set_ylabel("loss, before its weight")
    judged.set_title("adversarial losses")
    judged.set_ylabel("loss, before its weight")
    for axes in (translations, latents, fit, judged):
        if axes.lines:
            axes.legend(fontsize=8)
        else:
            axes.text(0.5, 0.5, "none in this run", ha="center", va="center", transform=axes.transAxes, color="grey")
    for axes in (translations, latents, fit):
        if axes.lines:
            log_scale(axes)
            bottom, top = axes.get_ylim()
            axes.set_ylim(top=top * (top / bottom) ** 0.3)  # room for the legend
            axes.legend(fontsize=8, ncols=3 if axes is fit else 2, loc="upper center")
    for axes in (fit, judged):
        axes.set_xlabel("step (batches)")
    return figure


def label_facts(star: Mapping[str, float]) -> list[str]:
    """Temperature, gravity and metallicity of a star as text, those that are known among its labels by name."""
    formats = {"teff": r"$T_\mathrm{{eff}}$ {:.0f} K", "logg": "log g {:.2f}", "fe_h": "[Fe/H] {:+.2f}"}
    return [text.format(star[name]) for name, text in formats.items() if math.isfinite(star.get(name, math.nan))]


def plot_stars(
    wavelength: Tensor, synth: Spectra, obs: Spectra, so: Tensor, titles: list[str], hidden: Tensor | None
) -> Figure:
    """Stars before and after translation, where the gap is widest, and the residuals of all of them over all pixels.

    wavelength (P,) Angstrom; synth, obs, so (N, P): the same stars in theory, observed, and translated; titles: of
    the first len(titles) stars, which are drawn one by one; hidden (P,): pixels whose lines theory lacks.
    """
    x = wavelength.cpu().numpy()
    flux_s, flux_o, flux_so, sigma, mask = (t.cpu().numpy() for t in (synth.flux, obs.flux, so, obs.error, obs.mask))
    before, after = (np.where(mask, flux - flux_o, np.nan) for flux in (flux_s, flux_so))
    chips = np.split(np.arange(len(x)), chip_starts(x))
    first = max((widest_gap(x[chip], _rms(before[:, chip]), WINDOW) for chip in chips), key=lambda found: found[1])[0]
    window = (x >= first) & (x <= first + WINDOW)

    figure = Figure(figsize=(14, 2.9 * len(titles) + 3.4), layout="constrained")
    rows = figure.subplots(2 * len(titles) + 1, 1, height_ratios=[2.2, 1] * len(titles) + [2.4])
    for star, title in enumerate(titles):
        upper, lower = rows[2 * star], rows[2 * star + 1]
        observed = np.where(mask[star], flux_o[star], np.nan)
        models = {"synthetic": flux_s[star], "translated": flux_so[star]}
        _draw_fluxes(upper, x, window, observed, models)
        _draw_deviations(lower, x, window, observed, sigma[star], models)
        upper.set_title(title, loc="left", fontsize=10)
        upper.set_ylabel("normalised flux")
        lower.set_ylabel("minus obs. [σ]")
        upper.tick_params(labelbottom=False)
        for axes in (upper, lower):
            axes.set_xlim(first, first + WINDOW)
            _shade(axes, x, hidden)
    rows[0].legend(ncols=3, fontsize=9, loc="lower right", bbox_to_anchor=(1, 1), frameon=False)
    rows[2 * len(titles) - 1].set_xlabel(
        "vacuum wavelength [Å]; grey: ±1 σ; residuals beyond 3 σ on a logarithmic scale"
        + ("; shaded: hidden from theory" if hidden is not None else "")
    )
    whole = rows[-1]
    noise = np.where(mask, sigma, np.nan)
    for residual, color, label in (
        (before, BEFORE, "before"),
        (after, AFTER, "after"),
        (noise, OBSERVED, "stated error"),
    ):
        label = f"{label}: {np.sqrt(np.nanmean(residual**2)):.4f}" + (" overall" if color == BEFORE else "")
        whole.plot(with_gaps(x, x), with_gaps(_rms(residual), x), color=color, lw=0.6, label=label)
    whole.set_yscale("log")
    whole.set_ylim(top=4 * np.nanmax(_rms(before)))  # room for the legend
    whole.set_xlim(x[0], x[-1])
    whole.set_title(f"root mean square residual of {len(flux_o)} matched stars", loc="left", fontsize=10)
    whole.set_ylabel("rms residual [flux]")
    whole.set_xlabel("vacuum wavelength [Å]")
    whole.legend(ncols=3, fontsize=9, loc="upper left")
    return figure


def plot_star(
    wavelength: np.ndarray,
    spectrum: Spectra,
    models: dict[str, np.ndarray],
    windows: list[float],
    lines: list[Line],
    hidden: Tensor | None,
    title: str,
) -> Figure:
    """One star in a window of each chip: fluxes, residuals in flux, residuals in sigma.

    wavelength (P,) Angstrom; spectrum: flux, error, mask (P,) of the observed star; models: what it is compared with,
    (P,) each, named as in COLOURS; windows: where each begins; lines: to mark; hidden (P,): pixels whose lines theory
    lacks.
    """
    flux, error, mask = (tensor.numpy() for tensor in spectrum)
    observed = np.where(mask, flux, np.nan)
    figure = Figure(figsize=(11, 6.4), layout="constrained")
    panels = figure.subplots(3, len(windows), sharex="col", sharey="row", squeeze=False, height_ratios=[2.4, 1, 1])
    for column, start in zip(panels.T, windows, strict=True):
        fluxes, residuals, deviations = column
        window = (wavelength >= start) & (wavelength <= start + CHIP_WINDOW)
        _draw_fluxes(fluxes, wavelength, window, observed, models)
        for name, model in models.items():
            _step(residuals, wavelength, window, model - observed, color=COLOURS[name], lw=0.9)
        scale = np.where(mask, np.maximum(error, ERROR_FLOOR), np.nan)[window]
        residuals.fill_between(wavelength[window], -scale, scale, step="mid", color="grey", alpha=0.3, lw=0)
        _draw_deviations(deviations, wavelength, window, observed, error, models)
        for axes in column:
            axes.set_xlim(start, start + CHIP_WINDOW)
            axes.tick_params(labelsize=8)
            axes.xaxis.set_major_locator(MaxNLocator(5))
            _shade(axes, wavelength, hidden)
    drawn = [observed, *models.values()]
    inside = np.any([(wavelength >= start) & (wavelength <= start + CHIP_WINDOW) for start in windows], axis=0)
    lowest, highest = np.nanmin([curve[inside] for curve in drawn]), np.nanmax([curve[inside] for curve in drawn])
    top = panels[0, 0]
    top.set_ylim(lowest - 0.03 * (highest - lowest), highest + 0.22 * (highest - lowest))  # room for the elements
    for axes in panels[0]:
        _mark_elements(axes, lines, highest)
    for axes, label in zip(panels[:, 0], ("normalised flux", "residual [flux]", "residual [σ]"), strict=True):
        axes.set_ylabel(label)
    figure.supxlabel(
        "vacuum wavelength [Å]" + ("; shaded: hidden from theory" if hidden is not None else ""), fontsize=10
    )
    handles, labels = top.get_legend_handles_labels()
    figure.legend(handles, labels, ncols=len(labels), loc="outside upper right", fontsize=9, frameon=False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    figure.align_ylabels(panels[:, 0])
    return figure


def star_windows(wavelength: np.ndarray, gap: np.ndarray) -> list[float]:
    """Where to look: the start of the CHIP_WINDOW with the widest gap (P,) in each of the PANELS longest chips."""
    chips = np.split(np.arange(len(wavelength)), chip_starts(wavelength))
    chips = sorted(sorted(chips, key=len)[-PANELS:], key=lambda chip: chip[0])
    return [widest_gap(wavelength[chip], gap[chip], CHIP_WINDOW)[0] for chip in chips]


def widest_gap(x: np.ndarray, gap: np.ndarray, width: float) -> tuple[float, float]:
    """The start of the window of `width` over which the mean of gap (p,) is largest, in a chip x (p,); that mean."""
    gap = np.nan_to_num(gap)
    total = np.concatenate([[0.0], np.cumsum(gap)])
    stop = np.searchsorted(x, x + width)
    inside = (x + width <= x[-1]) | (np.arange(len(x)) == 0)
    means = np.where(inside, (total[stop] - total[:-1]) / np.maximum(stop - np.arange(len(x)), 1), -1.0)
    return float(x[means.argmax()]), float(means.max())


def plot_residuals(wavelength: np.ndarray, residuals: dict[str, np.ndarray]) -> Figure:
    """How many spectra have which residual at each wavelength, with the median and the 16th and 84th percentiles.

    residuals: minus the observed spectra, (N, P) each, NaN where masked, named as in COLOURS; a row of panels for
    each, a panel for each chip.
    """
    chips = np.split(np.arange(len(wavelength)), chip_starts(wavelength))
    widths = [np.ptp(wavelength[chip]) for chip in chips]
    scale = SymmetricalLogTransform(10, LINEAR, 1.5)
    limit = scale.transform(max(LINEAR, *(np.nanpercentile(np.abs(r), 99.99) for r in residuals.values())))
    edges = scale.inverted().transform(np.linspace(-limit, limit, RESIDUAL_BINS + 1))
    figure = Figure(figsize=(11, 1 + 2.7 * len(residuals)), layout="constrained")
    panels = figure.subplots(len(residuals), len(chips), sharex="col", sharey=True, squeeze=False, width_ratios=widths)
    for row, (name, residual) in zip(panels, residuals.items(), strict=True):
        for axes, chip in zip(row, chips, strict=True):
            groups = np.array_split(chip, max(1, len(chip) // PIXEL_GROUP))
            counts = np.array([np.histogram(residual[:, group], edges)[0] for group in groups])  # NaNs are in no bin
            density = counts / counts.sum(axis=1, keepdims=True).clip(1) / np.diff(edges) / 1000
            low, middle, high = np.array([_percentiles(residual[:, group]) for group in groups]).T
            ends = np.append([wavelength[group[0]] for group in groups], wavelength[chip[-1]])
            image = axes.pcolormesh(
                ends, edges, np.ma.masked_equal(density.T, 0), norm=LogNorm(1e-4, 0.1), cmap="Greys", rasterized=True
            )
            centres = [wavelength[group].mean() for group in groups]
            axes.plot(centres, middle, color=COLOURS[name], lw=0.9, label="median")
            axes.plot(centres, low, color=COLOURS[name], lw=0.7, ls=":", label="16th, 84th percentile")
            axes.plot(centres, high, color=COLOURS[name], lw=0.7, ls=":")
            axes.axhline(0, color="black", lw=0.4)
            axes.tick_params(labelsize=8)
            axes.set_yscale("symlog", linthresh=LINEAR, linscale=1.5)
            axes.set(xlim=(wavelength[chip[0]], wavelength[chip[-1]]), ylim=(edges[0], edges[-1]))
            ticks = [tick for tick in RESIDUAL_TICKS if abs(tick) < edges[-1]]
            axes.set_yticks(ticks, [f"{tick:g}".replace("-", "−") for tick in ticks])
            axes.yaxis.set_minor_formatter(NullFormatter())
        median = np.nanmedian(residual)
        low, _, high = _percentiles(residual)
        row[0].set_title(
            f"{name} − observed: median {median.round(4) + 0.0:+.4f}".replace("-", "−")
            + f", half the 16–84 % range {(high - low) / 2:.4f}",
            loc="left",
            fontsize=10,
        )
        row[0].set_ylabel("residual [flux]")
        row[0].legend(fontsize=8, ncols=2, loc="lower left")
    figure.supxlabel("vacuum wavelength [Å]", fontsize=10)
    figure.colorbar(image, ax=panels, label="share of pixels per 0.001 in flux", pad=0.01, aspect=40)
    return figure


def plot_embedding(maps: dict[str, dict[str, np.ndarray]], titles: list[str]) -> Figure:
    """t-SNE maps side by side; maps: for each panel, points (n, 2) of each set, by name."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    panels = figure.subplots(1, len(maps), squeeze=False)[0]
    for axes, sets, title in zip(panels, maps.values(), titles, strict=True):
        for name, points in sets.items():
            axes.scatter(*points.T, s=9, alpha=0.6, lw=0, color=COLOURS[name], label=f"{name} ({len(points)})")
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("t-SNE 1")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.legend(fontsize=8, markerscale=2, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2, frameon=False)
    panels[0].set_ylabel("t-SNE 2")
    return figure


def plot_sweep(rows: list[dict[str, str | float]], keys: list[str]) -> Figure:
    """x_synth_obs of a sweep's jobs against each key that was varied, with the median of each value's jobs.

    rows: as `sweep.read_jobs` gives them; jobs that failed are counted above.
    """
    figure = Figure(figsize=(max(4.0, 2.9 * len(keys)), 3.6), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(keys), sharey=True))
    for axes, key in zip(panels, keys, strict=True):
        values = sorted({row[key] for row in rows}, key=_number_first)
        for place, value in enumerate(values):
            scores = np.array([row["x_synth_obs"] for row in rows if row[key] == value])
            good = scores[np.isfinite(scores)]
            axes.plot(np.full(len(good), place), good, "o", color=BEFORE, ms=4, alpha=0.5)
            if len(good):
                (median,) = axes.plot([place - 0.3, place + 0.3], [np.median(good)] * 2, color=AFTER, lw=2)
            if failed := len(scores) - len(good):
                axes.annotate(f"{failed} failed", (place, 1), xycoords=("data", "axes fraction"), ha="center", va="top")
        axes.set_xticks(range(len(values)), values)
        axes.set_xlim(-0.6, len(values) - 0.4)
        axes.set_xlabel(key)
    panels[0].set_ylabel("x_synth_obs [σ²]")
    log_scale(panels[0])
    panels[0].legend([median], ["median"], fontsize=8)
    return figure


def _number_first(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return np.inf, text


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


def _draw_fluxes(
    axes: Axes, x: np.ndarray, window: np.ndarray, observed: np.ndarray, models: dict[str, np.ndarray]
) -> None:
    _step(axes, x, window, observed, color=OBSERVED, lw=1.2, label="observed")
    for name, model in models.items():
        _step(axes, x, window, model, color=COLOURS[name], lw=1, label=name)


def _draw_deviations(
    axes: Axes,
    x: np.ndarray,
    window: np.ndarray,
    observed: np.ndarray,
    error: np.ndarray,
    models: dict[str, np.ndarray],
) -> None:
    for name, model in models.items():
        deviation = (model - observed) / np.maximum(error, ERROR_FLOOR)
        _step(axes, x, window, deviation, color=COLOURS[name], lw=0.9)
    axes.axhspan(-1, 1, color="grey", alpha=0.25, lw=0)
    axes.set_yscale("symlog", linthresh=3)
    axes.set_yticks([-10, -3, 0, 3, 10], ["−10", "−3", "0", "3", "10"])
    axes.yaxis.set_minor_formatter(NullFormatter())


def _step(axes: Axes, x: np.ndarray, window: np.ndarray, values: np.ndarray, **style: object) -> None:
    inside = with_gaps(window, x) != 0  # a window may reach over the end of a chip, a line may not
    axes.step(with_gaps(x, x)[inside], with_gaps(values, x)[inside], where="mid", **style)


def _shade(axes: Axes, x: np.ndarray, hidden: Tensor | None) -> None:
    if hidden is not None:
        where = hidden.cpu().numpy()
        axes.fill_between(x, 0, 1, where=where, transform=axes.get_xaxis_transform(), color="gold", alpha=0.3, lw=0)


def _mark_elements(axes: Axes, lines: list[Line], highest: float) -> None:
    """Ticks above the spectra, with the elements' names: the strongest lines first, as long as names do not overlap."""
    left, right = axes.get_xlim()
    named: list[Line] = []
    spacing = ELEMENT_SPACING * (right - left)
    for line in sorted(lines, key=lambda line: -line.strength):
        inside = left + spacing / 2 < line.wavelength < right - spacing / 2
        if inside and all(abs(line.wavelength - other.wavelength) > spacing for other in named):
            named.append(line)
    bottom, top = axes.get_ylim()
    foot, head = highest + 0.02 * (top - bottom), highest + 0.07 * (top - bottom)
    for line in named[:MARKED]:
        axes.plot([line.wavelength] * 2, [foot, head], color="dimgrey", lw=0.8)
        axes.text(line.wavelength, head, line.element, ha="center", va="bottom", fontsize=7, color="dimgrey")


def _rms(residual: np.ndarray) -> np.ndarray:
    """Over the stars of residual (N, P) that are not NaN; 0 where there are none."""
    usable = np.isfinite(residual)
    return np.sqrt(np.where(usable, residual**2, 0.0).sum(axis=0) / usable.sum(axis=0).clip(1))


def _percentiles(residual: np.ndarray) -> np.ndarray:
    """The 16th, 50th and 84th (3,) of all that is not NaN."""
    usable = residual[np.isfinite(residual)]
    return np.percentile(usable, [16, 50, 84]) if usable.size else np.full(3, np.nan)

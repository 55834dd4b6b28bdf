"""Figures of whole sets of spectra: residuals of all, and maps."""

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.scale import SymmetricalLogTransform
from matplotlib.ticker import NullFormatter

from cyclegan.figures.axes import COLOURS
from cyclegan.spectra.chips import chip_slices

PIXEL_GROUP = 8  # pixels whose residuals are counted together
RESIDUAL_BINS = 120
RESIDUAL_TICKS = (-0.3, -0.1, -0.03, -0.01, 0, 0.01, 0.03, 0.1, 0.3)
LINEAR = 0.03  # flux: within it the axis of residuals is linear, beyond it logarithmic


def plot_residuals(wavelength: np.ndarray, residuals: dict[str, np.ndarray]) -> Figure:
    """How many spectra have which residual at each wavelength, with the median and the 16th and 84th percentiles.

    residuals: minus the observed spectra, (N, P) each, NaN where masked, named as in COLOURS; a row of panels for
    each, a panel for each chip.
    """
    chips = [np.arange(chip.start, chip.stop) for chip in chip_slices(wavelength)]
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


def _percentiles(residual: np.ndarray) -> np.ndarray:
    """The 16th, 50th and 84th (3,) of all that is not NaN."""
    usable = residual[np.isfinite(residual)]
    return np.percentile(usable, [16, 50, 84]) if usable.size else np.full(3, np.nan)

"""Figures of single spectra: arrays in, Figure out."""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter
from torch import Tensor

from cyclegan.figures.axes import AFTER, BEFORE, COLOURS, OBSERVED
from cyclegan.spectra.chips import chip_slices
from cyclegan.spectra.spectra import ERROR_FLOOR, Spectra, told_difference
from emulator.wavelength import with_gaps

WINDOW = 90.0  # Angstrom: wide enough for a dozen lines, narrow enough to see each
CHIP_WINDOW = 45.0  # the same where the windows of all chips stand side by side
PANELS = 3  # chips side by side, at most
ELEMENT_SPACING = 0.055  # of a window: elements' names closer than this would overlap
MARKED = 14  # lines in a window, the strongest


class LineMark(NamedTuple):
    """A spectral line to mark: wavelength in vacuum Angstrom, whose it is, and how strong, in units of one's own."""

    wavelength: float
    element: str
    strength: float


def plot_stars(
    wavelength: Tensor, synth: Spectra, obs: Spectra, so: Tensor, titles: list[str], hidden: Tensor | None
) -> Figure:
    """Stars before and after translation, where the gap is clearest, and the residuals of all of them over all pixels.

    wavelength (P,) Angstrom; synth, obs, so (N, P): the same stars in theory, observed, and translated; titles: of
    the first len(titles) stars, which are drawn one by one; hidden (P,): pixels whose lines theory lacks.
    """
    x = wavelength.cpu().numpy()
    flux_s, flux_o, flux_so, sigma, mask = (t.cpu().numpy() for t in (synth.flux, obs.flux, so, obs.error, obs.mask))
    before, after = (np.where(mask, flux - flux_o, np.nan) for flux in (flux_s, flux_so))
    first = widest_gap_of_all_chips(x, told_difference(synth, obs).cpu().numpy(), WINDOW)
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
        lower.set_ylabel("minus\nobs. [σ]")  # on one line it is longer than the axes are high
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
    lines: list[LineMark],
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


def star_windows(wavelength: np.ndarray, synth: Spectra, obs: Spectra) -> list[float]:
    """Where to look: the start of the CHIP_WINDOW with the clearest gap in each of the PANELS longest chips.

    synth, obs (N, P): stars of both domains. A gap is clear where it is wide and errors are small: in bands of the
    Earth's air differences are wide, and say nothing of stars.
    """
    gap = told_difference(synth, obs).numpy()
    chips = sorted(chip_slices(wavelength), key=lambda chip: chip.stop - chip.start)[-PANELS:]
    chips.sort(key=lambda chip: chip.start)
    return [widest_gap(wavelength[chip], gap[chip], CHIP_WINDOW)[0] for chip in chips]


def widest_gap(x: np.ndarray, gap: np.ndarray, width: float) -> tuple[float, float]:
    """The start of the window of `width` over which the mean of gap (p,) is largest, in a chip x (p,); that mean."""
    gap = np.nan_to_num(gap)
    total = np.concatenate([[0.0], np.cumsum(gap)])
    stop = np.searchsorted(x, x + width)
    inside = (x + width <= x[-1]) | (np.arange(len(x)) == 0)
    means = np.where(inside, (total[stop] - total[:-1]) / np.maximum(stop - np.arange(len(x)), 1), -1.0)
    return float(x[means.argmax()]), float(means.max())


def widest_gap_of_all_chips(wavelength: np.ndarray, gap: np.ndarray, width: float) -> float:
    """The start of the window of `width`, within a chip, over which the mean of gap (P,) is largest."""
    found = (widest_gap(wavelength[chip], gap[chip], width) for chip in chip_slices(wavelength))
    return max(found, key=lambda start_and_mean: start_and_mean[1])[0]


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


def _step(axes: Axes, x: np.ndarray, window: np.ndarray, values: np.ndarray, **style: Any) -> None:
    inside = with_gaps(window, x) != 0  # a window may reach over the end of a chip, a line may not
    axes.step(with_gaps(x, x)[inside], with_gaps(values, x)[inside], where="mid", **style)


def _shade(axes: Axes, x: np.ndarray, hidden: Tensor | None) -> None:
    if hidden is not None:
        where = hidden.cpu().numpy()
        axes.fill_between(x, 0, 1, where=where, transform=axes.get_xaxis_transform(), color="gold", alpha=0.3, lw=0)


def _mark_elements(axes: Axes, lines: list[LineMark], highest: float) -> None:
    """Ticks above the spectra, with the elements' names: the strongest lines first, as long as names do not overlap."""
    left, right = axes.get_xlim()
    named: list[LineMark] = []
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

"""Figures of the lines that theory lacks: arrays in, Figure out, in the colours of `figures`."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from cyclegan.figures.axes import AFTER, BEFORE, OBSERVED, panel_grid, shared_legend
from cyclegan.figures.spectra import widest_gap_of_all_chips
from emulator.wavelength import pixels_within, with_gaps

WINDOW = 60.0  # Angstrom
SHOWN_ELEMENTS = 4  # rows of responses, of the elements with most lines
SHOWN_LINES = 12  # of an element, the deepest
AROUND = 50.0  # km/s on either side of a line
TRUTH = "#009E73"


class Found(Protocol):
    """A line: its pixels, its place, its depth and its maker, as `discovery.lines.MissingLine` has them."""

    wavelength: float
    start: int
    stop: int
    depth: float
    element: str
    second: str
    cannot_exclude: bool


def maker(line: Found) -> str:
    """Whose a line is, nobody's for ?, and the second candidate where it cannot be excluded."""
    if not line.element:
        return "?"
    return f"{line.element}/{line.second}" if line.cannot_exclude else line.element


def plot_discovery(
    wavelength: np.ndarray,
    synth: np.ndarray,
    translated: np.ndarray,
    gain: np.ndarray,
    elements: Sequence[str],
    lines: Sequence[Found],
    truth: np.ndarray | None,
    hidden: Tensor | None,
    title: str,
    observed: np.ndarray | None = None,
    known: Sequence[float] = (),
) -> Figure:
    """A reference star synthetic and translated, what theory lacks, and whose it is, where most is lacking.

    wavelength, synth, translated (P,); gain, truth (P, E): d flux / d [X/H] that theory lacks, found and true; hidden
    (P,): pixels whose lines theory was made to lack; title: which star it is. observed (P,): its true flux, if that is
    known, NaN where not; known: wavelengths of lines that theory is known to lack.
    """
    told = np.abs(synth - translated) if observed is None else np.abs(synth - translated) * np.isfinite(observed)
    first = widest_gap_of_all_chips(wavelength, told, WINDOW)
    window = (wavelength >= first) & (wavelength <= first + WINDOW)
    inside = [line for line in lines if first <= line.wavelength <= first + WINDOW]
    names = [line.element for line in inside if line.element]
    shown = sorted(set(names), key=lambda name: (-names.count(name), name))[:SHOWN_ELEMENTS]

    figure = Figure(figsize=(12, 4.6 + 1.1 * len(shown)), layout="constrained")
    rows = figure.subplots(2 + len(shown), 1, sharex=True, height_ratios=[2.2, 1.5, *[1.0] * len(shown)], squeeze=False)
    top, residual, *panels = rows[:, 0]
    if observed is not None:
        _line(top, wavelength, observed, window, color=OBSERVED, lw=1, label="the star")
    _line(top, wavelength, synth, window, color=BEFORE, lw=1, label="synthetic")
    _line(top, wavelength, translated, window, color=AFTER, lw=1, label="translated")
    top.set_title(title, fontsize=9, loc="left")
    top.set_ylabel("flux")
    top.legend(loc="lower left", ncols=3, fontsize=9)
    gaps = {AFTER: translated - synth} | ({} if observed is None else {OBSERVED: observed - synth})
    _draw_gaps(residual, wavelength, gaps, window, inside)
    if places := [place for place in known if first <= place <= first + WINDOW]:
        residual.plot(places, np.zeros(len(places)), "v", color=TRUTH, ms=5, label="known")
        residual.legend(loc="upper right", fontsize=8, frameon=False)
    for axes, name in zip(panels, shown, strict=True):
        e = list(elements).index(name)
        _line(axes, wavelength, gain[:, e], window, color=AFTER, lw=1, label="found")
        if truth is not None:
            _line(axes, wavelength, truth[:, e], window, color=TRUTH, lw=1, ls="--", label="true")
        axes.set_ylabel(f"[{name}/H]")
    if panels:
        panels[0].legend(
            loc="lower right", bbox_to_anchor=(1, 1), ncols=2, fontsize=8, borderaxespad=0.2, frameon=False
        )
        panels[0].set_title("response that theory lacks, d flux / dex", fontsize=9, loc="left")
    for axes in rows[:, 0]:
        axes.set_xlim(first, first + WINDOW)
        axes.tick_params(labelsize=8)
        if hidden is not None:
            _shade(axes, wavelength, np.asarray(hidden) & window)
    rows[-1, 0].set_xlabel("vacuum wavelength [Å]" + ("; shaded: hidden from theory" if hidden is not None else ""))
    figure.align_ylabels(rows[:, 0])
    return figure


def _draw_gaps(
    axes: Axes, x: np.ndarray, gaps: Mapping[str, np.ndarray], window: np.ndarray, lines: Sequence[Found]
) -> None:
    """What theory lacks (P,), by colours, with the makers of lines, on two levels where they are close together."""
    for colour, gap in gaps.items():
        _line(axes, x, gap, window, color=colour, lw=1)
    axes.set_ylabel("minus\nsynthetic")
    shown = np.nan_to_num([gap[window] for gap in gaps.values()])
    low, high = np.min(shown, initial=-0.02), np.max(shown, initial=0.0)
    axes.set_ylim(1.45 * low, max(0.02, 1.1 * high))
    last = -np.inf
    for line in lines:
        level = 1.40 if line.wavelength - last > 0.035 * WINDOW else 1.22
        axes.annotate(
            maker(line), (line.wavelength, low * level), ha="center", va="bottom", fontsize=8, annotation_clip=True
        )
        last = line.wavelength if level == 1.40 else -np.inf


def _shade(axes: Axes, wavelength: np.ndarray, pixels: np.ndarray) -> None:
    steps = np.gradient(wavelength) / 2
    for pixel in np.flatnonzero(pixels):
        axes.axvspan(wavelength[pixel] - steps[pixel], wavelength[pixel] + steps[pixel], color="0.9", lw=0, zorder=0)


def plot_element(
    wavelength: np.ndarray,
    lack: np.ndarray,
    gain: np.ndarray,
    element: str,
    lines: Sequence[Found],
    truth: np.ndarray | None,
) -> Figure:
    """The deepest lines of an element that theory lacks, each with the missing flux and the element's response.

    lack (P,): missing flux; gain, truth (P,): d flux / d [X/H] that theory lacks, found and true.
    """
    shown = sorted(sorted(lines, key=lambda line: -line.depth)[:SHOWN_LINES], key=lambda line: line.wavelength)
    figure, grid = panel_grid(len(shown), 3.1, 2.3)
    around = pixels_within(AROUND, wavelength)
    for axes, line in zip(grid.ravel(), shown, strict=False):
        middle = (line.start + line.stop) // 2
        near = slice(max(middle - around, 0), middle + around + 1)
        x = wavelength[near] - line.wavelength
        axes.plot(x, -lack[near], color="black", lw=1.2, label="missing flux")
        axes.plot(x, gain[near], color=AFTER, lw=1.2, label=f"d flux / d [{element}/H]")
        if truth is not None:
            axes.plot(x, truth[near], color=TRUTH, lw=1, ls="--", label="the same, true")
        axes.axhline(0, color="grey", lw=0.4)
        axes.set_title(f"{line.wavelength:.2f} Å: {maker(line)}", fontsize=9)
        axes.tick_params(labelsize=7)
    for axes in grid[-1]:
        axes.set_xlabel("Å from the line", fontsize=8)
    for axes in grid[:, 0]:
        axes.set_ylabel("flux; per dex", fontsize=8)
    shared_legend(figure, grid[0, 0])
    return figure


def _line(axes: Axes, x: np.ndarray, y: np.ndarray, window: np.ndarray, **style: Any) -> None:
    pixels = np.flatnonzero(window)
    cut = slice(pixels[0], pixels[-1] + 1)
    axes.plot(with_gaps(x[cut], x[cut]), with_gaps(y[cut], x[cut]), **style)

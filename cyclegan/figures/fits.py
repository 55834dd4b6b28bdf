"""Figures of spectra beside what they were fitted with: arrays in, Figure out."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cyclegan.figures.axes import COLOURS, OBSERVED
from cyclegan.figures.spectra import widest_gap_of_all_chips
from cyclegan.spectra.chips import chip_slices
from cyclegan.spectra.spectra import Spectra
from emulator.wavelength import with_gaps

WINDOW = 40.0  # Angstrom: lines of a resolution of 20 000 can be seen
WINDOWS = 3  # side by side
NAMES = {"synthetic": "theory alone", "translated": "through the translator"}


def plot_fits(
    wavelength: np.ndarray, spectra: Spectra, models: Mapping[str, np.ndarray], titles: Sequence[str]
) -> Figure:
    """Each star with its models where the first of them fails most, and the residuals of all pixels below.

    wavelength (P,) Angstrom; spectra (N, P); models: `synthetic` and `translated`, or one, (N, P) each; titles: one a
    star.
    """
    figure = Figure(figsize=(13, 6.2 * len(titles) + 0.4), layout="constrained")
    flux, error, mask = (tensor.cpu().numpy() for tensor in spectra)
    for star, (part, title) in enumerate(
        zip(figure.subfigures(len(titles), 1, squeeze=False)[:, 0], titles, strict=True)
    ):
        observed = np.where(mask[star], flux[star], np.nan)
        own = {name: model[star] for name, model in models.items()}
        grid = part.add_gridspec(3, WINDOWS, height_ratios=[2.2, 1, 1])
        uppers: list[Axes] = []
        for column, start in enumerate(windows_of(wavelength, np.abs(next(iter(own.values())) - observed))):
            upper = part.add_subplot(grid[0, column], sharey=uppers[0] if uppers else None)
            lower = part.add_subplot(grid[1, column], sharex=upper)
            uppers.append(upper)
            _draw_window(upper, lower, wavelength, (observed, error[star]), own, start)
            if column == 0:
                upper.set_ylabel("normalised flux")
                lower.set_ylabel("model - observed")
        _draw_residuals(part.add_subplot(grid[2, :]), wavelength, observed, own)
        part.suptitle(title, x=0.01, ha="left", fontsize=10, parse_math=False)  # a star may be called $x$
        uppers[0].legend(fontsize=8, loc="lower left")
    return figure


def windows_of(wavelength: np.ndarray, gap: np.ndarray) -> list[float]:
    """Where WINDOWS windows begin, ascending, which do not overlap: where the mean of gap (P,) is largest."""
    left, starts = np.nan_to_num(gap), []
    for _ in range(WINDOWS):
        start = widest_gap_of_all_chips(wavelength, left, WINDOW)
        starts.append(start)
        left = np.where((wavelength > start - WINDOW) & (wavelength < start + WINDOW), -1.0, left)
    return sorted(starts)


def _draw_window(
    upper: Axes,
    lower: Axes,
    x: np.ndarray,
    seen: tuple[np.ndarray, np.ndarray],
    models: Mapping[str, np.ndarray],
    start: float,
) -> None:
    observed, error = seen
    cut = slice(*np.searchsorted(x, [start, start + WINDOW]))
    upper.plot(x[cut], observed[cut], color=OBSERVED, lw=1.6, label="observed")
    for name, model in models.items():
        upper.plot(x[cut], model[cut], color=COLOURS[name], lw=1, label=NAMES[name])
        lower.plot(x[cut], (model - observed)[cut], color=COLOURS[name], lw=1)
    lower.fill_between(x[cut], -error[cut], error[cut], color="grey", alpha=0.3, lw=0)
    lower.set_xlim(start, start + WINDOW)
    lower.set_xlabel("vacuum wavelength [Å]", fontsize=8)
    for axes in (upper, lower):
        axes.tick_params(labelsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(5))
    upper.tick_params(labelbottom=False)


def _draw_residuals(axes: Axes, x: np.ndarray, observed: np.ndarray, models: Mapping[str, np.ndarray]) -> None:
    for name, model in models.items():
        residual = model - observed
        label = f"{NAMES[name]}: rms {np.sqrt(np.nanmean(residual**2)):.4f}"
        axes.plot(with_gaps(x, x), with_gaps(residual, x), color=COLOURS[name], lw=0.6, label=label)
    for chip in chip_slices(x):
        if np.isnan(observed[chip]).all():
            axes.text(x[chip].mean(), 0, "not observed", ha="center", va="center", color="grey", fontsize=9)
    axes.set_xlim(x[0], x[-1])
    axes.set_ylabel("model - observed")
    axes.set_xlabel("vacuum wavelength [Å]; grey above: ± the stated error", fontsize=8)
    axes.legend(fontsize=8, ncols=2, loc="lower center")
    axes.tick_params(labelsize=8)

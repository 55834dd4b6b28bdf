"""A figure of a fitted line list beside the truth: arrays in, Figure out, in the colours of `figures`."""

import numpy as np
from matplotlib.figure import Figure

from cyclegan.figures.axes import AFTER

SHOWN = 4  # species that have a colour of their own
COLOURS = (AFTER, "#009E73", "#56B4E9", "#CC79A7")


def plot_line_list(
    species: np.ndarray,
    excitation: np.ndarray,
    log_gf: np.ndarray,
    excitation_error: np.ndarray,
    log_gf_error: np.ndarray,
) -> Figure:
    """Excitation and log gf of N lines, fitted against true, with errors.

    species (N,); excitation (eV), log_gf: (2, N), true and fitted; errors (N,): 1 sigma.
    """
    names, counts = np.unique(species, return_counts=True)
    shown = names[np.argsort(-counts, kind="stable")][:SHOWN].tolist()
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    for axes, (true, fitted), error, label in zip(
        figure.subplots(1, 2),
        (excitation, log_gf),
        (excitation_error, log_gf_error),
        ("excitation [eV]", "log gf"),
        strict=True,
    ):
        ends = [min(true.min(), fitted.min()) - 0.3, max(true.max(), fitted.max()) + 0.3]
        axes.plot(ends, ends, color="grey", lw=0.7)
        for name, colour in [*zip(shown, COLOURS, strict=False), ("others", "0.4")]:
            own = species == name if name in shown else ~np.isin(species, shown)
            if own.any():
                style = {"fmt": "o", "ms": 4, "lw": 0.7, "color": colour, "alpha": 0.8}
                axes.errorbar(true[own], fitted[own], error[own], label=f"{name}, {own.sum()}", **style)
        axes.set_xlim(ends)
        axes.set_ylim(ends)
        axes.set_xlabel(f"true {label}")
        axes.set_ylabel(f"fitted {label}")
    figure.axes[0].legend(loc="upper left", fontsize=9)
    return figure

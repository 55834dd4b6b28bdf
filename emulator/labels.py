"""Stellar labels: names, units, and their scaling to [-0.5, 0.5].

Abundances are [X/H] = log10(N_X / N_H) - log10(N_X / N_H)_sun, in dex, so that a derivative by one label moves
the lines of one element only.
"""

import numpy as np
from torch import Tensor

SENTINEL = -999.0  # numbers from it downwards stand for no label, as APOGEE's -9999
ELEMENTS = ("Fe", "C", "N", "O", "Na", "Mg", "Al", "Si", "S", "K", "Ca", "Ti", "Cr", "Mn", "Ni")
ABUNDANCES = tuple(f"{element.lower()}_h" for element in ELEMENTS)
LABELS = ("teff", "logg", "vmic", "vmacro", *ABUNDANCES)

UNITS = {"teff": "K", "logg": "dex", "vmic": "km/s", "vmacro": "km/s"} | dict.fromkeys(ABUNDANCES, "dex")


def is_known(labels: Tensor) -> Tensor:
    """Which labels (...) are some: neither NaN, nor infinite, nor a number that stands for none."""
    return labels.isfinite() & (labels > SENTINEL)


def scale(labels: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Labels (..., L) in their own units to [-0.5, 0.5]; low and high (L,) are the ends of each range."""
    return (labels - low) / (high - low) - 0.5


def sample_grid_labels(n: int, rng: np.random.Generator) -> np.ndarray:
    """Labels (n, len(LABELS)) that cover where FGK stars live, for the built-in grid.

    Temperature and gravity fill the region between the coolest giants and warm dwarfs (there are no warm
    supergiants in it); [X/Fe] is drawn for each element on its own, so that the emulator can tell elements apart.
    """
    teff = rng.uniform(4200.0, 6800.0, n)
    lowest_gravity = np.interp(teff, [4200.0, 5000.0, 6000.0, 6800.0], [0.5, 1.5, 3.0, 3.6])
    logg = rng.uniform(lowest_gravity, 5.0)
    vmic = rng.uniform(0.5, 2.5, n)
    vmacro = rng.uniform(1.0, 12.0, n)
    fe_h = rng.uniform(-1.2, 0.5, n)
    x_fe = rng.uniform(-0.3, 0.4, (n, len(ELEMENTS) - 1))
    return np.column_stack([teff, logg, vmic, vmacro, fe_h, fe_h[:, None] + x_fe])

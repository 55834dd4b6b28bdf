"""Stars with lines as APOGEE's files hold them, and their conversion."""

import h5py
import numpy as np

from cyclegan.instruments.apogee import ApogeeReader
from cyclegan.instruments.conversion import Report, convert_spectra
from cyclegan.instruments.options import parse, parser
from cyclegan.spectra.files import SUBSETS
from emulator.apogee import APOGEE

PIXELS = len(APOGEE.wavelength)
GAPS = np.setdiff1d(np.arange(PIXELS), APOGEE.cuts["7514"])
LINE = 0.5 * np.exp(-0.5 * (np.arange(-8, 9) / 1.6) ** 2)
SLOPE = 1 + 0.2 * np.linspace(-1, 1, PIXELS)


def star(seed, rows=1, noise=0.01):
    """Flux, error and bits (rows, 8575) with lines, in the survey's unit; nothing between the chips."""
    rng = np.random.default_rng(seed)
    spikes = np.zeros(PIXELS)
    spikes[rng.integers(0, PIXELS, 200)] = rng.uniform(0, 1, 200)
    lines = np.exp(-np.convolve(spikes, LINE, mode="same"))
    flux = 800 * SLOPE * (lines + noise * rng.standard_normal((rows, PIXELS)))
    error = np.broadcast_to(800 * SLOPE * noise, flux.shape).copy()
    bits = np.zeros(flux.shape, int)
    flux[:, GAPS], error[:, GAPS] = 0, 1e10
    return (flux, error, bits) if rows > 1 else (flux[0], error[0], bits[0])


def converted(*arguments) -> Report:
    """What `python -m cyclegan.apogee` does with these arguments."""
    readers = (ApogeeReader(),)
    return convert_spectra(
        readers, parse(parser(readers, "cyclegan.apogee", ""), [str(argument) for argument in arguments])
    )


def of_all_subsets(path, name):
    """All subsets of a dataset, as one array, in the order of the stars' names."""
    with h5py.File(path) as file:
        subsets = [subset for subset in SUBSETS if f"id {subset}" in file]
        names = np.concatenate([file[f"id {subset}"].asstr()[()] for subset in subsets])
        values = np.concatenate([file[f"{name} {subset}"][()] for subset in subsets])
    return values[np.argsort(names, kind="stable")]

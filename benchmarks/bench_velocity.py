"""pytest -s benchmarks/bench_velocity.py: velocities by cross-correlation, beside those that stars were given.

The built-in synthesiser makes the templates, as many as count, and the stars, on the pixels of an apVisit file. A tenth
of these are masked; abundances scatter by 0.1 dex about the star's metals.
"""

import time

import numpy as np
import pytest
import torch
from apstar import DETECTORS

from cyclegan.instruments.cross_correlation import TEMPLATES, Templates
from cyclegan.spectra.spectra import Spectra
from emulator.apogee import apogee_wavelength
from emulator.commands.errors import InputError
from emulator.labels import ELEMENTS, sample_grid_labels
from emulator.synthesis import WAVELENGTH_RANGE, synthesize
from emulator.wavelength import LIGHT_SPEED

STARS, GRID, SIGNAL_TO_NOISE = 100, TEMPLATES, (3, 5, 20, 100, 200)
KINDS = {  # lowest and highest teff, logg, [M/H]
    "giants": ((4300, 5000), (1.5, 3.0), (-0.5, 0.3)),
    "hot, metal-poor dwarfs": ((6000, 6700), (4.0, 4.6), (-1.1, -0.7)),
}
FASTEST = 400.0  # km/s


@pytest.mark.parametrize("kind", list(KINDS))
def test_known_velocities(kind):
    rng = np.random.default_rng(0)
    labels = sample_grid_labels(GRID, rng)
    theory = np.stack([synthesize(star, apogee_wavelength()) for star in labels])
    templates, pixels = Templates(apogee_wavelength(), torch.from_numpy(theory)), np.sort(DETECTORS.ravel())
    velocities = rng.uniform(-FASTEST, FASTEST, STARS)
    stars = np.stack([_star(kind, pixels / (1 + velocity / LIGHT_SPEED), rng) for velocity in velocities])
    for signal_to_noise in SIGNAL_TO_NOISE:
        error = np.full(stars.shape, 1 / signal_to_noise)
        noisy = stars + error * rng.standard_normal(stars.shape)
        spectra = Spectra(*(torch.from_numpy(array) for array in (noisy, error, rng.random(stars.shape) > 0.1)))
        began, found = time.perf_counter(), []
        for row, velocity in enumerate(velocities):
            try:
                value, uncertainty = templates.measure(pixels, spectra.rows(slice(row, row + 1)))
                found.append((value - velocity, uncertainty))
            except InputError:
                continue
        seconds = (time.perf_counter() - began) / STARS
        wrong, told = np.array(found).reshape(-1, 2).T
        line = (
            f"{kind}, signal to noise {signal_to_noise}: {STARS - len(found)} of {STARS} refused, {seconds:.2f} s each"
        )
        if len(found) > 1:
            bias, scatter = wrong.mean(), wrong.std() / len(found) ** 0.5
            width = (wrong / told).std()
            line += f"; bias {bias:+.3f} +- {scatter:.3f}, error {np.median(told):.2f} km/s, width {width:.2f}"
            assert abs(bias) < 0.1 + 5 * scatter
        print(line)


def _star(kind, wavelength, rng):
    """A star of a kind at its own wavelengths (p,)."""
    teff, logg, metals = (rng.uniform(*ends) for ends in KINDS[kind])
    abundances = metals + 0.1 * rng.standard_normal(len(ELEMENTS))
    flux, known = np.ones(len(wavelength)), (wavelength > WAVELENGTH_RANGE[0]) & (wavelength < WAVELENGTH_RANGE[1])
    flux[known] = synthesize(np.array([teff, logg, 1.5, 6.0, *abundances]), wavelength[known])
    return flux

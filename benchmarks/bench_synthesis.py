"""CPU time of the synthesiser: pytest benchmarks/bench_synthesis.py. At most 0.1 s a spectrum, on one thread."""

import time

import numpy as np
import pytest

from emulator.apogee import apogee_wavelength
from emulator.atmosphere import abundances, hydrostatic
from emulator.labels import ELEMENTS
from emulator.line_opacity import voigt
from emulator.synthesis import synthesize

WAVELENGTH = apogee_wavelength()


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("star", [(5777.0, 4.44), (4300.0, 1.0), (4300.0, 4.8)], ids=["sun", "giant", "cool dwarf"])
def test_full_apogee_spectrum(benchmark, star):
    labels = np.array([*star, 1.0, 3.0, *np.zeros(len(ELEMENTS))])
    synthesize(labels, WAVELENGTH)  # makes the grid, once and for all
    assert benchmark(synthesize, labels, WAVELENGTH).shape == WAVELENGTH.shape


def test_atmosphere(benchmark):
    benchmark(hydrostatic, 5777.0, 4.44, abundances({"Fe": 0.0}))


def test_voigt(benchmark):
    rng = np.random.default_rng(0)
    a, v = rng.random((64, 1, 26), dtype=np.float32), 3 * rng.standard_normal((64, 17, 26), dtype=np.float32)
    benchmark(voigt, a, v)

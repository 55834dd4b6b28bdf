"""Spectra read a second, of Parquet and of mwmStar files: pytest -s benchmarks/bench_files.py. On one thread.

mwmStar files have one spectrum each and as many columns as real ones, so that most of the time goes into headers.
"""

import time

import numpy as np
import pytest
from parquet_files import write_parquet
from sdss5_files import write_mwm

from cyclegan.instruments.apogee import ApogeeReader
from cyclegan.instruments.instrument import COMBINED
from emulator.apogee import PIXELS
from emulator.commands.device import processor_threads

SPECTRA, LEAST = 1000, {"Parquet": 1000, "mwmStar": 1000, "mwmVisit": 1000}
COLUMNS = 45  # of a table of APOGEE in an mwmStar file of DR20


def name_of(row):
    """Of a star, as long as any other's."""
    return f"2M{row:08}"


def write_files(folder, kind):
    """SPECTRA of them."""
    rng = np.random.default_rng(0)
    flux, error = (rng.uniform(500, 900, (SPECTRA, PIXELS)).astype("float32") for _ in range(2))
    bits = rng.integers(0, 2, flux.shape)
    if kind == "Parquet":
        write_parquet(folder / "stars.parquet", flux, error, bits)
    elif kind == "mwmVisit":
        write_mwm(folder / "visits.fits", {"APOGEE/APO": (flux, 1 / error**2, bits)}, visits=True)
    else:
        more = {f"column_{number}": np.ones(1) for number in range(COLUMNS - 11)}
        inverse_variance = 1 / error**2
        one = {"APOGEE/APO": (flux[0], inverse_variance[0], bits[0])}
        content = write_mwm(folder / "first.fits", one, name=name_of(0), **more).read_bytes()
        (folder / "first.fits").unlink()
        for row in range(SPECTRA):  # astropy takes as long to write a file as it takes to read thirty
            own = content.replace(name_of(0).encode(), name_of(row).encode())
            for values in (flux, inverse_variance):
                own = own.replace(values[0].astype(">f4").tobytes(), values[row].astype(">f4").tobytes())
            (folder / f"{row}.fits").write_bytes(own)
    return folder


@pytest.mark.parametrize("kind", list(LEAST))
def test_reading(tmp_path, kind):
    paths = sorted(write_files(tmp_path, kind).iterdir())
    with processor_threads(1):
        start = time.process_time()
        count = sum(len(stars.visit) for path in paths for stars in ApogeeReader().read(path, COMBINED, None))
        rate = count / (time.process_time() - start)
    print(f"\n{kind}: {rate:.0f} spectra a CPU second")
    assert count == SPECTRA
    assert rate >= LEAST[kind]

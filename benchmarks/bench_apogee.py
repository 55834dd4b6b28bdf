"""Spectra converted a second: pytest -s benchmarks/bench_apogee.py. At least 50, on one thread.

500 apStar files with the HDUs of real ones, from files to file, imports left out.
"""

import time

import numpy as np
import pytest
from astropy.io import fits

from cyclegan.instruments.apogee import ApogeeReader
from cyclegan.instruments.conversion import convert_spectra
from cyclegan.instruments.options import parse, parser
from emulator.apogee import APOGEE
from emulator.commands.device import processor_threads

FILES, LEAST = 500, 50


def write_stars(path):
    """FILES stars of three visits in a folder."""
    rng = np.random.default_rng(0)
    shape = (5, len(APOGEE.wavelength))  # three visits and two coadds
    for number in range(FILES):
        lines = 1 - 0.5 * (rng.random(shape) < 0.05)
        flux = (700 * lines * (1 + 0.01 * rng.standard_normal(shape))).astype("float32")
        images = [flux, np.full(shape, 7, "float32"), np.zeros(shape, "int16"), *[flux] * 4, np.zeros((28, 1))]
        header = fits.Header({"OBJID": f"2M{number:08d}+0000000", "NVISITS": 3, "SNR": 100.0})
        for line in range(60):
            header.add_history(f"APSTAR: {line}")
        hdus = [fits.PrimaryHDU(header=header), *map(fits.ImageHDU, images)]
        for hdu in hdus[1:]:
            hdu.header.update(CRVAL1=4.179, CDELT1=6e-6)
        fits.HDUList(hdus).writeto(path / f"apStar-dr17-2M{number:08d}+0000000.fits")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_stars(tmp_path_factory.mktemp("apstar"))


@pytest.mark.parametrize("how", ["clipping", "given pixels", "another grid"])
def test_conversion(folder, tmp_path, how):
    np.save(tmp_path / "pixels.npy", np.arange(7214) % 14 == 0)
    np.save(tmp_path / "grid.npy", np.arange(15200.0, 16900.0, 0.25))
    options = {
        "clipping": [],
        "given pixels": ["--continuum", tmp_path / "pixels.npy"],
        "another grid": ["--wavelength", tmp_path / "grid.npy"],
    }[how]
    readers = (ApogeeReader(),)
    asked = parse(parser(readers, "cyclegan.apogee", ""), [str(a) for a in (folder, tmp_path / "out.h5", *options)])
    with processor_threads(1):
        start = time.process_time()
        report = convert_spectra(readers, asked)
        rate = sum(report.spectra.values()) / (time.process_time() - start)
    print(f"\n{how}: {rate:.0f} spectra a CPU second")
    assert rate >= LEAST

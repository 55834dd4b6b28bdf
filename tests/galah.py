"""FITS files as the GALAH survey writes them, one for each arm of HERMES."""

from pathlib import Path

import numpy as np
from astropy.io import fits

from emulator.wavelength import LIGHT_SPEED, vacuum_to_air

PIXELS = 4096
# Of the first pixel, and of a pixel, in Angstrom: as the files of one night of DR4 have them, about.
GRIDS = ((4714.06, 0.045948), (5649.86, 0.054641), (6478.3, 0.06312), (7585.1, 0.07354))
DR4 = ("normalized", "relative_error", "sky", "teluric", "scattered", "cross_talk", "resolution_profile")
DR3 = ("input_sigma", "no_sky_subspectrum", "no_sky_sigma", "normalised spectra")


def seen_at(arm, velocity):
    """The vacuum wavelengths (4096,) at which light of a star's rest frame falls on the pixels of arm 1, 2, 3 or 4."""
    start, step = GRIDS[arm - 1]
    air = start + step * np.arange(PIXELS)
    return air / (1 + velocity / LIGHT_SPEED)


def write_star(folder: Path, number, spectrum, noise=0.02, velocity=25.0, release="DR4", arms=(1, 2, 3, 4), **header):
    """The files of a star whose flux at vacuum wavelengths in its rest frame is spectrum(wavelength); the paths.

    number: its sobject_id; noise: relative errors, of which the flux has none; header: more cards of HDU 0.
    """
    paths = []
    for arm in arms:
        air = seen_at(arm, velocity)
        flux = spectrum(_vacuum(air)).astype("float32")
        relative = np.full(PIXELS, noise, "float32")
        grid = {"CRVAL1": GRIDS[arm - 1][0], "CDELT1": GRIDS[arm - 1][1], "CRPIX1": 1.0, "CTYPE1": "LINEAR"}
        about = grid | {"INSTRUME": "HERMES-2dF", "SLITMASK": "OUT", "SNR": 20.0 * arm, "BARYEFF": -13.4}
        if release == "DR4":
            about |= {"2MASS_ID": f"2M{number}", "RVCOM": velocity, "E_RVCOM": 0.1, "RVCOM_OK": 1}
        first = fits.PrimaryHDU(flux)
        first.header.update(about | header)
        hdus = fits.HDUList([first])
        for name in DR4 if release == "DR4" else DR3:
            hdus.append(fits.ImageHDU(relative if name in ("relative_error", "input_sigma") else flux, name=name))
            hdus[-1].header.update(grid)
        paths.append(folder / f"{number}{arm}.fits")
        hdus.writeto(paths[-1])
    return paths


def _vacuum(air):
    """By interpolation in the inverse of what the code under test uses."""
    vacuum = np.linspace(air[0] + 0.5, air[-1] + 3.5, 2 * PIXELS)
    return np.interp(air, vacuum_to_air(vacuum), vacuum)

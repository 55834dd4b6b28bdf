"""APOGEE's apVisit files: one exposure of a star, detector by detector, as the observer saw it."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from astropy.io import fits

from cyclegan.instruments.fits_files import header_number
from cyclegan.spectra.resampling import Resampler
from cyclegan.spectra.spectra import Spectra
from emulator.apogee import APOGEE
from emulator.commands.errors import InputError
from emulator.wavelength import LIGHT_SPEED

DETECTORS = 3
FASTEST = 1000.0  # km/s: the pipeline itself takes a faster star for a failure
FAILED = 1e5  # km/s: an error of the velocity that says that it was not measured


class Visit(NamedTuple):
    """A visit in the star's rest frame: flux and error (P,), 0 where a pixel is not covered or not sound; bits (P,)."""

    flux: np.ndarray
    error: np.ndarray
    bits: np.ndarray


def is_visit(hdus: fits.HDUList) -> bool:
    """Whether these are the HDUs of an apVisit file, which alone of the survey's spectra holds its wavelengths."""
    return len(hdus) > 4 and str(hdus[4].header.get("BUNIT", "")).startswith("Wavelength")


def read_visit(hdus: fits.HDUList, path: Path, known: float = np.nan) -> Visit:
    """The spectrum of an apVisit file in its star's rest frame, on APOGEE's wavelengths.

    HDU 1 flux, 2 error, 3 bit mask, 4 vacuum wavelength in Angstrom; each (3, pixels), a row a detector, of 4096 pixels
    or, of undithered visits, 2048, from red to blue or from blue to red. They are divided by 1 + `rest_velocity` / c
    and resampled with the flux conserved. A new pixel has the bits of all pixels that it takes from.
    Raises InputError for other shapes or wavelengths, and where no velocity is told.
    """
    flux, error, bits, wavelength = (hdu.data for hdu in _images(hdus, path))
    wavelength = wavelength.astype("float64").ravel() / (1 + rest_velocity(hdus[0].header, path, known) / LIGHT_SPEED)
    order = np.argsort(wavelength)
    if not (np.isfinite(wavelength).all() and (np.diff(wavelength[order]) > 0).all() and wavelength[order[0]] > 0):
        raise InputError(f"{path}: expected finite wavelengths in HDU 4, each once, got others")
    try:
        resampler = Resampler(wavelength[order], APOGEE.wavelength)
    except InputError as problem:
        raise InputError(f"{path}: {problem}") from problem
    flux, error = (torch.from_numpy(values.astype("float64").ravel()[order])[None] for values in (flux, error))
    sound, bits = (
        flux.isfinite() & error.isfinite() & (error > 0),
        torch.from_numpy(bits.astype("int32").ravel()[order]),
    )
    each = 1 << torch.arange(len(APOGEE.bits), dtype=torch.int32)[:, None]
    # Every bit is a mask of its own; without one, a new pixel is usable where it is covered.
    masks = torch.cat([sound, torch.ones_like(sound), bits & each == 0])
    there = resampler(Spectra(flux.expand(masks.shape), error.expand(masks.shape), masks))
    sound, covered, unset = there.mask[0], there.mask[1], there.mask[2:]
    return Visit(
        (there.flux[0] * sound).float().numpy(),
        (there.error[0] * sound).float().numpy(),
        ((covered & ~unset) * each).sum(dim=0, dtype=torch.int32).numpy(),
    )


def rest_velocity(header: fits.Header, path: Path, known: float = np.nan) -> float:
    """How fast the star receded from the telescope, in km/s: above 0, lines are seen redwards of where they belong.

    VRAD, 'doppler shift': the pipeline compares the visit with a template at wavelengths (1 + VRAD / c) of its own, and
    writes VHELIO = VRAD + BC, the barycentric correction (aprv.pro of github.com/sdss/apogee). So where there is no
    VRAD it is VHELIO - BC; and where there is neither, or the pipeline says that it failed, it is `known` - BC, by what
    a table says of the star. Raises InputError where none of them is told.
    """
    told = {key: header_number(header, key) for key in ("VRAD", "VRADERR", "VHELIO", "BC")}
    measured = (told["VRAD"], told["VHELIO"] - told["BC"]) if not told["VRADERR"] > FAILED else ()
    for velocity in (*measured, known - told["BC"]):
        if abs(velocity) <= FASTEST:
            return velocity
    expected = (
        f"a velocity within {FASTEST:g} km/s in HDU 0, VRAD, or VHELIO and BC, or BC and one in the table of --labels"
    )
    found = ", ".join(f"{key} {value:g}" for key, value in told.items() if not np.isnan(value))
    raise InputError(f"{path}: expected {expected}, got {found or 'none'}")


def _images(hdus: fits.HDUList, path: Path) -> list[fits.ImageHDU]:
    """HDU 1 to 4; InputError where they are not images of the detectors, or HDU 3 holds no bits."""
    images = hdus[1:5]
    shapes = [hdu.shape for hdu in images]
    kinds = [hdu.data.dtype.kind for hdu in images if isinstance(hdu, fits.ImageHDU) and hdu.data is not None]
    are_floats = len(kinds) == len(images) and {*kinds[:2], kinds[3]} == {"f"}
    if not are_floats or kinds[2] not in "iu" or len(set(shapes)) > 1 or shapes[0][:-1] != (DETECTORS,):
        expected = f"an apVisit file, flux, error, bits and wavelength of {DETECTORS} detectors in HDU 1 to 4"
        raise InputError(f"{path}: expected {expected}, got shapes {', '.join(map(str, shapes))}")
    return images

"""APOGEE's apVisit files: one exposure of a star, detector by detector, as the observer saw it."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from astropy.io import fits

from cyclegan.instruments.cross_correlation import FASTEST, Velocity
from cyclegan.instruments.fits_files import header_number
from cyclegan.instruments.velocities import OPTIONS, Seen, Velocities
from cyclegan.spectra.resampling import Resampler
from cyclegan.spectra.spectra import Spectra
from emulator.apogee import APOGEE
from emulator.commands.errors import InputError
from emulator.wavelength import LIGHT_SPEED

DETECTORS = 3
FAILED = 1e5  # km/s: an error of the velocity that says that it was not measured


class Visit(NamedTuple):
    """A visit in the star's rest frame: flux and error (P,), 0 where a pixel is not covered or not sound; bits (P,); by
    which velocity.
    """

    flux: np.ndarray
    error: np.ndarray
    bits: np.ndarray
    velocity: Velocity


def is_visit(hdus: fits.HDUList) -> bool:
    """Whether these are the HDUs of an apVisit file, which alone of the survey's spectra holds its wavelengths."""
    return len(hdus) > 4 and str(hdus[4].header.get("BUNIT", "")).startswith("Wavelength")


def read_visit(
    hdus: fits.HDUList, path: Path, name: str, about: Mapping[str, np.ndarray], velocities: Velocities
) -> Visit:
    """The spectrum of an apVisit file in its star's rest frame, on APOGEE's wavelengths.

    HDU 1 flux, 2 error, 3 bit mask, 4 vacuum wavelength in Angstrom; each (3, pixels), a row a detector, of 4096 pixels
    or, of undithered visits, 2048, from red to blue or from blue to red. They are divided by 1 + velocity / c
    and resampled with the flux conserved. A new pixel has the bits of all pixels that it takes from. The velocity is
    what `velocities` has of the star, by its name and what else is told `about` it, or else the file itself.
    Raises InputError for other shapes or wavelengths, and where no velocity is told.
    """
    flux, error, bits, wavelength = (hdu.data for hdu in _images(hdus, path))
    wavelength = wavelength.astype("float64").ravel()
    order = np.argsort(wavelength)
    wavelength = wavelength[order]
    if not (np.isfinite(wavelength).all() and (np.diff(wavelength) > 0).all() and wavelength[0] > 0):
        raise InputError(f"{path}: expected finite wavelengths in HDU 4, each once, got others")
    flux, error = (torch.from_numpy(values.astype("float64").ravel()[order])[None] for values in (flux, error))
    sound, bits = (
        flux.isfinite() & error.isfinite() & (error > 0),
        torch.from_numpy(bits.astype("int32").ravel()[order]),
    )
    good = Spectra(flux, error, sound & (bits & APOGEE.bad_bits == 0))
    velocity = _velocity(hdus[0].header, Seen(path, name, about, wavelength, good), velocities)
    try:
        resampler = Resampler(wavelength / (1 + velocity.value / LIGHT_SPEED), APOGEE.wavelength)
    except InputError as problem:
        raise InputError(f"{path}: {problem}") from problem
    each = 1 << torch.arange(len(APOGEE.bits), dtype=torch.int32)[:, None]
    # Every bit is a mask of its own; without one, a new pixel is usable where it is covered.
    masks = torch.cat([sound, torch.ones_like(sound), bits & each == 0])
    there = resampler(Spectra(flux.expand(masks.shape), error.expand(masks.shape), masks))
    sound, covered, unset = there.mask[0], there.mask[1], there.mask[2:]
    return Visit(
        (there.flux[0] * sound).float().numpy(),
        (there.error[0] * sound).float().numpy(),
        ((covered & ~unset) * each).sum(dim=0, dtype=torch.int32).numpy(),
        velocity,
    )


def _velocity(header: fits.Header, seen: Seen, velocities: Velocities) -> Velocity:
    """How fast the star receded from the telescope: above 0, lines are seen redwards of where they belong.

    VRAD, 'doppler shift': the pipeline compares the visit with a template at wavelengths (1 + VRAD / c) of its own, and
    writes VHELIO = VRAD + BC, the barycentric correction (aprv.pro of github.com/sdss/apogee). So where there is no
    VRAD it is VHELIO - BC. Raises InputError where neither the header nor `velocities` tells.
    """
    told = {key: header_number(header, key) for key in ("VRAD", "VRADERR", "VHELIO", "BC")}
    failed = told["VRADERR"] > FAILED
    measured = () if failed else (told["VRAD"], told["VHELIO"] - told["BC"])
    value = next((value for value in measured if abs(value) <= FASTEST), np.nan)
    velocity = velocities.of(seen, Velocity(value, told["VRADERR"]), told["BC"])
    if np.isnan(velocity.value):
        header_or_table = "in HDU 0, VRAD, or VHELIO and BC, or BC and one in the table of --labels"
        expected = f"a velocity within {FASTEST:g} km/s {header_or_table}, or {OPTIONS}"
        found = ", ".join(f"{key} {value:g}" for key, value in told.items() if not np.isnan(value))
        raise InputError(f"{seen.path}: expected {expected}, got {found or 'none'}")
    return velocity


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

"""GALAH: the survey's FITS files of stars, which HERMES took."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from astropy.io import fits

from cyclegan.instruments.cross_correlation import FASTEST, Velocity
from cyclegan.instruments.fits_files import header_number, opened_fits
from cyclegan.instruments.galah_table import LABELS, GalahTable
from cyclegan.instruments.instrument import Stars
from cyclegan.instruments.velocities import NONE, OPTIONS, Seen, Velocities
from cyclegan.spectra.resampling import Resampler
from cyclegan.spectra.spectra import Spectra
from emulator.commands.errors import InputError
from emulator.hermes import ARMS, HERMES
from emulator.wavelength import LIGHT_SPEED, air_to_vacuum

STARTS_WITHIN = 30.0  # Angstrom: an arm begins where it should, to a star's velocity and the alignment of a night
HDUS = 3  # among which the errors are: each HDU has 200 cards
ERRORS = ("relative_error", "input_sigma")  # the HDU of errors, divided by flux: in DR4, in DR3
NAME = re.compile(r"(?P<star>\d{15})(?P<arm>[1-4])(?P<ending>\.fits?(\.gz)?)", re.IGNORECASE)


class Arm(NamedTuple):
    """One arm's spectrum: wavelength in air, flux and error (P,), and the header that tells about the star."""

    wavelength: np.ndarray
    flux: np.ndarray
    error: np.ndarray
    header: fits.Header


class GalahReader:
    """The survey's files of DR3 and DR4, up to four a star, and its tables of stars."""

    instrument = HERMES
    files = "GALAH's files of one arm"
    patterns: tuple[str, ...] = ("*.fits", "*.fits.gz", "*.fit", "*.fit.gz")
    rows: tuple[str, ...] = ("combined",)
    label_names: tuple[str, ...] = LABELS
    labels = "allstar or allspec table, in FITS, CSV or Parquet"

    def one_each(self, paths: Sequence[Path]) -> list[Path]:
        """The first file of each star."""
        stars: dict[object, Path] = {}
        for path in paths:
            named = NAME.fullmatch(path.name)
            stars.setdefault((path.parent, named["star"]) if named else path, path)
        return list(stars.values())

    def recognises(self, path: Path) -> bool:
        """Whether a file is FITS with a spectrum in HDU 0 that begins where an arm does, and an HDU of its errors."""
        try:
            with opened_fits(path, f"{path}: expected a FITS file", most=HDUS) as hdus:
                return not isinstance(_errors(hdus), str)
        except InputError:
            return False

    def read(self, path: Path, rows: str, velocities: Velocities) -> Iterator[Stars]:
        """`read_star`, one star."""
        yield read_star(path, velocities)

    def read_labels(self, path: Path) -> GalahTable:
        """The labels of the survey's stars."""
        return GalahTable(path)


def read_star(path: str | Path, velocities: Velocities = NONE) -> Stars:
    """The star of one of the survey's files, from all of its arms that lie beside it, in its rest frame.

    Files are named sobject_id and the number of the arm. HDU 0 is the flux without the sky, in counts, on wavelengths
    CRVAL1 + (pixel - CRPIX1) CDELT1, in air and as seen from the Sun; `relative_error` (DR4) or `input_sigma` (DR3)
    times the flux is its error (https://www.galah-survey.org/dr4/the_spectra, /dr3/the_spectra). They are divided by
    1 + velocity / c, brought to vacuum, and resampled with the flux conserved. DR4 tells the velocity, as RVCOM; DR3
    does not, and `velocities` may. The star's name is its 2MASS identifier where a header has it, as in DR4, or else
    sobject_id.
    Raises InputError for another file, for one of R 50 000, and where no velocity is told.
    """
    path = Path(path)
    named = NAME.fullmatch(path.name)
    if not named:
        raise InputError(
            f"{path}: expected the survey's name, sobject_id and arm, as 1704180037012051.fits, got another"
        )
    names = (path.with_name(f"{named['star']}{arm}{named['ending']}") for arm in range(1, len(ARMS) + 1))
    arms = [_read_arm(file) for file in names if file == path or file.is_file()]
    star, about = _name(arms[0].header, named["star"]), {"sobject_id": np.array([named["star"]])}
    wavelength = np.concatenate([arm.wavelength for arm in arms])
    values = (np.concatenate(values) for values in zip(*(arm[1:3] for arm in arms), strict=True))
    flux, error = (torch.from_numpy(each)[None].float() for each in values)  # what that cannot hold is not sound
    sound = flux.isfinite() & error.isfinite() & (error > 0)
    seen = Spectra(flux, error, sound)
    velocity = _velocity(arms[0].header, Seen(path, star, about, air_to_vacuum(wavelength), seen), velocities)
    wavelength = air_to_vacuum(wavelength / (1 + velocity.value / LIGHT_SPEED))
    there = Resampler(wavelength, HERMES.wavelength)(seen)
    snr = [value for arm in arms if (value := header_number(arm.header, "SNR")) >= 0]
    return Stars(
        (there.flux * there.mask).numpy(),
        (there.error * there.mask).numpy(),
        np.zeros(there.flux.shape, "int32"),
        np.zeros(1, int),
        np.array([np.mean(snr) if snr else np.nan], "float32"),
        np.array([star]),
        path,
        about,
        velocity=np.array([velocity]),
    )


def _read_arm(path: Path) -> Arm:
    expected = f"{path}: expected a GALAH file of one arm, flux in HDU 0 and an HDU {' or '.join(ERRORS)}"
    with opened_fits(path, expected, most=HDUS) as hdus:
        header, errors = hdus[0].header, _errors(hdus)
        if isinstance(errors, str):
            raise InputError(f"{expected}, got {errors}")
        if str(header.get("SLITMASK", "")).strip() == "IN":
            raise InputError(f"{path}: expected a spectrum of R 28 000, got one through the slit mask, of R 50 000")
        flux = hdus[0].data.astype("float64")
        start, step, reference = (header_number(header, key) for key in ("CRVAL1", "CDELT1", "CRPIX1"))
        # Some files of DR3 call the first pixel 0 (tutorial 3 of https://github.com/svenbuder/GALAH_DR3).
        wavelength = start + step * (np.arange(len(flux)) + 1 - (reference or 1))
        return Arm(wavelength, flux, errors.data * flux, header)


def _errors(hdus: fits.HDUList) -> fits.ImageHDU | str:
    """The HDU of the errors of one arm's spectrum in HDU 0, or what there is where that is none."""
    shape, errors = hdus[0].shape, [hdu for hdu in hdus[1:] if hdu.name.lower() in ERRORS]
    if len(shape) != 1 or [hdu.header.get("NAXIS1") for hdu in errors] != [*shape]:
        return (
            f"HDU 0 of shape {shape}, and {', '.join(hdu.name or 'an unnamed one' for hdu in hdus[1:]) or 'no other'}"
        )
    start, step, reference = (header_number(hdus[0].header, key) for key in ("CRVAL1", "CDELT1", "CRPIX1"))
    likely = (abs(start - blue) < STARTS_WITHIN and abs(step * shape[0] / (red - blue) - 1) < 0.1 for blue, red in ARMS)
    if any(likely) and np.isfinite(reference):
        return errors[0]
    return f"{shape[0]} pixels from {start:g} in steps of {step:g} Angstrom"


def _name(header: fits.Header, sobject_id: str) -> str:
    name = str(header.get("2MASS_ID", "")).strip()
    return name if name.isprintable() and name not in ("", "None") else sobject_id


def _velocity(header: fits.Header, seen: Seen, velocities: Velocities) -> Velocity:
    """How fast the star recedes from the Sun; InputError where neither its file nor `velocities` tells."""
    value = header_number(header, "RVCOM") if header.get("RVCOM_OK", 1) != 0 else np.nan
    velocity = velocities.of(seen, Velocity(value, np.nan))
    if np.isnan(velocity.value):
        where = f"RVCOM of HDU 0, or the table of --labels, or {OPTIONS}"
        raise InputError(f"{seen.path}: expected a velocity within {FASTEST:g} km/s in {where}, got none")
    return velocity

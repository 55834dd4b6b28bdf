"""APOGEE: the spectrograph, and its survey's FITS files of stars."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from cyclegan.instruments.apvisit import is_visit, read_visit
from cyclegan.instruments.fits_files import header_number, opened_fits
from cyclegan.instruments.instrument import COMBINED, VISITS, Stars, possible_snr
from cyclegan.instruments.names import name_of_file, star_name
from cyclegan.instruments.parquet_files import is_parquet
from cyclegan.instruments.parquet_spectra import read_parquet
from cyclegan.instruments.sdss5 import is_sdss5, read_sdss5
from cyclegan.instruments.survey_labels import SurveyLabels
from cyclegan.instruments.velocities import NONE, Velocities
from emulator.apogee import APOGEE, LOG_START, LOG_STEP, PIXELS
from emulator.commands.errors import InputError
from emulator.labels import LABELS

COADDS = 2  # rows before the visits
HDUS = 5  # of which spectra are made: those of the sky, the tellurics and the fits to velocities follow
LONE = 2  # rows, or fewer, of a star of one visit: it, and an empty one


class ApogeeReader:
    """Files of its stars, by its own survey, by SDSS-V and by the Multimodal Universe, and tables of their labels."""

    instrument = APOGEE
    files = "apStar, aspcapStar, apVisit, mwmStar, mwmVisit, astraStar, astraVisit and Parquet files"
    patterns: tuple[str, ...] = ("*.fits", "*.fits.gz", "*.fit", "*.fit.gz", "*.parquet")
    rows: tuple[str, ...] = (COMBINED, VISITS)
    label_names: tuple[str, ...] = LABELS
    labels = "allStar table, one of SDSS-V, or any in CSV or Parquet"

    def one_each(self, paths: Sequence[Path]) -> list[Path]:
        """All of them."""
        return list(paths)

    def recognises(self, path: Path) -> bool:
        """Whether a file is Parquet, or FITS with an apVisit's or SDSS-V's HDUs, or with HDU 1 to 3 on the grid."""
        if is_parquet(path) or is_sdss5(path):
            return True
        try:
            with opened_fits(path, f"{path}: expected a FITS file", most=HDUS) as hdus:
                return is_visit(hdus) or _unlike(hdus) is None
        except InputError:
            return False

    def read(self, path: Path, rows: str, velocities: Velocities) -> Iterator[Stars | InputError]:
        """`read_parquet`, `read_sdss5`, or `read_star`, one star."""
        if is_parquet(path):
            yield from read_parquet(path)
        elif is_sdss5(path):
            yield from read_sdss5(path, rows)
        else:
            yield read_star(path, rows, velocities)

    def read_labels(self, path: Path) -> SurveyLabels:
        """The labels of the survey's stars."""
        return SurveyLabels(path)


def read_star(path: str | Path, rows: str = COMBINED, velocities: Velocities = NONE) -> Stars:
    """The combined spectrum of an apStar, aspcapStar or apVisit file, or its `visits`, on APOGEE's wavelengths.

    apStar: HDU 1 flux, 2 error, 3 bit mask; of several visits, row 0 is the coadd with a weight for each pixel, row 1
    with one for each visit, and the visits follow; of one visit there is just that, and often an empty row. A row
    without a usable pixel is no spectrum. aspcapStar: HDU 1 flux, 2 error, 3 the model, and no bit mask. Both are of
    DR12 to DR17. apVisit: `read_visit`, and visit 1 whatever `rows`. The HDUs tell which it is, not the name.
    Raises InputError for a file that is not such a one, is truncated, or holds no such spectrum.
    """
    path = Path(path)
    with opened_fits(path, f"{path}: expected a FITS file", most=HDUS) as hdus:
        return _visit(hdus, path, velocities) if is_visit(hdus) else _star(hdus, path, rows)


def _visit(hdus: fits.HDUList, path: Path, velocities: Velocities) -> Stars:
    name, path, told = _origin(hdus[0].header, path, 1)
    visit = read_visit(hdus, path, str(name[0]), told, velocities)
    flux, error, bits = (values[None] for values in visit[:3])
    snr = np.array([_signal_to_noise(hdus[0].header, "SNR")], "float32")
    return Stars(flux, error, bits, np.ones(1, int), snr, name, path, told, velocity=np.array([visit.velocity]))


def _star(hdus: fits.HDUList, path: Path, rows: str) -> Stars:
    expected = (
        f"{path}: expected an apStar, aspcapStar or apVisit file, {PIXELS} pixels from log10(wavelength) {LOG_START}"
        f" in steps of {LOG_STEP:g}"
    )
    if found := _unlike(hdus):
        raise InputError(f"{expected} in HDU 1 to 3, got {found}")
    flux, error, third = (np.atleast_2d(hdu.data) for hdu in hdus[1:4])
    has_bits = third.dtype.kind in "iu"
    if rows == VISITS and not has_bits:
        raise InputError(f"{path}: expected an apStar file, which holds visits, got an aspcapStar file")
    picked = _pick_rows(np.isfinite(flux) & (flux != 0) & np.isfinite(error) & (error > 0), path, rows)
    is_lone = len(flux) <= LONE
    visit = np.where(is_lone, 1, picked - 1) if rows == VISITS else np.zeros(1, int)
    about = hdus[0].header
    if not has_bits and len(hdus) > 4:  # aspcapStar tells about its star in a table of one row
        told = set(hdus[4].columns.names).intersection(("APOGEE_ID", "SNR", "TELESCOPE", "FIELD", "LOCATION_ID"))
        about = {key: hdus[4].data[key][0] for key in told}
    snr = [_signal_to_noise(about, f"SNRVIS{number}" if number else "SNR") for number in visit]
    if is_lone and not snr[0] > 0:  # DR17 has 0 for a lone visit
        snr = [_signal_to_noise(about, "SNR")]
    return Stars(
        flux[picked].astype("float32"),
        error[picked].astype("float32"),
        third[picked].astype("int32") if has_bits else np.zeros((len(picked), PIXELS), "int32"),
        visit,
        np.array(snr, "float32"),
        *_origin(about, path, len(picked)),
    )


def _origin(about: Mapping[str, Any], path: Path, count: int) -> tuple[np.ndarray, Path, dict[str, np.ndarray]]:
    """The star's name, its file, and what a table of labels may tell it from others by; for each of its spectra."""
    name = star_name([about.get("OBJID"), about.get("APOGEE_ID"), name_of_file(path)], path)
    told = {
        "TELESCOPE": str(about.get("TELESCOP") or about.get("TELESCOPE") or "").strip(),
        "FIELD": str(about.get("FIELD") or "").strip(),
        "LOCATION_ID": str(about.get("LOCATION_ID") or about.get("LOCID") or "").strip(),
        "FILE": path.name,
    }
    return np.full(count, name), path, {key: np.full(count, value) for key, value in told.items()}


def _pick_rows(usable: np.ndarray, path: Path, rows: str) -> np.ndarray:
    """Which rows of a file are the spectra that are asked for; usable (n, P): pixels with a flux and an error."""
    filled = np.flatnonzero(usable.any(axis=1))
    if len(usable) <= LONE:
        if len(filled) > 1:
            raise InputError(f"{path}: expected 1 spectrum, or 2 combined ones and the visits, got {len(filled)}")
    else:
        filled = filled[filled >= COADDS] if rows == VISITS else filled[filled == 0]
    if not len(filled):
        wanted = "visits" if rows == VISITS else "a spectrum"
        raise InputError(f"{path}: expected {wanted} with usable pixels, got none: masked throughout")
    return filled


def _unlike(hdus: fits.HDUList) -> str | None:
    """What HDU 1 to 3 are where they are not images of one shape on the survey's grid."""
    if len(hdus) < 4 or not all(isinstance(hdu, fits.ImageHDU) for hdu in hdus[1:4]):
        return f"HDUs {', '.join(type(hdu).__name__ for hdu in hdus[:4])}"
    header = hdus[1].header
    grid = tuple(header.get(key, hdus[0].header.get(key)) for key in ("NAXIS1", "CRVAL1", "CDELT1"))
    if grid[0] != PIXELS or None in grid or not np.allclose(grid[1:], (LOG_START, LOG_STEP), rtol=1e-6, atol=0):
        return f"{grid[0]} from {grid[1]} in steps of {grid[2]}"
    if len({hdu.shape for hdu in hdus[1:4]}) > 1 or len(hdus[1].shape) > 2:
        return f"HDU 1 to 3 of shapes {', '.join(str(hdu.shape) for hdu in hdus[1:4])}"
    return None


def _signal_to_noise(about: Mapping[str, Any], key: str) -> float:
    return float(possible_snr(np.array(header_number(about, key))))

"""SDSS-V's FITS files of a star: mwmStar and mwmVisit hold its spectra, astraStar and astraVisit models of them.

Layouts: mwmStar.md and astraStarASPCAP.md in datamodel/products/md of https://github.com/sdss/datamodel, and
https://sdss-astra.readthedocs.io/en/latest/user/datamodels/mwm.html.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from cyclegan.instruments.binary_tables import BinaryTable, Header, first_cards, opened_tables
from cyclegan.instruments.instrument import BATCH, VISITS, Stars, possible_snr
from cyclegan.instruments.names import star_name
from cyclegan.spectra.spectra import ERROR_FLOOR
from emulator.apogee import APOGEE, LOG_START, LOG_STEP, PIXELS
from emulator.commands.errors import InputError
from emulator.wavelength import same_wavelengths

SURVEY, SINGLE = torch.from_numpy(APOGEE.wavelength), APOGEE.wavelength.astype("float32")
OBSERVED, MODEL = ("flux", "ivar", "pixel_flags"), "model_flux"


def is_sdss5(path: Path) -> bool:
    """Whether a file is FITS whose header names a version of SDSS-V's pipeline."""
    return first_cards(path).get("V_ASTRA") is not None


def read_sdss5(path: Path, rows: str) -> Iterator[Stars]:
    """The spectra of APOGEE in such a file: first those that the northern telescope took, then the southern one's.

    Tables BOSS/APO, BOSS/LCO, APOGEE/APO and APOGEE/LCO in HDU 1 to 4, a row a spectrum, on the wavelengths of apStar
    files and in the rest frame. mwmStar: one row, the combined spectrum; mwmVisit: a row a visit, whatever `rows`. The
    pixel flags are the bits of apStar's mask, as floats. A visit that the survey left out of the combined spectrum
    (`in_stack`) is left out: it is not in the rest frame (prepare_apogee_resampled_visit_and_coadd_spectra in
    src/astra/products/apogee.py of https://github.com/sdss/astra). astraStar and astraVisit: the model spectra,
    without errors; each pixel weighs as one with ERROR_FLOOR of its flux would.

    Raises InputError where there is none, be it that all are of BOSS, and for another layout.
    """
    with opened_tables(path, f"{path}: expected a FITS file of SDSS-V") as (header, tables):
        filled = [table for table in tables if _instrument(table) and table.count]
        wanted = [table for table in filled if _instrument(table) == APOGEE.name]
        if not wanted:
            got = "spectra of BOSS alone" if filled else "none"
            raise InputError(f"{path}: expected spectra of {APOGEE.name}, got {got}")
        found, number = 0, 1
        for table in wanted:
            _check_columns(table, path, rows)
            for first in range(0, table.count, BATCH):
                stars = _read_rows(table, slice(first, first + BATCH), number + first, header, path)
                found += len(stars.visit)
                if len(stars.visit):
                    yield stars
            number += table.count
    if not found:
        raise InputError(f"{path}: expected a spectrum with usable pixels, got none: masked, or left out by the survey")


def _instrument(table: BinaryTable) -> str:
    """BOSS or APOGEE, blank where a table does not say it."""
    told = table.header.get("INSTRMNT") or str(table.header.get("EXTNAME") or "").partition("/")[0]
    return str(told).strip().upper()


def _check_columns(table: BinaryTable, path: Path, rows: str) -> None:
    """Raise InputError where a table lacks spectra, or the `rows` that are asked for."""
    are_models = MODEL in table.columns
    if missing := [name for name in OBSERVED if name not in table.columns and not are_models]:
        raise InputError(f"{path}: expected columns {', '.join(OBSERVED)}, or {MODEL}, got no {', '.join(missing)}")
    if rows == VISITS and "mjd" not in table.columns:
        kind = "astra" if are_models else "mwm"
        raise InputError(f"{path}: expected an {kind}Visit file, which holds visits, got an {kind}Star file")


def _read_rows(table: BinaryTable, rows: slice, number: int, header: Header, path: Path) -> Stars:
    """The usable ones of some rows; number: of the visit that the first of them is, if they are visits."""
    values = table.read(rows)
    _check_wavelength(values, table, path)
    with np.errstate(all="ignore"):  # pixels without a number are masked
        flux, error, bits = _spectra(values, path)
    kept = (np.isfinite(flux) & (flux != 0) & (error > 0)).any(axis=1)
    if "in_stack" in table.columns:
        kept &= np.isin(_texts(values, "in_stack"), ("T", "1"))
    blank = np.full(np.count_nonzero(kept), "")
    snr = values["snr"][kept] if "snr" in table.columns else np.full(len(blank), np.nan)
    texts = {name: _texts(values, name)[kept] for name in ("telescope", "obj") if name in table.columns}
    telescopes, objects = (texts.get(name, blank) for name in ("telescope", "obj"))
    told = (header.get("APOGEEID"), header.get("SDSS_ID"), path.stem)
    return Stars(
        flux[kept],
        error[kept],
        bits[kept],
        number + np.flatnonzero(kept) if "mjd" in table.columns else np.zeros(len(blank), int),
        possible_snr(snr),
        np.array([star_name([name, *told], path) for name in objects.tolist()], str),
        path,
        {"TELESCOPE": telescopes, "SDSS_ID": np.full(len(blank), str(header.get("SDSS_ID") or ""))},
        errors=MODEL not in table.columns,
    )


def _spectra(values: np.ndarray, path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flux, error and bits (n, P); an error is 0 where there is none, or where flags are none."""
    if MODEL in (values.dtype.names or ()):
        flux = _pixels(values, MODEL, path)
        return flux, np.where(flux > 0, ERROR_FLOOR * flux, 0), np.zeros(flux.shape, "int32")
    flux, inverse_variance, flags = (_pixels(values, name, path) for name in OBSERVED)
    sound = (inverse_variance > 0) & (flags >= 0) & (flags < 2**31)
    error = np.where(sound, 1 / np.sqrt(inverse_variance), 0)
    return flux, error, np.where(sound, flags, 0).astype("int32")


def _check_wavelength(values: np.ndarray, table: BinaryTable, path: Path) -> None:
    """Raise InputError where a table, which has a column of wavelengths or tells them in its header, is on others."""
    if "wavelength" in table.columns:
        given = _pixels(values, "wavelength", path)
    else:
        start, step, count = (table.header.get(key) for key in ("CRVAL", "CDELT", "NPIXELS"))
        given = np.zeros((1, 0))
        if count == PIXELS and isinstance(start, float) and isinstance(step, float):
            given = 10 ** (start + step * np.arange(PIXELS))[None]
    others = (row for row in given if not np.array_equal(row, SINGLE))  # the survey's own need no closer look
    if not all(same_wavelengths(torch.from_numpy(row).double(), SURVEY) for row in others):
        expected = f"{PIXELS} pixels from log10(wavelength) {LOG_START} in steps of {LOG_STEP:g}"
        raise InputError(f"{path}: expected {expected}, got others")


def _pixels(values: np.ndarray, column: str, path: Path) -> np.ndarray:
    """A column (n, P) of rows, in single precision; InputError where it is not a number for each pixel."""
    numbers = values[column]
    if numbers.shape[1:] != (PIXELS,) or numbers.dtype.kind not in "fiu":
        got = f"{numbers.shape[1:]} of {numbers.dtype}"
        raise InputError(f"{path}: expected {PIXELS} numbers in each row of column {column}, got {got}")
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large becomes infinite
        return numbers.astype("float32")


def _texts(values: np.ndarray, column: str) -> np.ndarray:
    """A column (n,) of rows as texts, without blanks around them."""
    texts = values[column]
    return np.char.strip(np.char.decode(texts, "latin-1") if texts.dtype.kind == "S" else texts.astype(str))

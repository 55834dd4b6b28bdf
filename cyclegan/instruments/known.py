"""The instruments whose files are known, and which of them a file is of: its content tells, not its name."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits

from cyclegan.instruments.apogee import ApogeeReader
from cyclegan.instruments.fits_files import opened_fits
from cyclegan.instruments.galah import GalahReader
from cyclegan.instruments.instrument import Reader
from emulator.commands.errors import InputError
from emulator.instruments import instrument_of

READERS: tuple[Reader, ...] = (ApogeeReader(), GalahReader())


def files_of(readers: Sequence[Reader]) -> str:
    """What the files of all these readers are called, in a sentence."""
    return " or ".join(reader.files for reader in readers)


def reader_of(path: Path, readers: Sequence[Reader]) -> Reader | None:
    """The first of the readers that recognises a file."""
    return next((reader for reader in readers if reader.recognises(path)), None)


def reader_of_wavelengths(wavelength: np.ndarray, readers: Sequence[Reader]) -> Reader:
    """The reader of files of the instrument that these wavelengths (P,) are of, in vacuum Angstrom."""
    instrument = instrument_of(wavelength, [reader.instrument for reader in readers])
    return next(reader for reader in readers if reader.instrument is instrument)


def unknown_file(path: Path, readers: Sequence[Reader]) -> InputError:
    """What to say of a file that no reader recognises: what was expected, and what is there."""
    expected = f"{path}: expected {files_of(readers)}"
    try:
        with opened_fits(path, expected, most=4) as hdus:
            return InputError(f"{expected}, got FITS with other HDUs: {', '.join(map(_shape, hdus))}")
    except InputError as problem:
        return problem


def _shape(hdu: fits.PrimaryHDU | fits.ImageHDU | fits.BinTableHDU) -> str:
    axes = [str(hdu.header[f"NAXIS{axis}"]) for axis in range(1, hdu.header["NAXIS"] + 1)]
    return f"{type(hdu).__name__} of {' x '.join(axes) or 'nothing'}"

"""Continua in files: of how a file's spectra were normalised, and lists of continuum pixels."""

from pathlib import Path

import h5py
import numpy as np

from cyclegan.spectra.continuum import Continuum
from emulator.array_files import check_arrays
from emulator.commands.errors import InputError, refusing
from emulator.hdf5 import read_all
from emulator.wavelength_files import read_wavelength


def write_continuum(continuum: Continuum, file: h5py.File) -> None:
    """Keep in a file how its spectra were normalised."""
    file.attrs["continuum_degree"], file.attrs["continuum_starts"] = continuum.degree, continuum.starts
    if continuum.given:
        file["continuum_pixels"] = continuum.pixels.numpy()


def read_continuum(file: h5py.File, wavelength: np.ndarray, places: np.ndarray | None = None) -> Continuum | None:
    """What `write_continuum` kept in a file of spectra, for those of its pixels that have `wavelength` (P,).

    places (P,): where these are in the file; None: they are all of it. None where it kept nothing. Raises InputError
    where these are too few for the degree.
    """
    if "continuum_degree" not in file.attrs:
        return None
    places = np.arange(len(wavelength)) if places is None else places
    with refusing(f"{file.filename}: expected how its spectra were normalised", "something else"):
        pixels = read_all(file["continuum_pixels"]).astype(bool)[places] if "continuum_pixels" in file else None
        starts = np.searchsorted(places, file.attrs["continuum_starts"])
        return Continuum(wavelength, int(file.attrs["continuum_degree"]), pixels, starts)


def read_continuum_pixels(path: str | Path, wavelength: np.ndarray) -> np.ndarray:
    """Which of the pixels at `wavelength` (P,) belong to the continuum, (P,) bool, from a file.

    The file is .npy or .npz of one array of P booleans; or it is a list of wavelengths, as `read_wavelength` reads
    them, each of which means the nearest pixel. Raises InputError for anything else.
    """
    path = Path(path)
    if path.suffix in (".npy", ".npz") and path.is_file():
        with refusing(f"{path}: expected one array of continuum pixels", "something else"):
            check_arrays(path)
            loaded = np.load(path, allow_pickle=False)
            # A member of an archive that is no array comes as its bytes.
            values = loaded if path.suffix == ".npy" else np.asarray(loaded[loaded.files[0]])
        if values.dtype == bool:
            if values.shape != wavelength.shape:
                raise InputError(
                    f"{path}: expected {len(wavelength)} continuum pixels, one for each wavelength, got {values.shape}"
                )
            return values
    listed = read_wavelength(path)
    listed = listed[(listed >= wavelength[0]) & (listed <= wavelength[-1])]
    after = np.searchsorted(wavelength, listed).clip(1, len(wavelength) - 1)
    nearest = np.where(listed - wavelength[after - 1] < wavelength[after] - listed, after - 1, after)
    return np.isin(np.arange(len(wavelength)), nearest)

"""Wavelengths in files: what needs HDF5, whose import takes a tenth of a second, lies apart from what does not."""

import warnings
from pathlib import Path

import h5py
import numpy as np

from emulator.array_files import check_arrays
from emulator.commands.errors import InputError, refusing
from emulator.hdf5 import is_hdf5, open_hdf5, read_all
from emulator.wavelength import air_to_vacuum, checked_wavelength


def read_wavelength(path: str | Path, medium: str = "vacuum") -> np.ndarray:
    """Vacuum wavelengths (P,) in Angstrom, ascending, from a file of them in `medium`.

    The file is .npy; .npz or HDF5 with one array, or one named 'wavelength'; or text, one number a line. Raises
    InputError for anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: expected a file of wavelengths, found none")
    with refusing(f"{path}: expected wavelengths in .npy, .npz, HDF5 or text", "something else"):
        values = _read_array(path)
    values = checked_wavelength(values, str(path))
    return air_to_vacuum(values) if medium == "air" else values


def _read_array(path: Path) -> np.ndarray:
    if path.suffix in (".npy", ".npz"):
        check_arrays(path)
        found = np.load(path, allow_pickle=False)
        # A member of an archive that is no array comes as its bytes.
        return found if path.suffix == ".npy" else np.asarray(found[_the_one(found.files)])
    if is_hdf5(path):
        with open_hdf5(path, "a file of wavelengths") as file:
            return read_all(file[_the_one([name for name in file if isinstance(file[name], h5py.Dataset)])])
    # NumPy would unpack a path that ends in .gz, and only warns of a file without numbers.
    with path.open(encoding="utf-8") as text, warnings.catch_warnings(action="error"):
        return np.loadtxt(text)


def _the_one(names: list[str]) -> str:
    if "wavelength" not in names and len(names) != 1:
        raise ValueError(f"arrays {', '.join(names) or 'none'}, none called wavelength")
    return "wavelength" if "wavelength" in names else names[0]

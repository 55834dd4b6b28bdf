"""emulator/wavelength_files.py: wavelengths in files of all kinds."""

import zipfile

import h5py
import numpy as np
import pytest

from emulator.commands.errors import InputError
from emulator.wavelength import vacuum_to_air
from emulator.wavelength_files import read_wavelength

GRID = np.linspace(15168.0, 16937.0, 50)


def test_a_member_of_an_archive_that_is_no_array_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        archive.writestr("wavelength", "15000 15001")
    with pytest.raises(InputError, match=r"w\.npz: expected a list of wavelengths, got shape"):
        read_wavelength(tmp_path / "w.npz")


def write(path, values):
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".npz":
        np.savez(path, wavelength=values, other=np.ones(3))
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["grid"] = values
    else:
        path.write_text("\n".join(f"{value:.6f}" for value in values))
    return path


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5", ".txt"])
def test_every_kind_of_file_is_read(tmp_path, suffix):
    np.testing.assert_allclose(read_wavelength(write(tmp_path / f"w{suffix}", GRID)), GRID, atol=1e-6)


def test_wavelengths_in_air_become_vacuum(tmp_path):
    path = write(tmp_path / "w.npy", vacuum_to_air(GRID))
    np.testing.assert_allclose(read_wavelength(path, "air"), GRID, atol=1e-8)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (GRID[::-1], "ascending"),
        (np.array([1.0, np.nan, 3.0]), "ascending"),
        (GRID.reshape(5, 10), r"shape \(5, 10\)"),
        (np.array([{"a": 1}, 2], dtype=object), "allow_pickle=False"),
    ],
)
def test_what_is_no_list_of_wavelengths_is_told(tmp_path, values, words):
    with pytest.raises(InputError, match=words):
        read_wavelength(write(tmp_path / "w.npy", values))


def test_files_that_cannot_be_read_are_told(tmp_path):
    with pytest.raises(InputError, match="found none"):
        read_wavelength(tmp_path / "nowhere.txt")
    (tmp_path / "words.txt").write_text("fifteen thousand\n")
    with pytest.raises(InputError, match="expected wavelengths in"):
        read_wavelength(tmp_path / "words.txt")
    np.savez(tmp_path / "two.npz", a=GRID, b=GRID)
    with pytest.raises(InputError, match="arrays a, b, none called wavelength"):
        read_wavelength(tmp_path / "two.npz")

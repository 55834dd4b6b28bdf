"""Air and vacuum, and wavelengths in files."""

import h5py
import numpy as np
import pytest
from conftest import PIXELS, toy_wavelength

from emulator.command import InputError
from emulator.wavelength import air_to_vacuum, chip_starts, read_wavelength, vacuum_to_air, with_gaps

GRID = np.linspace(15168.0, 16937.0, 50)


def test_air_is_shorter_by_what_is_known():
    # Balmer alpha of the NIST tables: 6562.79 A in air, 6564.61 A in vacuum (means of the fine structure).
    assert air_to_vacuum(6562.79) == pytest.approx(6564.60, abs=0.01)
    # 4.23 A at 15500 A, 82 km/s: the reason why files must say their medium.
    assert 15500 - vacuum_to_air(15500.0) == pytest.approx(4.234, abs=0.001)


def test_there_and_back_is_the_same():
    np.testing.assert_allclose(air_to_vacuum(vacuum_to_air(GRID)), GRID, rtol=0, atol=1e-9)


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


def test_chips_begin_where_the_wavelength_jumps():
    assert chip_starts(toy_wavelength().numpy()).tolist() == [100]
    assert chip_starts(np.arange(10.0)).tolist() == []
    assert chip_starts(np.r_[0:5, 20:25, 40:50].astype(float)).tolist() == [5, 10]


def test_a_drawn_line_does_not_cross_the_gap():
    drawn = with_gaps(np.arange(PIXELS), toy_wavelength().numpy())
    assert np.flatnonzero(np.isnan(drawn)).tolist() == [100]
    assert drawn[~np.isnan(drawn)].tolist() == list(range(PIXELS))

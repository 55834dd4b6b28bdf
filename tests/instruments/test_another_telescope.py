"""cyclegan/instruments/conversion.py: a table of another telescope's spectra, in air and with their continuum."""

import h5py
import numpy as np
import pytest
from apogee_stars import converted

from cyclegan.spectra.files import SUBSETS, SpectraFile
from emulator.wavelength import air_to_vacuum, vacuum_to_air

THEORY = np.exp(np.linspace(np.log(4990.0), np.log(5410.0), 700))  # vacuum, in steps of equal velocity
OWN = np.arange(5000.0, 5400.0, 0.3)  # air, and no pixel of it one of theory's
LINES = np.linspace(5020.0, 5380.0, 12)  # vacuum; some 90 km/s of difference between the media move a line by itself


def lines(vacuum):
    """Normalised flux (P,) at vacuum wavelengths (P,)."""
    return 1 - 0.4 * np.exp(-0.5 * ((vacuum[:, None] - LINES) / 1.5) ** 2).sum(axis=1)


@pytest.fixture
def table(tmp_path):
    """Eight stars for each subset, on slopes of their own in a tiny unit, as a user brings them into the layout."""
    random = np.random.default_rng(3)
    with h5py.File(tmp_path / "table.h5", "w") as file:
        file["wavelength"], file.attrs["medium"] = OWN, "air"
        for subset in SUBSETS:
            slope = 1 + random.uniform(-0.3, 0.3, (8, 1)) * np.linspace(-1, 1, len(OWN))
            level = 10 ** random.uniform(-16, -13, (8, 1)) * slope
            file[f"spectra {subset}"], file[f"spectra_err {subset}"] = level * lines(air_to_vacuum(OWN)), 0.01 * level
            file[f"id {subset}"] = [f"{subset} {number}" for number in range(8)]
    return tmp_path / "table.h5"


def write_grid(path, medium):
    """A file of theory's wavelengths in either medium."""
    with h5py.File(path, "w") as file:
        file["wavelength"] = vacuum_to_air(THEORY) if medium == "air" else THEORY
        file.attrs["medium"] = np.bytes_(medium)
    return path


@pytest.mark.parametrize("medium", ["air", "vacuum"])
def test_spectra_in_air_come_out_normalised_at_the_vacuum_wavelengths_of_another_file(table, tmp_path, medium):
    grid = write_grid(tmp_path / "grid.h5", medium)
    report = converted(table, tmp_path / "obs.h5", "--wavelength", grid, "--degree", 1)
    with SpectraFile(tmp_path / "obs.h5") as file:
        np.testing.assert_allclose(file.wavelength, THEORY, rtol=1e-10)
        for subset in SUBSETS:
            spectra, expected = file.read(subset), lines(THEORY)
            covered = spectra.mask[0].numpy()
            assert THEORY[covered][[0, -1]] == pytest.approx(air_to_vacuum(OWN)[[0, -1]], abs=1.0)
            assert np.abs(spectra.flux.numpy() - expected)[:, covered].max() < 0.01
            assert file.identities(subset) == [f"{subset} {number}" for number in range(8)]
    # What lies beyond the spectra is masked, and the table says that this is why.
    assert report.masked["not covered"] / report.read == pytest.approx(1 - covered.mean())
    assert "not covered" in report.table()


def test_without_a_grid_they_keep_their_own(table, tmp_path):
    report = converted(table, tmp_path / "obs.h5", "--degree", 1)
    assert report.usable == report.read == 24
    assert "not covered" not in report.table()
    with SpectraFile(tmp_path / "obs.h5") as file:
        np.testing.assert_allclose(file.wavelength, air_to_vacuum(OWN), rtol=1e-12)
        assert np.abs(file.read("train").flux.numpy() - lines(air_to_vacuum(OWN))).max() < 0.01

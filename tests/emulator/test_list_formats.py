"""emulator/list_formats.py: lists are laid out as the codes read them, and are read again as they were."""

import re

import numpy as np
import pytest

from emulator.line_lists import read_lines
from emulator.lines import LINES, Lines
from emulator.list_formats import DISSOCIATION, FORMATS, species_numbers, write_list
from emulator.wavelength import vacuum_to_air

FEW = Lines(
    wavelength=np.array([15600.0, 15700.1234, 15800.5]),
    species=np.array(["Fe I", "CN", "Ti II"]),
    excitation=np.array([6.24, 1.1, 3.123]),
    log_gf=np.array([-0.5, -1.345, -2.0]),
    strength=np.full(3, np.nan),
)


def written(path, form, lines=FEW, notes=None):
    write_list(path, lines, form, notes)
    return path.read_text().splitlines()


@pytest.mark.parametrize("form", ["moog", "vald"])
def test_the_built_in_list_is_read_again_as_it_was(tmp_path, form):
    written(tmp_path / "own.txt", form, LINES, ["E +-0.1 eV; or Fe II, or CN"] * len(LINES.wavelength))
    again = read_lines(tmp_path / "own.txt")
    np.testing.assert_allclose(again.wavelength, LINES.wavelength, atol=6e-4)
    for name in ("excitation", "log_gf"):
        np.testing.assert_allclose(getattr(again, name), getattr(LINES, name), atol=6e-4)
    np.testing.assert_array_equal(again.species, LINES.species)


def test_moog_has_ten_characters_a_number(tmp_path):
    _, iron, molecule, ion = written(tmp_path / "own.txt", "moog", notes=["one", "two", "three"])
    columns = [molecule[i : i + 10].strip() for i in range(0, 70, 10)]
    air = f"{vacuum_to_air(15700.1234):.3f}"
    assert columns == [air, "607.0", "1.100", "-1.345", "", f"{DISSOCIATION['CN']:.3f}", ""]
    assert molecule[70:] == "two"
    assert iron.split()[1:] == ["26.0", "6.240", "-0.500", "one"]
    assert ion.split()[1] == "22.1"


def test_vald_says_how_many_lines_there_are(tmp_path):
    first, _, header, iron, molecule, ion, scaled = written(tmp_path / "own.txt", "vald")
    assert re.match(r" *15595\.\d+, *15796\.\d+, 3, 3, 1\.0 Wavelength region", first)
    assert header.startswith("Spec Ion       WL_air(A)")
    assert [row.split(",")[0] for row in (iron, molecule, ion)] == ["'Fe 1'", "'CN 1'", "'Ti 2'"]
    assert "scaled by the solar isotopic ratios" in scaled


def test_turbospectrum_has_a_head_for_each_species(tmp_path):
    rows = written(tmp_path / "own.txt", "turbospectrum", notes=["", "", "E +-0.1"])
    heads = [(row, rows[i + 1]) for i, row in enumerate(rows) if re.match(r"'[ \d.]+' +\d+ +\d+$", row)]
    assert [head.split("'")[1].strip() for head, _ in heads] == ["22.000", "26.000", "0607.000000"]
    assert [head.split("'")[2].split() for head, _ in heads] == [["2", "1"], ["1", "1"], ["1", "1"]]
    assert [name.strip("' ") for _, name in heads] == ["Ti II", "Fe I", "CN"]
    row = rows[2]
    numbers = [float(number) for number in row.split("'")[0].split()]
    assert numbers == [pytest.approx(vacuum_to_air(15800.5), abs=1e-3), 3.123, -2.0, 1.0, 1.0, 0.0]
    assert row.split("'")[1::2] == ["x", "x", "Ti II E +-0.1"]


def test_species_have_the_numbers_that_codes_know():
    names = ("Fe I", "Fe II", "CN", "CO", "OH", "C2")
    assert [species_numbers(name) for name in names] == [(26, 0), (26, 1), (607, 0), (608, 0), (108, 0), (606, 0)]


def test_each_form_has_its_writer(tmp_path):
    assert all(written(tmp_path / form, form) for form in FORMATS)

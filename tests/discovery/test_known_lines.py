"""cyclegan/discovery/known_lines.py: what tables of known lines may look like, and what they are refused for."""

import pytest

from cyclegan.discovery.known_lines import elements_of, read_known_lines
from emulator.commands.errors import InputError
from emulator.wavelength import air_to_vacuum


def written(tmp_path, text):
    path = tmp_path / "lines.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "air"),
    [
        ("wavelength\n15211.68\n", False),
        ("wavelength_vacuum\n15211.68\n", False),
        ("wavelength_air\n15211.68\n", True),
        ("vacuum_angstrom,flux_sun\n15211.68,0.7\n", False),
        ("# from a laboratory, in air\nwavelength\n15211.68\n", True),
        ("# air\nwavelength_vacuum\n15211.68\n", False),
        ("wavelength_air,wavelength_vacuum\n15207.53,15211.68\n", False),
    ],
)
def test_the_medium_is_told_by_the_column_or_by_a_comment(tmp_path, text, air):
    (line,) = read_known_lines(written(tmp_path, text))
    assert line.wavelength == pytest.approx(air_to_vacuum(15211.68) if air else 15211.68, abs=1e-6)
    assert (line.name, line.elements, line.width) == ("", (), 0)


def test_lines_have_names_and_widths_and_come_by_wavelength(tmp_path):
    text = "wavelength,atlas_identification,fwhm\n15273.0,DIB,3.9\n15211.68,Fe I 15211.68,0.3\n"
    first, second = read_known_lines(written(tmp_path, text))
    assert (first.wavelength, first.name, first.elements) == (15211.68, "Fe I 15211.68", ("Fe",))
    assert (second.name, second.width) == ("DIB", 3.9)


@pytest.mark.parametrize(
    ("name", "elements"),
    [
        ("Fe I 15182.40", ("Fe",)),
        ("Fe", ("Fe",)),
        ("FE", ("Fe",)),
        ("FeI", ("Fe",)),
        ("SiI", ("Si",)),
        ("[Ni/H]", ("Ni",)),
        ("Ce II", ("Ce",)),
        ("C I", ("C",)),
        ("CI", ("C",)),
        ("CO 3-0 R43", ("C", "O")),
        ("OH 2-0 P_{2f}16.5 16654.50", ("O",)),
        ("Fe I 15592.52 | CO 3-0 R43 15591.91", ("Fe", "C", "O")),
        ("", ()),
        ("?", ()),
    ],
)
def test_an_identification_names_elements(name, elements):
    assert elements_of(name) == elements


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,depth\nFe I,0.1\n", "expected one column of wavelengths, as wavelength_vacuum or .*, got name, depth"),
        ("wavelength_air,wavelength\n1,2\n", "got wavelength_air and wavelength"),
        ("wavelength\nblue\n", "expected a number in 'wavelength' in row 0, got 'blue'"),
        ("wavelength\n15200\n-3\n", "expected numbers above 0 in 'wavelength', got -3 in row 1"),
        ("wavelength,width\n15200,0\n", "expected numbers above 0 in 'width', got 0 in row 0"),
        ("# from air to vacuum\nwavelength\n15200\n", "expected 'wavelength' in vacuum or air, got both words"),
        ("wavelength\n", "expected a row for each line, got none"),
        ("", "expected a header of names and a row a line"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, text, words):
    with pytest.raises(InputError, match=words):
        read_known_lines(written(tmp_path, text))

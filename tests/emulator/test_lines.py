"""emulator/lines.py: the tables are what they say, and whole."""

import math
from importlib.resources import files

import numpy as np
import pytest

from emulator.atmosphere import LN_PARTITION, LN_PARTITION_MOLECULES
from emulator.labels import ELEMENTS
from emulator.lines import ATOMS, LINES, MOLECULES, SPECIES, TABLE_TEMPERATURES, Lines


def test_lines_ascend_and_are_finite():
    assert (np.diff(LINES.wavelength) >= 0).all()
    for column in (LINES.wavelength, LINES.excitation, LINES.log_gf, LINES.strength):
        assert column.shape == LINES.species.shape
        assert np.isfinite(column).all()


def test_every_line_has_a_known_absorber_with_the_level_bound():
    for name in np.unique(LINES.species):
        assert LINES.excitation[LINES.species == name].max() < SPECIES[name].ionisation


def test_every_labelled_element_has_lines_of_its_own_or_in_molecules():
    present = set(np.unique(LINES.species).tolist())
    for element in ELEMENTS:
        molecules = {name for name, atoms in zip(MOLECULES.name, MOLECULES.atoms, strict=True) if element in atoms}
        assert present & ({f"{element} I", f"{element} II"} | molecules), element


def test_the_forbidden_silicon_line_with_a_wrong_strength_is_left_out():
    near = np.abs(LINES.wavelength - 16459.03) < 0.05
    assert not (LINES.species[near] == "Si I").any()


def test_partition_functions_pass_through_the_tabulated_values():
    # Barklem & Collet (2016): ln U of Fe I at 5000 K; hydrogen has a ground state of weight 2.
    values = np.exp(LN_PARTITION[0](np.log([5000.0])))[0]
    assert np.log(values[ATOMS.symbol.index("Fe")]) == pytest.approx(3.32482)
    assert values[0] == pytest.approx(2.0, rel=1e-4)


def test_partition_functions_do_not_swing_between_the_tabulated_temperatures():
    between = np.log(np.linspace(2000.0, 10000.0, 500))
    for table in (*LN_PARTITION, LN_PARTITION_MOLECULES):
        nodes = table(np.log(TABLE_TEMPERATURES))
        assert (table(between) <= nodes.max(axis=0) + 1e-3).all()
        assert (table(between) >= nodes.min(axis=0) - 1e-3).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("wavelength", math.nan), ("wavelength", 15.7), ("wavelength", 99999.0), ("excitation", -1.0)),
        *(("log_gf", 34.0), ("log_gf", math.inf), ("log_gf", "high"), ("species", "Xx I"), ("species", {"Fe": 1})),
        *(("strength", "much"), ("strength", [1.0]), ("species", "\ud800")),
    ],
)
def test_contents_that_are_no_lines_are_refused(name, value):
    contents = LINES.chosen(np.arange(5)).contents()
    assert Lines.from_contents(contents).fingerprint() == LINES.chosen(np.arange(5)).fingerprint()
    contents[name][2] = value
    with pytest.raises((ValueError, TypeError)):
        Lines.from_contents(contents)


def test_columns_of_lines_are_as_long_as_each_other():
    contents = LINES.chosen(np.arange(5)).contents()
    for other in (contents["log_gf"][:-1], [], -1.0, [contents["log_gf"]] * 5):
        with pytest.raises(ValueError, match="not one number for each line"):
            Lines.from_contents(contents | {"log_gf": other})


def test_molecules_are_made_of_known_atoms():
    assert {"H2", "CO", "CN", "OH", "N2"} <= set(MOLECULES.name)
    assert {atom for atoms in MOLECULES.atoms for atom in atoms} <= set(ATOMS.symbol)


def test_a_molecule_weighs_what_its_atoms_weigh():
    assert SPECIES["CO"].mass == pytest.approx(12.011 + 15.999)


@pytest.mark.parametrize("name", ["lines.csv", "elements.csv", "molecules.csv"])
def test_tables_say_where_they_are_from(name):
    text = files("emulator").joinpath("data", name).read_text(encoding="utf-8")
    header = [line for line in text.splitlines() if line.startswith("#")]
    assert any("20" in line and "," in line for line in header)

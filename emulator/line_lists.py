"""Line lists of one's own, as MOOG and VALD write them."""

import logging
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from emulator.commands.errors import InputError
from emulator.lines import COMPUTED, MOLECULES, POSSIBLE, SPECIES, Lines, _text
from emulator.wavelength import air_to_vacuum

log = logging.getLogger(__name__)
ATOMIC_SYMBOLS = (  # by atomic number, from 1 to 30
    *("H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne", "Na", "Mg", "Al", "Si", "P", "S", "Cl", "Ar", "K", "Ca"),
    *("Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn"),
)
ISOTOPES = {  # (element, mass number): share of the element in the Sun (Asplund et al. 2009, ARA&A 47, 481, table 3)
    **{("H", 1): 0.99998, ("H", 2): 0.00002, ("C", 12): 0.988938, ("C", 13): 0.011062},
    **{("N", 14): 0.99771, ("N", 15): 0.00229, ("O", 16): 0.997621, ("O", 17): 0.000379, ("O", 18): 0.002},
}
UNIT = {"wavelength": "Angstrom", "excitation": "eV", "log_gf": "dex"}


class ListedLine(NamedTuple):
    """One row of a line list: wavelength in the list's own medium, Angstrom; excitation, eV."""

    wavelength: float
    species: str
    excitation: float
    log_gf: float


def read_lines(path: str | Path, medium: str | None = None) -> Lines:
    """A line list of MOOG (linemake), or of VALD's "extract stellar" in the short or the long format.

    medium: of its wavelengths, vacuum or air; None: as VALD's header says, and air for MOOG. Species that the
    synthesiser has no data for, and hydrogen, are left out, counted and reported. Damping constants are not read.
    strength is NaN: `emulator.synthesis.own_lines` finds it. Raises InputError, naming the line, for what is malformed
    and for what no line can have: POSSIBLE are 1000 to 10^7 Angstrom, excitations of 0 to 50 eV, log gf of -20 to 3.
    """
    rows = _text(path).splitlines()
    header = next((row for row in rows[:3] if row.startswith(("Spec Ion", "Elm Ion"))), None)
    if header is None:
        listed, stated = _moog_lines(rows, path), None
    else:
        listed, stated = _vald_lines(rows, header, path), "air" if "WL_air" in header else "vacuum"
    if medium is not None and stated is not None and medium != stated:
        raise InputError(f"{path}: expected wavelengths in {medium}, as grid.medium says, its header says {stated}")
    known = [line for line in listed if line.species in SPECIES and line.species != COMPUTED]
    left_out = Counter(line.species for line in listed) - Counter(line.species for line in known)
    if not known:
        got = f"{len(listed)} of {', '.join(left_out)}" if listed else "none"
        raise InputError(f"{path}: expected lines of {', '.join(sorted(set(SPECIES) - {COMPUTED}))}, got {got}")
    if left_out:
        counts = ", ".join(f"{species} {count}" for species, count in left_out.most_common())
        log.warning("%s: left out %d lines of species without data here: %s", path, left_out.total(), counts)
    wavelength, species, excitation, log_gf = (np.array(column) for column in zip(*known, strict=True))
    if (medium or stated or "air") == "air":
        wavelength = air_to_vacuum(wavelength)
    order = np.argsort(wavelength, kind="stable")
    unknown = np.full(len(order), np.nan)
    return Lines(wavelength[order], species[order], excitation[order], log_gf[order], unknown)


def _listed_line(wavelength: str, species: str, excitation: str, log_gf: str) -> ListedLine:
    """The fields of one row as numbers; ValueError for what is none."""
    return ListedLine(abs(float(wavelength)), species, float(excitation), float(log_gf))


def _check_possible(line: ListedLine, path: str | Path, number: int, row: str) -> None:
    for name, (low, high) in POSSIBLE.items():
        if not low <= getattr(line, name) <= high:
            raise _malformed(path, number, row, f"{name.replace('_', ' ')} ({UNIT[name]}) of {low:g} to {high:g}")


def _malformed(path: str | Path, number: int, row: str, expected: str) -> InputError:
    got = " ".join(row.split())[:60]
    return InputError(f"{path}: expected {expected} in line {number}, got '{got}'")


def _moog_lines(rows: list[str], path: str | Path) -> list[ListedLine]:
    """Rows of wavelength (negative in blends), species code, excitation, log gf and more; the first may be a title."""
    listed = []
    for number, row in enumerate(rows, start=1):
        fields = row.split()
        try:
            wavelength, code, excitation, log_gf = fields[:4]
            species, log_share = moog_species(code)
            line = _listed_line(wavelength, species, excitation, log_gf)
        except ValueError as error:
            if number == 1 or not fields:
                continue
            expected = "wavelength (Angstrom), species code, excitation (eV) and log gf"
            raise _malformed(path, number, row, expected) from error
        _check_possible(line, path, number, row)
        listed.append(line._replace(log_gf=line.log_gf + log_share))
    return listed


@cache
def moog_species(code: str) -> tuple[str, float]:
    """The species of MOOG's code, and log10 of the share of its isotopes, which the code's log gf leaves out.

    Atoms: atomic number, point, charge, and mass number if any: 26.0 is Fe I, 26.1 Fe II. Molecules: both atomic
    numbers, the lighter first, point, charge, and both mass numbers if any: 607.0 is CN, 607.01214 is 12C 14N. A
    species that is not in SPECIES comes back as its code. Raises ValueError for what is no code.
    """
    match = re.fullmatch(r"(\d+)(?:\.(\d)(\d*))?", code)
    if match is None:
        raise ValueError(f"{code} is no species code")
    number, charge, masses = int(match[1]), int(match[2] or 0), match[3] or ""
    numbers = divmod(number, 100) if number > 100 else (number,)
    if not all(1 <= number <= len(ATOMIC_SYMBOLS) for number in numbers):
        return code, 0.0
    symbols = [ATOMIC_SYMBOLS[number - 1] for number in numbers]
    masses = [masses] if len(symbols) == 1 else [masses[:2], masses[2:]]
    isotopes = [(symbol, int(mass)) for symbol, mass in zip(symbols, masses, strict=True) if int(mass or 0)]
    if len(symbols) == 1:
        species = f"{symbols[0]} {'I' * (charge + 1)}"
    else:
        names = {tuple(sorted(atoms)): name for name, atoms in zip(MOLECULES.name, MOLECULES.atoms, strict=True)}
        species = names.get(tuple(sorted(symbols)), code) if charge == 0 else code
    if species not in SPECIES or not all(isotope in ISOTOPES for isotope in isotopes):
        return code, 0.0
    return species, float(sum(np.log10(ISOTOPES[isotope]) for isotope in isotopes))


def _vald_lines(rows: list[str], header: str, path: str | Path) -> list[ListedLine]:
    """As many records as the first row says, each of one row, or of four in the long format; the rest is notes.

    A record begins 'Fe 1', wavelength, excitation, microturbulence, log gf; in the long format 'Fe 1', wavelength,
    log gf, excitation. VALD has scaled log gf* by the solar share of the isotopes.
    """
    if not ("(A)" in header and "(eV)" in header and ("Vmic" in header or "E_low" in header)):
        got = " ".join(header.split()[:8])[:80]
        expected = "VALD's extract stellar with wavelengths in Angstrom and energies in eV"
        raise InputError(f"{path}: expected {expected}, got columns '{got}'")
    excitation, log_gf, rows_each = (1, 3, 1) if "Vmic" in header else (2, 1, 4)
    try:
        count = int(rows[0].split(",")[2])
    except (IndexError, ValueError) as error:
        raise _malformed(path, 1, rows[0], "two wavelengths and the number of lines") from error
    first = rows.index(header) + 1
    listed = []
    for number in range(first, min(first + count * rows_each, len(rows)), rows_each):
        name, _, rest = rows[number].partition(",")
        fields = rest.split(",")
        try:
            matched = re.fullmatch(r"'(\w+) +(\d)'", name.strip())
            if matched is None:
                raise ValueError(name)
            symbol, ion = matched.groups()
            species = symbol if symbol in MOLECULES.name and ion == "1" else f"{symbol} {'I' * int(ion)}"
            line = _listed_line(fields[0], species, fields[excitation], fields[log_gf])
        except (IndexError, ValueError) as error:
            expected = "element and ion in quotes, wavelength, excitation (eV) and log gf"
            raise _malformed(path, number + 1, rows[number], expected) from error
        _check_possible(line, path, number + 1, rows[number])
        listed.append(line)
    if len(listed) != count:
        raise InputError(f"{path}: expected {count} lines, as its first row says, got {len(listed)}")
    return listed

"""Line lists written as spectrum synthesis codes read them: MOOG, VALD's extract stellar, Turbospectrum.

`emulator.line_lists` reads the first two again. Wavelengths are in air, as these codes expect them beyond 2000 A.
Damping is left to each code: MOOG and VALD have it where nothing is given; Turbospectrum takes Unsoeld's approximation.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from emulator.commands.writing import write_whole
from emulator.line_lists import ATOMIC_SYMBOLS
from emulator.lines import MOLECULES, Lines
from emulator.wavelength import vacuum_to_air

FORMATS = ("moog", "vald", "turbospectrum")
DISSOCIATION = {  # eV (Barklem & Collet 2016, A&A 588, A96, table 1), which MOOG reads beside each line of a molecule
    **{"H2": 4.478, "C2": 6.371, "N2": 9.759, "CO": 11.117, "CN": 7.724, "CH": 3.470, "NH": 3.420, "OH": 4.413},
}
VALD_HEADER = (
    "                                                 Damping parameters   Lande  Central\n"
    "Spec Ion       WL_air(A)  Excit(eV) Vmic log gf*  Rad.   Stark  Waals  factor  depth  Reference"
)


def write_list(path: Path, lines: Lines, form: str, notes: Sequence[str] | None = None) -> None:
    """Write N lines in one of FORMATS, all or nothing; notes: N short remarks, one a line, without quotes.

    log gf of a molecule holds the share of its isotopes in the Sun, and stands for all of them.
    """
    notes = [""] * len(lines.wavelength) if notes is None else notes
    rows = {"moog": _moog, "vald": _vald, "turbospectrum": _turbospectrum}[form](lines, notes)
    write_whole(path, "\n".join(rows) + "\n")


def species_numbers(species: str) -> tuple[int, int]:
    """The atomic number, or for a molecule a hundred times the lesser one plus the greater; and the charge."""
    if species in MOLECULES.name:
        low, high = sorted(ATOMIC_SYMBOLS.index(atom) + 1 for atom in MOLECULES.atoms[MOLECULES.name.index(species)])
        return 100 * low + high, 0
    symbol, stage = species.split()
    return ATOMIC_SYMBOLS.index(symbol) + 1, len(stage) - 1


def _moog(lines: Lines, notes: Sequence[str]) -> list[str]:
    """A title, then rows of ten characters a number: wavelength, species, excitation, log gf, damping, dissociation."""
    rows = ["lines by wavelength (air, Angstrom), species, excitation (eV), log gf"]
    for at, species, excitation, log_gf, note in _rows(lines, notes):
        number, charge = species_numbers(species)
        bound = f"{DISSOCIATION[species]:10.3f}" if species in DISSOCIATION else " " * 10
        row = f"{at:10.3f}{f'{number}.{charge}':>10}{excitation:10.3f}{log_gf:10.3f}{'':10}{bound}{'':10}{note}"
        rows.append(row.rstrip())
    return rows


def _vald(lines: Lines, notes: Sequence[str]) -> list[str]:
    """The short format. Damping of 0 stands for none known, a Lande factor of 99 too."""
    air = vacuum_to_air(lines.wavelength)
    count = len(air)
    rows = [
        f"{air[0]:12.5f},{air[-1]:12.5f}, {count}, {count}, 1.0 Wavelength region, lines selected, lines processed,"
        " Vmicro",
        VALD_HEADER,
    ]
    for at, species, excitation, log_gf, note in _rows(lines, notes):
        symbol, _, stage = species.partition(" ")
        name = f"'{symbol} {len(stage) or 1}',"
        numbers = f"{at:14.4f},{excitation:8.4f}, 1.0,{log_gf:7.3f}, 0.000, 0.000, 0.000, 99.000, 0.000"
        rows.append(f"{name:<9}{numbers}, '{note}'")
    return [*rows, "* oscillator strengths were scaled by the solar isotopic ratios."]


def _turbospectrum(lines: Lines, notes: Sequence[str]) -> list[str]:
    """For each species a header with its code, stage and number of lines, and its name; then wavelength, excitation,
    log gf, factor to Unsoeld's damping, upper weight (unknown: 1), radiative damping (0: from log gf), levels, notes.

    A code without mass numbers stands for all isotopes.
    """
    rows = []
    for species in sorted(set(lines.species.tolist()), key=species_numbers):
        own = np.flatnonzero(lines.species == species)
        number, charge = species_numbers(species)
        code = f"{number:04d}.000000" if number > 100 else f"{number:4d}.000"
        rows += [f"'{code:<20}'{charge + 1:5d}{len(own):11d}", f"'{species:<6}'"]
        for at, _, excitation, log_gf, note in _rows(lines.chosen(own), [notes[i] for i in own.tolist()]):
            numbers = f"{at:10.3f}{excitation:7.3f}{log_gf:7.3f}{1.0:9.3f}{1.0:7.1f}{0.0:10.2E}"
            rows.append(f"{numbers}  'x' 'x'   0.0    1.0 '{species} {note}'")
    return rows


def _rows(lines: Lines, notes: Sequence[str]) -> Iterator[tuple[float, str, float, float, str]]:
    columns = (vacuum_to_air(lines.wavelength), lines.species, lines.excitation, lines.log_gf)
    return zip(*(column.tolist() for column in columns), notes, strict=True)

"""The atoms, molecules and spectral lines that the synthesiser knows. Each table says at its head where it is from."""

import csv
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from emulator.commands.errors import InputError

# What a line can have; beyond is another unit, another column or a slip of the pen. The built-in list has log gf -9.5
# to 0.8; forbidden lines have less, and gf is at most the lower level's weight times the number of its electrons. He II
# is the most tightly bound of what shows lines in spectra of stars: 54 eV.
POSSIBLE = {"wavelength": (1000.0, 1e7), "excitation": (0.0, 50.0), "log_gf": (-20.0, 3.0)}
TABLE_TEMPERATURES = np.array([2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10000])  # K


def _read(name: str) -> dict[str, np.ndarray]:
    """Columns of one of the tables, by name: numbers as float64, everything else as text."""
    text = files("emulator").joinpath("data", name).read_text(encoding="utf-8")
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    columns = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    return {key: _as_numbers(column) for key, column in columns.items()}


def _as_numbers(column: np.ndarray) -> np.ndarray:
    try:
        return column.astype(np.float64)
    except ValueError:
        return column


def _by_temperature(table: dict[str, np.ndarray], prefix: str) -> np.ndarray:
    """The columns PREFIX_TEMPERATURE, (T, rows)."""
    return np.stack([table[f"{prefix}_{t}"] for t in TABLE_TEMPERATURES])


@dataclass(frozen=True)
class Elements:
    """E elements, hydrogen and helium first; T: TABLE_TEMPERATURES."""

    symbol: tuple[str, ...]
    mass: np.ndarray  # (E,), atomic mass units
    solar: np.ndarray  # (E,), log10(N_X / N_H)
    ionisation: np.ndarray  # (E, 2), eV: of the neutral atom and of its first ion
    ln_partition: tuple[np.ndarray, np.ndarray]  # (T, E), of the neutral atom and of its first ion


@dataclass(frozen=True)
class Molecules:
    """M diatomic molecules; T: TABLE_TEMPERATURES."""

    name: tuple[str, ...]
    atoms: tuple[tuple[str, str], ...]
    ionisation: np.ndarray  # (M,), eV
    log_constant: np.ndarray  # (T, M), log10 of p_A p_B / p_AB in Pa
    ln_partition: np.ndarray  # (T, M)


@dataclass(frozen=True, eq=False)
class Lines:
    """N spectral lines in ascending wavelength."""

    wavelength: np.ndarray  # (N,), vacuum Angstrom
    species: np.ndarray  # (N,), text: "Fe I", "Fe II", "CO"
    excitation: np.ndarray  # (N,), energy of the lower level, eV
    log_gf: np.ndarray  # (N,)
    strength: np.ndarray  # (N,), log10 of the largest unsaturated equivalent width / wavelength

    def fingerprint(self) -> str:
        """The same for the same lines, and for no others."""
        columns = (self.wavelength, self.species.astype("S"), self.excitation, self.log_gf)
        return hashlib.sha256(b"".join(column.tobytes() for column in columns)).hexdigest()

    def chosen(self, rows: np.ndarray) -> "Lines":
        """Some of the lines; rows: (N,) bool, or indices in ascending wavelength."""
        return Lines(*(column[rows] for column in vars(self).values()))

    def merged(self, more: "Lines") -> "Lines":
        """The lines of both."""
        both = Lines(*map(np.concatenate, zip(vars(self).values(), vars(more).values(), strict=True)))
        return both.chosen(np.argsort(both.wavelength, kind="stable"))

    def contents(self) -> dict[str, list[Any]]:
        """The columns by name, as plain types: what a file stores."""
        return {name: column.tolist() for name, column in vars(self).items()}

    @classmethod
    def from_contents(cls, contents: Mapping[str, list[Any]]) -> "Lines":
        """The inverse of `contents`; ValueError for what is no list of lines that the synthesiser knows."""
        lines = cls(**{name: np.array(column) for name, column in contents.items()})
        if any(column.shape != (len(lines.species),) for column in vars(lines).values()):
            raise ValueError("columns of lines that are not one number for each line")
        for name, (low, high) in POSSIBLE.items():
            column = getattr(lines, name)
            if column.dtype.kind not in "fi" or not ((column >= low) & (column <= high)).all():
                raise ValueError(f"lines with {name} outside {low:g} to {high:g}")
        if lines.strength.dtype.kind not in "fi" or not set(lines.species.tolist()) <= set(SPECIES):
            raise ValueError("lines of unknown species or strength")
        if (np.diff(lines.wavelength) < 0).any():
            raise ValueError("lines that do not ascend in wavelength")
        return lines


def _read_elements() -> Elements:
    table = _read("elements.csv")
    return Elements(
        symbol=tuple(table["element"].tolist()),
        mass=table["mass"],
        solar=table["abundance"] - 12.0,
        ionisation=np.stack([table["ionisation1"], table["ionisation2"]], axis=1),
        ln_partition=(_by_temperature(table, "lnu1"), _by_temperature(table, "lnu2")),
    )


def _read_molecules() -> Molecules:
    table = _read("molecules.csv")
    return Molecules(
        name=tuple(table["molecule"].tolist()),
        atoms=tuple(zip(table["atom1"].tolist(), table["atom2"].tolist(), strict=True)),
        ionisation=table["ionisation"],
        log_constant=_by_temperature(table, "logk"),
        ln_partition=_by_temperature(table, "lnq"),
    )


@dataclass(frozen=True)
class Species:
    """What the shape of a line needs of its absorber."""

    mass: float  # atomic mass units
    ionisation: float  # eV
    charge: int  # that the jumping electron feels from afar: 1 for a neutral atom


def _species() -> dict[str, Species]:
    mass = dict(zip(ATOMS.symbol, ATOMS.mass.tolist(), strict=True))
    found: dict[str, Species] = {}
    for symbol, (first, second) in zip(ATOMS.symbol, ATOMS.ionisation.tolist(), strict=True):
        found |= {f"{symbol} I": Species(mass[symbol], first, 1), f"{symbol} II": Species(mass[symbol], second, 2)}
    for name, (a, b), ionisation in zip(MOLECULES.name, MOLECULES.atoms, MOLECULES.ionisation.tolist(), strict=True):
        found[name] = Species(mass[a] + mass[b], ionisation, 1)
    return found


ATOMS = _read_elements()
MOLECULES = _read_molecules()
LINES = Lines(**_read("lines.csv"))
SPECIES = _species()
COMPUTED = "H I"  # lines of hydrogen are computed, not listed


def _text(path: str | Path) -> str:
    if not Path(path).is_file():
        raise InputError(f"{path}: expected a line list, found no such file")
    content = Path(path).read_bytes()
    if b"\0" in content:
        raise InputError(f"{path}: expected a line list of MOOG or VALD, which is text, got a binary file")
    if not content.strip():
        raise InputError(f"{path}: expected a line list of MOOG or VALD, got an empty file")
    return content.decode("latin-1")

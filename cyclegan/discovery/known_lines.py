"""Tables of lines that are known from elsewhere."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cyclegan.spectra.tables import numbers, read_table
from emulator.commands.errors import InputError
from emulator.line_lists import ATOMIC_SYMBOLS
from emulator.wavelength import MEDIA, air_to_vacuum

WAVELENGTH = ("wavelength", "angstrom")  # words, one of which is in the name of the column of wavelengths
WIDTH = ("width", "fwhm")  # the same of widths
NAMES = ("element", "species", "identification", "name")  # words of columns that say whose a line is


class KnownLine(NamedTuple):
    """A line: vacuum Angstrom; what it is called; elements that may make it, none where nobody knows.

    width: in Angstrom, from end to end, of a band that is wider than a line.
    """

    wavelength: float
    name: str = ""
    elements: tuple[str, ...] = ()
    width: float = 0.0


def read_known_lines(path: str | Path) -> list[KnownLine]:
    """The lines of a table (CSV), by wavelength.

    One column has `wavelength` or `angstrom` in its name, and says by `air` in it, as `wavelength_air`, that it is in
    air; so does the word in a comment. Otherwise it is in vacuum. A column `element`, `species`, `identification` or
    `name` may say what makes the line, and one of `width` or `fwhm` how wide a band is, in Angstrom. Raises InputError
    for a table without wavelengths, and for what is no number above 0.
    """
    columns = read_table(path, "line")
    words = {name: set(re.split(r"[^a-z]+", name.lower())) for name in columns}
    places = [name for name in columns if words[name] & set(WAVELENGTH)]
    places = [name for name in places if "vacuum" in words[name]] or places  # of a table that has both
    if len(places) != 1:
        raise InputError(
            f"{path}: expected one column of wavelengths, as wavelength_vacuum or wavelength_air,"
            f" got {' and '.join(places) if places else ', '.join(columns)}"
        )
    values = _positive(columns[places[0]], places[0], path)
    if _medium(places[0], words[places[0]], path) == "air":
        values = air_to_vacuum(values)
    wide = [name for name in columns if words[name] & set(WIDTH)]
    widths = _positive(columns[wide[0]], wide[0], path) if wide else np.zeros(len(values))
    called = [name for word in NAMES for name in columns if word in words[name]]
    names = columns[called[0]] if called else [""] * len(values)
    rows = zip(values.tolist(), names, widths.tolist(), strict=True)
    return sorted(KnownLine(value, name.strip(), elements_of(name), width) for value, name, width in rows)


def _positive(texts: Sequence[str], column: str, path: str | Path) -> np.ndarray:
    values = np.array(numbers(texts, f"{path}: expected a number in '{column}'"))
    if (wrong := ~((values > 0) & np.isfinite(values))).any():
        row = int(wrong.argmax())
        raise InputError(f"{path}: expected numbers above 0 in '{column}', got {values[row]:g} in row {row}")
    return values


def _medium(column: str, words: set[str], path: str | Path) -> str:
    """Of the wavelengths in a column, by the words of its name, or else of the comments."""
    with Path(path).open(encoding="utf-8-sig") as file:
        comments = " ".join(line for line in file if line.startswith("#"))
    said = words & set(MEDIA) or set(re.split(r"[^a-z]+", comments.lower())) & set(MEDIA)
    if len(said) > 1:
        raise InputError(f"{path}: expected '{column}' in {' or '.join(MEDIA)}, got both words")
    return next(iter(said), "vacuum")


def elements_of(name: str) -> tuple[str, ...]:
    """The elements that an identification names: 'Fe I 15182.40' iron, 'OH 2-0 | Ti I' oxygen or titanium.

    Hydrogen in molecules is left out: no star has more of it. Empty where nothing is named.
    """
    found = []
    for part in name.split("|"):
        match = re.match(r"[\s\[]*([A-Za-z]+)", part)
        if match is None:
            continue
        word = match[1]
        atoms = re.findall(r"[A-Z][a-z]?", word)
        if len(word) <= 2 and atoms == [word]:  # of whatever element
            found.append(word)
        elif set(atoms) <= set(ATOMIC_SYMBOLS) and "".join(atoms) == word:
            found += [atom for atom in atoms if atom != "H"]
        else:  # 'FE', 'FeI', 'fe'
            found.append(next((s for s in (word[:2].capitalize(), word[:1].upper()) if s in ATOMIC_SYMBOLS), word))
    return tuple(dict.fromkeys(found))

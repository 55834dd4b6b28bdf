"""Binary tables of FITS files, without the tens of milliseconds that astropy takes for the headers of such a file.

Section 7.3 of the FITS standard 4.0, https://fits.gsfc.nasa.gov/fits_standard.html.
"""

import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cyclegan.instruments.fits_files import BLOCK, PACKED, SIMPLE, headers_of, unpacked
from emulator.commands.errors import InputError, refusing

CARDS = re.compile(r"([A-Z0-9_-]+) *= (.{70})|.{80}", re.DOTALL)
TEXT = re.compile(r" *'((?:[^']|'')*)'")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([ED][+-]?\d+)?")
FORM = re.compile(r"(\d*)([LXBIJKAEDCMPQ]).*")
TYPES = {"L": "S1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8", "C": ">c8", "M": ">c16"}
TYPES |= {"P": "V8", "Q": "V16"}  # where an array of any length lies in a heap
LAYOUT = ("NAXIS1", "TFIELDS", "TFORM", "TTYPE", "TSCAL", "TZERO")  # what cards begin with that say how a row lies
KINDS = 16  # of rows that are remembered: of thousands of files that a survey made, all have one of a few


class Header:
    """What the cards of a FITS header say, the first of each keyword."""

    def __init__(self, cards: bytes) -> None:
        self.texts: dict[str, str] = dict(reversed(CARDS.findall(cards.decode("latin-1"))))

    def get(self, key: str) -> str | int | float | bool | None:
        """A value; None where there is no such keyword, or nothing that is a text, a number or T or F after it."""
        return _value(self.texts.get(key, ""))

    def count(self, key: str) -> int:
        """A number of something that `headers_of` has checked, 0 where it is not told."""
        return int(self.get(key) or 0)


def _value(text: str) -> str | int | float | bool | None:
    if quoted := TEXT.match(text):
        return quoted[1].replace("''", "'").strip()
    plain = text.partition("/")[0].strip()
    if plain in ("T", "F"):
        return plain == "T"
    if not NUMBER.fullmatch(plain):
        return None
    return int(plain) if plain.lstrip("+-").isdecimal() else float(plain.replace("D", "E"))


@lru_cache(maxsize=KINDS)
def _row(cards: tuple[tuple[str, str], ...]) -> np.dtype[np.void]:
    """A row, given what the cards of a table that begin as LAYOUT say."""
    told = {key: _value(text) for key, text in cards}
    names: list[str] = []
    formats: list[np.dtype[Any]] = []
    offsets: list[int] = []
    offset = 0
    scaled = {
        key[len("TSCAL") :] for key, by in told.items() if key.startswith(("TSCAL", "TZERO")) and by not in (0, 1)
    }
    for number in range(1, int(told.get("TFIELDS") or 0) + 1):
        form = FORM.fullmatch(str(told.get(f"TFORM{number}")))
        if not form:
            raise ValueError(f"a column of the form {told.get(f'TFORM{number}')}")
        repeat, kind = int(form[1] or 1), form[2]
        base = f"S{repeat}" if kind == "A" else f"V{(repeat + 7) // 8}" if kind == "X" else TYPES[kind]
        each = np.dtype(base) if kind in "AX" or repeat == 1 else np.dtype((base, (repeat,)))
        name = str(told.get(f"TTYPE{number}")).lower()
        if repeat and str(number) not in scaled and name not in names:
            names, formats, offsets = [*names, name], [*formats, each], [*offsets, offset]
        offset += each.itemsize if repeat else 0
    width = int(told.get("NAXIS1") or 0)
    if offset > width:
        raise ValueError("columns wider than the rows of their table")
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": width})


@dataclass(frozen=True)
class BinaryTable:
    """A binary table that lies in a file from `start` on."""

    header: Header
    file: BinaryIO
    start: int

    @property
    def count(self) -> int:
        """How many rows there are."""
        return self.header.count("NAXIS2")

    @cached_property
    def row(self) -> np.dtype[np.void]:
        """A row, with a field for each column, by its name in lower case.

        Columns whose numbers stand for others are left out. Raises ValueError for columns whose forms are none, or that
        rows do not hold.
        """
        return _row(tuple(card for card in self.header.texts.items() if card[0].startswith(LAYOUT)))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names, in lower case."""
        return self.row.names or ()

    def read(self, rows: slice) -> np.ndarray:
        """Some of its rows, (n,) with a field for each column."""
        first, last, _ = rows.indices(self.count)
        self.file.seek(self.start + first * self.row.itemsize)
        return np.frombuffer(self.file.read((last - first) * self.row.itemsize), self.row)


def first_cards(path: Path) -> Header:
    """The first cards of a FITS file, plain or packed by gzip, with those that say who wrote it; none of others."""
    with suppress(OSError, EOFError, zlib.error), path.open("rb") as file:
        is_packed = file.read(len(PACKED)) == PACKED
        file.seek(0)
        block = (gzip.GzipFile(fileobj=file) if is_packed else file).read(BLOCK)
        return Header(block if block.startswith(SIMPLE) else b"")
    return Header(b"")


@contextmanager
def opened_tables(path: Path, expected: str) -> Iterator[tuple[Header, list[BinaryTable]]]:
    """The first header of a FITS file, plain or packed by gzip, and its binary tables, as long as the block lasts.

    Raises InputError, `expected` and why, where there is no such file, where its headers claim more than it holds, and
    for whatever else goes wrong in the block.
    """
    if not path.is_file():
        raise InputError(f"{expected}, found none")
    with refusing(expected), unpacked(path) as file:
        found = [BinaryTable(Header(cards), file, end) for cards, end in headers_of(file)]
        yield found[0].header, [table for table in found[1:] if table.header.get("XTENSION") == "BINTABLE"]

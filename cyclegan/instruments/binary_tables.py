"""Binary tables of FITS files, without the tens of milliseconds that astropy takes for the headers of such a file.

Section 7.3 of the FITS standard 4.0, https://fits.gsfc.nasa.gov/fits_standard.html.
"""

import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
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


class Header:
    """What the cards of a FITS header say, the first of each keyword."""

    def __init__(self, cards: bytes) -> None:
        self.texts: dict[str, str] = {}
        for key, text in CARDS.findall(cards.decode("latin-1")):
            self.texts.setdefault(key, text)

    def get(self, key: str) -> str | int | float | bool | None:
        """A value; None where there is no such keyword, or nothing that is a text, a number or T or F after it."""
        text = self.texts.get(key, "")
        if quoted := TEXT.match(text):
            return quoted[1].replace("''", "'").strip()
        plain = text.partition("/")[0].strip()
        if plain in ("T", "F"):
            return plain == "T"
        if not NUMBER.fullmatch(plain):
            return None
        return int(plain) if plain.lstrip("+-").isdecimal() else float(plain.replace("D", "E"))

    def count(self, key: str) -> int:
        """A number of something that `headers_of` has checked, 0 where it is not told."""
        return int(self.get(key) or 0)


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
        names: list[str] = []
        formats: list[np.dtype[Any]] = []
        offsets: list[int] = []
        offset = 0
        scaling = [key for key in self.header.texts if key.startswith(("TSCAL", "TZERO"))]
        scaled = {key[len("TSCAL") :] for key in scaling if self.header.get(key) not in (0, 1)}
        for number in range(1, self.header.count("TFIELDS") + 1):
            form = FORM.fullmatch(str(self.header.get(f"TFORM{number}")))
            if not form:
                raise ValueError(f"a column of the form {self.header.get(f'TFORM{number}')}")
            repeat, kind = int(form[1] or 1), form[2]
            base = f"S{repeat}" if kind == "A" else f"V{(repeat + 7) // 8}" if kind == "X" else TYPES[kind]
            each = np.dtype(base) if kind in "AX" or repeat == 1 else np.dtype((base, (repeat,)))
            name = str(self.header.get(f"TTYPE{number}")).lower()
            if repeat and str(number) not in scaled and name not in names:
                names, formats, offsets = [*names, name], [*formats, each], [*offsets, offset]
            offset += each.itemsize if repeat else 0
        width = self.header.count("NAXIS1")
        if offset > width:
            raise ValueError("columns wider than the rows of their table")
        return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": width})

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
        found = []
        for start, end in headers_of(file):
            file.seek(start)
            found.append(BinaryTable(Header(file.read(end - start)), file, end))
        yield found[0].header, [table for table in found[1:] if table.header.get("XTENSION") == "BINTABLE"]

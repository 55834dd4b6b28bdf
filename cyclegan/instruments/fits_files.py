"""FITS files of strangers: what their headers claim is compared with what is there, before room is made for it."""

import gzip
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyError

from emulator.commands.errors import InputError, refusing

BLOCK, CARD = 2880, 80  # bytes
LONGEST_HEADERS = 1000 * BLOCK  # of a file in all; a star of a hundred visits has a third of it
MOST_UNPACKED = 2**28  # bytes: a star of 700 visits
SIMPLE, PACKED = b"SIMPLE  =", b"\x1f\x8b"  # how they begin, plain and packed by gzip
MOST = 999  # axes, or columns: the standard's own limit
SIZE = re.compile(rb"(BITPIX|NAXIS\d*|PCOUNT|GCOUNT|TFIELDS) *= *([^ /]*)")
WHOLE = re.compile(r"[+-]?\d+")
# What the cards of these, and the last, begin with.
TOLD = (b"BITPIX", b"NAXIS", b"PCOUNT", b"GCOUNT", b"TFIELDS", b"GROUPS", b"END")
GROUPS = re.compile(rb"GROUPS  = *T")
END = re.compile(rb"END(?![A-Z0-9_-])")


@contextmanager
def opened_fits(path: Path, expected: str, mapped: bool = False, most: int = MOST) -> Iterator[fits.HDUList]:
    """The HDUs of a FITS file, plain or packed by gzip, for as long as the block lasts; what is mapped stays so.

    most: HDUs to take; headers of the others, which take time, are not parsed, but what they claim is checked.
    Raises InputError, `expected` and why, where there is no such file, where its headers claim more than it holds, and
    for whatever astropy says of it in the block.
    """
    if not path.is_file():
        raise InputError(f"{expected}, found none")
    with refusing_quietly(expected), unpacked(path) as file:
        headers_of(file)
        file.seek(0)
        with fits.open(file, memmap=mapped, disable_image_compression=True) as opened:
            hdus = opened[:most]  # a list of all of them would be read to its end
            for hdu in hdus:
                # A column may claim to be wider than the rows that hold it.
                table = isinstance(hdu, fits.BinTableHDU | fits.TableHDU)
                if table and hdu.columns.dtype.itemsize > hdu.header["NAXIS1"]:
                    raise ValueError("columns wider than the rows of their table")
            yield hdus


def header_number(header: Mapping[str, Any], key: str) -> float:
    """What a header says by a key, NaN where that is no number."""
    try:
        value = header.get(key)
    except VerifyError:  # IDL writes NaN without the quotes that FITS asks for
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return math.nan
    return float(value)


@contextmanager
def refusing_quietly(expected: str) -> Iterator[None]:
    """As `refusing`, and what astropy would warn of is not told: what can be read is."""
    with refusing(expected), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def unpacked(path: Path) -> Iterator[BinaryIO]:
    """What a FITS file holds, unpacked where it is packed by gzip; ValueError where that is too much."""
    with path.open("rb") as file:
        packed = file.read(len(PACKED)) == PACKED
        file.seek(0)
        if not packed:
            yield file
            return
        content = gzip.GzipFile(fileobj=file).read(MOST_UNPACKED + 1)
    if len(content) > MOST_UNPACKED:
        raise ValueError(f"more than {MOST_UNPACKED // 2**20} MiB when it is unpacked: unpack it by gunzip first")
    yield BytesIO(content)


def headers_of(file: BinaryIO) -> list[tuple[bytes, int]]:
    """The cards of each header of a FITS file, and where it ends.

    Raises ValueError where one claims what cannot be, or is not there.
    """
    size, start, left, found = file.seek(0, 2), 0, LONGEST_HEADERS, list[tuple[bytes, int]]()
    while start < size or not found:
        file.seek(start)
        if found and not file.read(BLOCK).strip(b"\0 "):  # as tapes were filled up
            break
        claims, cards = _read_header(file, start, left)
        end, left = start + len(cards), left - len(cards)
        claimed = _claimed_bytes(claims, size)
        if claimed > size - end:
            raise ValueError(f"truncated: HDU {len(found)} claims {claimed} bytes, of which there are {size - end}")
        found.append((cards, end))
        start = end + math.ceil(claimed / BLOCK) * BLOCK
    return found


def _read_header(file: BinaryIO, start: int, longest: int) -> tuple[dict[str, int], bytes]:
    """What the header at `start` says of the size of what follows it, and all of its cards."""
    file.seek(start)
    found, blocks = dict[str, int](), list[bytes]()
    while (len(blocks) + 1) * BLOCK <= longest:
        block = file.read(BLOCK)
        if not start and not blocks and not block.startswith(SIMPLE):
            raise ValueError("one that does not begin with SIMPLE")
        if len(block) < BLOCK:
            break
        blocks.append(block)
        for card in (block[at : at + CARD] for at in range(0, len(block), CARD) if block.startswith(TOLD, at)):
            if size := SIZE.match(card):
                key, text = size[1].decode(), size[2].decode("latin-1")
                if not WHOLE.fullmatch(text) or found.setdefault(key, int(text)) != int(text):
                    raise ValueError(f"a header with {key} = {text}")
            elif END.match(card):
                return found, b"".join(blocks)
            elif GROUPS.match(card):
                raise ValueError("random groups")
    raise ValueError("truncated: a header has no end")


def _claimed_bytes(claims: dict[str, int], size: int) -> int:
    count = claims.get("NAXIS", -1)
    if not 0 <= count <= MOST or not 0 <= claims.get("TFIELDS", 0) <= MOST:
        raise ValueError(f"a header with NAXIS = {count}, TFIELDS = {claims.get('TFIELDS', 0)}")
    axes = [claims.get(f"NAXIS{axis}", -1) for axis in range(1, count + 1)]
    heap, groups = claims.get("PCOUNT", 0), claims.get("GCOUNT", 1)
    # An axis of no length beside others makes a claim of nothing that still has to be counted through.
    if min([*axes, heap, groups]) < 0 or max([*axes, heap, groups]) > size:
        raise ValueError(f"a header with axes of {', '.join(map(str, axes))}")
    return abs(claims.get("BITPIX", 8)) // 8 * groups * (heap + (math.prod(axes) if axes else 0))

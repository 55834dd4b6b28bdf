"""Arrays in files of NumPy: what they claim is compared with what is there, before room is made for it."""

import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

MOST_UNPACKED = 2**28  # bytes of an array, or 10 times those of its file if that is more
HEADERS: dict[tuple[int, int], Callable[..., tuple[tuple[int, ...], bool, np.dtype[Any]]]] = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
}


def check_arrays(path: Path) -> None:
    """Raise ValueError where an array in .npy or .npz claims more than there is, or unpacks to far more than its file.

    What is none of these is left to whatever reads it.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            _check_header(file, size)
            return
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                if member.file_size > max(MOST_UNPACKED, 10 * size):
                    raise ValueError(f"{member.filename} of {member.file_size} bytes in a file of {size}")
                with archive.open(member) as array:
                    _check_header(array, member.file_size)


def _check_header(file: IO[bytes], size: int) -> None:
    file.seek(0)
    if file.read(len(npy.MAGIC_PREFIX)) != npy.MAGIC_PREFIX:
        return
    file.seek(0)
    version = npy.read_magic(file)
    if version not in HEADERS:
        raise ValueError(f"version {version} of the format")
    shape, _, kind = HEADERS[version](file)
    claimed = math.prod(shape) * max(kind.itemsize, 1)
    if claimed > size:
        raise ValueError(f"an array of shape {shape}, {claimed} bytes, in {size}")

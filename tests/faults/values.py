"""Damage to what all files are made of: bytes, and arrays of numbers or texts."""

from contextlib import suppress
from random import Random
from typing import Any

import numpy as np

NUMBERS = (np.nan, np.inf, -np.inf, 0.0, -1.0, 1.0, 1e-300, 1e30, 1e300, -1e300, -9999.0, -999.0, 2.0**31, 2.0**63, 0.5)
TYPES = ("float16", "float32", "float64", ">f4", ">i8", "int8", "int64", "uint8", "bool", "complex64", "S8")


def mutate_bytes(content: bytes, chance: Random) -> bytes:
    """Bits flipped; blocks overwritten, put in, taken out, doubled, swapped; an end cut off."""
    data = bytearray(content or b"x")
    at, size = chance.randrange(len(data)), chance.choice((1, 2, 4, 8, 8, 64, 512, 4096))
    other = chance.randrange(len(data))
    how = chance.randrange(9)
    if how < 3:
        for _ in range(chance.choice((1, 1, 3, 20))):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif how == 3:
        data[at : at + size] = chance.choice((bytes(size), b"\xff" * size, chance.randbytes(size)))
    elif how == 4:
        del data[at:]
    elif how == 5:
        data[at:at] = chance.choice((data[at : at + size], chance.randbytes(size), bytes(size)))
    elif how == 6:
        del data[at : at + size]
    elif how == 7:
        here, there = data[at : at + size], data[other : other + size]
        data[at : at + size], data[other : other + size] = there, here
    else:
        data += bytes(data)
    return bytes(data)


def mutate_array(values: np.ndarray, chance: Random) -> np.ndarray:
    """Other values, another shape, or another type."""
    how, found = chance.randrange(10), np.array(values)
    if how < 4 and found.size:
        if found.dtype.kind not in "fiub":
            found = found.astype("O")
            found.flat[chance.randrange(found.size)] = chance.choice(("", "\udcff", "a" * 5000, " ", "\x07", "nan"))
            return found.astype("U")
        special = np.array(chance.choice(NUMBERS))
        places: Any = chance.randrange(found.size) if how < 2 else slice(None) if how == 2 else slice(0, None, 3)
        with np.errstate(all="ignore"):
            found.flat[places] = special.astype(found.dtype)
    elif how < 6:
        shapes = (
            found[:-1] if found.ndim else found[None],
            found[..., :-1] if found.ndim else found[None],
            *(found.T, found.reshape(-1), found[None], found[:0] if found.ndim else found[None]),
            *(found.reshape(-1)[:1].reshape(()) if found.size else found, np.concatenate([np.atleast_1d(found)] * 2)),
        )
        found = shapes[chance.randrange(len(shapes))]
    elif how == 6 and found.ndim:
        found = found[::-1]
    elif how == 7 and found.size:
        found = np.full_like(found, found.flat[0])
    else:
        with np.errstate(all="ignore"), suppress(ValueError, TypeError):
            found = found.astype(chance.choice(TYPES))
    return found

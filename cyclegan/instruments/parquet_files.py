"""Parquet files of strangers: what they claim is compared with what is there, before room is made for it.

https://github.com/apache/parquet-format, with parquet.thrift in src/main/thrift.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from cyclegan.instruments.thrift import read_struct
from emulator.array_files import MOST_UNPACKED
from emulator.commands.errors import InputError, refusing

MAGIC = b"PAR1"
FOOTER = 8  # bytes at the end: how long what is said of the columns is, and MAGIC
BUFFER = 2**16  # bytes of a column that are read at a time
LONGEST_NUMBER = 8  # bytes


def is_parquet(path: Path) -> bool:
    """Whether a file begins as one."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


@contextmanager
def opened_parquet(path: Path, expected: str) -> Iterator[Any]:
    """A pyarrow ParquetFile, as long as the block lasts.

    Raises InputError, `expected` and why, where there is no such file, where a group of rows claims to unpack to far
    more than the file holds, and for whatever else goes wrong in the block; and where pyarrow is not installed.
    """
    if not path.is_file():
        raise InputError(f"{expected}, found none")
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise InputError(f"{path}: expected pyarrow, which reads Parquet, found none: pip install pyarrow") from error
    with refusing(expected):
        _check_claims(path)
        with ParquetFile(path, buffer_size=BUFFER, pre_buffer=False) as file:
            yield file


def _check_claims(path: Path) -> None:
    """Raise ValueError where a file claims what cannot be, by the names of fields in parquet.thrift."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(size - FOOTER, 0))
        length, magic = struct.unpack("<I4s", file.read(FOOTER))
        if magic != MAGIC or length > size - FOOTER - len(MAGIC):
            raise ValueError("one whose end does not say what is in it")
        file.seek(size - FOOTER - length)
        claims = read_struct(file.read(length))
    most = max(MOST_UNPACKED, 10 * size)
    num_rows, row_groups = claims[3], claims[4]
    if not 0 <= num_rows * LONGEST_NUMBER <= most:
        raise ValueError(f"{num_rows} rows in a file of {size} bytes")
    for columns, num_rows in ((group[1], group[3]) for group in row_groups):
        for num_values, unpacked in ((column[3][5], column[3][6]) for column in columns):
            claimed = max(unpacked, LONGEST_NUMBER * max(num_values, num_rows))
            if claimed > most or min(num_values, num_rows) < 0:
                raise ValueError(f"a column of {num_values} values, {claimed} bytes, in a file of {size}")


def columns_of(file: Any) -> dict[str, str]:
    """The paths of a file's columns and of the fields of its columns of structures, by their names in lower case.

    The field FLUX of a column SPECTRUM is called 'spectrum_flux'. Of two that differ by case alone the first counts.
    """
    found: dict[str, str] = {}
    for field in file.schema_arrow:
        is_structure = hasattr(field.type, "fields")
        paths = [f"{field.name}.{child.name}" for child in field.type] if is_structure else [field.name]
        for path in paths:
            found.setdefault(path.replace(".", "_").lower(), path)
    return found


def column_of(batch: Any, path: str) -> Any:
    """An array of a batch of rows, by a path that `columns_of` tells; a field is missing where its structure is."""
    name, _, field = path.partition(".")
    if path in batch.schema.names:
        return batch.column(path)
    values = batch.column(name)
    return values.flatten()[values.type.get_field_index(field)]


def numbers_of(values: Any) -> np.ndarray:
    """An array (n,) of numbers, or of texts of some, in double precision; NaN where there is none."""
    plain = values.dictionary_decode() if hasattr(values, "dictionary_decode") else values
    return plain.cast("float64", safe=False).to_numpy(zero_copy_only=False)


def texts_of(values: Any) -> np.ndarray:
    """An array (n,) as texts, blank where there is none."""
    found = ("" if value is None else value for value in values.to_pylist())
    return np.array([value.decode() if isinstance(value, bytes) else str(value) for value in found], str)


def read_numbers(file: Any, path: str) -> np.ndarray:
    """A whole column of numbers (n,)."""
    return np.concatenate([np.empty(0), *map(numbers_of, _arrays(file, path))])


def read_texts(file: Any, path: str) -> np.ndarray:
    """A whole column (n,) as texts."""
    return np.concatenate([np.empty(0, str), *map(texts_of, _arrays(file, path))])


def _arrays(file: Any, path: str) -> Iterator[Any]:
    return (column_of(batch, path) for batch in file.iter_batches(columns=[path], use_threads=False))

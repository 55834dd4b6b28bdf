"""cyclegan/instruments/thrift.py: structures in Thrift's compact protocol."""

import struct

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from cyclegan.instruments.thrift import read_struct


def test_what_a_file_says_of_itself_is_what_pyarrow_reads(tmp_path):
    columns = {"flux": list(np.random.default_rng(0).random((50, 7))), "name": [str(i) for i in range(50)]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "a", row_group_size=20)
    content = (tmp_path / "a").read_bytes()
    (length,) = struct.unpack("<I", content[-8:-4])
    found, theirs = read_struct(content[-8 - length : -8]), parquet.read_metadata(tmp_path / "a")
    assert found[3] == theirs.num_rows == 50
    assert found[6] == theirs.created_by.encode()
    assert len(found[4]) == theirs.num_row_groups == 3
    for number, group in enumerate(found[4]):
        own = [(column[3][5], column[3][6], column[3][7]) for column in group[1]]
        their = [theirs.row_group(number).column(column) for column in range(2)]
        assert own == [(c.num_values, c.total_uncompressed_size, c.total_compressed_size) for c in their]


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        (b"\x00", {}),
        (b"\x11\x12\x00", {1: True, 2: False}),
        (b"\x15\x01\x16\x54\x00", {1: -1, 2: 42}),
        (b"\x05\x80\x01\x03\x00", {64: -2}),  # a field whose number is far from the last
        (b"\x13\x07\x00", {1: 7}),
        (b"\x17" + struct.pack("<d", 1.5) + b"\x00", {1: 1.5}),
        (b"\x18\x03abc\x00", {1: b"abc"}),
        (b"\x19\x25\x02\x04\x00", {1: [1, 2]}),
        (b"\x19\xf1\x10" + b"\x01" * 16 + b"\x00", {1: [1] * 16}),
        (b"\x1c\x15\x02\x00\x15\x04\x00", {1: {1: 1}, 2: 2}),
        (b"\x1b\x00\x1b\x01\x58\x02\x01a\x15\x02\x00", {1: None, 2: None, 3: 1}),
    ],
)
def test_each_kind_of_value(data, fields):
    assert read_struct(data) == fields
    for end in range(len(data)):
        with pytest.raises(ValueError, match="truncated"):
            read_struct(data[:end])


@pytest.mark.parametrize(
    "data", [b"\x1d", b"\x19\xfd\x01", b"\x16" + b"\xff" * 10, b"\x18\xff\xff\xff\xff\x07", b"\x19\xf5\xff"]
)
def test_what_is_none_is_refused(data):
    with pytest.raises(ValueError, match=r"truncated|kind|64 bits"):
        read_struct(data)

"""Thrift's compact protocol, in which Parquet files describe themselves: read here, as pyarrow aborts at damaged ones.

https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

import struct
from collections.abc import Mapping
from typing import Any

TRUE, FALSE, BYTE, SHORT, INT, LONG, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
LONGEST_NUMBER = 10  # bytes of an integer


class _Cursor:
    """A place in what is read."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        """The next bytes; ValueError where there are fewer."""
        found = self.data[self.at : self.at + count]
        if len(found) < count:
            raise ValueError("truncated")
        self.at += count
        return found

    def unsigned(self) -> int:
        """An integer of seven bits a byte, the lowest first."""
        value = 0
        for number in range(LONGEST_NUMBER):
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << 7 * number
            if not byte & 0x80:
                return value
        raise ValueError("an integer of more than 64 bits")

    def signed(self) -> int:
        """An integer whose lowest bit is its sign."""
        value = self.unsigned()
        return value >> 1 ^ -(value & 1)


def read_struct(data: bytes) -> Mapping[int, Any]:
    """The values of a structure by the numbers of its fields: more of these, lists, numbers, bytes, None for a map.

    Raises ValueError for what is none.
    """
    return _struct(_Cursor(data))


def _struct(cursor: _Cursor) -> dict[int, Any]:
    fields: dict[int, Any] = {}
    number = 0
    while head := cursor.take(1)[0]:
        step, kind = head >> 4, head & 0xF
        number = number + step if step else cursor.signed()
        fields[number] = kind == TRUE if kind in (TRUE, FALSE) else _value(cursor, kind)
    return fields


def _value(cursor: _Cursor, kind: int) -> Any:
    if kind in (TRUE, FALSE, BYTE):
        return cursor.take(1)[0]
    if kind in (SHORT, INT, LONG):
        return cursor.signed()
    if kind == DOUBLE:
        return struct.unpack("<d", cursor.take(8))[0]
    if kind == BINARY:
        return cursor.take(cursor.unsigned())
    if kind in (LIST, SET):
        (head,) = cursor.take(1)
        count = head >> 4 if head >> 4 < 0xF else cursor.unsigned()
        return [_value(cursor, head & 0xF) for _ in range(count)]
    if kind == STRUCT:
        return _struct(cursor)
    if kind == MAP:
        if count := cursor.unsigned():
            (kinds,) = cursor.take(1)
            for _ in range(count):
                _value(cursor, kinds >> 4), _value(cursor, kinds & 0xF)
        return None
    raise ValueError(f"a value of kind {kind}")

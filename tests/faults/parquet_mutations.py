"""Damage to Parquet files: to what their columns are, and to what is in them."""

from contextlib import suppress
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import pyarrow
from pyarrow import parquet

OTHERS: tuple[Any, ...] = (None, 0, -1, 1.5, float("nan"), float("inf"), 2**62, "", "text", b"\xff", "a" * 5000, True)
OTHERS += ([], [None], [1.0], [[1.0]], {}, {"flux": [1.0]}, {"a": {"b": 1}})
WRITTEN: tuple[dict[str, Any], ...] = (
    *({"compression": name} for name in ("none", "gzip", "zstd", "brotli", "lz4")),
    *({"use_dictionary": False}, {"row_group_size": 1}, {"data_page_version": "2.0"}, {"version": "1.0"}),
    *({"data_page_size": 100}, {"write_statistics": False}, {"store_schema": False}),
)


def mutate_parquet(path: Path, chance: Random) -> None:
    """One column or field made another, gone, doubled or renamed; or all of it written in another way."""
    try:
        table = parquet.read_table(path)
    except Exception:  # bytes were damaged before
        return
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    how = {} if chance.random() < 0.8 else chance.choice(WRITTEN)
    if columns and not how:
        name = chance.choice(list(columns))
        fields = columns[name] and isinstance(columns[name][0], dict)
        if fields and chance.random() < 0.8:
            _change_field(columns[name], chance)
        else:
            _change(columns, name, chance)
    written = BytesIO()
    with suppress(pyarrow.ArrowException, TypeError, OverflowError):
        parquet.write_table(pyarrow.table(columns), written, **how)
        path.write_bytes(written.getvalue())


def _change_field(rows: list[Any], chance: Random) -> None:
    name = chance.choice(list(rows[0]))
    for row in rows if chance.random() < 0.5 else [chance.choice(rows)]:
        if isinstance(row, dict) and name in row:
            _change(row, name, chance)


def _change(tree: dict[str, Any], name: str, chance: Random) -> None:
    """A value by its name: another one, none, shorter, longer, or another in a list."""
    values, how = tree[name], chance.randrange(8)
    if how == 0:
        del tree[name]
    elif how == 1:
        tree[chance.choice((name.upper(), f"{name}2", "", "a.b", "teff"))] = tree.pop(name)
    elif how == 2 or not isinstance(values, list) or not values:
        tree[name] = chance.choice(OTHERS)
    elif how == 3:
        tree[name] = chance.choice((values[:-1], values[:1], values * 2, values[::-1]))
    else:
        values[chance.randrange(len(values))] = chance.choice(OTHERS)

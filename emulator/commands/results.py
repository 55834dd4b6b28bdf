"""Results as text: aligned tables for people, JSON for programs, and nothing that a terminal would obey."""

import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emulator.commands.writing import write_whole


def format_table(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows by the names of their cells as aligned lines, a header first; what a row lacks stays empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names, *([_text(row.get(name, "")) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells)


def _text(cell: object) -> str:
    return f"{cell:.4f}" if isinstance(cell, float) else printable(str(cell))


def printable(text: str, kept: str = "") -> str:
    """A stranger's text as a terminal may see it: what is not printable, but for `kept`, as an escape such as \\x1b."""
    return "".join(c if c.isprintable() or c in kept else c.encode("unicode_escape").decode() for c in text)


class PrintableRecord(logging.LogRecord):
    """What is logged, as a terminal may see it; lines stay lines."""

    def getMessage(self) -> str:
        """The message with its arguments."""
        return printable(super().getMessage(), kept="\n\t")


def write_json(path: Path, contents: Mapping[str, object]) -> None:
    """Write contents as JSON, all of it or nothing; what is no finite number as null."""
    write_whole(path, json.dumps(without_nan(contents), indent=2, allow_nan=False) + "\n")


def without_nan(value: Any) -> Any:
    """A value, or all values in a mapping or sequence, with None for NaN and infinity, which JSON does not know."""
    if isinstance(value, Mapping):
        return {name: without_nan(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

"""Standard output and error, whose reader may go away before the work is done, as `| head` does."""

import io
import sys
from typing import Any


class _Outlasting(io.FileIO):
    """A stream that loses what nobody reads any more."""

    def write(self, data: Any) -> int:
        """Write bytes, or say so."""
        try:
            return super().write(data)
        except BrokenPipeError:
            return len(data)


def outlast_readers() -> None:
    """Let what is printed go nowhere once nobody reads it, so that the work goes on to its end."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and stream is getattr(sys, f"__{name}__"):  # others are somebody's own
            stream.flush()
            raw = io.BufferedWriter(_Outlasting(stream.fileno(), "w", closefd=False))
            text = io.TextIOWrapper(raw, stream.encoding, stream.errors, line_buffering=stream.line_buffering)
            setattr(sys, name, text)

"""Standard output and error, whose reader may go away before the work is done; and the log, which may find no room."""

import io
import logging
import sys
from contextlib import suppress
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


class LogFile(logging.FileHandler):
    """A log beside the work: that it cannot be written is said once, and the work goes on."""

    def __init__(self, filename: str) -> None:
        super().__init__(filename, encoding="utf-8", delay=True)
        self.lost = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, if there was never a fault."""
        if self.lost:
            return
        try:
            super().emit(record)
        except OSError:  # of opening it
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Logging's call after a fault, which is the exception at hand."""
        self.lost = True
        print(f"{self.baseFilename} is not written on: {sys.exc_info()[1]}", file=sys.stderr)

    def close(self) -> None:
        """Close the file; what it did not take is lost."""
        with suppress(OSError):
            super().close()

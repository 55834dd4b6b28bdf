"""Files that are read for long: they have to stay as they are meanwhile."""

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from emulator.commands.errors import InputError


class FileState(NamedTuple):
    """What changes when a file does: its size in bytes, and when it was last changed, nanoseconds since 1970."""

    size: int
    modified: int

    @classmethod
    def of(cls, path: Path) -> "FileState":
        """That of a file; of one that is not there no size, in the year 1970."""
        if not path.exists():
            return cls(0, 0)
        found = path.stat()
        return cls(found.st_size, found.st_mtime_ns)

    def __str__(self) -> str:
        return f"{self.size} bytes of {datetime.fromtimestamp(self.modified / 1e9, UTC):%Y-%m-%d %H:%M:%S} UTC"


def check_unchanged(path: Path, known: FileState) -> None:
    """Raise InputError where a file is another than it was."""
    if (found := FileState.of(path)) != known:
        raise InputError(f"{path}: expected a file that stays as it is while it is read, {known}, got {found}")

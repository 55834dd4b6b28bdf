"""Files that appear whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from emulator.commands.errors import InputError


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its name once the block is through, and is deleted if it fails.

    Raises InputError where the folder cannot be made or `path` is itself a folder.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    if path.is_dir():
        raise InputError(f"{path}: expected a file to write, got a folder")
    try:  # all of it: a signal may come as soon as the file is there
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.touch()
        except OSError as error:
            raise InputError(f"{path}: expected a place to write a file, got '{error.strerror}'") from error
        yield temporary
        temporary.replace(path)
    finally:
        with suppress(OSError):  # where there is no place for a file there is none to delete
            temporary.unlink(missing_ok=True)


@contextmanager
def written_together(folder: Path) -> Iterator[Path]:
    """A temporary folder, whose files come to `folder` once the block is through, and which is deleted in any case.

    Other files that are in `folder` stay. Raises InputError where it cannot be written.
    """
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=existing))
    except OSError as error:
        raise InputError(f"{folder}: expected a place to write files, got '{error.strerror}'") from error
    try:
        yield temporary
        for path in [path for path in temporary.rglob("*") if path.is_file()]:
            target = folder / path.relative_to(temporary)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

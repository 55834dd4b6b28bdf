"""The one way in which files are written: whole or not at all, whatever ends a command.

A file is made beside its place under a name that nobody can guess, brought to the disk, and only then given its own.
What a process that was killed left behind is removed when the next one writes into the same folder.
"""

import errno
import hashlib
import io
import os
import platform
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.commands.errors import InputError
from emulator.commands.outputs import check_apart, check_own

if TYPE_CHECKING:
    from typing_extensions import Buffer

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
UNFINISHED = ".unfinished"
HERE = hashlib.blake2s(platform.node().encode(), digest_size=4).hexdigest()  # whose numbers of processes are known
NO_FOLDERS = (errno.EINVAL, errno.ENOTSUP, errno.EACCES)  # file systems that bring no folder to the disk


class Unfinished(io.FileIO):
    """A file that is to become `target`. What is written to it is written in full, or InputError raised."""

    def __init__(self, temporary: Path, target: Path) -> None:
        super().__init__(temporary, "xb+", opener=_open_new)
        self.target = target

    def write(self, content: "Buffer", /) -> int:
        """Write all of it; the system writes as much as there is room for, and says so only the next time."""
        left = memoryview(content).cast("B")
        size = len(left)
        while left:
            try:
                left = left[os.write(self.fileno(), left) :]
            except OSError as error:
                raise unwritable(self.target, error, 512 * os.fstat(self.fileno()).st_blocks, len(left)) from error
        return size

    def reserve(self, size: int) -> None:
        """Raise InputError where there is no room for so many bytes."""
        if size > shutil.disk_usage(self.target.parent).free:
            raise unwritable(self.target, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), left=size)


def unwritable(path: Path, error: OSError, written: int = 0, left: int = 0) -> InputError:
    """What the system says of writing to `path`; of a file of which so many bytes are written, and so many left."""
    problem = error.strerror or str(error)
    if error.errno not in NO_ROOM:
        return InputError(f"{path}: expected a place to write a file, got '{problem}'")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    needed, free = ((written + more) / 1e6 for more in (left, shutil.disk_usage(folder).free))
    at_least = f" for more than {needed:.1f} MB" if left else ""
    return InputError(f"{path}: expected room{at_least} in {folder}, got room for {free:.1f} MB ('{problem}')")


@contextmanager
def written_whole(path: str | Path) -> Iterator[Unfinished]:
    """A file open for writing, which takes the name `path` once the block is through, and is deleted if it fails.

    Raises InputError where `path` is a folder, its own folder cannot be made, or there is no room.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: expected a file to write, got a folder")
    temporary = path.with_name(_unfinished_name() + path.suffix)
    try:  # all of it: a signal may come as soon as the file is there
        with _told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_orphans(path.parent)
            file = Unfinished(temporary, path)
        with file:
            yield file
            with _told(path):
                os.fsync(file.fileno())
        with _told(path):
            temporary.replace(path)
            _sync(path.parent)
    finally:
        with suppress(OSError):  # where there is no place for a file there is none to delete
            temporary.unlink(missing_ok=True)


def write_whole(path: str | Path, content: "str | Buffer") -> None:
    """Write a file, text as UTF-8, as `written_whole` does."""
    with written_whole(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def written_together(
    folder: Path,
    names: Sequence[str],
    inputs: Mapping[str, str | Path | None],
    command: str,
    own: bool | None = None,
) -> Iterator[Path]:
    """A temporary folder, whose files come to `folder` once the block is through, and which is deleted in any case.

    names: of files that the command always writes; own: whether those that are in `folder` are its own of an earlier
    time, which are replaced; None: they are where the first of them is there. Other files stay: InputError where one of
    them would be replaced, or an input, or `folder` cannot be written.
    """
    own = (folder / names[0]).exists() if own is None else own

    def check(paths: Sequence[Path]) -> None:
        check_apart(paths, inputs)
        check_own(paths, own, command)

    check([folder / name for name in names])
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    temporary = existing / _unfinished_name()
    try:
        with _told(folder):
            remove_orphans(existing)
            temporary.mkdir()
        yield temporary
        with _told(folder):
            made = [path.relative_to(temporary) for path in temporary.rglob("*") if path.is_file()]
            check([folder / name for name in made])
            for name in sorted(made, key=lambda name: name != Path(names[0])):
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                (temporary / name).replace(target)
                _sync(target.parent)
    except InputError as error:  # as it is told to whoever asked for `folder`
        raise InputError(str(error).replace(str(temporary), str(folder))) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_orphans(folder: Path) -> None:
    """Remove what processes of this machine that are no more have left unfinished in a folder."""
    for entry in os.scandir(folder):
        of, _, process = entry.name.removeprefix(f"{UNFINISHED}-").partition("-")
        number = process.partition("-")[0]
        if not (entry.name.startswith(UNFINISHED) and of == HERE and number.isdecimal() and _is_dead(int(number))):
            continue
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            with suppress(OSError):  # somebody else's, or gone meanwhile
                Path(entry.path).unlink()


def _unfinished_name() -> str:
    return f"{UNFINISHED}-{HERE}-{os.getpid()}-{secrets.token_hex(8)}"


def _is_dead(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # another user's
        return False
    return False


def _open_new(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _sync(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in NO_FOLDERS:
            raise
    finally:
        os.close(handle)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What the system says about a place to write as one line."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error

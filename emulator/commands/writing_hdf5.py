"""HDF5 files that appear whole or not at all, and end in one line where there is no room."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from emulator.commands.errors import InputError
from emulator.commands.writing import Unfinished, unwritable, written_whole

if TYPE_CHECKING:
    from typing_extensions import Buffer


class _Forgiving:
    """What HDF5 writes to. When a write fails it keeps the reason, and from then on what is written in memory.

    HDF5 holds back much of a file until it is closed. Where that cannot be written it cannot close the file, and a
    process that ends with such a file open dies of a segmentation fault. So HDF5 is not told, and reads back what it
    wrote.
    """

    def __init__(self, file: Unfinished) -> None:
        self.file = file
        self.problem: InputError | None = None
        self.pieces: list[tuple[int, bytes]] = []  # where, what
        self.seek, self.tell, self.flush = file.seek, file.tell, file.flush

    def write(self, content: "Buffer") -> int:
        """Write all of it, to the disk if nothing has failed yet."""
        first = self.file.tell()
        if self.problem is None:
            try:
                return self.file.write(content)
            except InputError as problem:
                self.problem = problem
        self.pieces.append((first, bytes(content)))
        return memoryview(content).nbytes

    def truncate(self, size: int) -> int:
        """Make the file as long, on the disk if nothing has failed yet."""
        if self.problem is None:
            try:
                return self.file.truncate(size)
            except OSError as error:
                self.problem = unwritable(self.file.target, error)
        return size

    def read(self, size: int) -> bytes:
        """So many bytes from where the file is, fewer only at its end."""
        first = self.file.tell()
        found = bytearray(self.file.read(size) or b"")
        for place, piece in self.pieces:
            low, high = max(first, place), min(first + size, place + len(piece))
            if low < high:
                found.extend(bytes(max(0, high - first - len(found))))
                found[low - first : high - first] = piece[low - place : high - place]
        return bytes(found)


class HDF5Output(h5py.File):  # type: ignore[misc]  # h5py has no types
    """An HDF5 file that is being written."""

    def __init__(self, file: Unfinished) -> None:
        self.sink = _Forgiving(file)
        super().__init__(self.sink, "w")

    def check(self) -> None:
        """Raise InputError if something could not be written: what follows would be work for nothing."""
        if self.sink.problem is not None:
            raise self.sink.problem


@contextmanager
def written_hdf5(path: str | Path, needed: int = 0) -> Iterator[HDF5Output]:
    """An HDF5 file open for writing, which takes the name `path` once the block is through; needed: bytes, at least.

    Raises InputError where there is no place or no room for it.
    """
    with written_whole(path) as unfinished:
        unfinished.reserve(needed)
        file = HDF5Output(unfinished)
        try:
            with file:
                yield file
        except Exception:
            file.check()  # HDF5 may stumble over what it believes to be written
            raise
        file.check()

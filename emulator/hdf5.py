"""HDF5 files of others: looked through by a process of its own before they are opened.

libhdf5 was made for files that mean well. In a damaged or hostile one it may loop where no signal reaches it, take all
memory, end the process, or read other files than the one it was given. So a process of its own, whose time and memory
are limited, walks the whole file once: links, attributes, where datasets are stored, and texts, which lie elsewhere
than the dataset that names them. The values of other datasets are plain arrays, whose claimed sizes it compares with
what is stored.
"""

import faulthandler
import math
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np

from emulator.commands.errors import InputError, first_line, refusing

SECONDS = 1  # of computing, that a walk may take, and one more for each WALKED bytes of the file
WALKED, MOST_SECONDS = 2**24, 60
MEMORY = 2**30  # bytes, that a walk may take
SMALL = 2**28  # bytes: what claims no more can be read whatever it is
MOST_CHUNK = 2**28  # bytes: a chunk has to be held whole, twice
CHUNK_HEADER = 2**16  # bytes, that packing may add
MOST_PACKED = 100  # how many times smaller than its values a dataset is stored, if these say something
FILTERS = {  # that come with h5py and have no size of their own making
    h5py.h5z.FILTER_DEFLATE: True,  # whether it makes data smaller
    h5py.h5z.FILTER_LZF: True,
    h5py.h5z.FILTER_SHUFFLE: False,
    h5py.h5z.FILTER_FLETCHER32: False,
}
ROWS = 4096  # of texts, that are read together
MOST_REPORT = 4096  # bytes: so much goes through a pipe at once
SOUND = b"+"  # what a walk reports of a file without fault, and before a fault that it found
FAULT = b"-"


def is_hdf5(path: str | Path) -> bool:
    """Whether there is a file that begins as HDF5 does."""
    return Path(path).is_file() and bool(h5py.is_hdf5(path))


def open_hdf5(path: str | Path, expected: str) -> h5py.File:
    """The file, open for reading; expected: what it should be, for messages.

    Raises InputError where there is none, it is damaged, it holds what lies in other files (external links, external
    storage, virtual datasets), or a dataset claims more than the file can hold: in bytes, or as fill values or packed
    ones that no dataset of the same shape gives a reason for.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: expected {expected}, found no such file")
    with refusing(f"{path}: expected {expected}", "a truncated or other file"):
        found = Path(path).stat()
        fault = _fault(Path(path).resolve(), found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        if fault:
            raise InputError(f"{path}: expected {expected}, got {fault}")
        return h5py.File(path, "r")


def read_all(dataset: h5py.Dataset) -> np.ndarray:
    """All values of a dataset; InputError where they do not fit into memory."""
    needed = math.prod(dataset.shape) * dataset.dtype.itemsize
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    where = f"{dataset.file.filename}: expected '{dataset.name.removeprefix('/')}' to fit into memory"
    if needed > there / 2:
        raise InputError(f"{where}, got {needed / 2**30:.1f} GiB for {there / 2**30:.1f}")
    try:
        return np.asarray(dataset[()])
    except MemoryError as error:
        raise InputError(f"{where}, got {needed / 2**30:.1f} GiB") from error


def read_numbers(dataset: h5py.Dataset) -> np.ndarray:
    """All values of a dataset of real numbers, as float64; ValueError for another."""
    if dataset.dtype.kind not in "fiub":
        raise ValueError(f"'{dataset.name.removeprefix('/')}' of {dataset.dtype}")
    return read_all(dataset).astype("float64")


def read_label_names(file: h5py.File) -> tuple[str, ...]:
    """The names of labels that a file has, none where it has none; InputError for an empty or unprintable one."""
    stored = np.ravel(file.attrs.get("label_names", [])).tolist()
    # A byte that is not UTF-8 becomes what is not printable, as h5py makes of it.
    names = tuple(name.decode(errors="surrogateescape") if isinstance(name, bytes) else str(name) for name in stored)
    if wrong := [name for name in names if not name.strip() or not name.isprintable()]:
        got = f"{wrong[0][:40]!r} among {len(names)}" if wrong[0].strip() else f"an empty one among {len(names)}"
        raise InputError(f"{file.filename}: expected names of labels in attribute label_names, got {got}")
    return names


@lru_cache(maxsize=1024)
def _fault(path: Path, *state: int) -> str:
    """What is wrong with a file, nothing for one that may be opened; state: what changes when the file does."""
    seconds = min(SECONDS + path.stat().st_size // WALKED, MOST_SECONDS)
    reading, writing = os.pipe()
    try:
        walker = os.fork()
        if walker == 0:
            try:
                _limit(seconds)
                os.write(writing, _report(path))
            finally:
                os._exit(0)  # whatever happens: all else that this copy of the process holds is its parent's
        try:
            status = os.waitpid(walker, 0)[1]
        except BaseException:  # an interrupt
            os.kill(walker, signal.SIGKILL)
            os.waitpid(walker, 0)
            raise
        os.set_blocking(reading, False)  # a process that another thread made may hold the other end
        with suppress(BlockingIOError):
            if report := os.read(reading, MOST_REPORT):
                return report.removeprefix(SOUND).removeprefix(FAULT).decode(errors="replace")
    finally:
        os.close(reading)
        os.close(writing)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL):
        return f"a damaged file, which HDF5 does not get through in {seconds} s"
    return "a damaged file, at which HDF5 breaks down"


def _limit(seconds: int) -> None:
    faulthandler.disable()  # a breakdown here is a finding
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGXCPU):
        signal.signal(number, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    with suppress(OSError, ValueError):  # where /proc does not tell, or a lower limit is set
        held = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _report(path: Path) -> bytes:
    try:
        with h5py.File(path, "r") as file:
            fault = next(_faults(file, path.stat().st_size), "")
    except BlockingIOError:
        fault = "one that another program writes now"
    except MemoryError:
        fault = "a damaged file, which asks for more memory than there should be in it"
    except Exception as error:  # h5py raises anything
        fault = f"a truncated or other file ({first_line(error)})"
    return FAULT + fault.encode(errors="replace")[: MOST_REPORT - 1] if fault else SOUND


def _faults(file: h5py.File, size: int) -> Iterator[str]:
    """Walk a file of so many bytes; the first fault ends the walk."""
    groups, seen = [file["/"]], set()
    unlikely: dict[str, tuple[int, ...]] = {}  # datasets that are large and hardly stored, and their shapes
    likely: set[tuple[int, ...]] = set()
    while groups:
        group = groups.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                yield f"{name!r}, a link to another file"
            if (found := group.get(name)) is None:
                yield f"{name!r}, a link that leads nowhere"
            if (address := h5py.h5o.get_info(found.id).addr) in seen:
                continue
            seen.add(address)
            list(found.attrs.values())
            if isinstance(found, h5py.Group):
                groups.append(found)
            elif isinstance(found, h5py.Dataset) and found.shape is not None:
                yield from _faults_of_dataset(found, size)
                stored, claimed = found.id.get_storage_size(), math.prod(found.shape) * found.dtype.itemsize
                if claimed > max(SMALL, MOST_PACKED * stored):
                    unlikely[found.name] = found.shape
                else:
                    likely.add(found.shape)
    list(file.attrs.values())
    for name, shape in unlikely.items():
        # Errors and masks may be one value throughout, of which nothing is stored; flux of the same shape is not.
        if shape not in likely:
            yield f"{name.removeprefix('/')!r} of shape {shape}, of which next to nothing is stored"


def _faults_of_dataset(dataset: h5py.Dataset, size: int) -> Iterator[str]:
    name, creation = dataset.name.removeprefix("/"), dataset.id.get_create_plist()
    if creation.get_layout() == h5py.h5d.VIRTUAL or creation.get_external_count():
        yield f"{name!r}, whose values are in other files"
    if creation.get_layout() == h5py.h5d.CHUNKED:
        yield from _faults_of_chunks(dataset, size)
    elif (offset := dataset.id.get_offset()) is not None and offset + dataset.id.get_storage_size() > size:
        yield f"{name!r}, of which a part lies behind the file's end"
    length = 0
    for first in range(0, len(dataset) if dataset.dtype.hasobject and dataset.ndim else 0, ROWS):
        length += sum(len(value) for value in dataset[first : first + ROWS].flat if hasattr(value, "__len__"))
        if length > max(SMALL, size):
            yield f"{name!r}, whose values are longer than the file"


def _faults_of_chunks(dataset: h5py.Dataset, size: int) -> Iterator[str]:
    name, creation = dataset.name.removeprefix("/"), dataset.id.get_create_plist()
    filters = [creation.get_filter(number)[0] for number in range(creation.get_nfilters())]
    if unknown := [number for number in filters if number not in FILTERS]:
        yield f"{name!r} with filter {unknown[0]}, which is not read here"
    if sum(FILTERS[number] for number in filters) > 1:
        yield f"{name!r}, packed twice"
    chunk = math.prod(dataset.chunks) * dataset.dtype.itemsize
    if chunk > MOST_CHUNK:
        got = f"{name!r} in chunks of {chunk / 2**20:.0f} MiB"
        yield f"{got}, of which {MOST_CHUNK // 2**20} can be read: h5repack makes smaller ones"
    pieces: list[h5py.h5d.StoreInfo] = []
    dataset.id.chunk_iter(pieces.append)
    if any(piece.size > 2 * chunk + CHUNK_HEADER or piece.byte_offset + piece.size > size for piece in pieces):
        yield f"{name!r} with a chunk that is larger than it can be"

"""Rows of HDF5 datasets one after the other: of a file's spectra those of a part, and of all parts one file."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import h5py

from cyclegan.spectra.files import SUBSETS
from cyclegan.spectra.writer import check_made_by
from emulator.commands.errors import InputError
from emulator.commands.writing_hdf5 import HDF5Output, written_hdf5
from emulator.hdf5 import open_hdf5
from emulator.parts import MADE_OF

PIECE = 2**24  # bytes of a dataset that are copied together
REPORT = "report"  # a dataset or an attribute of a part: what the command that made it has to say
DROPPED = (MADE_OF, REPORT)  # of parts, what a file of all has not


def copy_rows(pieces: Sequence[tuple[h5py.Dataset, slice]], output: h5py.Group, name: str) -> None:
    """Write rows of datasets that differ in nothing but rows one after the other, as one dataset.

    Raises InputError where they differ in more.
    """
    first = pieces[0][0]
    for dataset, _ in pieces:
        if (dataset.dtype, dataset.shape[1:]) != (first.dtype, first.shape[1:]):
            expected = f"'{name}' of {first.dtype}, rows of shape {first.shape[1:]}"
            raise InputError(f"{dataset.file.filename}: expected {expected}, got {dataset.dtype}, {dataset.shape[1:]}")
    count = sum(rows.stop - rows.start for _, rows in pieces)
    filled = first.dtype.kind in "fiub"
    made = output.create_dataset(
        name, (count, *first.shape[1:]), first.dtype, fillvalue=first.fillvalue if filled else None
    )
    made.attrs.update(first.attrs)
    size = max(1, PIECE // max(1, first.dtype.itemsize * made.size // max(1, count)))
    written = 0
    for dataset, rows in pieces:
        # What is the same throughout takes no room.
        empty = filled and dataset.id.get_storage_size() == 0 and dataset.fillvalue == first.fillvalue
        for start in range(rows.start, rows.stop, size):
            stop = min(start + size, rows.stop)
            if not empty:
                made[written : written + stop - start] = dataset[start:stop]
            written += stop - start


def join_spectra(parts: Sequence[Path], output: Path, command: str) -> None:
    """Write one file of spectra of all parts, in their order; command: that made them.

    Raises InputError where the file there is another's, parts do not fit together, and where there is no room.
    """
    check_made_by(command, output)
    with ExitStack() as stack:
        files = [stack.enter_context(open_hdf5(path, "a part")) for path in parts]
        with written_hdf5(output, sum(path.stat().st_size for path in parts)) as joined:
            for name in dict.fromkeys(name for file in files for name in file if name not in DROPPED):
                _join(name, files, joined)
            for file in reversed(files):  # a part without spectra does not say how their labels are called
                joined.attrs.update({key: value for key, value in file.attrs.items() if key not in DROPPED})


def _join(name: str, files: Sequence[h5py.File], joined: HDF5Output) -> None:
    subset = name.rpartition(" ")[2]
    having = [file for file in files if name in file]
    if subset not in SUBSETS:
        having[0].copy(name, joined)
        return
    # A part has columns of the subsets that it has spectra of, and of no others.
    if lacking := [file for file in files if f"spectra {subset}" in file and name not in file]:
        raise InputError(f"{lacking[0].filename}: expected '{name}' in all parts or in none, got none here")
    copy_rows([(file[name], slice(0, len(file[name]))) for file in having], joined, name)
    joined.check()

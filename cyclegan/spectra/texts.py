"""Names of stars in HDF5 files, as whoever wrote them stored texts."""

import h5py

from cyclegan.spectra.tables import LONGEST
from emulator.commands.errors import InputError, refusing


def read_names(dataset: h5py.Dataset, rows: slice = slice(None)) -> list[str]:
    """The names (n,) in rows of a dataset of texts or numbers, without the blanks around them.

    Raises InputError, naming the row, for what a table could not hold: other encodings than UTF-8, a NUL, long texts.
    """
    where = f"{dataset.file.filename}: expected names in UTF-8 in '{dataset.name.removeprefix('/')}'"
    with refusing(where, "others"):
        are_texts = h5py.check_string_dtype(dataset.dtype) is not None
        texts = dataset.asstr("utf-8")[rows] if are_texts else dataset[rows].astype(str)
        names = [name.strip() for name in texts.tolist()]
    for row, name in enumerate(names, start=rows.start or 0):
        if "\0" in name or len(name) > LONGEST:
            raise InputError(
                f"{where}, of at most {LONGEST} characters and none of them NUL, got {name[:40]!r}, {len(name)}"
                f" characters, in row {row}"
            )
    return names

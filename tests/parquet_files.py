"""Parquet files with a row a spectrum, in the columns of the Multimodal Universe's table of APOGEE."""

from pathlib import Path

import numpy as np
import pyarrow
from pyarrow import parquet

from emulator.apogee import APOGEE, LOG_START, LOG_STEP, PIXELS

# As https://github.com/MultimodalUniverse/MultimodalUniverse makes them, in scripts/apogee/build_parent_sample.py.
PUBLISHED = 10.0 ** np.arange(LOG_START, LOG_START + PIXELS * LOG_STEP, LOG_STEP).astype("float32")[:PIXELS]


def write_parquet(path: Path, flux, error, bits, /, cut="7514", names=None, group=1000, flat=False, **columns) -> Path:
    """Spectra (n, 8575), cut to the pixels of the chips; columns: others, (n,) each, or instead of those written.

    group: rows that are stored together; flat: the lists are columns, not fields of the column `spectrum`.
    """
    flux, error, bits = (np.atleast_2d(values)[:, APOGEE.cuts[cut]] for values in (flux, error, bits))
    count = len(flux)
    lists = {
        "flux": flux.astype("float32"),
        "ivar": (1 / error**2).astype("float32"),
        "lambda": np.broadcast_to(PUBLISHED[APOGEE.cuts[cut]], flux.shape),
        "pix_bitmask": bits.astype("int64"),
    }
    lists |= {name: columns.pop(name) for name in list(columns) if name in lists}
    arrays = {name: _lists(values) for name, values in lists.items()}
    names = [f"2M{number:08d}+0000000" for number in range(count)] if names is None else names
    spectra = arrays if flat else {"spectrum": pyarrow.StructArray.from_arrays(list(arrays.values()), list(arrays))}
    table = {**spectra, "object_id": [f"{name.encode()!r}" for name in names], "restframe": [None] * count}
    parquet.write_table(pyarrow.table(table | columns), path, row_group_size=group)
    return path


def _lists(values) -> pyarrow.Array:
    if isinstance(values, np.ndarray):
        ends = np.arange(0, values.size + 1, values.shape[1], dtype="int32")
        return pyarrow.ListArray.from_arrays(ends, np.ascontiguousarray(values).ravel())
    return pyarrow.array(values)

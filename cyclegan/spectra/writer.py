"""Spectra to HDF5 files, a piece at a time as they come."""

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from torch import Tensor

from cyclegan.spectra.spectra import Spectra
from emulator.commands.errors import InputError
from emulator.commands.writing import written_whole

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
ROWS = 32  # of a dataset that grows, stored together: a megabyte


class SpectraWriter:
    """Appends spectra, a piece at a time, to a file in the layout of `SpectraFile`.

    counts: how many spectra each subset will get, where that is known: they are stored in one piece, which is quicker.
    What is the same in all pixels, as the errors of synthetic spectra and the mask of good ones, takes no room: HDF5
    gives a dataset's fill value where nothing was written.
    """

    def __init__(
        self,
        file: h5py.File,
        wavelength: Tensor,
        label_names: Sequence[str] = (),
        counts: Mapping[str, int] | None = None,
    ) -> None:
        self.file, self.counts = file, counts or {}
        self.datasets: dict[str, h5py.Dataset] = {}
        self.written: dict[str, int] = {}  # rows, by dataset
        file.attrs["medium"] = "vacuum"
        file["wavelength"] = wavelength.cpu().numpy()
        if label_names:
            file.attrs["label_names"] = list(label_names)

    def append(self, subset: str, spectra: Spectra, **columns: Tensor | np.ndarray | Sequence[str]) -> None:
        """Add spectra (n, P) to a subset; columns: n rows each of `labels`, `id` or others, stored as 'NAME SUBSET'."""
        flux, error, mask = (tensor.cpu().numpy() for tensor in spectra)
        for name, values in {"spectra": flux, "spectra_err": error, "mask": mask, **columns}.items():
            values = values.cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
            self._extend(f"{name} {subset}", values, self.counts.get(subset))

    def _extend(self, name: str, values: np.ndarray, count: int | None) -> None:
        first = self.written.setdefault(name, 0)
        last = self.written[name] = first + len(values)
        if name not in self.datasets:
            self.datasets[name] = self._create(name, values, count)
        dataset = self.datasets[name]
        if count is None:
            dataset.resize(last, axis=0)
        # A row tells most arrays that vary from those that do not.
        if not ((values[:1] == dataset.fillvalue).all() and (values == dataset.fillvalue).all()):
            dataset[first:last] = values

    def _create(self, name: str, values: np.ndarray, count: int | None) -> h5py.Dataset:
        """A dataset for rows like values (n, ...); its fill value is the first of them."""
        row_shape, texts = values.shape[1:], values.dtype.kind in "UO"
        growing = {"maxshape": (None, *row_shape), "chunks": (ROWS if row_shape else 1024, *row_shape)}
        return self.file.create_dataset(
            name,
            shape=(count or 0, *row_shape),
            dtype=h5py.string_dtype() if texts else values.dtype,
            fillvalue=None if texts or not values.size else values.flat[0],
            **(growing if count is None else {}),
        )


@contextmanager
def written_spectra(
    path: str | Path, wavelength: Tensor, label_names: Sequence[str] = (), counts: Mapping[str, int] | None = None
) -> Iterator[SpectraWriter]:
    """A SpectraWriter to a file that appears under its name only when the block is through.

    Raises InputError where there is no room for it.
    """
    with written_whole(path) as unfinished:
        file, writer, unclosed = h5py.File(unfinished, "w"), None, None
        try:
            writer = SpectraWriter(file, wavelength, label_names, counts)
            yield writer
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            raise InputError(f"{path}: expected room to write, got '{os.strerror(error.errno)}'") from error
        finally:
            if writer is not None:
                writer.datasets.clear()  # one that outlives a file which cannot be closed ends the process
            try:
                file.close()
            except (RuntimeError, OSError) as error:  # what HDF5 still held back found no room
                unclosed = error
        if unclosed is not None:
            raise InputError(f"{path}: expected room to write, got '{unclosed}'") from unclosed

"""Spectra to HDF5 files, a piece at a time as they come."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py
import numpy as np
from torch import Tensor

from cyclegan.spectra.spectra import Spectra
from emulator.commands.errors import InputError
from emulator.commands.outputs import check_own
from emulator.commands.writing_hdf5 import HDF5Output, written_hdf5
from emulator.hdf5 import open_hdf5

MAKER = "made_by"
ROWS = 32  # of a dataset that grows, stored together: a megabyte


class SpectraWriter:
    """Appends spectra, a piece at a time, to a file in the layout of `SpectraFile`.

    counts: how many spectra each subset will get, where that is known: they are stored in one piece, which is quicker.
    errors: whether the spectra have any; those that were only assumed are not written.
    What is the same in all pixels, as the errors of synthetic spectra and the mask of good ones, takes no room: HDF5
    gives a dataset's fill value where nothing was written.
    """

    def __init__(
        self,
        file: HDF5Output,
        wavelength: Tensor,
        label_names: Sequence[str] = (),
        counts: Mapping[str, int] | None = None,
        errors: bool = True,
    ) -> None:
        self.file, self.counts, self.errors = file, counts or {}, errors
        self.datasets: dict[str, h5py.Dataset] = {}
        self.written: dict[str, int] = {}  # rows, by dataset
        file.attrs["medium"] = "vacuum"
        file["wavelength"] = wavelength.cpu().numpy()
        if label_names:
            file.attrs["label_names"] = list(label_names)

    def append(self, subset: str, spectra: Spectra, **columns: Tensor | np.ndarray | Sequence[str]) -> None:
        """Add spectra (n, P) to a subset; columns: n rows each of `labels`, `id` or others, stored as 'NAME SUBSET'.

        Raises InputError where there is no room for them.
        """
        flux, error, mask = (tensor.cpu().numpy() for tensor in spectra)
        own = {"spectra": flux} | ({"spectra_err": error} if self.errors else {}) | {"mask": mask}
        for name, values in {**own, **columns}.items():
            values = values.cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
            self._extend(f"{name} {subset}", values, self.counts.get(subset))
        self.file.check()

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
    path: str | Path,
    command: str,
    wavelength: Tensor,
    label_names: Sequence[str] = (),
    counts: Mapping[str, int] | None = None,
    errors: bool = True,
) -> Iterator[SpectraWriter]:
    """A SpectraWriter to a file that appears under its name only when the block is through.

    command: that writes, whose name the file keeps: it replaces no other's. Raises InputError where the file there is
    another's, and where there is no room.
    """
    check_made_by(command, Path(path))
    flux = np.dtype("float32").itemsize * len(wavelength) * sum((counts or {}).values())
    with written_hdf5(path, flux) as file:
        yield SpectraWriter(file, wavelength, label_names, counts, errors)
        file.attrs[MAKER] = command  # last: attributes of an input may have been carried over


def check_made_by(command: str, path: Path) -> None:
    """Raise InputError where a file is there that is not one of spectra which this command made."""
    maker = None
    with suppress(InputError), open_hdf5(path, "a file of spectra") as file:
        maker = str(file.attrs.get(MAKER))
    check_own([path], maker == command, command)

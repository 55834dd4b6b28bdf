"""The grid of spectra an emulator learns from: making the built-in one, reading it or the user's own.

A grid is an HDF5 file of `spectra` (n, P), continuum-normalised flux; `labels` (n, L); `wavelength` (P,), Angstrom,
ascending; and the attributes `label_names` (L strings) and `medium`, which is "vacuum".
"""

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import NamedTuple

import h5py
import joblib
import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from threadpoolctl import threadpool_limits
from torch import Tensor

from emulator.commands.errors import InputError, refusing
from emulator.commands.progress import progress
from emulator.commands.writing_hdf5 import written_hdf5
from emulator.flux import check_flux
from emulator.hdf5 import open_hdf5, read_all, read_label_names, read_numbers
from emulator.labels import LABELS, SENTINEL, sample_grid_labels
from emulator.lines import Lines
from emulator.synthesis import synthesize

log = logging.getLogger(__name__)

FORMAT_VERSION = 1
HELD_OUT = 0.05  # of the spectra, once for validation and once for the test
FEWEST_SPECTRA = 20  # so that there is one of each
GRID = "a grid of spectra in HDF5"
BUILT_IN = "built-in"  # what a grid says of its line list if it is the synthesiser's own


def make_grid(
    path: str | Path,
    n: int,
    seed: int,
    wavelength: np.ndarray,
    workers: int | None = None,
    lines: Lines | None = None,
) -> None:
    """Draw n stars, synthesise each at wavelength (P,) in `workers` processes (None: one a core), write the grid.

    lines: None for the built-in ones. The file appears under its name only when complete.
    """
    labels = sample_grid_labels(n, np.random.default_rng(seed))
    with written_hdf5(path) as file:
        file.attrs.update(format_version=FORMAT_VERSION, medium="vacuum", seed=seed, label_names=list(LABELS))
        file.attrs["lines"] = lines.fingerprint() if lines else BUILT_IN
        file["wavelength"], file["labels"] = wavelength, labels
        rows = file.create_dataset("spectra", (n, len(wavelength)), "float32")
        pool = ProcessPoolExecutor(workers or joblib.cpu_count(), get_context("spawn"), _start_worker)
        try:
            stars = pool.map(partial(synthesize, wavelength=wavelength, lines=lines), labels, chunksize=4)
            for row, flux in enumerate(progress(stars, "synthesising spectra", total=n, unit="star")):
                check_flux(flux[None], f"{path}: star {row}, of this line list")
                rows[row] = flux
                file.check()
        finally:
            pool.shutdown(cancel_futures=True)  # otherwise an interrupted grid is computed to its end first


def _start_worker() -> None:
    """Cores are shared by process, not by thread; and a worker whose parent was killed would wait for ever."""
    threadpool_limits(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None  # only workers wait
    parent.join()
    os._exit(1)


def find_or_make_grid(
    path: str | Path,
    n: int,
    seed: int,
    wavelength: np.ndarray,
    workers: int | None = None,
    lines: Lines | None = None,
) -> None:
    """Keep the synthetic grid at `path` if it is the one that `make_grid` would write today, else make it.

    "Today" includes the synthesiser: the first star is computed again and compared; and a grid that `read_grid` refuses
    is none. Raises InputError where the file was not written by `make_grid`, rather than overwrite someone's data.
    """
    if Path(path).exists():
        with open_hdf5(path, GRID) as file, refusing(f"{path}: expected {GRID}"):
            if "seed" not in file.attrs:
                raise InputError(f"{path}: expected the built-in grid or nothing, got other data; use it as grid.path")
            same_lines = file.attrs.get("lines", BUILT_IN) == (lines.fingerprint() if lines else BUILT_IN)
        if same_lines and _is_todays(path, sample_grid_labels(n, np.random.default_rng(seed)), wavelength, lines):
            return
    make_grid(path, n, seed, wavelength, workers, lines)


def _is_todays(path: str | Path, labels: np.ndarray, wavelength: np.ndarray, lines: Lines | None) -> bool:
    try:
        grid = read_grid(path)
    except InputError as problem:
        log.warning("%s; it is made again", problem)
        return False
    return (
        np.array_equal(grid.labels, labels)
        and np.array_equal(grid.wavelength, wavelength)
        and np.allclose(grid.spectra[0], synthesize(labels[0], wavelength, lines), atol=1e-4)
    )


class Grid(NamedTuple):
    """Spectra (n, P) float32, labels (n, L), wavelength (P,) vacuum Angstrom, and L label names."""

    spectra: np.ndarray
    labels: np.ndarray
    wavelength: np.ndarray
    label_names: tuple[str, ...]


def read_grid(path: str | Path) -> Grid:
    """Read and check a whole grid; InputError says in one line what is wrong with it and where.

    A file of spectra to train translators with is one too: its `spectra train` and `labels train`. Spectra with an
    unknown label, NaN, are left out and counted. A number that stands for none, as -9999, is refused: in a grid, whose
    labels were chosen, it is a mistake.
    """
    with open_hdf5(path, GRID) as file, refusing(f"{path}: expected {GRID}"):
        ours = isinstance(file.get("spectra train"), h5py.Dataset) and "spectra" not in file
        datasets = ("spectra train", "labels train", "wavelength") if ours else ("spectra", "labels", "wavelength")
        for name in datasets:
            if not isinstance(file.get(name), h5py.Dataset):
                raise InputError(f"{path}: expected datasets {', '.join(datasets)}, got no '{name}'")
        absent = {"medium": "vacuum" if ours else "none", "format_version": FORMAT_VERSION}
        for name, expected in (("medium", "vacuum"), ("format_version", FORMAT_VERSION)):
            if (found := file.attrs.get(name, absent[name])) != expected:
                raise InputError(f"{path}: expected attribute {name} = {expected}, got {found}")
        with refusing(f"{path}: expected arrays of numbers", "damaged or other data"):
            labels, wavelength = (read_numbers(file[name]) for name in datasets[1:])
            spectra = read_all(file[datasets[0]]).astype("float32", casting="same_kind", copy=False)
        names = read_label_names(file)

    if not (spectra.ndim == labels.ndim == 2 and wavelength.ndim == 1):
        shapes = f"{spectra.shape}, {labels.shape}, {wavelength.shape}"
        raise InputError(f"{path}: expected spectra (n, P), labels (n, L), wavelength (P,), got {shapes}")
    for what, expected, found in (
        ("rows of labels, as of spectra", len(spectra), len(labels)),
        ("wavelengths, as pixels of spectra", spectra.shape[1], len(wavelength)),
        ("different names in attribute label_names, as columns of labels", labels.shape[1], len(set(names))),
    ):
        if expected != found:
            raise InputError(f"{path}: expected {expected} {what}, got {found}")
    unknown = np.isnan(labels).any(axis=1)
    if (known := int((~unknown).sum())) < FEWEST_SPECTRA:
        left_out = f" and {len(spectra) - known} with unknown labels" if unknown.any() else ""
        raise InputError(f"{path}: expected at least {FEWEST_SPECTRA} spectra, got {known}{left_out}")
    _check_values(path, Grid(spectra, labels, wavelength, names))
    if unknown.any():
        log.info("%s: left out %d of %d spectra, as a label of theirs is unknown", path, unknown.sum(), len(spectra))
        spectra, labels = spectra[~unknown], labels[~unknown]
    check_flux(spectra, str(path))
    if (still := np.ptp(labels.astype("float32"), axis=0) == 0).any():
        raise InputError(f"{path}: expected labels that vary, got one value of '{names[int(np.argmax(still))]}'")
    return Grid(spectra, labels, wavelength, names)


def _check_values(path: str | Path, grid: Grid) -> None:
    """Raise InputError for what is not finite or no label, at its place in the file; rows with an unknown label, which
    are left out, may hold anything.
    """
    unknown = np.isnan(grid.labels).any(axis=1)
    for name, values in zip(Grid._fields[:3], grid[:3], strict=True):
        used = np.ones(len(values), bool) if name == "wavelength" else ~unknown
        wrong = ~np.isfinite(values) & used.reshape(-1, *[1] * (values.ndim - 1))
        if wrong.any():
            where = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise InputError(f"{path}: expected finite {name}, got {values[where]} at {where} of '{name}'")
    if (most := np.abs(np.nan_to_num(grid.labels)).max()) > np.finfo("float32").max:
        raise InputError(f"{path}: expected labels that single precision holds, got {most:g}")
    if (none := grid.labels <= SENTINEL).any():
        row, column = np.argwhere(none)[0].tolist()
        raise InputError(
            f"{path}: expected '{grid.label_names[column]}' of each star, or NaN where it is unknown, got"
            f" {grid.labels[row, column]:g} in row {row} ({int(none.any(axis=1).sum())} rows in all)"
        )
    if (steps := np.diff(grid.wavelength)).min(initial=np.inf) <= 0:
        raise InputError(
            f"{path}: expected ascending wavelengths, got a descent after pixel {int(np.argmax(steps <= 0))}"
        )
    if (first := grid.wavelength.min(initial=np.inf)) <= 0:
        raise InputError(f"{path}: expected wavelengths above 0, got {first:g}")


class RandomBatches:
    """`steps` batches of `size` rows of each tensor, in an order drawn anew when fewer than a batch of it are left.

    The rows are indexed on the tensors' own device: no copies, no Python for each star.
    """

    def __init__(self, tensors: Sequence[Tensor], size: int, steps: int = 1, seed: int = 0) -> None:
        self.tensors, self.size, self.steps, self.seed = tensors, min(size, len(tensors[0])), steps, seed

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        generator = torch.Generator().manual_seed(self.seed)
        device = self.tensors[0].device
        order = torch.empty(0, dtype=torch.long, device=device)
        for _ in range(self.steps):
            if len(order) < self.size:
                order = torch.randperm(len(self.tensors[0]), generator=generator).to(device)
            batch, order = order[: self.size], order[self.size :]
            yield tuple(tensor[batch] for tensor in self.tensors)


class GridData(LightningDataModule):
    """A grid split by seed into training, validation and test spectra.

    train, validation, test: (labels (n, L), flux (n, P)), float32. Training batches are (labels, c) with c (B, K)
    the spectra's coefficients of K principal components: flux = mean (P,) + c components (K, P). An epoch is `steps`
    batches; held-out spectra come as one batch of (labels, flux). All of them lie on `device`.
    """

    def __init__(
        self,
        path: str | Path,
        components: int,
        batch_size: int,
        steps: int,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__()
        spectra, stars, wavelength, self.label_names = read_grid(path)
        self.wavelength = torch.from_numpy(wavelength)
        labels, flux = torch.from_numpy(stars).float(), torch.from_numpy(spectra)
        self.label_low, self.label_high = labels.aminmax(dim=0)
        order = torch.randperm(len(flux), generator=torch.Generator().manual_seed(seed))
        held_out = round(HELD_OUT * len(flux))
        splits = order.split([held_out, held_out, len(flux) - 2 * held_out])
        test, validation, train = ((labels[rows], flux[rows]) for rows in splits)
        self.batch_size, self.steps, self.seed = batch_size, steps, seed

        self.mean = train[1].mean(dim=0)
        rank = min(components, *train[1].shape)
        self.components = torch.svd_lowrank(train[1] - self.mean, q=rank, niter=4)[2].T.contiguous()
        self.coefficients = ((train[1] - self.mean) @ self.components.T).to(device)
        self.train, self.validation, self.test = (
            (own.to(device), theirs.to(device)) for own, theirs in (train, validation, test)
        )

    def train_dataloader(self) -> RandomBatches:
        """Labels and coefficients."""
        return RandomBatches((self.train[0], self.coefficients), self.batch_size, self.steps, self.seed)

    def val_dataloader(self) -> RandomBatches:
        """Labels and flux, all at once."""
        return RandomBatches(self.validation, size=len(self.validation[0]))

"""A population given as a table of labels."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import torch
from torch import Tensor

from cyclegan.domains.population import Drawn, Population
from cyclegan.spectra.tables import numbers, read_table
from emulator.commands.errors import InputError, refusing
from emulator.hdf5 import is_hdf5, open_hdf5, read_label_names, read_numbers
from emulator.labels import UNITS, is_known
from emulator.payne import Payne

FEWEST_STARS = 20  # of a table: fewer say next to nothing about spreads and correlations


@dataclass(frozen=True)
class Table(Population):
    """Stars like those of a file of labels: a CSV table, an HDF5 grid, or a file of spectra with labels.

    path: of the file; smoothing: the kernel's share of the table's spread (`Drawn`). Correlations are kept.
    """

    path: str
    smoothing: float = field(default=0.1, metadata={"minimum": 0.0})

    def settled(self, emulator: Payne) -> Population:
        """The stars of the file; InputError where it lacks a label, has gaps, too few stars, or stars out of range."""
        columns = read_columns(self.path)
        if missing := [name for name in emulator.label_names if name not in columns]:
            raise InputError(
                f"{self.path}: expected the emulator's labels {', '.join(emulator.label_names)}, got no"
                f" {', '.join(missing)}"
            )
        labels = torch.stack([columns[name] for name in emulator.label_names], dim=1).float()
        if len(labels) < FEWEST_STARS:
            raise InputError(f"{self.path}: expected at least {FEWEST_STARS} stars, got {len(labels)}")
        low, high = emulator.label_low.cpu(), emulator.label_high.cpu()
        for i, name in enumerate(emulator.label_names):
            values, unit = labels[:, i], UNITS.get(name, "")
            gaps = ~is_known(values)
            if gaps.any():
                row = int(gaps.nonzero()[0])
                raise InputError(
                    f"{self.path}: expected a number for '{name}' of each star, got {values[row]:g} in row {row}, and"
                    f" none in {int(gaps.sum())} of {len(values)} rows"
                )
            outside = (values < low[i]) | (values > high[i])
            if outside.any():
                raise InputError(
                    f"{self.path}: expected '{name}' of {low[i]:.6g} to {high[i]:.6g} {unit}".rstrip()
                    + f", the emulator's range, got {int(outside.sum())} of {len(values)} stars outside it, from"
                    f" {values.min():.6g} to {values.max():.6g}"
                )
        return Drawn(labels, self.smoothing, torch.zeros(len(low)))

    def sample(self, emulator: Payne, stars: int, generator: torch.Generator) -> Tensor:
        """Labels (stars, L)."""
        return self.settled(emulator).sample(emulator, stars, generator)


def read_columns(path: str | Path) -> Mapping[str, Tensor]:
    """Each label (n,) of the stars of a file, by name: all columns of a CSV table that are numbers, gaps as NaN.

    An HDF5 file has `labels` (n, L), or `labels train` as a file of spectra has it, and the attribute `label_names`.
    Raises InputError for another file.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: expected a table of labels, found no file")
    if not is_hdf5(path):
        columns = {}
        for name, texts in read_table(path).items():
            try:
                values = numbers([text.strip() or "nan" for text in texts], name)
            except InputError:  # a column of names
                continue
            columns[name] = torch.tensor(values, dtype=torch.float64)
        return columns
    with open_hdf5(path, "a table of labels") as file, refusing(f"{path}: expected a table of labels"):
        found = next((file[name] for name in ("labels", "labels train") if name in file), None)
        names = read_label_names(file)
        if not (isinstance(found, h5py.Dataset) and found.ndim == 2 and found.shape[1] == len(names)):
            shape = "none" if not isinstance(found, h5py.Dataset) else f"shape {found.shape} beside {len(names)} names"
            raise InputError(
                f"{path}: expected labels (stars, L) in 'labels' or 'labels train', and L 'label_names', got {shape}"
            )
        return dict(zip(names, torch.from_numpy(read_numbers(found)).T, strict=True))

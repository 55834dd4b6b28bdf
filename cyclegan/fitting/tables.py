"""Fitted labels as files."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import torch
from torch import Tensor

from cyclegan.fitting.fitter import Fitted
from cyclegan.spectra.tables import FAMILIAR_COLUMNS, FIT_COLUMNS, STAR_COLUMNS, write_rows
from cyclegan.trained.familiarity import has_counterpart
from cyclegan.trained.sources import FileSource
from emulator.commands.errors import refusing
from emulator.commands.writing_hdf5 import written_hdf5
from emulator.hdf5 import open_hdf5
from emulator.parts import MADE_OF

STORED = {"error": "labels_err", "split": "latent_split"}  # what files call fields of `Fitted`, where that differs
RATE = "rate"  # of a part: stars a second


def write_table(
    found: dict[str, Fitted], distances: dict[str, Tensor], file: FileSource, names: Sequence[str], path: Path
) -> None:
    """One row a star: its subset, name or row, labels with errors, and how the fit went, as CSV.

    distances (n,): from training stars, of each subset, or of none.
    """
    columns = [column for name in names for column in (name, f"{name}_err")]
    header = [*STAR_COLUMNS, *columns, *FIT_COLUMNS, *(FAMILIAR_COLUMNS if distances else ())]
    rows: list[list[object]] = []
    for subset, one in found.items():
        identities = file.identities(subset) or range(len(one.labels))
        numbers = torch.stack([one.labels, one.error], dim=2).flatten(1).numpy().astype("float32")
        flags = torch.stack([one.converged, one.at_bound]).int().T.tolist()
        last = zip(one.velocity.tolist(), one.chi2.tolist(), one.agreeing.tolist(), strict=True)
        familiar = familiar_texts(distances[subset]) if distances else [()] * len(one.labels)
        for star in zip(identities, numbers, last, one.pixels.tolist(), flags, familiar, strict=True):
            identity, values, others, pixels, (converged, at_bound), beside = star
            velocity, chi2, agreeing = (f"{value:.6g}" for value in others)
            texts = map(str, values)  # the shortest that give the same float32
            rows.append([subset, identity, *texts, velocity, chi2, pixels, converged, at_bound, agreeing, *beside])
    write_rows(path, header, rows)


def familiar_texts(distance: Tensor) -> list[tuple[str, ...]]:
    """What a table says of each star at a distance (n,) from training stars: that, and 1 if it has a counterpart."""
    flags = has_counterpart(distance).int().tolist()
    return [(f"{value:.6g}", str(flag)) for value, flag in zip(distance.tolist(), flags, strict=True)]


class Fits(NamedTuple):
    """Fits of stars, by way and by subset; how many a second by way; distances (n,) from training stars by subset.

    distances: of no subset where the run keeps no training stars.
    """

    results: dict[str, dict[str, Fitted]]
    rates: dict[str, float]
    distances: dict[str, Tensor]


def write_labels(fits: Fits, names: Sequence[str], path: Path, word: str | None = None) -> None:
    """The same, with covariances and split latents, as HDF5: a group for each way, 'NAME SUBSET' in each.

    What is known of the stars whichever way they are fitted stands above the groups. word: of a part, what it is made
    of.
    """
    with written_hdf5(path) as file:
        file.attrs["label_names"] = list(names)
        if word is not None:
            file.attrs[MADE_OF] = word
        for through, found in fits.results.items():
            group = file.create_group(through)
            if word is not None:
                group.attrs[RATE] = fits.rates[through]
            for subset, one in found.items():
                for name, values in one._asdict().items():
                    group[f"{STORED.get(name, name)} {subset}"] = values.numpy()
        for subset, distance in fits.distances.items():
            for name, values in zip(FAMILIAR_COLUMNS, (distance, has_counterpart(distance)), strict=True):
                file[f"{name} {subset}"] = values.numpy()


def read_parts(paths: Sequence[Path], subsets: Sequence[str], ways: Sequence[str]) -> Fits:
    """The fits of all parts as if they were made together; InputError for a damaged part."""
    expected = "a part of fits"
    with ExitStack() as stack:
        files = [stack.enter_context(open_hdf5(path, expected)) for path in paths]
        with refusing(f"{paths[0].parent}: expected parts of fits", "damaged ones"):
            results = {
                way: {subset: _joined([file[way] for file in files], subset) for subset in subsets} for way in ways
            }
            rates = {}
            for way in ways:
                counts = [sum(len(file[way][name]) for name in file[way] if name.startswith("chi2 ")) for file in files]
                seconds = sum(count / file[way].attrs[RATE] for count, file in zip(counts, files, strict=True))
                rates[way] = sum(counts) / seconds
            column = FAMILIAR_COLUMNS[0]
            distances = {
                subset: _rows(files, f"{column} {subset}")
                for subset in subsets
                if any(f"{column} {subset}" in file for file in files)
            }
    return Fits(results, rates, distances)


def _joined(groups: Sequence[h5py.Group], subset: str) -> Fitted:
    return Fitted(*(_rows(groups, f"{STORED.get(name, name)} {subset}") for name in Fitted._fields))


def _rows(groups: Sequence[h5py.Group], name: str) -> Tensor:
    return torch.from_numpy(np.concatenate([group[name][()] for group in groups if name in group]))

"""Fitted labels as files."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from cyclegan.fitting.fitter import Fitted
from cyclegan.spectra.tables import FAMILIAR_COLUMNS, FIT_COLUMNS, STAR_COLUMNS, write_rows
from cyclegan.trained.familiarity import has_counterpart
from cyclegan.trained.sources import FileSource
from emulator.commands.writing_hdf5 import written_hdf5


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


def write_labels(
    results: dict[str, dict[str, Fitted]], distances: dict[str, Tensor], names: Sequence[str], path: Path
) -> None:
    """The same, with covariances and split latents, as HDF5: a group for each way, 'NAME SUBSET' in each.

    What is known of the stars whichever way they are fitted stands above the groups.
    """
    with written_hdf5(path) as file:
        file.attrs["label_names"] = list(names)
        for through, found in results.items():
            for subset, one in found.items():
                for name, values in one._asdict().items():
                    stored = {"error": "labels_err", "split": "latent_split"}.get(name, name)
                    file[f"{through}/{stored} {subset}"] = values.numpy()
        for subset, distance in distances.items():
            for name, values in zip(FAMILIAR_COLUMNS, (distance, has_counterpart(distance)), strict=True):
                file[f"{name} {subset}"] = values.numpy()

"""What is known of the labels of observed stars, roughly and of some, and what that says of all of them.

A spectrum says more about one star than such labels do. But theory's errors move the labels of all stars alike, and
that is what labels of many stars tell: they calibrate the labels that a search found, and never pair a star.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cyclegan.pairing.search import Found, labels_behind
from cyclegan.spectra.tables import numbers, read_labels, read_rows, read_table
from emulator.commands.errors import InputError, refusing
from emulator.hdf5 import is_hdf5, open_hdf5, read_label_names, read_numbers
from emulator.labels import is_known
from emulator.payne import Payne

SLOPE = 0.2  # by so much, 1 sigma, may labels found be stretched or bent, in units of their spread
EXACT = 0.01  # of the emulator's range: the error of labels of anchors
ROW = "obs"  # the column that says which training spectrum a row of a table is of


@dataclass(frozen=True)
class Known:
    """Labels (M, L) of observed training stars and their errors (M, L), 1 sigma; NaN where nothing is known."""

    labels: Tensor
    errors: Tensor


def read_known(path: str | Path, names: tuple[str, ...], rows: Tensor) -> Known:
    """What a file knows of the labels `names` of observed training stars.

    A CSV table has a column ROW, the star's row among the file's training spectra from 0, and for each label that it
    knows `<label>` and `<label>_err`. An HDF5 file has `labels train` and `labels_err train`, a row for each spectrum,
    and the attribute `label_names`. rows (file's spectra,): which training star each is here, -1 for none. Raises
    InputError for another file, a row that is not there, a label without its error, or where nothing is known.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: expected a table of what is known of observed stars, found no file")
    read = _from_hdf5 if is_hdf5(path) else _from_csv
    where, *tables = read(path, names, len(rows))
    labels, errors = (table.float() for table in tables)  # before they are judged: it holds less
    unknown = ~(is_known(labels) & is_known(errors))
    if (wrong := ~unknown & (errors <= 0)).any():
        row, column = wrong.nonzero()[0].tolist()
        raise InputError(
            f"{path}: expected an error of '{names[column]}' above 0, got {errors[row, column]:g} in row {row}"
        )
    stars = rows[where]
    here = stars >= 0
    known = Known(*(torch.full((int(rows.max()) + 1, len(names)), torch.nan) for _ in range(2)))
    for kept, values in ((known.labels, labels), (known.errors, errors)):
        kept[stars[here]] = values.masked_fill(unknown, torch.nan)[here]
    if not known.labels.isfinite().any():
        raise InputError(
            f"{path}: expected labels of the emulator ({', '.join(names)}) of some stars, each with its error, got none"
        )
    return known


def _from_hdf5(path: str | Path, names: tuple[str, ...], spectra: int) -> tuple[Tensor, Tensor, Tensor]:
    expected = "what is known of observed stars"
    with open_hdf5(path, expected) as file, refusing(f"{path}: expected {expected}"):
        columns = read_label_names(file)
        tables = []
        for name in ("labels train", "labels_err train"):
            found = getattr(file.get(name), "shape", None)
            if found != (spectra, len(columns)):
                expected = f"'{name}' of shape {(spectra, len(columns))} (training spectra, label_names)"
                raise InputError(f"{path}: expected {expected}, got {'none' if found is None else found}")
            values = torch.from_numpy(read_numbers(file[name]))
            empty = torch.full((spectra,), torch.nan, dtype=torch.float64)
            tables.append(torch.stack([values[:, columns.index(n)] if n in columns else empty for n in names], dim=1))
    return torch.arange(spectra), tables[0], tables[1]


def _from_csv(path: str | Path, names: tuple[str, ...], spectra: int) -> tuple[Tensor, Tensor, Tensor]:
    columns = read_table(path)
    if ROW not in columns:
        raise InputError(
            f"{path}: expected a column '{ROW}', the rows of the training spectra, got {', '.join(columns)}"
        )
    for name in names:
        if name in columns and f"{name}_err" not in columns:
            raise InputError(f"{path}: expected a column '{name}_err' beside '{name}', got {', '.join(columns)}")
    rows = torch.tensor(read_rows(columns[ROW], spectra, ROW, path))

    def table(suffix: str) -> Tensor:
        found = []
        for name in names:
            texts = columns.get(name + suffix, ("nan",) * len(rows))
            filled = [text.strip() or "nan" for text in texts]
            found.append(numbers(filled, f"{path}: expected a number for '{name}{suffix}'"))
        return torch.tensor(found, dtype=torch.float64).T

    return rows, table(""), table("_err")


def known_of_anchors(path: str | Path, emulator: Payne, rows: Tensor) -> Known:
    """What anchors say, a table as `read_anchors` takes it: all labels of the observed training stars that it names.

    rows (file's spectra,): which training star each is here, -1 for none.
    """
    columns = read_table(path)
    stars = rows[read_rows(columns[ROW], len(rows), ROW, path)]
    known = Known(*(torch.full((int(rows.max()) + 1, len(emulator.label_names)), torch.nan) for _ in range(2)))
    known.labels[stars] = read_labels(columns, emulator, path)
    known.errors[stars] = EXACT * (emulator.label_high - emulator.label_low).cpu()
    return known


def calibrated(found: Found, known: Known) -> tuple[Tensor, Tensor, Tensor]:
    """Labels (M, L) as what is known says that those found should be; their scatter (L,) besides; offsets' errors (L,).

    A known label is taken for a quadratic function of all labels found, with an offset that is free and deviations
    from what was found of SLOPE, each star weighed by its error and by how far the labels found scatter. Their errors
    bring no spread of their own. Labels of which nothing is known move such that the gap changes least.
    """
    labels, L = found.labels.clone(), found.labels.shape[1]
    centre, spread = found.labels.mean(dim=0), found.labels.std(dim=0).clamp_min(1e-9)
    terms = _quadratic((found.labels - centre) / spread)
    prior = torch.full((terms.shape[1],), SLOPE**-2).diag()
    prior[0, 0] = 1e-6
    scatter, error = torch.zeros(L), torch.full((L,), torch.inf)
    told = (known.labels.isfinite() & ~found.lonely[:, None]).any(dim=0)
    for column in told.nonzero()[:, 0].tolist():
        rows = known.labels[:, column].isfinite() & ~found.lonely
        off = (known.labels[rows, column] - found.labels[rows, column]) / spread[column]
        variance = (known.errors[rows, column] / spread[column]).square()
        own, theirs = torch.tensor(0.05), terms[rows]
        for _ in range(5):
            weight = 1 / (variance + own)
            precision = (theirs * weight[:, None]).T @ theirs + prior
            move = torch.linalg.solve(precision, theirs.T @ (weight * off))
            left = (off - theirs @ move).square() - variance
            own = ((weight.square() * left).sum() / weight.square().sum()).clamp_min(1e-4)
        labels[:, column] += spread[column] * (terms @ move)
        scatter[column] = spread[column] * own.sqrt()
        error[column] = spread[column] * torch.linalg.inv(precision)[0, 0].sqrt()
    if told.any() and not told.all():
        moved = (labels - found.labels)[:, told].mean(dim=0) @ found.effect[told]
        labels[:, ~told] -= labels_behind(moved[None], found.effect[~told], found.width[~told])
    return labels, scatter, error


def _quadratic(labels: Tensor) -> Tensor:
    first, second = torch.triu_indices(labels.shape[1], labels.shape[1])
    products = labels[:, first] * labels[:, second]
    return torch.cat([torch.ones(len(labels), 1), labels, products - products.mean(dim=0)], dim=1)

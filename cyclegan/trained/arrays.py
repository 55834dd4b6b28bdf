"""Numbers as users have them."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from cyclegan.spectra.tables import check_names
from emulator.commands.errors import InputError, refusing
from emulator.labels import UNITS

Values = ArrayLike | Tensor


def as_tensor(values: Values, name: str, unit: str = "") -> Tensor:
    """Numbers as a float32 tensor; NumPy's, which may have the other byte order, as FITS files do, on the CPU.

    What a masked array masks is NaN. A Quantity of astropy is put into `unit`, blank for none. Raises InputError for
    what is no array of numbers, and for a Quantity that has another kind of unit.
    """
    if isinstance(values, Tensor):
        return values.float()
    if hasattr(values, "to_value"):
        expected = f"numbers in {unit}" if unit else "numbers without a unit"
        with refusing(f"{name}: expected {expected}", f"some in '{getattr(values, 'unit', None)}'"):
            values = values.to_value(unit)
    try:
        return torch.from_numpy(np.ma.array(values, dtype="float32", copy=True).filled(np.nan))
    except (ValueError, TypeError) as error:
        raise InputError(f"{name}: expected an array of numbers, got something else ({error})") from error


def as_array(values: Tensor) -> np.ndarray:
    """A tensor as NumPy has it, without gradients."""
    return values.detach().cpu().numpy()


def label_rows(labels: Mapping[str, Values] | Values, names: Sequence[str]) -> Tensor:
    """Labels (B, L) in the order of `names`, of such rows, or of values (B,) or one for all by name.

    Raises InputError for other names and shapes.
    """
    if isinstance(labels, Mapping):
        check_names(list(labels), names, "labels")
        columns = {name: torch.atleast_1d(as_tensor(labels[name], name, UNITS.get(name, ""))) for name in names}
        stars = max(len(column) for column in columns.values())
        for name, column in columns.items():
            if tuple(column.shape) not in ((1,), (stars,)):
                raise InputError(f"label '{name}': expected one value, or {stars}, got shape {tuple(column.shape)}")
        labels = torch.stack([column.expand(stars) for column in columns.values()], dim=1)
    values = as_tensor(labels, "labels")
    if values.ndim != 2:
        raise InputError(f"labels: expected shape (stars, {len(names)}), got {tuple(values.shape)}")
    return values


def draw_rows(sample: Tensor, count: int, seed: int) -> Tensor:
    """`count` rows of sample (n, Z), drawn with replacement."""
    drawn = torch.randint(len(sample), (count,), generator=torch.Generator().manual_seed(seed))
    return sample[drawn.to(sample.device)]

"""Numbers as users have them."""

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from emulator.commands.errors import InputError

Values = ArrayLike | Tensor


def as_tensor(values: Values, name: str) -> Tensor:
    """Numbers as a float32 tensor; NumPy's, which may have the other byte order, as FITS files do, on the CPU.

    Raises InputError for what is no array of numbers.
    """
    if isinstance(values, Tensor):
        return values.float()
    try:
        return torch.from_numpy(np.array(values, dtype="float32"))
    except (ValueError, TypeError) as error:
        raise InputError(f"{name}: expected an array of numbers, got something else ({error})") from error


def draw_rows(sample: Tensor, count: int, seed: int) -> Tensor:
    """`count` rows of sample (n, Z), drawn with replacement."""
    drawn = torch.randint(len(sample), (count,), generator=torch.Generator().manual_seed(seed))
    return sample[drawn.to(sample.device)]

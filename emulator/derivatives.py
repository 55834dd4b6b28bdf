"""Derivatives of many stars' spectra by their labels or other parameters: one pass forward a parameter."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.func import jvp, vmap

CHUNK = 16  # stars whose derivatives are taken at a time: each has labels times pixels of them
PASSES = 8  # parameters at a time: conv networks have a hundred, and hold 2 MB a star for each


def jacobian(
    function: Callable[[Tensor], Tensor],
    parameters: Tensor,
    columns: Sequence[int] | None = None,
    passes: int = PASSES,
) -> tuple[Tensor, Tensor]:
    """function (B, n) -> (B, M) at parameters (B, n), and its derivatives (n, B, M), or those by n of the columns.

    No star moves another's values: so one pass forward a parameter gives the derivatives of all stars. passes: of how
    many parameters at a time; more share what does not depend on the parameter.
    """
    directions = torch.eye(parameters.shape[1], dtype=parameters.dtype, device=parameters.device)
    directions = directions if columns is None else directions[list(columns)]

    def along(direction: Tensor) -> tuple[Tensor, Tensor]:
        value, derivative = jvp(function, (parameters,), (direction.expand_as(parameters),))[:2]
        return value, derivative

    # PyTorch's annotation forgets that one of several results may have no dimension of the map.
    everywhere = vmap(along, out_dims=(None, 0))  # type: ignore[arg-type]
    parts = [everywhere(some) for some in directions.split(passes)]
    return parts[0][0], torch.cat([derivatives for _, derivatives in parts])


def responses(flux: Callable[[Tensor], Tensor], labels: Tensor, columns: Sequence[int]) -> Tensor:
    """d flux / d label, (N, P, E), of stars of labels (N, L), for E of the columns; flux maps (B, L) to (B, P)."""
    with torch.no_grad():
        parts = [jacobian(flux, chunk, columns)[1].permute(1, 2, 0) for chunk in labels.split(CHUNK)]
    return torch.cat(parts)

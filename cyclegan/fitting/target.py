"""What least squares sees of spectra: all their pixels, or what is left of them where a model can be."""

from typing import NamedTuple

import torch
from torch import Tensor

FACTORS = 2**24  # numbers at a time of stars' own K x K matrices: 64 MB


class Subspace(NamedTuple):
    """Where all spectra of a model lie: mean (P,) + coordinates (B, K) @ basis (K, P)."""

    mean: Tensor
    basis: Tensor


class Target(NamedTuple):
    """What residuals of B stars are taken from.

    flux, weight (B, P) of the spectra; weight is 0 where a pixel is masked. Of a model x = mean + c B in a subspace,
    weighted least squares sees of a spectrum only its projection: with C = B diag(weight^2) B^T = F F^T,
        chi^2(c) = |F^T (c - centre)|^2 + rest,
    K residuals instead of P. centre (B, K), factor (B, K, K): F, and rest (B,), all None otherwise.
    """

    flux: Tensor
    weight: Tensor
    centre: Tensor | None = None
    factor: Tensor | None = None
    rest: Tensor | float = 0.0

    def misfit(self, values: Tensor, rows: Tensor) -> Tensor:
        """Residuals (b, M) of stars `rows` (b,) at a model's coordinates (b, K), or at its flux (b, P)."""
        aim = self.flux if self.centre is None else self.centre
        return self.moved((values - aim[rows])[:, None], rows)[:, 0]

    def moved(self, differences: Tensor, rows: Tensor) -> Tensor:
        """Changes of the residuals (b, m, M) of stars `rows` (b,) with such differences, (b, m, K) or (b, m, P)."""
        if self.factor is None:
            return differences * self.weight[rows][:, None]
        size = max(1, FACTORS // self.factor[0].numel())
        parts = zip(differences.split(size), rows.split(size), strict=True)
        return torch.cat([some @ self.factor[own] for some, own in parts])


class Projector:
    """Spectra to their `Target` in a subspace."""

    def __init__(self, subspace: Subspace) -> None:
        self.mean, self.basis = subspace

    def __call__(self, flux: Tensor, weight: Tensor) -> Target:
        """The target of flux (B, P) with weights (B, P), 0 where a pixel is masked."""
        square = weight.square()
        curvature = self.curvature(square)
        curvature.diagonal(dim1=1, dim2=2).mul_(1 + 1e-6)  # so that spectra with few pixels can be factored too
        moved = (square * (flux - self.mean)) @ self.basis.T
        centres, factors, failures = [], [], []
        size = max(1, FACTORS // curvature[0].numel())
        for some, own in zip(curvature.split(size), moved.split(size), strict=True):
            factor, failed = torch.linalg.cholesky_ex(some.double())
            centres.append(torch.cholesky_solve(own.double()[:, :, None], factor)[:, :, 0].float())
            factors.append(factor.float())
            failures.append(failed)
        centre = torch.cat(centres)
        rest = ((flux - self.mean - centre @ self.basis) * weight).double().square().sum(dim=1)
        rest[torch.cat(failures) != 0] = torch.nan
        return Target(flux, weight, centre, torch.cat(factors), rest)

    def curvature(self, square: Tensor) -> Tensor:
        """B diag(square) B^T, (B, K, K), of each star; square (B, P)."""
        K = len(self.basis)
        found = torch.empty(len(square), K, K, device=square.device)
        # A product of all stars with the products of each row is twice as quick as K x K of them star by star.
        for row in range(K):
            products = square @ (self.basis[row] * self.basis[row:]).T
            found[:, row, row:] = found[:, row:, row] = products
        return found

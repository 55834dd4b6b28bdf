"""The directions in which many numbers of each of many stars are largest: their principal components."""

import torch
from torch import Tensor

PASSES = 4  # over all rows: as many powers of them as torch.svd_lowrank takes with niter=3
BESIDE = 16  # more directions than are asked for: the last of them settle slowly
AT_A_TIME = 512  # rows: the two products of a pass read them once from memory


def leading_directions(rows: Tensor, count: int) -> Tensor:
    """Orthonormal directions (P, count) along which rows (n, P) are largest.

    The largest comes first. By iteration of a random subspace (Halko, Martinsson & Tropp 2011), in each pass turned
    onto its own principal axes: a weak direction is not rounded by a strong one then. The same rows always give the
    same.
    """
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(rows.shape[1], min(count + BESIDE, *rows.shape), generator=generator)
    basis = torch.linalg.qr(start.to(rows)).Q
    for _ in range(PASSES):
        product = torch.zeros_like(basis)
        for some in rows.split(AT_A_TIME):
            product.addmm_(some.T, some @ basis)
        _, turn = torch.linalg.eigh((basis.T @ product).double())
        basis = torch.linalg.qr(product @ turn.flip(1).to(product)).Q
    return basis[:, :count].contiguous()

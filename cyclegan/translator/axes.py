"""Axes of latents that do not depend on which mixture of them a run ends with."""

import torch
from torch import Tensor

# Where latents vary less than this (variance in one direction beside that in another; by itself), they have no axes: in
# single precision what is stretched so much is rounding.
DEGENERATE, DEAD = 1e-6, 1e-12
# By part of the latents, shared or split: what `standard_axes` returns; of an ensemble a row for each member.
Axes = dict[str, tuple[Tensor, Tensor]]


def standard_axes(latents: Tensor, spectra: Tensor) -> tuple[Tensor, Tensor] | None:
    """Centre (Z,) and axes (Z, Z) of latents (n, Z) that do not depend on the axes which they happen to have.

    (latents - centre) @ axes are uncorrelated and have a variance of one. The first variable is what, as far as it is
    linear, moves the spectra (n, K) most, the next what moves them most beside it, and so on: the principal components
    of what a linear regression on the latents explains of the spectra, each with the sign that makes the sum of its
    cubed effects positive. None where there is a direction in which latents do not vary, or anything is not finite.
    """
    centre = latents.double().mean(dim=0)
    centred = latents - centre
    covariance = centred.T @ centred / (len(latents) - 1)
    if latents.shape[1] == 0 or not (covariance.isfinite().all() and spectra.isfinite().all()):
        return None
    values, vectors = torch.linalg.eigh(covariance)
    if values[0] <= max(DEGENERATE * values[-1], DEAD):
        return None
    whiten = vectors / values.sqrt()
    effect = (centred @ whiten).T @ (spectra - spectra.mean(dim=0)).double()  # of each whitened variable, (Z, K)
    turn = torch.linalg.svd(effect, full_matrices=False).U
    cubes = (turn.T @ effect).pow(3).sum(dim=1)
    return centre.to(latents), (whiten @ torch.where(cubes < 0, -turn, turn)).to(latents)


def turned_towards(reference: Tensor, latents: Tensor) -> Tensor:
    """The rotation (Z, Z) that brings latents (n, Z), of variance one, nearest to reference (n, Z): Procrustes'."""
    left, _, right = torch.linalg.svd((latents.T @ reference).double())
    return (left @ right).to(latents)

"""Fitted labels beside true ones."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from cyclegan.fitting.fitter import Fitted
from cyclegan.trained.sources import FileSource
from emulator.commands.errors import InputError


def map_covariance(fitted: Fitted, truth: Tensor) -> Tensor:
    """The covariance (L, L) of the errors of the map itself, from N stars whose labels, truth (N, L), are known.

    It is what the second moments of fitted minus true labels have beyond the errors of noise; none of its variances
    is negative. Raises InputError where there are no more than L such stars.
    """
    off = (fitted.labels - truth).double()
    good = fitted.converged & (off.isfinite() & fitted.error.isfinite()).all(dim=1)
    labels = off.shape[1]
    if int(good.sum()) <= labels:
        raise InputError(
            f"known stars: expected more than {labels} that converge and have all labels, got {good.sum()}"
        )
    off = off[good]
    excess = off.T @ off / len(off) - fitted.covariance[good].mean(dim=0)
    unit = excess.diagonal().abs().sqrt()  # labels' units differ by orders of magnitude
    values, vectors = torch.linalg.eigh(excess / (unit[:, None] * unit))
    return (vectors * values.clamp_min(0)) @ vectors.T * (unit[:, None] * unit)


def widened(fitted: Fitted, covariance: Tensor) -> Fitted:
    """Fitted labels whose errors include those of the map, covariance (L, L)."""
    total = fitted.covariance + covariance
    return fitted._replace(covariance=total, error=total.diagonal(dim1=1, dim2=2).clamp_min(0).sqrt())


def compare_labels(fitted: Fitted, truth: Tensor, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """How far fitted labels are from true ones (N, L), for each label, over the stars that converged.

    bias, scatter: mean and standard deviation of fitted minus true; bias_error: the mean's; pull: the standard
    deviation of (fitted - true) / error, 1 where errors are what they say.
    """
    off = fitted.labels - truth
    rows = {}
    for i, name in enumerate(names):
        good = fitted.converged & off[:, i].isfinite()
        values, pulls = off[good, i].double(), (off[:, i] / fitted.error[:, i])[good]
        rows[name] = {
            "stars": len(values),
            "bias": values.mean().item(),
            "bias_error": values.std().item() / math.sqrt(max(len(values), 1)),
            "scatter": values.std().item(),
            "pull": pulls.double().std().item(),
        }
    return rows


def true_labels(file: FileSource, subset: str, names: Sequence[str]) -> Tensor | None:
    """The file's own labels (n, L) for the names, NaN for those it has not; None where it has none of them."""
    labels = file.labels(subset)
    if labels is None or not set(names) & set(file.label_names):
        return None
    columns = [file.label_names.index(name) if name in file.label_names else None for name in names]
    unknown = torch.full((len(labels),), math.nan)
    return torch.stack([unknown if column is None else labels[:, column] for column in columns], dim=1)


def describe_fits(fitted: Fitted, truth: Tensor | None, names: Sequence[str]) -> dict[str, Any]:
    """How the fits of a subset went, and how far off they are where its true labels (N, L) are known."""
    return {
        "stars": len(fitted.labels),
        "converged": fitted.converged.double().mean().item(),
        "at_bound": fitted.at_bound.double().mean().item(),
        "chi2_per_pixel": (fitted.chi2 / fitted.pixels).median().item(),
        "labels": None if truth is None else compare_labels(fitted, truth, names),
    }

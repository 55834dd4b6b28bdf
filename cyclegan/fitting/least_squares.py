"""Weighted least squares for many stars at once: Levenberg-Marquardt, within bounds, on batches."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from emulator.derivatives import jacobian

Residuals = Callable[[Tensor, Tensor], Tensor]
STEPS = 60  # at most, accepted or not
DAMPING = 1e-3  # at first; a tenth of it after a step that led down, ten times after one that did not
LEAST_DAMPING, MOST_DAMPING = 1e-9, 1e9
DECREASE = 1e-2  # of chi-square, as foreseen and as found: a smaller one is convergence, to a tenth of an error bar


class Solution(NamedTuple):
    """Where B stars came to rest.

    parameters (B, n); curvature (B, n, n): J^T J with the derivatives J before the last step, whose inverse is
    their covariance, NaN where residuals were not finite; chi2 (B,): the sum of squared residuals; converged (B,):
    whether the last step moved it by less than DECREASE; at_bound (B, n).
    """

    parameters: Tensor
    curvature: Tensor
    chi2: Tensor
    converged: Tensor
    at_bound: Tensor


def least_squares(residuals: Residuals, start: Tensor, low: Tensor, high: Tensor) -> Solution:
    """Lower the sum of squared residuals of B stars from start (B, n), each parameter within low and high (n,).

    residuals: of parameters (b, n) and of which stars (b,) they are, (b, M). Levenberg-Marquardt with Marquardt's
    scaling (Marquardt 1963, J. SIAM 11, 431); a parameter at a bound that would leave is held in that step.
    Parameters should be scaled to be of order 1. Stars that have converged are left out of further steps.
    """
    stars, n = start.shape
    parameters = start.clamp(low, high)
    chi2 = residuals(parameters, torch.arange(stars, device=start.device)).double().square().sum(dim=1)
    damping = torch.full((stars,), DAMPING, dtype=torch.float64, device=start.device)
    converged = torch.zeros(stars, dtype=torch.bool, device=start.device)
    curvatures = torch.full((stars, n, n), torch.nan, dtype=torch.float64, device=start.device)
    active = chi2.isfinite().nonzero()[:, 0]
    for _ in range(STEPS):
        if len(active) == 0:
            break
        now = parameters[active]

        def theirs(some: Tensor, stars: Tensor = active) -> Tensor:
            return residuals(some, stars)

        residual, slopes = jacobian(theirs, now)
        slopes = slopes.transpose(0, 1)  # (b, n, M)
        curvature = (slopes @ slopes.transpose(1, 2)).double()
        gradient = (slopes @ residual[:, :, None])[:, :, 0].double()
        curvatures[active] = curvature
        held = ((now <= low) & (gradient > 0)) | ((now >= high) & (gradient < 0))
        step = _step(curvature, gradient, damping[active], held)
        tried = (now + step.to(now.dtype)).clamp(low, high)
        taken = (tried - now).double()
        foreseen = -2 * (gradient * taken).sum(dim=1) - (taken[:, None] @ curvature @ taken[:, :, None])[:, 0, 0]
        after = residuals(tried, active).double().square().sum(dim=1)
        decrease = chi2[active] - after
        better = decrease > 0
        parameters[active] = torch.where(better[:, None], tried, now)
        chi2[active] = torch.where(better, after, chi2[active])
        damping[active] = (damping[active] * torch.where(better, 0.1, 10.0)).clamp(LEAST_DAMPING, MOST_DAMPING)
        # As MINPACK does: where networks have a kink the gradient never vanishes, but no step leads down any more.
        done = (foreseen < DECREASE) & (decrease.abs() < DECREASE)
        converged[active] = done
        active = active[~done]
    at_bound = (parameters <= low) | (parameters >= high)
    return Solution(parameters, curvatures, chi2, converged, at_bound)


def _step(curvature: Tensor, gradient: Tensor, damping: Tensor, held: Tensor) -> Tensor:
    """The step (b, n) that solves (C + damping diag C) step = -gradient, 0 for what is held."""
    free = ~held
    diagonal = curvature.diagonal(dim1=1, dim2=2).clamp_min(1e-30)
    matrix = curvature * (free[:, :, None] & free[:, None, :])
    matrix = matrix + torch.diag_embed(torch.where(free, damping[:, None] * diagonal + 1e-12 * diagonal, 1.0))
    return -torch.linalg.solve_ex(matrix, gradient * free)[0]

"""Weighted least squares for many stars at once: Levenberg-Marquardt, within bounds, on batches."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Residuals = Callable[[Tensor, Tensor], Tensor]
Derivatives = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
STEPS = 60  # at most, taken or not
DAMPING = 1e-3  # at first
DAMPED = 0.1, 3.0  # times as much, at least and at most, after a step that led down; and after one that did not:
MORE_DAMPED = 4.0
LEAST_DAMPING, MOST_DAMPING = 1e-9, 1e9
DECREASE = 1e-2  # of chi-square, as foreseen and as found: a smaller one is convergence, to a tenth of an error bar


class Solution(NamedTuple):
    """Where B stars came to rest.

    parameters (B, n); curvature (B, n, n): J^T J with the last derivatives J that were taken, whose inverse is their
    covariance, NaN where residuals were not finite; chi2 (B,): the sum of squared residuals; converged (B,):
    whether the last step moved it by less than DECREASE; at_bound (B, n).
    """

    parameters: Tensor
    curvature: Tensor
    chi2: Tensor
    converged: Tensor
    at_bound: Tensor


def least_squares(residuals: Residuals, derivatives: Derivatives, start: Tensor, low: Tensor, high: Tensor) -> Solution:
    """Lower the sum of squared residuals of B stars from start (B, n), each parameter within low and high (n,).

    residuals: of parameters (b, n) and of which stars (b,) they are, (b, M); derivatives: the same, and (b, n, M).
    Levenberg-Marquardt with Marquardt's scaling (Marquardt 1963, J. SIAM 11, 431), damped by how well a step was
    foreseen (Nielsen 1999, IMM-REP-1999-05, within other bounds); a parameter at a bound that would leave is held in
    that step. Every other step goes by what the steps before told of the derivatives (Broyden 1965, Math. Comp. 19,
    577), which costs less and, as secants do, looks beyond kinks. Parameters should be scaled to be of order 1. Stars
    that have converged are left out of further steps.
    """
    stars, n = start.shape
    device, parameters = start.device, start.clamp(low, high)
    residual = residuals(parameters, torch.arange(stars, device=device))
    slopes = residual.new_empty(stars, n, residual.shape[1])
    chi2 = residual.double().square().sum(dim=1)
    damping = torch.full_like(chi2, DAMPING)
    converged = torch.zeros(stars, dtype=torch.bool, device=device)
    carried, due = torch.zeros_like(converged), torch.ones_like(converged)  # derivatives are one step old; or two
    curvatures = torch.full((stars, n, n), torch.nan, dtype=torch.float64, device=device)
    active = chi2.isfinite().nonzero()[:, 0]
    for _ in range(STEPS):
        if len(active) == 0:
            break
        again = active[due[active]]
        if len(again):
            residual[again], slopes[again] = derivatives(parameters[again], again)
        now, then, slope, old = parameters[active], residual[active], slopes[active], carried[active]
        curvature = (slope @ slope.transpose(1, 2)).double()
        gradient = (slope @ then[:, :, None])[:, :, 0].double()
        curvatures[again] = curvature[due[active]]
        held = ((now <= low) & (gradient > 0)) | ((now >= high) & (gradient < 0))
        tried = (now + _step(curvature, gradient, damping[active], held).to(now.dtype)).clamp(low, high)
        step, after = tried - now, residuals(tried, active)
        taken, found = step.double(), after.double().square().sum(dim=1)
        foreseen = -((2 * gradient + (curvature @ taken[:, :, None])[:, :, 0]) * taken).sum(dim=1)
        decrease = chi2[active] - found
        better = decrease > 0
        slopes[active] = _secants(slope, step, after - then)
        parameters[active] = torch.where(better[:, None], tried, now)
        residual[active] = torch.where(better[:, None], after, then)
        chi2[active] = torch.where(better, found, chi2[active])
        gain = (2 * decrease / foreseen - 1).nan_to_num(0.0)
        factor = torch.where(better, (1 - gain**3).clamp(*DAMPED), torch.where(old, 1.0, MORE_DAMPED))
        damping[active] = (damping[active] * factor).clamp(LEAST_DAMPING, MOST_DAMPING)
        carried[active], due[active] = better & ~old, old
        # As MINPACK does: where networks have a kink the gradient never vanishes, but no step leads down any more.
        done = (foreseen < DECREASE) & (decrease.abs() < DECREASE) & ~old
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


def _secants(slope: Tensor, step: Tensor, change: Tensor) -> Tensor:
    """Slopes (b, n, M), changed as little as can be such that step (b, n) makes the change (b, M) that it has made."""
    missed = (change - (step[:, None] @ slope)[:, 0]) / step.square().sum(dim=1, keepdim=True).clamp_min(1e-30)
    return slope + step[:, :, None] * missed.nan_to_num(0.0, 0.0, 0.0)[:, None]

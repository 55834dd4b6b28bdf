"""Finding the star that a spectrum fits best."""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from cyclegan.fitting.ensemble import errors_of_map, moved_by
from cyclegan.fitting.forward import SpectrumModel
from cyclegan.fitting.least_squares import Solution, least_squares
from cyclegan.spectra.spaces import Components
from cyclegan.spectra.spectra import Spectra
from cyclegan.trained.map_error import MapError
from emulator.derivatives import jacobian

UNIFORM = 12.0  # 1 / variance of a label of which the spectrum says nothing, but that it is in the emulator's range


class Fitted(NamedTuple):
    """What B stars were fitted with.

    labels, error (B, L): with 1 sigma, in their own units; covariance (B, L, L); split (B, Zp); velocity (B,), km/s;
    continuum (B, C): coefficients of the polynomials by which the model is multiplied; chi2, pixels (B,): how many
    pixels counted; converged (B,); at_bound (B,): whether a label is at the end of the emulator's range; agreeing (B,):
    the share of the starts that came to the same chi-square, to 1.
    """

    labels: Tensor
    error: Tensor
    covariance: Tensor
    split: Tensor
    velocity: Tensor
    continuum: Tensor
    chi2: Tensor
    pixels: Tensor
    converged: Tensor
    at_bound: Tensor
    agreeing: Tensor


class Target(NamedTuple):
    """What residuals of B stars are taken from: their spectra, or what is left of them in a space of K components.

    flux, weight (B, P) of the spectra. Of a model that lies in the space x = mean + c B with B (K, P), weighted least
    squares sees of a spectrum only its projection: with C = B diag(weight^2) B^T = F F^T,
        chi^2(c) = |F^T (c - centre)|^2 + rest,
    K residuals instead of P. centre (B, K), factor (B, K, K): F, and rest (B,), all None otherwise.
    """

    flux: Tensor
    weight: Tensor
    centre: Tensor | None = None
    factor: Tensor | None = None
    rest: Tensor | float = 0.0


class Projector:
    """Spectra to their `Target` in a space of components."""

    def __init__(self, space: Components) -> None:
        self.mean, self.basis = space.mean, (space.basis / space.weight[:, None]).T.contiguous()  # (P,), (K, P)
        K = len(self.basis)
        self.row, self.column = torch.tril_indices(K, K, device=self.mean.device)
        # As one product with the weights this is twice as quick as K x K of them star by star.
        self.products = (self.basis[self.row] * self.basis[self.column]).T.contiguous()  # (P, K (K + 1) / 2)

    def __call__(self, flux: Tensor, weight: Tensor) -> Target:
        """The target of flux (B, P) with weights (B, P), 0 where a pixel is masked."""
        K = len(self.basis)
        square = weight.square()
        curvature = torch.empty(len(flux), K, K, device=flux.device)
        curvature[:, self.row, self.column] = curvature[:, self.column, self.row] = square @ self.products
        curvature.diagonal(dim1=1, dim2=2).mul_(1 + 1e-6)  # so that spectra with few pixels can be factored too
        factor, failed = torch.linalg.cholesky_ex(curvature.double())
        moved = (square * (flux - self.mean)) @ self.basis.T
        centre = torch.cholesky_solve(moved.double()[:, :, None], factor)[:, :, 0].float()
        rest = ((flux - self.mean - centre @ self.basis) * weight).double().square().sum(dim=1)
        rest[failed != 0] = torch.nan
        return Target(flux, weight, centre, factor.float(), rest)


class Fitter:
    """Fits a model to spectra, a batch at a time, from several starts.

    Templates are divided at random into as many parts as there are starts; each start is that of its part that is
    nearest to the star. map_error: of an ensemble's translations, which the errors of labels then include.
    """

    def __init__(self, model: SpectrumModel, starts: int, seed: int, map_error: MapError | None = None) -> None:
        self.model, self.map_error = model, map_error
        templates = model.templates(seed)
        self.parts = list(zip(templates.chunk(starts), model(templates).chunk(starts), strict=True))
        space = model.forward.translator.space_o
        self.target = Projector(space) if model.linear and isinstance(space, Components) else Target

    def residuals(self, target: Target, parameters: Tensor, rows: Tensor) -> Tensor:
        """What is to be made small, (b, M), of stars `rows` (b,), at parameters (b, n)."""
        model = self.model
        if target.factor is None or target.centre is None:
            misfit = (model(parameters) - target.flux[rows]) * target.weight[rows]
        else:
            off = model.coordinates(parameters) - target.centre[rows]
            misfit = (off[:, None] @ target.factor[rows])[:, 0]
        return torch.cat([misfit, model.prior(parameters)], dim=1)

    @torch.no_grad()
    def __call__(self, spectra: Spectra) -> Fitted:
        """Labels of observed spectra (B, P)."""
        model = self.model
        flux, weight = spectra.flux, torch.where(spectra.mask, 1 / spectra.error, 0.0)
        target = self.target(flux, weight)
        square = weight.square()
        tries = []
        for templates, theirs in self.parts:
            # sum of w^2 (x - m)^2 without the term that all templates share
            misfit = square @ theirs.square().T - 2 * (flux * square) @ theirs.T
            start = templates[misfit.argmin(dim=1)]
            tries.append(least_squares(partial(self.residuals, target), start, model.low, model.high))
        chi2 = torch.stack([one.chi2 for one in tries])  # (starts, B)
        best, which = chi2.min(dim=0)
        stars = torch.arange(len(which), device=which.device)
        found = Solution(*(torch.stack(values)[which, stars] for values in zip(*tries, strict=True)))
        L, emulator = model.sizes[0], model.forward.emulator
        labels, split, velocity, terms = model.parts(found.parameters)
        told, reach = found.curvature.clone(), model.high - model.low
        told.diagonal(dim1=1, dim2=2)[:, :L].add_(UNIFORM)
        free = slice(len(reach) - terms.shape[1], None)  # on a chip without usable pixels nothing is known of them
        told.diagonal(dim1=1, dim2=2)[:, free].add_(UNIFORM / reach[free].square())
        every = torch.linalg.inv_ex(told)[0]
        if self.map_error is not None:
            every = every + self.covariance_of_map(self.map_error, target, found.parameters, told)
        covariance = every[:, :L, :L] * (model.width[:, None] * model.width)
        pixels = spectra.mask.sum(dim=1)
        return Fitted(
            labels=labels.clamp(emulator.label_low, emulator.label_high),  # rounding may lead beyond
            error=covariance.diagonal(dim1=1, dim2=2).clamp_min(0).sqrt(),
            covariance=covariance,
            split=split,
            velocity=velocity.sum(dim=1),
            continuum=terms,
            chi2=best + target.rest,
            pixels=pixels,
            converged=found.converged & (pixels > found.parameters.shape[1]),
            at_bound=found.at_bound[:, :L].any(dim=1),
            agreeing=(chi2 <= best + 1).double().mean(dim=0),
        )

    @torch.no_grad()
    def covariance_of_map(self, known: MapError, target: Target, parameters: Tensor, curvature: Tensor) -> Tensor:
        """What errors of the map add to the covariance (B, n, n) of parameters (B, n)."""
        stars = torch.arange(len(parameters), device=parameters.device)
        _, slopes = jacobian(lambda some: self.residuals(target, some, stars), parameters)
        errors = errors_of_map(self.model, known, parameters)
        if target.factor is not None:
            errors = errors @ target.factor
        else:
            errors = self.model.forward.translator.space_o.moved(errors) * target.weight[:, None]
        # What is expected of split latents is not changed by it.
        rest = slopes.shape[2] - errors.shape[2]
        return moved_by(torch.nn.functional.pad(errors, (0, rest)), slopes.transpose(0, 1), curvature)


def fitted_flux(model: SpectrumModel, fitted: Fitted) -> Tensor:
    """What stars were taken for by a model, (B, P), where they were fitted."""
    found = (fitted.labels, fitted.split, fitted.velocity, fitted.continuum)
    return model(model.parameters(*(values.to(model.low) for values in found)))

"""Finding the star that a spectrum fits best."""

from typing import NamedTuple

import torch
from torch import Tensor

from cyclegan.fitting.ensemble import errors_of_map, moved_by
from cyclegan.fitting.forward import SpectrumModel
from cyclegan.fitting.least_squares import Solution, least_squares
from cyclegan.fitting.target import Projector, Target
from cyclegan.spectra.spectra import Spectra
from cyclegan.trained.map_error import MapError
from emulator.derivatives import PASSES, jacobian

SLOPES = 2**25  # derivatives at a time: 128 MB
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


class Fitter:
    """Fits a model to spectra, a batch at a time, from several starts.

    Templates are divided at random into as many parts as there are starts; each start is that of its part that is
    nearest to the star. map_error: of an ensemble's translations, which the errors of labels then include.
    """

    def __init__(self, model: SpectrumModel, starts: int, seed: int, map_error: MapError | None = None) -> None:
        self.model, self.map_error = model, map_error
        templates = model.templates(seed)
        self.parts = list(zip(templates.chunk(starts), model(templates).chunk(starts), strict=True))
        self.target = Target if model.subspace is None else Projector(model.subspace)

    def starts(self, target: Target) -> Tensor:
        """Where fits of B stars start, (starts, B, n)."""
        square = target.weight.square()
        found = []
        for parameters, flux in self.parts:
            # The sum of w^2 (x - m)^2 without the term that all templates share.
            misfit = square @ flux.square().T - 2 * (target.flux * square) @ flux.T
            found.append(parameters[misfit.argmin(dim=1)])
        return torch.stack(found)

    def residuals(self, target: Target, parameters: Tensor, rows: Tensor) -> Tensor:
        """What is to be made small, (b, M), of stars `rows` (b,), at parameters (b, n)."""
        misfit = target.misfit(self.model.fitted(parameters), rows)
        return torch.cat([misfit, self.model.prior(parameters)], dim=1)

    def derivatives(self, target: Target, parameters: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The same, and their derivatives (b, n, M) by parameters."""
        model, n = self.model, parameters.shape[1]
        # What a subspace has of a star is small: all parameters at a time.
        passes = n if model.subspace is not None else PASSES
        values, slopes = jacobian(model.fitted, parameters, passes=passes)
        misfit, moved = target.misfit(values, rows), target.moved(slopes.transpose(0, 1), rows)
        prior, free = model.prior(parameters), model.sizes[0]
        expected = torch.eye(n, device=values.device)[:, free : free + prior.shape[1]]
        return torch.cat([misfit, prior], dim=1), torch.cat([moved, expected.expand(len(rows), -1, -1)], dim=2)

    @torch.no_grad()
    def __call__(self, spectra: Spectra) -> Fitted:
        """Labels of observed spectra (B, P)."""
        model = self.model
        width = spectra.flux.shape[1] if model.subspace is None else len(model.subspace.basis)
        size = max(1, SLOPES // (len(self.parts) * len(model.low) * width))
        return Fitted(*map(torch.cat, zip(*(self.fit(some) for some in spectra.chunks(size)), strict=True)))

    def fit(self, spectra: Spectra) -> Fitted:
        """The same of so few spectra (B, P) that the derivatives of all their starts are held."""
        model = self.model
        target = self.target(spectra.flux, torch.where(spectra.mask, 1 / spectra.error, 0.0))
        starts = self.starts(target)
        S, B = starts.shape[:2]
        stars = torch.arange(B, device=starts.device)
        whose = stars.repeat(S)
        ends = least_squares(
            lambda some, rows: self.residuals(target, some, whose[rows]),
            lambda some, rows: self.derivatives(target, some, whose[rows]),
            starts.flatten(0, 1),
            model.low,
            model.high,
        )
        chi2 = ends.chi2.view(S, B)
        best, which = chi2.min(dim=0)
        found = Solution(*(values[which * B + stars] for values in ends))
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
        _, slopes = self.derivatives(target, parameters, stars)
        errors = errors_of_map(self.model, known, parameters)
        if self.model.subspace is None:
            errors = self.model.forward.translator.space_o.moved(errors)
        errors = target.moved(errors, stars)
        # What is expected of split latents is not changed by it.
        rest = slopes.shape[2] - errors.shape[2]
        return moved_by(torch.nn.functional.pad(errors, (0, rest)), slopes, curvature)


def fitted_flux(model: SpectrumModel, fitted: Fitted) -> Tensor:
    """What stars were taken for by a model, (B, P), where they were fitted."""
    found = (fitted.labels, fitted.split, fitted.velocity, fitted.continuum)
    return model(model.parameters(*(values.to(model.low) for values in found)))

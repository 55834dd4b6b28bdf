"""Labels of observed spectra: what a spectrum is taken for, and finding the star that it fits best."""

from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.polynomial.chebyshev import chebvander
from torch import Tensor

from cyclegan.domains import draw_stars
from cyclegan.effects import LineProfile, chips
from cyclegan.least_squares import Solution, least_squares
from cyclegan.spectra import Components, Spectra
from cyclegan.transfer import Transfer
from emulator.labels import scale

TRANSLATOR, EMULATOR = "translator", "emulator"
TEMPLATES = 512  # stars drawn from the emulator's range, among which each fit looks for its starts
FARTHEST = 5.0  # sigma of the training stars' split latents, beyond which none is looked for
FASTEST = 15.0  # km/s: spectra come in their rest frame, and velocities are what is left
UNIFORM = 12.0  # 1 / variance of a label of which the spectrum says nothing, but that it is in the emulator's range
CONTINUUM_STEP = 0.01  # of the continuum: the scale of its terms


class Fitted(NamedTuple):
    """What B stars were fitted with.

    labels, error (B, L): with 1 sigma, in their own units; covariance (B, L, L); split (B, Zp); velocity (B,), km/s;
    chi2, pixels (B,): how many pixels counted; converged (B,); at_bound (B,): whether a label is at the end of the
    emulator's range; agreeing (B,): the share of the starts that came to the same chi-square, to 1.
    """

    labels: Tensor
    error: Tensor
    covariance: Tensor
    split: Tensor
    velocity: Tensor
    chi2: Tensor
    pixels: Tensor
    converged: Tensor
    at_bound: Tensor
    agreeing: Tensor


class Model:
    """What an observed spectrum is taken for: parameters (B, n) of order 1 -> flux (B, P).

    They are the labels, over the emulator's range; the split latents, in sigma of the training stars', which are
    expected at their mean to 1 sigma (through the translator only); the radial velocity, in km/s; and coefficients of a
    Chebyshev polynomial of some degree on each chip, by which the flux is multiplied.
    """

    def __init__(self, transfer: Transfer, through: str, velocity: bool = False, continuum: int | None = None) -> None:
        self.transfer, self.through = transfer, through
        emulator, device, t = transfer.emulator, transfer.device, transfer.translator
        self.split_mean = self.split_scale = torch.empty(0, device=device)
        if through == TRANSLATOR and transfer.split_sample.shape[1]:
            self.split_mean, self.split_scale = transfer.mean_split()[0], transfer.split_sample.std(dim=0)
        self.profile = LineProfile(transfer.wavelength, velocity=FASTEST / 6) if velocity else None
        self.polynomials = chip_polynomials(transfer.wavelength, continuum).to(device)
        self.sizes = [len(emulator.label_names), len(self.split_mean), int(velocity), len(self.polynomials)]
        reach = [0.5, FARTHEST, FASTEST, 1 / CONTINUUM_STEP]
        self.high = torch.cat([torch.full((size,), far) for size, far in zip(self.sizes, reach, strict=True)])
        self.high = self.high.to(device)
        self.low = -self.high
        self.width = emulator.label_high - emulator.label_low
        self.middle = (emulator.label_high + emulator.label_low) / 2
        # The emulator's last layer and the projection after it are linear maps: together they are a small one. A
        # continuum between them is not linear.
        self.layer = None
        if transfer.continuum is None:
            units = emulator.output.in_features
            nothing, each = torch.zeros(1, units, device=device), torch.eye(units, device=device)
            self.offset = t.space_s.coordinates(transfer.hide(emulator.output(nothing)))
            self.layer = t.space_s.coordinates(transfer.hide(emulator.output(each))) - self.offset
        self.linear = through == TRANSLATOR and not velocity and continuum is None and isinstance(t.space_o, Components)

    def parts(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Labels (B, L), split latents (B, Zp), velocities (B, 0 or 1) and polynomials' coefficients (B, C)."""
        labels, split, velocity, terms = parameters.split(self.sizes, dim=1)
        split = self.split_mean + self.split_scale * split
        return self.middle + self.width * labels, split, velocity, CONTINUUM_STEP * terms

    def coordinates(self, parameters: Tensor) -> Tensor:
        """The coordinates (B, K) in the observed domain's space, through the translator."""
        labels, split, _, _ = self.parts(parameters)
        t, emulator = self.transfer.translator, self.transfer.emulator
        if self.layer is None:
            synth = t.space_s.coordinates(self.transfer.synthetic(labels))
        else:
            hidden = emulator.hidden(scale(labels, emulator.label_low, emulator.label_high))
            synth = self.offset + hidden @ self.layer
        return t.generator_o(t.encode_synth(synth), split)

    def __call__(self, parameters: Tensor) -> Tensor:
        labels, _, velocity, terms = self.parts(parameters)
        if self.through == TRANSLATOR:
            flux = self.transfer.translator.space_o.restore(self.coordinates(parameters))
        else:
            flux = self.transfer.synthetic(labels)
        if self.profile is not None:
            flux = self.profile.convolve(flux, torch.zeros_like(velocity), velocity)
        return flux * (1 + terms @ self.polynomials) if terms.shape[1] else flux

    def prior(self, parameters: Tensor) -> Tensor:
        """Residuals (B, Zp) of what is expected of split latents before a spectrum is seen."""
        return parameters.split(self.sizes, dim=1)[1]

    def templates(self, seed: int) -> Tensor:
        """Parameters (TEMPLATES, n) of stars drawn from the emulator's range, all else as in a typical star."""
        emulator = self.transfer.emulator
        labels = draw_stars(emulator, TEMPLATES, torch.Generator().manual_seed(seed)).to(self.transfer.device)
        scaled = (labels - self.middle) / self.width
        return torch.nn.functional.pad(scaled, (0, sum(self.sizes[1:])))


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


def chip_polynomials(wavelength: Tensor, degree: int | None) -> Tensor:
    """Chebyshev polynomials of degrees 0 to `degree` on each chip, (C, P), 0 on the others; none for None."""
    if degree is None:
        return torch.empty(0, len(wavelength))
    blocks = [chebvander(np.linspace(-1, 1, len(chip)), degree).T for chip in chips(wavelength)]
    return torch.block_diag(*(torch.from_numpy(block).float() for block in blocks))


class Fitter:
    """Fits a model to spectra, a batch at a time, from several starts.

    Templates are divided at random into as many parts as there are starts; each start is that of its part that is
    nearest to the star.
    """

    def __init__(self, model: Model, starts: int, seed: int) -> None:
        self.model = model
        templates = model.templates(seed)
        self.parts = list(zip(templates.chunk(starts), model(templates).chunk(starts), strict=True))
        self.target = Projector(model.transfer.translator.space_o) if model.linear else Target

    def residuals(self, target: Target, parameters: Tensor, rows: Tensor) -> Tensor:
        """What is to be made small, (b, M), of stars `rows` (b,), at parameters (b, n)."""
        model = self.model
        if target.factor is None:
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
        L, emulator = model.sizes[0], model.transfer.emulator
        labels, split, velocity, _ = model.parts(found.parameters)
        told = found.curvature.clone()
        told.diagonal(dim1=1, dim2=2)[:, :L].add_(UNIFORM)
        covariance = torch.linalg.inv_ex(told)[0][:, :L, :L] * (model.width[:, None] * model.width)
        pixels = spectra.mask.sum(dim=1)
        return Fitted(
            labels=labels.clamp(emulator.label_low, emulator.label_high),  # rounding may lead beyond
            error=covariance.diagonal(dim1=1, dim2=2).clamp_min(0).sqrt(),
            covariance=covariance,
            split=split,
            velocity=velocity.sum(dim=1),
            chi2=best + target.rest,
            pixels=pixels,
            converged=found.converged & (pixels > found.parameters.shape[1]),
            at_bound=found.at_bound[:, :L].any(dim=1),
            agreeing=(chi2 <= best + 1).double().mean(dim=0),
        )

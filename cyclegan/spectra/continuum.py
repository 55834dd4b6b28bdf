"""The continuum of a spectrum, and dividing it out: the same way for synthetic and for observed spectra."""

from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cyclegan.spectra.chips import chip_polynomials, chip_slices
from cyclegan.spectra.spectra import ERROR_FLOOR, WORST_ERROR, Spectra
from emulator.commands.errors import InputError
from emulator.wavelength import pixels_within

ROUNDS = 12  # of clipping
BELOW, ABOVE = 1.5, 3.0  # clipped on either side of the fit, in units of the scatter about it
EDGE = 0.5  # of clipping, in that unit: of a pixel at a hard edge rounding would decide, and move fits by 0.001
SMOOTH = 8.3  # km/s on either side decide together: of one pixel alone, noise would decide, and fits be higher
LEAST_SCATTER = 1e-4  # of the continuum: what is closer to a perfect fit stays in it
LEAST_FIT = 0.1  # of a chip's median flux: a fit that crosses 0 would make residuals of any size
LEAST_SPREAD = 1e-3  # of a chip's pixels, as `_solve` measures it: what is below lies too close together for a fit


class Continuum:
    """A Chebyshev polynomial of one degree on each chip, fitted by least squares and divided out.

    wavelength (P,): Angstrom, ascending; pixels (P,) bool: the continuum pixels, which are fitted; starts: the first
    pixels of the chips, which lie apart in wavelength unless they are given. Without `pixels` they are found in each
    spectrum: what lies more than BELOW times the scatter under the fit is a line, what lies more than ABOVE times the
    scatter over it is a spike; both are left out, and the fit is made again. Weights fall to 0 within EDGE about there.
    Raises InputError where a chip has too few pixels for the degree, or `pixels` is not one for each wavelength.
    """

    def __init__(
        self,
        wavelength: np.ndarray,
        degree: int = 3,
        pixels: np.ndarray | None = None,
        starts: np.ndarray | None = None,
    ) -> None:
        if pixels is not None and pixels.shape != wavelength.shape:
            raise InputError(
                f"continuum pixels: expected {len(wavelength)}, one for each wavelength, got an array {pixels.shape}"
            )
        chips = chip_slices(wavelength, starts)
        self.degree, self.starts = degree, np.array([chip.start for chip in chips])
        self.pixels = torch.ones(len(wavelength), dtype=torch.bool) if pixels is None else torch.from_numpy(pixels)
        self.given = pixels is not None
        self.reach = pixels_within(SMOOTH, wavelength)
        self.chips = []
        for chip in chips:
            if (count := int(self.pixels[chip].sum())) <= degree:
                first, last = wavelength[chip][[0, -1]]
                raise InputError(
                    f"continuum: expected more than {degree} pixels for degree {degree} between"
                    f" {first:.1f} and {last:.1f} A, got {count}"
                )
            self.chips.append((chip, torch.from_numpy(chip_polynomials(wavelength[chip], degree))))

    def fit(self, spectra: Spectra) -> Tensor:
        """The continuum (B, P) of spectra in any unit, in that unit; NaN on chips where none can be fitted.

        Only usable pixels with finite flux and an error above 0 are fitted, each with the weight 1 / error^2. In units
        of the chip's median flux, errors above WORST_ERROR are left out and those below ERROR_FLOOR count as that.
        """
        flux, error = spectra.flux, spectra.error
        usable = spectra.mask & flux.isfinite() & error.isfinite() & (error > 0) & self.pixels.to(flux.device)
        continua = []
        for chip, basis in self.chips:
            basis = basis.to(flux)
            good = usable[:, chip]
            # The result does not depend on the median, nor, but in jumps, on which pixels it is fitted to.
            median = torch.where(good, flux[:, chip], torch.nan).detach().nanmedian(dim=1, keepdim=True).values
            good = good & (error[:, chip] <= WORST_ERROR * median)
            ratio = torch.where(good, flux[:, chip] / median, 1.0)
            weight = torch.where(good, (error[:, chip] / median).clamp_min(ERROR_FLOOR) ** -2, 0.0)
            near = good if self.given else self._found(ratio.detach(), weight, good.to(ratio), basis)
            fitted = self._solve(ratio, weight * near, basis)
            continua.append(torch.where(median > 0, fitted * median, torch.nan))
        return torch.cat(continua, dim=1)

    def _found(self, ratio: Tensor, weight: Tensor, good: Tensor, basis: Tensor) -> Tensor:
        """How far good pixels (B, p) are continuum, 0 to 1, by clipping in all ROUNDS but the last, the fit itself."""
        near, among = good, _sums(good, self.reach).clamp_min(1)
        for _ in range(ROUNDS - 1):
            fitted = self._solve(ratio, weight * near, basis)
            smooth = _sums((ratio - fitted) / fitted.clamp_min(LEAST_FIT) * good, self.reach) / among
            near = good * self._near(smooth, near)
        return near

    def _solve(self, ratio: Tensor, weight: Tensor, basis: Tensor) -> Tensor:
        """The weighted least-squares fit (B, p) by the normal equations; NaN where too few pixels have a weight."""
        terms = basis.shape[1]
        products = (basis[:, :, None] * basis[:, None, :]).flatten(1)
        total = weight.sum(dim=1, keepdim=True).clamp_min(1e-30)
        normal = (weight @ products / total).double().unflatten(1, (terms, terms))
        # A diagonal element of the Cholesky factor is what a polynomial has that those before it have not.
        factor, failed = torch.linalg.cholesky_ex(normal)
        spread = factor.diagonal(dim1=1, dim2=2).amin(dim=1)
        sound = (failed == 0) & (spread > LEAST_SPREAD)
        factor = torch.where(sound[:, None, None], factor, torch.eye(terms).to(factor))
        moments = ((weight * ratio) @ basis / total).double()
        coefficients = torch.cholesky_solve(moments[..., None], factor)[..., 0].to(ratio)
        return torch.where(sound[:, None], coefficients @ basis.T, torch.nan)

    @staticmethod
    def _near(smooth: Tensor, near: Tensor) -> Tensor:
        """How far residuals (B, p) belong to the continuum, by the scatter of those that were `near` it so far."""
        scatter = ((smooth.square() * near).sum(dim=1) / near.sum(dim=1).clamp_min(1)).sqrt()
        smooth = smooth / scatter.clamp_min(LEAST_SCATTER)[:, None]
        inside = torch.minimum(smooth + BELOW, ABOVE - smooth)
        return (inside / EDGE + 0.5).clamp(0, 1)

    def normalize(self, spectra: Spectra) -> Spectra:
        """Spectra (B, P) with the continuum divided out of flux and error.

        Pixels without a finite flux, an error above 0 or a continuum above 0 are masked, with flux 1.
        """
        continuum = self.fit(spectra)
        flux, error = spectra.flux / continuum, spectra.error / continuum
        sound = flux.isfinite() & error.isfinite() & (error > 0)
        flux, error = torch.where(sound, flux, 1.0), torch.where(sound, error, WORST_ERROR)
        return Spectra(flux.to(spectra.flux), error.to(spectra.error), spectra.mask & sound)

    def normalize_exact(self, flux: Tensor) -> Tensor:
        """Flux (B, P) that has no errors with the continuum divided out; gradients flow."""
        exact = Spectra(flux, torch.full_like(flux, ERROR_FLOOR), torch.ones_like(flux, dtype=torch.bool))
        return self.normalize(exact).flux

    def contents(self) -> dict[str, Any]:
        """All that it is made of but wavelengths, as tensors and plain types; `from_contents` makes it again."""
        pixels = self.pixels if self.given else None
        return {"degree": self.degree, "pixels": pixels, "starts": torch.from_numpy(self.starts)}

    @classmethod
    def from_contents(cls, contents: dict[str, Any], wavelength: np.ndarray) -> Self:
        """What `contents` was of, on the same wavelengths (P,)."""
        pixels = None if contents["pixels"] is None else contents["pixels"].numpy()
        return cls(wavelength, contents["degree"], pixels, contents["starts"].numpy())


def _sums(values: Tensor, reach: int) -> Tensor:
    """The sum (B, p) of each pixel of values (B, p) and `reach` neighbours on either side, none beyond the ends."""
    padded = functional.pad(values, (reach, reach))
    found = padded[:, : values.shape[1]].clone()
    for first in range(1, 2 * reach + 1):
        found += padded[:, first : first + values.shape[1]]
    return found

"""How fast a star recedes, by cross-correlation of its spectrum with theory's."""

import math
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from scipy.fft import next_fast_len
from scipy.interpolate import CubicSpline
from torch import Tensor

from cyclegan.spectra.chips import chip_polynomials, chip_slices
from cyclegan.spectra.files import SpectraFile
from cyclegan.spectra.spectra import Spectra
from emulator.commands.errors import InputError
from emulator.hdf5 import is_hdf5
from emulator.payne import Payne
from emulator.wavelength import LIGHT_SPEED

THEORY = "an emulator, or a file of synthetic spectra in HDF5"
FASTEST = 1000.0  # km/s: no star of the Galaxy is faster
STEP = 1.0  # km/s: of trial velocities; lines are ten times wider
TEMPLATES = 64  # of theory's spectra, at most
PEAK = 100.0  # km/s on either side of a peak belong to it: lines of the fastest rotators
SIGNIFICANT = 25.0  # of chi-square, by which a velocity has to be better than all others: 5 sigma
DEGREE = 3  # of what is smooth along a chip
SPIKE, LEAST_SPIKE = 5.0, 0.1  # errors above the continuum, and of it: no star's
BRIGHTEST = 3.0  # of a chip's median: what is above it by errors, or below 0, is no star's either
LEAST_ERROR = 1e-3  # of the continuum: less is not believed, so that no pixel outweighs all others
LEAST = 1e-6  # of a sum: what is below is the rounding of the transform


class Velocity(NamedTuple):
    """How fast a star recedes from the telescope, and its error, 1 sigma, in km/s."""

    value: float
    error: float


class Templates:
    """Theory's spectra, K of them, with which those of stars are compared at all velocities at once.

    With weights w = 1 / error^2 of usable pixels, a star's lines d = flux - 1, a template's lines t moved by a velocity
    v, and a depth a > 0 and an offset b of their own for each v,
        chi2(v) = min over a, b of sum w (d - a t_v - b)^2 = const - A^2 / B,
        A = sum w (d - <d>) t_v,    B = sum w (t_v - <t_v>)^2,    < > the weighted mean.
    On a grid of ln wavelength a velocity is a shift, and all these sums are correlations, by FFT (Tonry and Davis 1979,
    AJ 84, 1511; with weights and the chi-square as Zucker 2003, MNRAS 342, 1291, has it). The star's pixels are not
    resampled: each is shared between the two points of the grid that it lies between. The best template counts.
    The peak is that of a parabola through the best velocity and its neighbours, the error that of its curvature,
    2 / (d2 chi2 / dv2), times chi-square for each degree of freedom where that is above 1: theory is not perfect.
    """

    def __init__(self, wavelength: np.ndarray, flux: Tensor) -> None:
        """wavelength (P,): vacuum Angstrom; flux (K, P): normalised, and without noise."""
        theory = flux.double().numpy()
        log = np.log(wavelength)
        self.start, self.step = log[0], math.log1p(STEP / LIGHT_SPEED)
        self.reach = math.ceil(FASTEST / STEP)  # in steps
        self.points = math.ceil((log[-1] - log[0]) / self.step) + 1
        grid = self.start + self.step * np.arange(self.points)
        values, covered = np.zeros((len(theory), self.points)), np.zeros(self.points)
        for chip in chip_slices(wavelength):
            if chip.stop - chip.start <= DEGREE:
                continue
            inside = (grid >= log[chip][0]) & (grid <= log[chip][-1])
            level = _smooth(wavelength[chip], theory[:, chip], np.ones(chip.stop - chip.start))
            values[:, inside] = CubicSpline(log[chip], theory[:, chip] / level - 1, axis=1)(grid[inside])
            covered[inside] = 1
        # Zeros on either side, so that what leaves one end does not come back at the other.
        self.size = next_fast_len(self.points + 2 * self.reach + 2, real=True)
        self.lines, self.squares, self.covered = (
            torch.fft.rfft(torch.from_numpy(array), self.size).conj() for array in (values, values**2, covered)
        )

    @classmethod
    def read(cls, path: str | Path, among: np.ndarray) -> Self:
        """Those of an emulator, over the ranges of its labels, or TEMPLATES of a file of synthetic spectra.

        Only what matters to stars on the wavelengths `among` (P,) is kept. Raises InputError for another file, and for
        theory that covers none of them.
        """
        if not Path(path).is_file():
            raise InputError(f"{path}: expected {THEORY}, found none")
        if is_hdf5(path):
            with SpectraFile(path) as file:
                wavelength = file.wavelength.numpy()
                subset, count = max(file.subsets.items(), key=lambda item: item[1])
                spectra = file.read(subset, slice(0, count, max(1, math.ceil(count / TEMPLATES))))
                flux = torch.where(spectra.mask, spectra.flux, 1.0)
        else:
            try:
                emulator = Payne.load(path)
            except InputError as problem:
                why = str(problem).removeprefix(f"{path}: ")
                raise InputError(f"{path}: expected {THEORY}, got neither ({why})") from problem
            wavelength = emulator.wavelength.numpy()
            with torch.no_grad():
                flux = emulator(_labels(emulator))
        farthest = 1 + FASTEST / LIGHT_SPEED
        kept = (wavelength > among[0] / farthest) & (wavelength < among[-1] * farthest)
        if not len(flux) or kept.sum() <= DEGREE:
            covered = f"{wavelength[0]:.1f} to {wavelength[-1]:.1f} A"
            expected = f"spectra that cover some of {among[0]:.1f} to {among[-1]:.1f} A"
            raise InputError(f"{path}: expected {expected}, got {len(flux)} of {covered}")
        return cls(wavelength[kept], flux[:, torch.from_numpy(kept)])

    def measure(self, wavelength: np.ndarray, spectra: Spectra) -> Velocity:
        """How fast the star of a spectrum (1, p) recedes, at wavelengths (p,), vacuum Angstrom, as it was seen.

        Flux and error are in any unit. Raises InputError where no velocity is better than all others by SIGNIFICANT.
        """
        found = self._reductions(np.log(wavelength), *_depths(wavelength, spectra))
        template, best = divmod(int(found.gain.argmax()), found.gain.shape[1])
        gain, step = found.gain[template].tolist(), best - self.reach
        left, height, right = gain[best - 1 : best + 2] if 0 < best < len(gain) - 1 else (0.0, 0.0, 0.0)
        curvature = 2 * height - left - right
        scale = max(1.0, (float(found.chi2[best]) - height) / max(float(found.pixels[best]) - 3, 1.0))
        near = round(PEAK / STEP)
        others = torch.cat([found.gain[:, : max(best - near, 0)], found.gain[:, best + near :]], dim=1)
        better = (height - float(others.max())) / scale
        if not (better > SIGNIFICANT and curvature > 0):
            raise InputError(
                f"expected a velocity within {FASTEST:g} km/s that is better than all others by {SIGNIFICANT:g} of"
                f" chi-square, got one that is by {max(better, 0.0):.1f}"
            )
        value = LIGHT_SPEED * math.expm1((step + (right - left) / (2 * curvature)) * self.step)
        return Velocity(value, STEP * (1 + value / LIGHT_SPEED) * math.sqrt(2 * scale / curvature))

    def _reductions(self, log: np.ndarray, depth: np.ndarray, weight: np.ndarray) -> "Reductions":
        """What each template at each velocity takes from chi-square, of lines `depth` (p,) at ln wavelength `log`."""
        place = (log - self.start) / self.step + self.reach
        first = np.floor(place).astype(int)
        inside = (weight > 0) & (first >= 0) & (first <= self.points + 2 * self.reach)
        place, first, depth, weight = place[inside], first[inside], depth[inside], weight[inside]
        sums = np.zeros((4, self.size))
        for values, row in zip((weight, weight * depth, weight * depth**2, np.ones_like(depth)), sums, strict=True):
            np.add.at(row, first, values * (first + 1 - place))
            np.add.at(row, first + 1, values * (place - first))
        data = torch.fft.rfft(torch.from_numpy(sums))

        def over_all_shifts(data: Tensor, templates: Tensor) -> Tensor:
            return torch.fft.irfft(data * templates, self.size)[..., : 2 * self.reach + 1]

        total, moment, square, pixels = over_all_shifts(data, self.covered)
        there = total > LEAST * total.max()
        total = torch.where(there, total, torch.inf)
        lines, squares, along = (
            over_all_shifts(*pair) for pair in ((data[0], self.lines), (data[0], self.squares), (data[1], self.lines))
        )
        along = (along - moment * lines / total).clamp_min(0.0)
        spread = squares - lines.square() / total
        gain = torch.where(there & (spread > LEAST * squares), along.square() / spread, 0.0)
        return Reductions(gain, square - moment.square() / total, pixels)


class Reductions(NamedTuple):
    """gain (K, V): by how much templates at velocities lower chi-square; chi2 (V,): without any; pixels (V,)."""

    gain: Tensor
    chi2: Tensor
    pixels: Tensor


def _depths(wavelength: np.ndarray, spectra: Spectra) -> tuple[np.ndarray, np.ndarray]:
    """Lines of a spectrum (1, p), below 0, and the weights (p,) of its pixels, 0 where one is not usable."""
    flux, error, mask = (values[0].double().numpy() for values in spectra)
    depth, weight = np.zeros_like(flux), np.zeros_like(flux)
    with np.errstate(all="ignore"):  # what is not finite is not usable
        usable = (mask > 0) & np.isfinite(flux) & np.isfinite(error) & (error > 0)
        for chip in chip_slices(wavelength):
            good = usable[chip]
            level = np.median(flux[chip][good]) if good.any() else 0.0
            if not level > 0:
                continue
            own, noise = flux[chip] / level, np.maximum(error[chip] / level, LEAST_ERROR)
            good = good & (own > -SPIKE * noise) & (own < BRIGHTEST + SPIKE * noise)
            smooth = _smooth(wavelength[chip], np.where(good, own, 0.0), np.where(good, noise, np.inf) ** -2)
            own, noise = own / smooth - 1, noise / smooth
            good &= (smooth > 0) & (own < np.maximum(SPIKE * noise, LEAST_SPIKE))
            depth[chip], weight[chip] = np.where(good, own, 0.0), np.where(good, noise**-2, 0.0)
    return depth, weight


def _smooth(wavelength: np.ndarray, flux: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The polynomials (..., p) that run through flux (..., p) on a chip, lines and all."""
    basis, root = chip_polynomials(wavelength, DEGREE), np.sqrt(weight)
    return (basis @ np.linalg.lstsq(basis * root[:, None], (flux * root).T, rcond=None)[0]).T


def _labels(emulator: Payne) -> Tensor:
    """TEMPLATES stars (K, L) over the ranges of an emulator's labels, all abundances high or low together."""
    groups = ["metals" if name.endswith("_h") else name for name in emulator.label_names]
    names = list(dict.fromkeys(groups))
    draws = torch.quasirandom.SobolEngine(len(names)).draw(TEMPLATES)
    share = draws[:, [names.index(group) for group in groups]]
    return emulator.label_low + share * (emulator.label_high - emulator.label_low)

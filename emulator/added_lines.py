"""What further lines would add to the spectra of some stars, and how that changes with their data.

Lines are added to the opacity of a whole line list: in the wing of a strong line, or on top of a saturated one, they
add less than they would alone. S is the number of stars, n of pixels of the synthesiser's grid in a window, p of the
spectra's pixels in it, D of depth points, J of lines.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from emulator.atmosphere import (
    ATOMIC_MASS,
    BOLTZMANN,
    INTEGRAL,
    LIGHT_SPEED_CGS,
    REFERENCE_WAVELENGTH,
    SECOND_RADIATION,
    Gas,
    continuous_opacity,
)
from emulator.commands.progress import progress
from emulator.line_opacity import CORE, STEP, integrated_opacity, make_fine_grid, van_der_waals, voigt
from emulator.lines import SPECIES, Lines
from emulator.synthesis import COSINES, MARGIN, SLOPE, VMACRO, WEIGHTS, atmosphere_of, line_width, total_opacity

REACH = 40  # pixels of the synthesiser's grid on either side of a line within which it is followed: 60 km/s
A_LITTLE = 0.01  # eV, for a derivative
PARAMETERS = 3  # of a line: log gf, excitation, ln(wavelength)
Line = tuple[str, float, float, float]  # species, log gf, excitation (eV), ln(wavelength)


class Added(NamedTuple):
    """By how much the flux of S stars changes at p pixels, (S, p), and its derivatives (S, p, J, PARAMETERS)."""

    change: np.ndarray
    slopes: np.ndarray


@dataclass(frozen=True)
class Window:
    """A stretch of spectrum in which lines are added: what of it does not depend on them."""

    pixels: np.ndarray  # (p,), of the spectra
    seen: np.ndarray  # (p,), ln(wavelength) of these
    x: np.ndarray  # (n,), ln(wavelength) of the synthesiser's grid
    opacity: np.ndarray  # (S, n, D), to which lines are added
    flux: np.ndarray  # (S, n) of theory, over that without any line
    clear: np.ndarray  # (S, n), flux without any line, in the unit of `emergent_slopes`
    broadening: np.ndarray  # (S, p, n): to the spectra's pixels, as each star and the spectrograph smear it


class Stars:
    """Atmospheres of S stars with the opacity of a line list, to which lines are to be added.

    labels (S, L): in the order of `emulator.labels.LABELS`; wavelength (P,): vacuum Angstrom, of the spectra.
    """

    def __init__(self, labels: np.ndarray, wavelength: np.ndarray, lines: Lines) -> None:
        self.pixels = np.log(wavelength)
        first, last = (round(end / STEP) for end in self.pixels[[0, -1]])
        grid = make_fine_grid(first - MARGIN, last + MARGIN, lines)
        self.x, self.width = grid.x, np.array([line_width(star[VMACRO]) for star in labels])
        gases, opacity, clear, absorbers, vmic = [], [], [], [], []
        for star in progress(labels, "atmospheres", unit="star"):
            gas, population, speed = atmosphere_of(star)
            made = total_opacity(grid, gas, population, speed)
            reference = continuous_opacity(np.array([REFERENCE_WAVELENGTH]), gas)[0]
            opacity.append(made[0])
            clear.append(made[1])
            gases.append(gas)
            absorbers.append({name: density / reference for name, density in population.items()})
            vmic.append(speed)
        self.opacity, self.clear, self.vmic = np.stack(opacity), np.stack(clear), np.array(vmic)
        self.gas = Gas(*(np.stack([getattr(gas, one.name) for gas in gases]) for one in fields(Gas)))
        self.absorbers = {name: np.stack([one[name] for one in absorbers]) for name in absorbers[0]}

    def window(self, at: np.ndarray, near: float, further: Sequence[Line] = ()) -> Window:
        """Around lines at ln(wavelength) (J,), ascending: the spectra's pixels that are `near` to one of them.

        further: lines that are there besides those that `add` adds.
        """
        pixels = np.flatnonzero((np.abs(self.pixels[:, None] - at) < near).any(axis=1))
        seen = self.pixels[pixels]
        first, last = np.searchsorted(self.x, [at[0] - REACH * STEP, at[-1] + REACH * STEP])
        x, opacity, clear = self.x[first:last], self.opacity[:, first:last], self.clear[:, first:last]
        distance = (seen[:, None] - x) / self.width[:, None, None]
        broadening = np.exp(-0.5 * distance**2) * (STEP / np.sqrt(2.0 * np.pi)) / self.width[:, None, None]
        flux, _ = emergent_slopes(x, opacity, self.gas.temperature)
        more = sum((self._profile(x, *line) for line in further), start=np.float32(0.0))
        return Window(pixels, seen, x, opacity + more, flux / clear, clear, broadening.astype(np.float32))

    def add(
        self, window: Window, species: Sequence[str], log_gf: np.ndarray, excitation: np.ndarray, at: np.ndarray
    ) -> Added:
        """What J lines add, of species, log gf, excitation (eV) and ln(wavelength) at."""
        data = np.stack([log_gf, excitation, at], axis=1)
        profiles = [self._profile(window.x, name, *row) for name, row in zip(species, data.tolist(), strict=True)]
        flux, slope = emergent_slopes(
            window.x, window.opacity + sum(profiles, start=np.float32(0.0)), self.gas.temperature
        )
        slope /= window.clear[:, :, None]
        columns = [flux / window.clear - window.flux]
        for name, row, profile in zip(species, data.tolist(), profiles, strict=True):
            excited = self._profile(window.x, name, row[0], row[1] + A_LITTLE, row[2])
            changes = np.log(10.0) * profile, (excited - profile) / A_LITTLE, -np.gradient(profile, STEP, axis=1)
            columns += [np.einsum("snd,snd->sn", slope, change) for change in changes]
        seen = np.matmul(window.broadening, np.stack(columns, axis=2).astype(np.float32))
        return Added(seen[:, :, 0], seen[:, :, 1:].reshape(*seen.shape[:2], len(data), PARAMETERS))

    def _profile(self, x: np.ndarray, species: str, log_gf: float, excitation: float, at: float) -> np.ndarray:
        """The opacity of one line at ln(wavelength) x (n,), (S, n, D), as `line_opacity.add_lines` has it."""
        gas, line = self.gas, one_line(np.exp(at), species, excitation, log_gf)
        thermal = 2.0 * BOLTZMANN * gas.temperature / (SPECIES[species].mass * ATOMIC_MASS)
        doppler = np.sqrt(thermal + (self.vmic[:, None] * 1e5) ** 2) / LIGHT_SPEED_CGS
        area = integrated_opacity(line, np.array([0]), gas, self.absorbers[species])
        damping = van_der_waals(line)[0] * gas.pressure * gas.temperature**-0.7
        offset = (x - at).astype(np.float32)[:, None]
        wing, square = ((area * damping / np.pi).astype(np.float32), (damping**2).astype(np.float32))
        profile = wing[:, None] / (offset * offset + square[:, None])
        middle = int(np.argmin(np.abs(offset[:, 0])))
        core = slice(max(middle - CORE, 0), middle + CORE + 1)
        height, ratio, per_doppler = (
            array.astype(np.float32)[:, None]
            for array in (area / (np.sqrt(np.pi) * doppler), damping / doppler, 1 / doppler)
        )
        profile[:, core] = height * voigt(ratio, offset[core] * per_doppler)
        return profile


def one_line(wavelength: float, species: str, excitation: float, log_gf: float) -> Lines:
    """A list of one line, of unknown strength."""
    columns = (np.array([value]) for value in (wavelength, species, excitation, log_gf, np.nan))
    return Lines(*columns)


def emergent_slopes(x: np.ndarray, opacity: np.ndarray, temperature: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flux (S, n) as `synthesis.emergent_flux` has it, and d flux / d opacity (S, n, D), of S stars at once.

    x (n,): ln(wavelength); opacity (S, n, D); temperature (S, D).
    """
    photon = (SECOND_RADIATION * 1e4 / np.exp(x[:, None])).astype(np.float32)
    source = 1.0 / (np.exp(photon / temperature.astype(np.float32)[:, None]) - 1.0)
    slope = source @ SLOPE.T.astype(np.float32)
    tau = opacity @ INTEGRAL.T.astype(np.float32)
    transmitted, lost = np.zeros_like(tau), np.zeros_like(tau)
    for mu, weight in zip(COSINES, WEIGHTS, strict=True):
        passing = np.exp(np.maximum(tau * np.float32(-1.0 / mu), np.float32(-80.0)))
        transmitted += passing * np.float32(2.0 * weight * mu)
        lost += passing * np.float32(2.0 * weight)
    flux = source[:, :, 0] + np.einsum("snd,snd->sn", slope, transmitted)
    return flux, -(slope * lost) @ INTEGRAL.astype(np.float32)

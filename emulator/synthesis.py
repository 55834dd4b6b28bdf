"""Labels to a normalised spectrum, in LTE.

The work is done on a grid of 1.5 km/s steps in ln(wavelength) whose pixels lie at whole multiples of the step
whatever the range asked for. Which pixels a line reaches follows from its strength in the table and never from the
labels: the spectrum is then a smooth function of the labels.
P is the number of pixels, N of lines, D of depth points. Opacities are in units of the continuous one at 5000 Angstrom.
"""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import fft
from scipy.interpolate import CubicSpline
from scipy.ndimage import map_coordinates

from emulator.apogee import APOGEE
from emulator.atmosphere import (
    INTEGRAL,
    LIGHT_SPEED_CGS,
    REFERENCE_WAVELENGTH,
    SECOND_RADIATION,
    TAU,
    Gas,
    abundances,
    continuous_opacity,
    hydrostatic,
    populations,
)
from emulator.commands.errors import InputError
from emulator.labels import ABUNDANCES, ELEMENTS, LABELS, UNITS
from emulator.line_lists import read_lines
from emulator.line_opacity import (
    NODE,
    PAD,
    PIXELS_AT_ONCE,
    STEP,
    FineGrid,
    add_lines,
    hydrogen_lines,
    integrated_opacity,
    make_fine_grid,
)
from emulator.lines import LINES, Lines

log = logging.getLogger(__name__)
CONTINUUM_POINTS = 40  # at which the continuum is computed
MARGIN = 140  # pixels beyond the wavelengths asked for, out of reach of the broadening
RESOLUTION = APOGEE.resolution
VMACRO = LABELS.index("vmacro")
WAVELENGTH_RANGE = (15150.0, 16960.0)  # vacuum Angstrom: the line list is complete here
SUPPORTED = {"teff": (4000.0, 8000.0), "logg": (0.0, 5.5), "vmic": (0.0, 5.0), "vmacro": (0.0, 30.0)}
SUPPORTED |= dict.fromkeys(ABUNDANCES, (-2.5, 1.0))
# Where the strength of a line is looked for: teff, logg, at solar abundances.
STRENGTH_STARS = [(t, g) for t in (4200.0, 4800.0, 5500.0, 6200.0, 6800.0) for g in (1.0, 2.5, 4.0, 5.0)]
STRENGTH_STARS = [(teff, logg) for teff, logg in STRENGTH_STARS if teff < 6000.0 or logg >= 2.5]
FAINT = 0.01  # of the continuous opacity: what is far from saturated, and as far above rounding
WEAKEST = -8.0  # strength below which a line cannot be seen: it is some 2e-4 deep
OUTSIDE = 20.0  # Angstrom beyond WAVELENGTH_RANGE from which lines still reach in
COSINES, WEIGHTS = (0.5 * (a + b) for a, b in zip(np.polynomial.legendre.leggauss(3), (1.0, 0.0), strict=True))


def _slope() -> np.ndarray:
    """(D, D) matrix that turns a function at the depth points into d/d ln(tau), times the step of ln(tau)."""
    x = np.log(TAU)
    return CubicSpline(x, np.eye(len(x)))(x, 1) * (x[1] - x[0])


SLOPE = _slope()


def own_lines(path: str | Path, medium: str | None = None) -> Lines:
    """A line list of one's own, by `emulator.lines.read_lines`, with its lines' strengths: ready to synthesise with.

    Lines outside WAVELENGTH_RANGE and those too weak to be seen are left out. What was read is reported. Raises
    InputError if nothing is left.
    """
    lines = read_lines(path, medium)
    (low, high), first, last = WAVELENGTH_RANGE, lines.wavelength[0], lines.wavelength[-1]
    inside = lines.chosen((lines.wavelength >= low - OUTSIDE) & (lines.wavelength <= high + OUTSIDE))
    if len(inside.wavelength) == 0:
        raise InputError(f"{path}: expected lines from {low:g} to {high:g} A (vacuum), got {first:.2f} to {last:.2f}")
    strength = line_strengths(inside)
    kept = replace(inside, strength=strength).chosen(strength >= WEAKEST)
    if len(kept.wavelength) == 0:
        got = f"none deeper than 10^{strength.max():.1f} of its wavelength"
        raise InputError(f"{path}: expected lines with an equivalent width that can be seen, got {got}")
    log.info(
        "%s: %d lines from %.2f to %.2f A (vacuum); left out %d outside %g to %g A and %d too weak to be seen",
        *(path, len(kept.wavelength), kept.wavelength[0], kept.wavelength[-1]),
        *(len(lines.wavelength) - len(strength), low, high, len(strength) - len(kept.wavelength)),
    )
    return kept


def line_strengths(lines: Lines) -> np.ndarray:
    """log10 of equivalent width / wavelength, (N,), that unsaturated lines have in the star that shows them best."""
    x = np.log(lines.wavelength)
    coarse = np.linspace(x[0] - STEP, x[-1] + STEP, CONTINUUM_POINTS)
    abundance = abundances({"Fe": 0.0})
    strongest = np.full(len(x), np.finfo(float).tiny)
    for teff, logg in STRENGTH_STARS:
        gas = hydrostatic(teff, logg, abundance)
        population = populations(gas, abundance)
        reference = continuous_opacity(np.array([REFERENCE_WAVELENGTH]), gas)[0]
        continuum = CubicSpline(coarse, continuous_opacity(np.exp(coarse) * 1e-4, gas) / reference)(x)
        absorbers = np.array([population[name] for name in lines.species]) / reference
        area = integrated_opacity(lines, np.arange(len(x)), gas, absorbers)
        dilution = FAINT / np.maximum((area / continuum).max(axis=1), np.finfo(float).tiny)
        flux = emergent_flux(x, continuum + dilution[:, None] * area, gas.temperature)
        depth = 1.0 - flux / emergent_flux(x, continuum, gas.temperature)
        strongest = np.maximum(strongest, depth / dilution)
    return np.log10(strongest)


def synthesize(labels: np.ndarray, wavelength: np.ndarray, lines: Lines | None = None) -> np.ndarray:
    """The spectrum of one star: flux over continuum, (P,) float32.

    labels (L,) in the order and units of `emulator.labels.LABELS`; wavelength (P,) in vacuum Angstrom, ascending;
    lines: None for the built-in ones.
    Elements without a label follow Fe. vmacro is the most probable speed of an isotropic Gaussian macroturbulence.
    Raises InputError where labels or wavelengths lie outside what the physics or the line list supports.
    """
    labels, wavelength = np.asarray(labels, dtype=np.float64), np.asarray(wavelength, dtype=np.float64)
    _check(labels, wavelength)
    first, last = (round(np.log(end) / STEP) for end in wavelength[[0, -1]])
    grid = make_fine_grid(first - MARGIN, last + MARGIN, lines or LINES)
    depth = broaden(1.0 - normalised_flux(grid, *atmosphere_of(labels)), labels[VMACRO])
    pixel = (np.log(wavelength) - grid.x[0]) / STEP
    return (1.0 - map_coordinates(depth, pixel[None], order=3)).astype(np.float32)


def atmosphere_of(labels: np.ndarray) -> tuple[Gas, dict[str, np.ndarray], float]:
    """A star's gas, the populations of its species, and its microturbulence in km/s; labels (L,) as in `synthesize`."""
    star = dict(zip(LABELS, labels.tolist(), strict=True))
    abundance = abundances({element: star[name] for element, name in zip(ELEMENTS, ABUNDANCES, strict=True)})
    gas = hydrostatic(star["teff"], star["logg"], abundance)
    return gas, populations(gas, abundance), star["vmic"]


def line_width(vmacro: float) -> float:
    """The standard deviation of what broadens a spectrum, in ln(wavelength): macroturbulence exp(-(v/vmacro)^2), vmacro
    in km/s, and the spectrograph's Gaussian.
    """
    spectrograph = 1.0 / (RESOLUTION * np.sqrt(8.0 * np.log(2.0)))
    return float(np.hypot(spectrograph, vmacro * 1e5 / LIGHT_SPEED_CGS / np.sqrt(2.0)))


def _check(labels: np.ndarray, wavelength: np.ndarray) -> None:
    if labels.shape != (len(LABELS),):
        raise InputError(f"labels: expected shape ({len(LABELS)},) for {', '.join(LABELS)}, got {labels.shape}")
    for name, value in zip(LABELS, labels.tolist(), strict=True):
        low, high = SUPPORTED[name]
        if not low <= value <= high:
            raise InputError(f"label '{name}': expected {low:g} to {high:g} {UNITS[name]}, got {value:g}")
    if wavelength.ndim != 1 or len(wavelength) == 0 or not (np.diff(wavelength) > 0).all():
        raise InputError(f"wavelength: expected one ascending row of Angstrom, got shape {wavelength.shape}")
    low, high = WAVELENGTH_RANGE
    if not (low <= wavelength[0] and wavelength[-1] <= high):
        got = f"{wavelength[0]:.2f} to {wavelength[-1]:.2f}"
        raise InputError(
            f"wavelength: expected {low:g} to {high:g} Angstrom (vacuum), where lines are known, got {got}"
        )


def normalised_flux(grid: FineGrid, gas: Gas, population: dict[str, np.ndarray], vmic: float) -> np.ndarray:
    """Flux with all lines over flux without them, (P,), before the star's and the spectrograph's broadening."""
    opacity, clear = total_opacity(grid, gas, population, vmic)
    return emergent_flux(grid.x, opacity, gas.temperature) / clear


def total_opacity(
    grid: FineGrid, gas: Gas, population: dict[str, np.ndarray], vmic: float
) -> tuple[np.ndarray, np.ndarray]:
    """Opacity (P, D) of continuum and lines, and the flux (P,) that there would be without the lines."""
    reference = continuous_opacity(np.array([REFERENCE_WAVELENGTH]), gas)[0]
    coarse = np.linspace(grid.x[0], grid.x[-1], CONTINUUM_POINTS)
    continuum = continuous_opacity(np.exp(coarse) * 1e-4, gas) / reference
    nodes = np.append(grid.x[::NODE], grid.x[-1] + STEP)
    smooth = CubicSpline(coarse, continuum)(nodes) + hydrogen_lines(nodes, gas, population["H I"]) / reference
    step = np.arange(NODE)[:, None] / NODE
    padded = np.zeros((len(grid.x) + 2 * PAD, len(reference)), dtype=np.float32)
    opacity = padded[PAD:-PAD]
    opacity.reshape(len(nodes) - 1, NODE, -1)[:] = smooth[:-1, None] * (1.0 - step) + smooth[1:, None] * step
    for windows in grid.windows:
        add_lines(padded, grid.lines, windows, gas, population, vmic, reference)
    return opacity, CubicSpline(coarse, emergent_flux(coarse, continuum, gas.temperature))(grid.x)


def emergent_flux(x: np.ndarray, opacity: np.ndarray, temperature: np.ndarray) -> np.ndarray:
    """Flux at ln(wavelength) x (P,) for opacity (P, D) and T (D,), up to a factor that depends on wavelength alone.

    F = 2 integral of mu I(mu) dmu, with I(mu) = S(0) + integral of exp(-tau/mu) dS and S the Planck function: three
    Gauss-Legendre points in mu (together they stand for the exponential integral E3), trapezoids in ln(tau).
    """
    opacity, temperature = opacity.astype(np.float32, copy=False), temperature.astype(np.float32)
    to_tau, to_slope = INTEGRAL.T.astype(np.float32), SLOPE.T.astype(np.float32)
    photon = (SECOND_RADIATION * 1e4 / np.exp(x[:, None])).astype(np.float32)
    flux = np.empty(len(x))
    for start in range(0, len(x), PIXELS_AT_ONCE):
        chunk = slice(start, start + PIXELS_AT_ONCE)
        tau = opacity[chunk] @ to_tau
        source = 1.0 / (np.exp(photon[chunk] / temperature) - 1.0)
        transmitted = np.zeros_like(tau)
        for mu, weight in zip(COSINES, WEIGHTS, strict=True):
            exponent = np.maximum(tau * np.float32(-1.0 / mu), np.float32(-80.0))  # denormal numbers are slow
            transmitted += np.exp(exponent, out=exponent) * np.float32(2.0 * weight * mu)
        flux[chunk] = source[:, 0] + np.einsum("pd,pd->p", source @ to_slope, transmitted)
    return flux


def broaden(depth: np.ndarray, vmacro: float) -> np.ndarray:
    """Convolve (P,) on the grid's steps with a Gaussian as wide as `line_width` says."""
    sigma = line_width(vmacro) / STEP  # pixels
    size = fft.next_fast_len(len(depth), real=True)
    kernel = np.exp(-0.5 * (2.0 * np.pi * sigma * fft.rfftfreq(size)) ** 2)
    return fft.irfft(fft.rfft(depth, size) * kernel, size)[: len(depth)]

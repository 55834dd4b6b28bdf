"""Labels to a normalised spectrum, in LTE.

The work is done on a grid of 1.5 km/s steps in ln(wavelength) whose pixels lie at whole multiples of the step
whatever the range asked for. Which pixels a line reaches follows from its strength in the table and never from the
labels: the spectrum is then a smooth function of the labels.
P is the number of pixels, N of lines, D of depth points. Opacities are in units of the continuous one at 5000 Angstrom.
"""

import logging
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import fft
from scipy.interpolate import CubicSpline
from scipy.ndimage import map_coordinates

from emulator.atmosphere import (
    ATOMIC_MASS,
    BOLTZMANN,
    ELECTRON_VOLT,
    INTEGRAL,
    LIGHT_SPEED,
    REFERENCE_WAVELENGTH,
    RYDBERG,
    SECOND_RADIATION,
    TAU,
    Gas,
    abundances,
    continuous_opacity,
    hydrostatic,
    populations,
)
from emulator.command import InputError
from emulator.labels import ABUNDANCES, ELEMENTS, LABELS, UNITS
from emulator.lines import LINES, SPECIES, Lines, read_lines

log = logging.getLogger(__name__)

STEP = 5e-6  # of the grid, in ln(wavelength)
CORE = 8  # pixels on each side of a line's centre that get the Voigt profile; beyond, it is a Lorentzian
HALF_WINDOWS = (8, 16, 32, 64, 128, 256, 512)  # pixels on each side within which lines are followed
PAD = 2 * HALF_WINDOWS[-1]  # pixels beyond the grid, room for the windows of lines near or beyond its ends
WING_LIMIT = 6e-4  # of the continuous opacity: what a line may still add where its window ends
HIGH_PRESSURE = 1e3  # P T^-0.7 where lines form in cool dwarfs, the largest: to see how far a Lorentzian goes
NODE = 4  # pixels between which continuum and hydrogen lines are interpolated
CONTINUUM_POINTS = 40  # at which the continuum is computed
MARGIN = 140  # pixels beyond the wavelengths asked for, out of reach of the broadening
PIXELS_AT_ONCE = 4096  # of which arrays (times D) stay in the processor's cache
RESOLUTION = 22500.0  # wavelength / full width at half maximum of the spectrograph's line spread function

WAVELENGTH_RANGE = (15150.0, 16960.0)  # vacuum Angstrom: the line list is complete here
SUPPORTED = {"teff": (4000.0, 8000.0), "logg": (0.0, 5.5), "vmic": (0.0, 5.0), "vmacro": (0.0, 30.0)}
SUPPORTED |= dict.fromkeys(ABUNDANCES, (-2.5, 1.0))

# Where the strength of a line is looked for: teff, logg, at solar abundances.
STRENGTH_STARS = [(t, g) for t in (4200.0, 4800.0, 5500.0, 6200.0, 6800.0) for g in (1.0, 2.5, 4.0, 5.0)]
STRENGTH_STARS = [(teff, logg) for teff, logg in STRENGTH_STARS if teff < 6000.0 or logg >= 2.5]
FAINT = 0.01  # of the continuous opacity: what is far from saturated, and as far above rounding
WEAKEST = -8.0  # strength below which a line cannot be seen: it is some 2e-4 deep
OUTSIDE = 20.0  # Angstrom beyond WAVELENGTH_RANGE from which lines still reach in

OSCILLATOR = 2.654e-2  # pi e^2 / (m_e c), cm^2 Hz
LEAST_BINDING = 0.2  # eV, of an upper level: Unsoeld's approximation is not trusted below
BRACKETT_UPPER = range(10, 22)  # upper levels m of the hydrogen lines 4 -> m in and next to the H band
BRACKETT_REACH = 0.008  # to each side of them, in ln(wavelength)
HYDROGEN_LIMIT = 911.7633  # Angstrom, 1 / Rydberg constant of hydrogen
STARK_WIDTH = 2.35  # of the Stark profile, in shifts by Holtsmark's normal field
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
    inside = _chosen(lines, (lines.wavelength >= low - OUTSIDE) & (lines.wavelength <= high + OUTSIDE))
    if len(inside.wavelength) == 0:
        raise InputError(f"{path}: expected lines from {low:g} to {high:g} A (vacuum), got {first:.2f} to {last:.2f}")
    strength = line_strengths(inside)
    kept = _chosen(replace(inside, strength=strength), strength >= WEAKEST)
    if len(kept.wavelength) == 0:
        got = f"none deeper than 10^{strength.max():.1f} of its wavelength"
        raise InputError(f"{path}: expected lines with an equivalent width that can be seen, got {got}")
    log.info(
        "%s: %d lines from %.2f to %.2f A (vacuum); left out %d outside %g to %g A and %d too weak to be seen",
        *(path, len(kept.wavelength), kept.wavelength[0], kept.wavelength[-1]),
        *(len(lines.wavelength) - len(strength), low, high, len(strength) - len(kept.wavelength)),
    )
    return kept


def _chosen(lines: Lines, rows: np.ndarray) -> Lines:
    return Lines(*(column[rows] for column in vars(lines).values()))


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
    star = dict(zip(LABELS, labels.tolist(), strict=True))
    abundance = abundances({element: star[name] for element, name in zip(ELEMENTS, ABUNDANCES, strict=True)})
    first, last = (round(np.log(end) / STEP) for end in wavelength[[0, -1]])
    grid = make_grid(first - MARGIN, last + MARGIN, lines or LINES)
    gas = hydrostatic(star["teff"], star["logg"], abundance)
    depth = 1.0 - normalised_flux(grid, gas, populations(gas, abundance), star["vmic"])
    depth = broaden(depth, star["vmacro"])
    pixel = (np.log(wavelength) - grid.x[0]) / STEP
    return (1.0 - map_coordinates(depth, pixel[None], order=3)).astype(np.float32)


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


@dataclass(frozen=True)
class Windows:
    """Lines that are followed equally far, up to half a window on each side of their centre pixel."""

    half: int  # pixels
    line: np.ndarray  # (n,) index into the grid's lines
    first: np.ndarray  # (n,) where each window starts: pixel of the grid + PAD
    broadening: np.ndarray  # (n,), see `van_der_waals`
    offset: np.ndarray  # (n, 2 half + 1) of its pixels from the line's centre, in ln(wavelength), float32


@dataclass(frozen=True)
class Grid:
    """What of a synthesis depends on the wavelengths and the line list alone."""

    x: np.ndarray  # (P,) ln(wavelength / Angstrom)
    lines: Lines
    windows: tuple[Windows, ...]


@lru_cache(maxsize=8)
def make_grid(first: int, last: int, lines: Lines) -> Grid:
    """The grid of whole multiples of STEP from first to at least last, a multiple of NODE pixels long.

    A window is the first of HALF_WINDOWS that holds all a line adds to the continuous opacity above WING_LIMIT.
    """
    size = -(-(last - first + 1) // NODE) * NODE
    centre = np.log(lines.wavelength) / STEP - first
    pixel = np.round(centre).astype(int)
    broadening = van_der_waals(lines)
    reach = np.sqrt(10**lines.strength * broadening * HIGH_PRESSURE / (np.pi * WING_LIMIT)) / STEP
    choice = np.minimum(np.searchsorted(HALF_WINDOWS, reach), len(HALF_WINDOWS) - 1)
    windows = []
    for i, half in enumerate(HALF_WINDOWS):
        line = np.flatnonzero((choice == i) & (pixel >= -half) & (pixel < size + half))
        offset = STEP * (pixel[line, None] + np.arange(-half, half + 1) - centre[line, None])
        windows.append(Windows(half, line, pixel[line] - half + PAD, broadening[line], offset.astype(np.float32)))
    return Grid(STEP * np.arange(first, first + size), lines, tuple(windows))


def normalised_flux(grid: Grid, gas: Gas, population: dict[str, np.ndarray], vmic: float) -> np.ndarray:
    """Flux with all lines over flux without them, (P,), before the star's and the spectrograph's broadening."""
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
    clear = CubicSpline(coarse, emergent_flux(coarse, continuum, gas.temperature))(grid.x)
    return emergent_flux(grid.x, opacity, gas.temperature) / clear


def integrated_opacity(lines: Lines, chosen: np.ndarray, gas: Gas, absorbers: np.ndarray) -> np.ndarray:
    """Opacity of the chosen lines (n,) times their width in ln(wavelength), (n, D); absorbers (n, D): their n/U.

    pi e^2 / (m_e c) gf n/U exp(-E/kT) (1 - exp(-h nu/kT)), over the frequency.
    """
    wavelength = lines.wavelength[chosen, None]
    energy = lines.excitation[chosen, None] * ELECTRON_VOLT
    boltzmann = np.exp(-energy / (BOLTZMANN * gas.temperature))
    stimulated = -np.expm1(-SECOND_RADIATION / (wavelength * 1e-4 * gas.temperature))
    gf = 10 ** lines.log_gf[chosen, None] * (OSCILLATOR * 1e-8 / LIGHT_SPEED) * wavelength
    return gf * absorbers * boltzmann * stimulated


def add_lines(
    opacity: np.ndarray,
    lines: Lines,
    windows: Windows,
    gas: Gas,
    population: dict[str, np.ndarray],
    vmic: float,
    reference: np.ndarray,
) -> None:
    """Add lines to opacity (P + 2 PAD, D), in place, in units of reference (D,) in cm^-1; vmic in km/s.

    A line absorbs `integrated_opacity` times phi; phi, here per unit of ln(wavelength), is H(a, v) / (sqrt(pi) b) with
    b = sqrt(2kT/m + vmic^2) / c, and a Lorentzian where v is large.
    """
    names, which = np.unique(lines.species[windows.line], return_inverse=True)
    mass = np.array([SPECIES[name].mass for name in names]) * ATOMIC_MASS
    thermal = 2.0 * BOLTZMANN * gas.temperature / mass.reshape(-1, 1)
    doppler = (np.sqrt(thermal + (vmic * 1e5) ** 2) / LIGHT_SPEED)[which]  # (n, D), as everything here
    absorbers = np.array([population[name] for name in names]).reshape(-1, len(reference)) / reference
    area = integrated_opacity(lines, windows.line, gas, absorbers[which])
    damping = windows.broadening[:, None] * gas.pressure * gas.temperature**-0.7

    height, ratio, per_doppler, wing, square = (
        array.astype(np.float32)[:, None, :]
        for array in (
            area / (np.sqrt(np.pi) * doppler),
            damping / doppler,
            1.0 / doppler,
            area * damping / np.pi,
            damping**2,
        )
    )
    core = slice(windows.half - CORE, windows.half + CORE + 1)
    length = 2 * windows.half + 1
    at_once = max(1, PIXELS_AT_ONCE // length)
    for start in range(0, len(windows.line), at_once):
        chunk = slice(start, start + at_once)
        offset = windows.offset[chunk, :, None]
        profile = wing[chunk] / (offset * offset + square[chunk])
        profile[:, core] = height[chunk] * voigt(ratio[chunk], offset[:, core] * per_doppler[chunk])
        for first, line in zip(windows.first[chunk].tolist(), profile, strict=True):
            opacity[first : first + length] += line


# Coefficients of powers 0 to 6 of z in `voigt`; below the line that of power 7 is 1.
VOIGT_ABOVE = np.float32([122.6079318, 214.3823887, 181.9285331, 93.15558046, 30.18014220, 5.912626210, 0.5641895836])
VOIGT_BELOW = np.float32([122.6079318, 352.7306251, 457.3344788, 348.7039177, 170.3540018, 53.99290691, 10.47985711])


def voigt(a: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The Voigt function H(a, v), shapes broadcast, float32, to 5e-6.

    H is the real part of a rational function of a - iv: Hui, Armstrong & Wray (1978, JQSRT 19, 509), p = 6.
    """
    z = np.empty(np.broadcast_shapes(a.shape, v.shape), dtype=np.complex64)
    z.real, z.imag = a, -v
    above = VOIGT_ABOVE[-1] * z
    for coefficient in VOIGT_ABOVE[-2:0:-1]:
        above += coefficient
        above *= z
    above += VOIGT_ABOVE[0]
    below = z + VOIGT_BELOW[-1]
    for coefficient in VOIGT_BELOW[-2::-1]:
        below *= z
        below += coefficient
    # the real part of above / below, in a third of the time of a complex division
    quotient = above.real * below.real + above.imag * below.imag
    quotient /= below.real**2 + below.imag**2
    return quotient


def van_der_waals(lines: Lines) -> np.ndarray:
    """Half width at half maximum (N,), in ln(wavelength) per P T^-0.7, by collisions with hydrogen and helium atoms.

    Unsoeld's approximation, as in Gray 2008, Stellar Photospheres, equations 11.28 and 11.29. The customary
    enhancement (factors of 1.5 to 2.5) suits lines from lower levels than these: here it is left out.
    """
    ionisation = np.array([SPECIES[name].ionisation for name in lines.species])
    charge = np.array([SPECIES[name].charge for name in lines.species])
    photon = SECOND_RADIATION * BOLTZMANN / ELECTRON_VOLT / (lines.wavelength * 1e-4)
    upper = np.maximum(ionisation - lines.excitation - photon, LEAST_BINDING)
    c6 = 0.3e-30 * charge**2 * (upper**-2 - (upper + photon) ** -2)
    frequency = LIGHT_SPEED / (lines.wavelength * 1e-8)
    return 1e20 * c6**0.4 / (4.0 * np.pi * frequency)


def hydrogen_lines(x: np.ndarray, gas: Gas, neutral: np.ndarray) -> np.ndarray:
    """Opacity of the Brackett lines at ln(wavelength) x (W,), (W, D) in cm^-1; neutral (D,) is n/U of H I.

    Oscillator strengths: Kramers with the Gaunt factor of Menzel & Pekeris (1935, MNRAS 96, 77). The profile is a mean
    of the Doppler core and a Stark profile (1 + (x/w)^2)^(-5/4), weighted by their squared widths; w makes its wings
    those of Holtsmark's distribution of the fields of ions and electrons, with the shift per field of Griem (1960,
    ApJ 132, 883).
    """
    n, t = 4, gas.temperature
    field = 1.25e-9 * gas.electrons ** (2 / 3)  # Holtsmark's normal field, esu
    doppler = np.sqrt(2.0 * BOLTZMANN * t / (SPECIES["H I"].mass * ATOMIC_MASS)) / LIGHT_SPEED
    lower = 2.0 * n**2 * neutral * np.exp(-RYDBERG * (1 - n**-2) * ELECTRON_VOLT / (BOLTZMANN * t))
    opacity = np.zeros((len(x), len(t)), dtype=np.float32)
    for m in BRACKETT_UPPER:
        wavelength = HYDROGEN_LIMIT / (n**-2 - m**-2)
        near = slice(*np.searchsorted(x, np.log(wavelength) + np.array([-BRACKETT_REACH, BRACKETT_REACH])))
        gaunt = 1.0 - 0.1728 * (1 + (n / m) ** 2) / (1 - (n / m) ** 2) ** (2 / 3) / n ** (2 / 3)
        oscillator = 1.9603 * (n**-2 - m**-2) ** -3 / (n**5 * m**3) * gaunt
        stimulated = -np.expm1(-SECOND_RADIATION / (wavelength * 1e-4 * t))
        area = OSCILLATOR * 1e-8 / LIGHT_SPEED * oscillator * wavelength * lower * stimulated
        stark = STARK_WIDTH * 5.5e-5 * (n * m) ** 4 / (m**2 - n**2) * field / wavelength
        share = stark**2 / (stark**2 + doppler**2)

        square = ((x[near] - np.log(wavelength)) ** 2).astype(np.float32)[:, None]
        wing = 1.0 + square * (stark**-2).astype(np.float32)
        wing *= np.sqrt(np.sqrt(wing))
        opacity[near] += (area * share / (2.3963 * stark)).astype(np.float32) / wing
        core = np.exp(np.maximum(square * -(doppler**-2).astype(np.float32), np.float32(-80.0)))
        opacity[near] += (area * (1.0 - share) / (np.sqrt(np.pi) * doppler)).astype(np.float32) * core
    return opacity


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
    """Convolve (P,) on the grid's steps with macroturbulence exp(-(v/vmacro)^2) and the spectrograph's Gaussian."""
    spectrograph = 1.0 / (RESOLUTION * np.sqrt(8.0 * np.log(2.0)))
    sigma = np.hypot(spectrograph, vmacro * 1e5 / LIGHT_SPEED / np.sqrt(2.0)) / STEP  # pixels
    size = fft.next_fast_len(len(depth), real=True)
    kernel = np.exp(-0.5 * (2.0 * np.pi * sigma * fft.rfftfreq(size)) ** 2)
    return fft.irfft(fft.rfft(depth, size) * kernel, size)[: len(depth)]

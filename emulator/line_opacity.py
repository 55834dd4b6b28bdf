"""What spectral lines absorb: their profiles, and how far each is followed.

P is the number of pixels, N of lines, D of depth points.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from emulator.atmosphere import ATOMIC_MASS, BOLTZMANN, ELECTRON_VOLT, LIGHT_SPEED_CGS, RYDBERG, SECOND_RADIATION, Gas
from emulator.lines import SPECIES, Lines

STEP = 5e-6  # of the grid, in ln(wavelength)
CORE = 8  # pixels on each side of a line's centre that get the Voigt profile; beyond, it is a Lorentzian
HALF_WINDOWS = (8, 16, 32, 64, 128, 256, 512)  # pixels on each side within which lines are followed
PAD = 2 * HALF_WINDOWS[-1]  # pixels beyond the grid, room for the windows of lines near or beyond its ends
WING_LIMIT = 6e-4  # of the continuous opacity: what a line may still add where its window ends
HIGH_PRESSURE = 1e3  # P T^-0.7 where lines form in cool dwarfs, the largest: to see how far a Lorentzian goes
NODE = 4  # pixels between which continuum and hydrogen lines are interpolated
PIXELS_AT_ONCE = 4096  # of which arrays (times D) stay in the processor's cache
OSCILLATOR = 2.654e-2  # pi e^2 / (m_e c), cm^2 Hz
LEAST_BINDING = 0.2  # eV, of an upper level: Unsoeld's approximation is not trusted below
BRACKETT_UPPER = range(10, 22)  # upper levels m of the hydrogen lines 4 -> m in and next to the H band
BRACKETT_REACH = 0.008  # to each side of them, in ln(wavelength)
HYDROGEN_LIMIT = 911.7633  # Angstrom, 1 / Rydberg constant of hydrogen
STARK_WIDTH = 2.35  # of the Stark profile, in shifts by Holtsmark's normal field


@dataclass(frozen=True)
class Windows:
    """Lines that are followed equally far, up to half a window on each side of their centre pixel."""

    half: int  # pixels
    line: np.ndarray  # (n,) index into the grid's lines
    first: np.ndarray  # (n,) where each window starts: pixel of the grid + PAD
    broadening: np.ndarray  # (n,), see `van_der_waals`
    offset: np.ndarray  # (n, 2 half + 1) of its pixels from the line's centre, in ln(wavelength), float32


@dataclass(frozen=True)
class FineGrid:
    """What of a synthesis depends on the wavelengths and the line list alone."""

    x: np.ndarray  # (P,) ln(wavelength / Angstrom)
    lines: Lines
    windows: tuple[Windows, ...]


@lru_cache(maxsize=8)
def make_fine_grid(first: int, last: int, lines: Lines) -> FineGrid:
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
    return FineGrid(STEP * np.arange(first, first + size), lines, tuple(windows))


def integrated_opacity(lines: Lines, chosen: np.ndarray, gas: Gas, absorbers: np.ndarray) -> np.ndarray:
    """Opacity of the chosen lines (n,) times their width in ln(wavelength), (n, D); absorbers (n, D): their n/U.

    pi e^2 / (m_e c) gf n/U exp(-E/kT) (1 - exp(-h nu/kT)), over the frequency.
    """
    wavelength = lines.wavelength[chosen, None]
    energy = lines.excitation[chosen, None] * ELECTRON_VOLT
    boltzmann = np.exp(-energy / (BOLTZMANN * gas.temperature))
    stimulated = -np.expm1(-SECOND_RADIATION / (wavelength * 1e-4 * gas.temperature))
    gf = 10 ** lines.log_gf[chosen, None] * (OSCILLATOR * 1e-8 / LIGHT_SPEED_CGS) * wavelength
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
    doppler = (np.sqrt(thermal + (vmic * 1e5) ** 2) / LIGHT_SPEED_CGS)[which]  # (n, D), as everything here
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
VOIGT_ABOVE = np.array(
    [122.6079318, 214.3823887, 181.9285331, 93.15558046, 30.18014220, 5.912626210, 0.5641895836], dtype=np.float32
)
VOIGT_BELOW = np.array(
    [122.6079318, 352.7306251, 457.3344788, 348.7039177, 170.3540018, 53.99290691, 10.47985711], dtype=np.float32
)


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
    frequency = LIGHT_SPEED_CGS / (lines.wavelength * 1e-8)
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
    doppler = np.sqrt(2.0 * BOLTZMANN * t / (SPECIES["H I"].mass * ATOMIC_MASS)) / LIGHT_SPEED_CGS
    lower = 2.0 * n**2 * neutral * np.exp(-RYDBERG * (1 - n**-2) * ELECTRON_VOLT / (BOLTZMANN * t))
    opacity = np.zeros((len(x), len(t)), dtype=np.float32)
    for m in BRACKETT_UPPER:
        wavelength = HYDROGEN_LIMIT / (n**-2 - m**-2)
        near = slice(*np.searchsorted(x, np.log(wavelength) + np.array([-BRACKETT_REACH, BRACKETT_REACH])))
        gaunt = 1.0 - 0.1728 * (1 + (n / m) ** 2) / (1 - (n / m) ** 2) ** (2 / 3) / n ** (2 / 3)
        oscillator = 1.9603 * (n**-2 - m**-2) ** -3 / (n**5 * m**3) * gaunt
        stimulated = -np.expm1(-SECOND_RADIATION / (wavelength * 1e-4 * t))
        area = OSCILLATOR * 1e-8 / LIGHT_SPEED_CGS * oscillator * wavelength * lower * stimulated
        stark = STARK_WIDTH * 5.5e-5 * (n * m) ** 4 / (m**2 - n**2) * field / wavelength
        share = stark**2 / (stark**2 + doppler**2)

        square = ((x[near] - np.log(wavelength)) ** 2).astype(np.float32)[:, None]
        wing = 1.0 + square * (stark**-2).astype(np.float32)
        wing *= np.sqrt(np.sqrt(wing))
        opacity[near] += (area * share / (2.3963 * stark)).astype(np.float32) / wing
        core = np.exp(np.maximum(square * -(doppler**-2).astype(np.float32), np.float32(-80.0)))
        opacity[near] += (area * (1.0 - share) / (np.sqrt(np.pi) * doppler)).astype(np.float32) * core
    return opacity

"""A plane-parallel stellar atmosphere in LTE: temperature, pressure, the particles in it, and its continuous opacity.

Units are cgs throughout, energies of levels in eV, wavelengths in micron. D is the number of depth points.
"""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

from emulator.lines import ATOMS, MOLECULES, TABLE_TEMPERATURES

BOLTZMANN = 1.380649e-16  # erg/K
ELECTRON_VOLT = 1.602176634e-12  # erg
ELECTRON_MASS = 9.1093837e-28  # g
ATOMIC_MASS = 1.66053907e-24  # g
PLANCK = 6.62607015e-27  # erg s
LIGHT_SPEED_CGS = 2.99792458e10  # cm/s
RYDBERG = 13.598434  # eV, ionisation energy of hydrogen
SECOND_RADIATION = PLANCK * LIGHT_SPEED_CGS / BOLTZMANN * 1e4  # hc/k, micron K

TAU = 10 ** np.linspace(-4.75, 1.5, 26)  # optical depth at 5000 Angstrom: the depth points of every atmosphere
REFERENCE_WAVELENGTH = 0.5  # micron


def _integral_weights() -> np.ndarray:
    """(D, D) matrix that turns f at the depth points into its integral over tau from 0 to each of them.

    f tau is integrated over ln tau as a cubic spline; above the first point f is constant.
    """
    x = np.log(TAU)
    inner = CubicSpline(x, np.diag(TAU)).antiderivative()(x)
    inner[:, 0] += TAU[0]
    return inner


INTEGRAL = _integral_weights()


def _smooth(table: np.ndarray) -> CubicSpline:
    """A table (T, rows) at TABLE_TEMPERATURES as a smooth function of ln T: (D,) -> (D, rows)."""
    return CubicSpline(np.log(TABLE_TEMPERATURES), table)


LN_PARTITION = [_smooth(table) for table in ATOMS.ln_partition]  # of neutral atoms and of first ions, (D,) -> (D, E)
LN_PARTITION_MOLECULES = _smooth(MOLECULES.ln_partition)  # (D,) -> (D, M)
LOG_CONSTANT = _smooth(MOLECULES.log_constant)  # (D,) -> (D, M)


@dataclass(frozen=True)
class Gas:
    """Particles at each depth, number densities in cm^-3; every array is (D,) unless said otherwise."""

    temperature: np.ndarray  # K
    pressure: np.ndarray  # dyn/cm^2
    electrons: np.ndarray
    nuclei: np.ndarray  # hydrogen nuclei, whatever they are bound in
    hydrogen: np.ndarray  # neutral atoms
    protons: np.ndarray
    h2: np.ndarray
    ionised: np.ndarray  # (D, E), singly ionised over neutral atoms of each element


def temperature_structure(teff: float) -> np.ndarray:
    """T (D,) at the depth points, in K: T^4 = 3/4 Teff^4 (tau + q(tau)).

    q is a fit to the Sun (Ball 2021, RNAAS 5, 7), here on tau at 5000 Angstrom.
    """
    q = 1.0361 - 0.3134 * np.exp(-2.448 * TAU) - 0.2959 * np.exp(-30.0 * TAU)
    return teff * (0.75 * (TAU + q)) ** 0.25


def _ln_table(temperature: np.ndarray) -> np.ndarray:
    """ln T, held inside the tables: the few deeper and hotter points send no light through lines."""
    return np.log(np.clip(temperature, TABLE_TEMPERATURES[0], TABLE_TEMPERATURES[-1]))


def saha(temperature: np.ndarray) -> np.ndarray:
    """n(ion) n(electron) / n(neutral), (D, E), in cm^-3, for the first ionisation of each element."""
    ln_t = _ln_table(temperature)
    partition = np.exp(LN_PARTITION[1](ln_t) - LN_PARTITION[0](ln_t))
    kt = BOLTZMANN * temperature[:, None]
    free = 2.0 * (2.0 * np.pi * ELECTRON_MASS * kt / PLANCK**2) ** 1.5
    return free * partition * np.exp(-ATOMS.ionisation[:, 0] * ELECTRON_VOLT / kt)


def molecular_constants(temperature: np.ndarray) -> np.ndarray:
    """n(AB) / (n(A) n(B)), (D, M), in cm^3, for each molecule AB."""
    pascal = 10.0  # dyn/cm^2
    return BOLTZMANN * temperature[:, None] / (pascal * 10 ** LOG_CONSTANT(_ln_table(temperature)))


def equation_of_state(temperature: np.ndarray, pressure: np.ndarray, abundance: np.ndarray) -> Gas:
    """The gas at T (D,) in K and gas pressure (D,) in dyn/cm^2, given abundance (E,) = N_X / N_H.

    Newton iteration in ln n_e on the conservation of charge, with H, H+, H2 and the first ions of all elements.
    """
    ionisation = saha(temperature)
    particles = pressure / (BOLTZMANN * temperature)
    h2_constant = molecular_constants(temperature)[:, MOLECULES.name.index("H2")]
    others = abundance[1:].sum()
    electrons = np.minimum(1e-4 * particles + np.sqrt(ionisation[:, 0] * particles), 0.5 * particles)
    for _ in range(6):
        ionised = ionisation / electrons[:, None]
        # all but electrons are b x + c x^2, with x neutral hydrogen atoms
        b, c = (1.0 + others) * (1.0 + ionised[:, 0]), (1.0 + 2.0 * others) * h2_constant
        hydrogen = _positive_root(c, b, np.maximum(particles - electrons, 1e-3 * particles))
        protons, h2 = hydrogen * ionised[:, 0], h2_constant * hydrogen**2
        nuclei = hydrogen + protons + 2.0 * h2
        fraction = (ionised / (1.0 + ionised))[:, 1:]
        donors = nuclei[:, None] * abundance[1:] * fraction
        # d ln x, d ln(nuclei) and d ln(given) by d ln(electrons)
        d_hydrogen = ((1.0 + others) * protons - electrons) / (b * hydrogen + 2.0 * c * hydrogen**2)
        d_nuclei = ((nuclei + 2.0 * h2) * d_hydrogen - protons) / nuclei
        given = protons + donors.sum(axis=1)
        d_donors = (donors * (d_nuclei[:, None] - 1.0 + fraction)).sum(axis=1)
        d_given = (protons * (d_hydrogen - 1.0) + d_donors) / given
        electrons = electrons * np.clip(given / electrons, 1e-6, 1e6) ** (1.0 / (1.0 - d_given))
    return Gas(temperature, pressure, electrons, nuclei, hydrogen, protons, h2, ionised)


def molecular_equilibrium(gas: Gas, abundance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Free neutral atoms of C, N and O (D, 3), and molecules (D, M), in cm^-3.

    Newton iteration on the conservation of the three elements, in the logarithm of the free atoms. Hydrogen is not
    depleted by any molecule but H2, which `equation_of_state` has counted.
    """
    elements = ("C", "N", "O")
    index = [ATOMS.symbol.index(element) for element in elements]
    count = np.array([[atoms.count(element) for element in elements] for atoms in MOLECULES.atoms])  # (M, 3)
    hydrogen = np.array([atoms.count("H") for atoms in MOLECULES.atoms])
    constant = np.log(molecular_constants(gas.temperature)) + hydrogen * np.log(gas.hydrogen)[:, None]
    total = gas.nuclei[:, None] * abundance[index]  # (D, 3)
    atomic = 1.0 + gas.ionised[:, index]  # all free nuclei over neutral atoms

    # Start where CO and N2 are the only molecules.
    carbon, nitrogen, oxygen = (total / atomic).T
    co, n2 = (np.exp(constant[:, MOLECULES.name.index(name)]) for name in ("CO", "N2"))
    b = 1.0 + co * (oxygen - carbon)
    free_carbon = _positive_root(co, b, carbon)
    start = [free_carbon, _positive_root(2.0 * n2, np.ones_like(n2), nitrogen), oxygen / (1.0 + co * free_carbon)]
    ln_free = np.log(np.stack(start, axis=1))
    for _ in range(12):
        free = np.exp(ln_free) * atomic
        molecules = np.exp(constant + ln_free @ count.T)
        bound = np.einsum("dm,mi,mj->dij", molecules, count, count) + np.eye(3) * free[:, :, None]
        nuclei = free + molecules @ count
        step = np.linalg.solve(bound / nuclei[:, :, None], np.log(total / nuclei)[:, :, None])[:, :, 0]
        ln_free = ln_free + np.clip(step, -2.0, 2.0)
    return np.exp(ln_free), np.exp(constant + ln_free @ count.T)


def _positive_root(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """x > 0 with a x^2 + b x = c, for a, c > 0 and either sign of b, without cancellation."""
    root = np.sqrt(b**2 + 4.0 * a * c)
    return np.where(b > 0, 2.0 * c / (np.abs(b) + root), (np.abs(b) + root) / (2.0 * a))


def populations(gas: Gas, abundance: np.ndarray) -> dict[str, np.ndarray]:
    """Number density over partition function, (D,) in cm^-3, of each species: "Fe I", "Fe II", "CO"."""
    ln_t = _ln_table(gas.temperature)
    neutral = gas.nuclei[:, None] * abundance / (1.0 + gas.ionised)
    neutral[:, 0] = gas.hydrogen
    free, molecules = molecular_equilibrium(gas, abundance)
    neutral[:, [ATOMS.symbol.index(element) for element in ("C", "N", "O")]] = free
    densities = (
        ([f"{symbol} I" for symbol in ATOMS.symbol], neutral, LN_PARTITION[0]),
        ([f"{symbol} II" for symbol in ATOMS.symbol], neutral * gas.ionised, LN_PARTITION[1]),
        (MOLECULES.name, molecules, LN_PARTITION_MOLECULES),
    )
    return {
        name: column
        for names, density, ln_partition in densities
        for name, column in zip(names, (density / np.exp(ln_partition(ln_t))).T, strict=True)
    }


# C_n for n = 1 to 6, and rows n = 2 to 6 with columns A to F (tables 2 and 3a of John 1988).
H_MINUS_BOUND_FREE = np.array([152.519, 49.534, -118.858, 92.536, -34.194, 4.982])
H_MINUS_FREE_FREE = np.array(
    [
        [2483.346, 285.827, -2054.291, 2827.776, -1341.537, 208.952],
        [-3449.889, -1158.382, 8746.523, -11485.632, 5303.609, -812.939],
        [2200.040, 2427.719, -13651.105, 16755.524, -7510.494, 1132.738],
        [-696.271, -1841.400, 8624.970, -10051.530, 4400.067, -655.020],
        [88.283, 444.517, -1863.864, 2095.288, -901.788, 132.985],
    ]
)


def h_minus(wavelength: np.ndarray, temperature: np.ndarray) -> np.ndarray:
    """H- bound-free and free-free absorption, (W, D) in cm^4/dyn: per neutral hydrogen atom and electron pressure.

    John (1988, A&A 193, 189), equations 3 to 6; wavelength (W,) from 0.3645 micron on, temperature (D,) in K.
    Stimulated emission is included.
    """
    w, t = wavelength[:, None], temperature[None, :]
    threshold = 1.6419  # micron
    x = np.sqrt(np.maximum(1.0 / w - 1.0 / threshold, 0.0))
    cross_section = 1e-18 * w**3 * x**3 * np.polynomial.polynomial.polyval(x, H_MINUS_BOUND_FREE)
    photon = SECOND_RADIATION / t
    bound_free = 0.75 * t**-2.5 * np.exp(photon / threshold) * -np.expm1(-photon / w) * cross_section
    powers = np.stack([w**2, w**0, w**-1, w**-2, w**-3, w**-4])
    theta = np.sqrt(5040.0 / t) ** np.arange(3, 8)[:, None, None]
    free_free = 1e-29 * np.einsum("ntd,nk,kwt->wd", theta, H_MINUS_FREE_FREE, powers)
    return bound_free + free_free


def hydrogen_absorption(wavelength: np.ndarray, gas: Gas) -> np.ndarray:
    """Bound-free and free-free absorption of atomic hydrogen, (W, D) in cm^-1.

    Kramers cross-sections (Gaunt factor 1): Gray 2008, Stellar Photospheres, equations 8.4 to 8.10.
    """
    w, t = wavelength[:, None], gas.temperature
    n = np.arange(1, 16)[:, None]
    threshold = 0.0911753 * n[:, 0] ** 2  # micron
    energy = RYDBERG * (1.0 - 1.0 / n**2) * ELECTRON_VOLT
    population = n**2 * np.exp(-energy / (BOLTZMANN * t)) * gas.hydrogen
    cross_section = np.where(w < threshold, 7.907e-18 * n[:, 0] * (w / threshold) ** 3, 0.0)
    bound_free = cross_section @ population
    free_free = 3.692e8 * (w * 1e-4 / LIGHT_SPEED_CGS) ** 3 / np.sqrt(t) * gas.electrons * gas.protons
    return (bound_free + free_free) * -np.expm1(-SECOND_RADIATION / (w * t))


def continuous_opacity(wavelength: np.ndarray, gas: Gas) -> np.ndarray:
    """All continuous opacity at wavelength (W,) in micron, (W, D) in cm^-1: H-, H I, Rayleigh and Thomson scattering.

    Rayleigh scattering by H and H2: Dalgarno & Williams (1962, ApJ 136, 690). Scattering is treated as absorption.
    """
    square = (wavelength[:, None] * 1e4) ** -2  # Angstrom^-2
    rayleigh_h = square**2 * (5.799e-13 + square * (1.422e-6 + square * 2.784))
    rayleigh_h2 = square**2 * (8.14e-13 + square * (1.28e-6 + square * 1.61))
    electron_pressure = gas.electrons * BOLTZMANN * gas.temperature
    return (
        h_minus(wavelength, gas.temperature) * electron_pressure * gas.hydrogen
        + hydrogen_absorption(wavelength, gas)
        + rayleigh_h * gas.hydrogen
        + rayleigh_h2 * gas.h2
        + 6.6524587e-25 * gas.electrons
    )


def mass_density(gas: Gas, abundance: np.ndarray) -> np.ndarray:
    """(D,) in g/cm^3."""
    return gas.nuclei * (abundance @ ATOMS.mass) * ATOMIC_MASS


def hydrostatic(teff: float, logg: float, abundance: np.ndarray) -> Gas:
    """The atmosphere in hydrostatic equilibrium, dP/dtau = g / kappa at 5000 Angstrom; abundance (E,) = N_X / N_H.

    Solved as P^(3/2) = 3/2 g integral of P^(1/2) / kappa dtau, which converges fast since kappa grows about as
    P^(1/2) (Gray 2008, Stellar Photospheres, equation 9.12).
    """
    temperature = temperature_structure(teff)
    gravity = 10.0**logg
    pressure = 1e5 * (gravity / 2.7e4) ** 0.6 * TAU**0.5
    reference = np.array([REFERENCE_WAVELENGTH])
    for _ in range(12):
        gas = equation_of_state(temperature, pressure, abundance)
        kappa = continuous_opacity(reference, gas)[0] / mass_density(gas, abundance)
        pressure = (1.5 * gravity * INTEGRAL @ (np.sqrt(pressure) / kappa)) ** (2.0 / 3.0)
    return equation_of_state(temperature, pressure, abundance)


def abundances(x_h: dict[str, float]) -> np.ndarray:
    """N_X / N_H (E,) from [X/H] in dex by element; those not named follow Fe, and helium is solar."""
    metals = [0.0, 0.0] + [x_h.get(symbol, x_h["Fe"]) for symbol in ATOMS.symbol[2:]]
    return 10 ** (ATOMS.solar + metals)

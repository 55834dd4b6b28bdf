"""emulator/atmosphere.py: each piece of the atmosphere against a law it has to obey or a value known some other way."""

import numpy as np
import pytest

from emulator import atmosphere
from emulator.atmosphere import (
    BOLTZMANN,
    INTEGRAL,
    LOG_CONSTANT,
    REFERENCE_WAVELENGTH,
    TAU,
    abundances,
    continuous_opacity,
    equation_of_state,
    h_minus,
    hydrostatic,
    mass_density,
    molecular_constants,
    molecular_equilibrium,
    populations,
    saha,
    temperature_structure,
)
from emulator.labels import ELEMENTS, sample_grid_labels
from emulator.lines import ATOMS, MOLECULES

SOLAR = abundances({"Fe": 0.0})
STARS = [(5777.0, 4.44), (4250.0, 0.5), (4200.0, 5.0), (6800.0, 3.6)]


def test_integral_is_exact_for_a_constant_and_close_for_powers():
    np.testing.assert_allclose(INTEGRAL @ np.ones_like(TAU), TAU, rtol=2e-3)
    np.testing.assert_allclose((INTEGRAL @ TAU)[8:], TAU[8:] ** 2 / 2, rtol=1e-2)
    np.testing.assert_allclose((INTEGRAL @ np.sqrt(TAU))[8:], TAU[8:] ** 1.5 / 1.5, rtol=1e-2)


def test_temperature_is_teff_near_two_thirds():
    # 3/4 (tau + q) = 1 where tau + q(tau) = 4/3: the solar q puts that at tau = 0.43
    assert np.interp(0.43, TAU, temperature_structure(5777.0)) == pytest.approx(5777.0, rel=0.01)


def test_pressure_for_constant_opacity_is_g_tau_over_kappa(monkeypatch):
    kappa = 0.3
    monkeypatch.setattr(
        atmosphere, "continuous_opacity", lambda wavelength, gas: kappa * mass_density(gas, SOLAR)[None, :]
    )
    gas = hydrostatic(5777.0, 4.0, SOLAR)
    below = TAU > 1e-3  # the solver's start at the top is made for opacities that grow with pressure
    np.testing.assert_allclose(gas.pressure[below], (1e4 * TAU / kappa)[below], rtol=5e-3)


@pytest.mark.parametrize(("teff", "logg"), STARS)
def test_pressure_holds_up_the_gas_above(teff, logg):
    gas = hydrostatic(teff, logg, SOLAR)
    kappa = continuous_opacity(np.array([REFERENCE_WAVELENGTH]), gas)[0] / mass_density(gas, SOLAR)
    # dP/dtau = g/kappa, summed a way that the solver does not: trapezoids between neighbouring points
    weight = 10**logg * np.diff(TAU) * 0.5 * (1 / kappa[1:] + 1 / kappa[:-1])
    above = slice(0, 17)  # deeper, opacity rises too steeply for trapezoids
    np.testing.assert_allclose(np.diff(gas.pressure)[above], weight[above], rtol=0.05)


def test_solar_photosphere_has_the_pressure_of_published_models():
    # log10 of the gas pressure at tau(5000 Angstrom) = 1 is 5.1 in the models of the Sun (Gray 2008, table 9.2)
    assert np.interp(0.0, np.log10(TAU), np.log10(hydrostatic(5777.0, 4.44, SOLAR).pressure)) == pytest.approx(
        5.1, abs=0.07
    )


@pytest.mark.parametrize(("teff", "logg"), STARS)
def test_charge_and_particles_are_conserved(teff, logg):
    gas = hydrostatic(teff, logg, SOLAR)
    ions = (gas.nuclei[:, None] * SOLAR * gas.ionised / (1 + gas.ionised))[:, 1:].sum(axis=1)
    np.testing.assert_allclose(gas.electrons, gas.protons + ions, rtol=1e-8)
    np.testing.assert_allclose(gas.nuclei, gas.hydrogen + gas.protons + 2 * gas.h2, rtol=1e-12)
    particles = gas.electrons + gas.hydrogen + gas.protons + gas.h2 + gas.nuclei * SOLAR[1:].sum()
    np.testing.assert_allclose(gas.pressure, particles * BOLTZMANN * gas.temperature, rtol=1e-8)


def test_hydrogen_ionises_as_saha_says():
    gas = equation_of_state(np.array([9000.0]), np.array([1e4]), SOLAR)
    # n(H+) n_e / n(H) = (2 pi m k T / h^2)^(3/2) exp(-13.598 eV / kT), by hand: 4.98e13 cm^-3
    assert (gas.protons * gas.electrons / gas.hydrogen)[0] == pytest.approx(4.98e13, rel=0.02)
    assert saha(np.array([9000.0]))[0, 0] == pytest.approx(4.98e13, rel=0.02)


@pytest.mark.parametrize(("teff", "logg"), STARS)
@pytest.mark.parametrize("c_over_o", [-0.7, 0.0, 0.263, 0.7])
def test_molecules_obey_mass_action_and_conserve_nuclei(teff, logg, c_over_o):
    abundance = abundances({"Fe": 0.0, "C": c_over_o / 2, "O": -c_over_o / 2})
    gas = hydrostatic(teff, logg, abundance)
    free, molecules = molecular_equilibrium(gas, abundance)
    density = dict(zip("CNO", free.T, strict=True)) | {"H": gas.hydrogen}
    kt = BOLTZMANN * gas.temperature
    bound = dict.fromkeys("CNO", 0.0)
    inside = (gas.temperature > 2000) & (gas.temperature < 10000)  # the tables
    for i, (name, (a, b)) in enumerate(zip(MOLECULES.name, MOLECULES.atoms, strict=True)):
        log_constant = LOG_CONSTANT(np.log(gas.temperature))[:, i] + 1.0  # Pa to dyn/cm^2
        left = np.log10(density[a] * density[b] * kt / molecules[:, i])
        np.testing.assert_allclose(left[inside], log_constant[inside], atol=1e-8, err_msg=name)
        for atom in (a, b):
            if atom != "H":
                bound[atom] = bound[atom] + molecules[:, i]
    for j, atom in enumerate("CNO"):
        e = ATOMS.symbol.index(atom)
        total = free[:, j] * (1 + gas.ionised[:, e]) + bound[atom]
        np.testing.assert_allclose(total, gas.nuclei * abundance[e], rtol=1e-8)


def test_equilibrium_constants_pass_through_the_tabulated_values():
    # Barklem & Collet (2016): log10 K(CO) at 4000 K is -1.87535 in Pa
    constant = molecular_constants(np.array([4000.0]))[0, MOLECULES.name.index("CO")]
    assert np.log10(BOLTZMANN * 4000.0 / constant) == pytest.approx(-1.87535 + 1.0)


@pytest.mark.parametrize(
    ("theta", "free_free"),  # Bell & Berrington (1987, J. Phys. B 20, 801), 1.8226 micron: 1e-26 cm^4/dyn
    [(0.6, 1.34), (0.8, 1.77), (1.0, 2.17), (1.2, 2.53), (1.4, 2.87)],
)
def test_h_minus_free_free_is_the_tabulated_one(theta, free_free):
    found = h_minus(np.array([1.8226]), np.array([5040.0 / theta]))[0, 0]
    assert found == pytest.approx(free_free * 1e-26, rel=0.01)


@pytest.mark.parametrize(
    ("wavelength", "cross_section", "free_free"),
    # cross-section: polynomial of Gray (2008), equation 8.11, a fit to others' results; free-free as above, theta = 1
    [(0.5063, 29.5e-18, 0.195e-26), (0.9113, 38.3e-18, 0.576e-26)],
)
def test_h_minus_bound_free_is_that_of_another_calculation(wavelength, cross_section, free_free):
    bound_free = 4.158e-10 * cross_section * 10**0.754  # Gray (2008), equation 8.12, theta = 1
    stimulated = 1 - np.exp(-14387.8 / (wavelength * 5040.0))
    found = h_minus(np.array([wavelength]), np.array([5040.0]))[0, 0]
    assert found == pytest.approx(bound_free * stimulated + free_free, rel=0.03)


def test_h_minus_bound_free_ends_at_its_threshold():
    either_side = h_minus(np.array([1.6400, 1.6418, 1.6420, 1.6440]), np.array([5040.0]))[:, 0]
    assert abs(either_side[1] / either_side[2] - 1) < 1e-3


def test_warm_and_cool_stars_are_dominated_by_h_minus():
    gas = hydrostatic(5777.0, 4.44, SOLAR)
    wavelength = np.array([1.6])
    share = h_minus(wavelength, gas.temperature) * gas.electrons * BOLTZMANN * gas.temperature * gas.hydrogen
    at_tau_one = np.argmin(np.abs(np.log(TAU)))
    assert (share / continuous_opacity(wavelength, gas))[0, at_tau_one] > 0.9


def test_everything_is_finite_and_positive_over_the_grid():
    for labels in sample_grid_labels(40, np.random.default_rng(0)):
        abundance = abundances(dict(zip(ELEMENTS, labels[4:], strict=True)))
        gas = hydrostatic(labels[0], labels[1], abundance)
        assert (np.diff(gas.pressure) > 0).all()
        for name, density in populations(gas, abundance).items():
            assert np.isfinite(density).all(), name
            assert (density > 0).all(), name


def test_elements_without_a_label_follow_iron_and_helium_stays():
    abundance = abundances({"Fe": -1.0, "Mg": 0.2})
    change = dict(zip(ATOMS.symbol, np.log10(abundance / SOLAR), strict=True))
    assert change["V"] == pytest.approx(-1.0)
    assert change["Mg"] == pytest.approx(0.2)
    assert change["He"] == pytest.approx(0.0)

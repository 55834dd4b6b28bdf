"""emulator/synthesis.py and line_opacity.py: the spectrum against closed forms, laws of conservation, and Kurucz."""

import importlib.util

import numpy as np
import pytest
from reference import REFERENCE
from scipy.special import expn, wofz

from emulator import line_opacity, synthesis
from emulator.atmosphere import (
    BOLTZMANN,
    ELECTRON_VOLT,
    INTEGRAL,
    SECOND_RADIATION,
    TAU,
    abundances,
    continuous_opacity,
    hydrostatic,
    populations,
)
from emulator.commands.errors import InputError
from emulator.labels import ABUNDANCES, ELEMENTS, LABELS, sample_grid_labels
from emulator.line_opacity import PAD, STEP, make_fine_grid, voigt
from emulator.lines import LINES, Lines
from emulator.synthesis import SLOPE, broaden, emergent_flux, normalised_flux, synthesize

SUN = np.array([5777.0, 4.44, 1.0, 3.0, *np.zeros(len(ELEMENTS))])
WAVELENGTH = np.linspace(15740.0, 15800.0, 300)


def with_label(labels, **values):
    changed = labels.copy()
    for name, value in values.items():
        changed[LABELS.index(name)] = value
    return changed


@pytest.fixture
def only(monkeypatch):
    """Replace the line list, hydrogen included, by lines of one's own."""

    def replace(*lines):
        wavelength, species, excitation, log_gf, strength = np.array(lines, dtype=object).reshape(-1, 5).T
        numbers = (column.astype(float) for column in (wavelength, excitation, log_gf, strength))
        monkeypatch.setattr(synthesis, "LINES", Lines(next(numbers), species.astype(str), *numbers))
        monkeypatch.setattr(line_opacity, "BRACKETT_UPPER", ())
        make_fine_grid.cache_clear()

    yield replace
    make_fine_grid.cache_clear()


def grid_around(wavelength, pixels=100):
    middle = round(np.log(wavelength) / STEP)
    return make_fine_grid(middle - pixels, middle + pixels, synthesis.LINES)


def sun():
    abundance = abundances({"Fe": 0.0})
    gas = hydrostatic(5777.0, 4.44, abundance)
    return gas, populations(gas, abundance)


def equivalent_width(grid, flux):
    """W / wavelength, over the grid."""
    return (1.0 - flux).sum() * STEP


def test_voigt_function_is_the_faddeeva_function():
    rng = np.random.default_rng(0)
    a = 10 ** rng.uniform(-4, 1.5, 50_000).astype(np.float32)
    v = rng.uniform(-30, 30, 50_000).astype(np.float32)
    exact = wofz(v.astype(np.float64) + 1j * a.astype(np.float64)).real
    assert np.abs(voigt(a, v) - exact).max() < 6e-6
    assert np.abs(voigt(np.float32([0.0]), v) - np.exp(-(v.astype(np.float64) ** 2))).max() < 6e-6


def test_without_lines_there_is_only_continuum(only):
    only()
    np.testing.assert_allclose(synthesize(SUN, WAVELENGTH), 1.0, atol=3e-6)


def test_a_weak_line_has_its_analytic_equivalent_width(only):
    wavelength, excitation, log_gf = 15770.0, 5.5, -3.5
    only((wavelength, "Fe I", excitation, log_gf, -3.0))
    gas, population = sun()
    grid = grid_around(wavelength)
    found = equivalent_width(grid, normalised_flux(grid, gas, population, 1.0))

    # F = 2 (S(0)/2 + integral of E3(tau) dS), hence dF = -2 integral of E2(tau) dtau dS
    kt = BOLTZMANN * gas.temperature
    stimulated = 1 - np.exp(-SECOND_RADIATION / (wavelength * 1e-4 * gas.temperature))
    area = 2.654e-2 * 10**log_gf * wavelength * 1e-8 / 2.99792458e10 * population["Fe I"]
    area = area * np.exp(-excitation * ELECTRON_VOLT / kt) * stimulated
    reference = continuous_opacity(np.array([0.5]), gas)[0]
    tau = INTEGRAL @ (continuous_opacity(np.array([wavelength * 1e-4]), gas)[0] / reference)
    source = 1 / np.expm1(SECOND_RADIATION / (wavelength * 1e-4 * gas.temperature))
    slope = SLOPE @ source
    flux = source[0] + 2 * (expn(3, tau) @ slope)
    expected = 2 * (expn(2, tau) * (INTEGRAL @ (area / reference))) @ slope / flux
    assert found == pytest.approx(expected, rel=0.01)


def test_a_weak_line_grows_with_abundance_times_gf(only):
    gas, population = sun()
    widths = []
    for log_gf, iron in ((-3.5, 1.0), (-3.2, 1.0), (-3.5, 10**0.3)):
        only((15770.0, "Fe I", 5.5, log_gf, -3.0))
        grid = grid_around(15770.0)
        widths.append(
            equivalent_width(grid, normalised_flux(grid, gas, population | {"Fe I": population["Fe I"] * iron}, 1.0))
        )
    assert widths[1] / widths[0] == pytest.approx(10**0.3, rel=5e-3)
    assert widths[2] == pytest.approx(widths[1], rel=1e-4)


def test_a_strong_line_saturates_and_microturbulence_strengthens_it(only):
    gas, population = sun()
    widths = {}
    for log_gf, vmic in ((-3.5, 1.0), (-0.5, 1.0), (-0.5, 2.0)):
        only((15770.0, "Fe I", 5.5, log_gf, -3.0))
        grid = grid_around(15770.0)
        widths[log_gf, vmic] = equivalent_width(grid, normalised_flux(grid, gas, population, vmic))
    assert widths[-0.5, 1.0] < 0.5 * 10**3 * widths[-3.5, 1.0]
    assert widths[-0.5, 2.0] > 1.05 * widths[-0.5, 1.0]


def test_the_wing_joins_the_core_smoothly(only):
    only((15770.0, "Fe I", 5.5, 0.0, -3.0))
    gas, population = sun()
    grid = grid_around(15770.0)
    depth = 1 - normalised_flux(grid, gas, population, 1.0)
    centre = int(np.argmax(depth))
    wing = depth[centre + 4 : centre + 40]
    assert (np.diff(wing) < 0).all()
    assert np.abs(np.diff(np.log(wing), n=2)).max() < 0.1


def test_flux_of_a_linear_source_function_is_the_eddington_barbier_one():
    # S = a + b tau and opacity 1: F = a + 2 b / 3, in units of which F = 1 for an isotropic intensity of 1
    a, b, x = 0.2, 0.5, np.log(16000.0)
    photon = SECOND_RADIATION / 1.6
    temperature = photon / np.log1p(1 / (a + b * TAU))
    flux = emergent_flux(np.array([x]), np.ones((1, len(TAU))), temperature)
    assert flux[0] == pytest.approx(a + 2 * b / 3, rel=2e-3)


def test_flux_of_an_isothermal_atmosphere_does_not_depend_on_opacity():
    opacity = np.geomspace(1e-3, 1e3, 50)[:, None] * np.ones(len(TAU))
    x = np.full(50, np.log(16000.0))
    flux = emergent_flux(x, opacity, np.full(len(TAU), 5000.0))
    np.testing.assert_allclose(flux, 1 / np.expm1(SECOND_RADIATION / (1.6 * 5000.0)), rtol=1e-5)


@pytest.mark.parametrize("vmacro", [0.0, 3.0, 12.0])
def test_broadening_conserves_equivalent_width_and_adds_variances(vmacro):
    pixel = np.arange(1200) - 600
    depth = 0.5 * np.exp(-0.5 * (pixel / 3.0) ** 2)
    broad = broaden(depth, vmacro)
    assert broad.sum() == pytest.approx(depth.sum(), rel=1e-9)
    velocity = STEP * 299792.458
    spectrograph = 299792.458 / 22500.0 / 2.35482
    expected = 9.0 + (spectrograph**2 + vmacro**2 / 2) / velocity**2
    assert (broad * pixel**2).sum() / broad.sum() == pytest.approx(expected, rel=1e-4)


def test_a_spectrum_hardly_depends_on_the_range_asked_for():
    whole = synthesize(SUN, np.linspace(15700.0, 15840.0, 701))
    part = synthesize(SUN, np.linspace(15740.0, 15800.0, 301))
    np.testing.assert_allclose(part, whole[200:501], atol=5e-4)


def test_finer_steps_change_nothing_that_matters(monkeypatch):
    star = with_label(SUN, teff=4500.0, vmic=0.5, vmacro=1.0)
    coarse = synthesize(star, WAVELENGTH)
    for module in (synthesis, line_opacity):
        monkeypatch.setattr(module, "STEP", STEP / 2)
        monkeypatch.setattr(module, "PAD", PAD * 2)
    monkeypatch.setattr(line_opacity, "CORE", line_opacity.CORE * 2)
    monkeypatch.setattr(line_opacity, "HALF_WINDOWS", tuple(2 * half for half in line_opacity.HALF_WINDOWS))
    monkeypatch.setattr(synthesis, "MARGIN", synthesis.MARGIN * 2)
    fine = synthesize(star, WAVELENGTH)
    make_fine_grid.cache_clear()
    np.testing.assert_allclose(coarse, fine, atol=2e-3)


@pytest.mark.parametrize(
    ("name", "step"), [("teff", 4.0), ("logg", 0.01), ("vmic", 0.01), ("vmacro", 0.02), ("fe_h", 0.01), ("o_h", 0.01)]
)
@pytest.mark.parametrize("star", [(5777.0, 4.44), (4300.0, 1.0), (4300.0, 4.8)])
def test_the_spectrum_is_a_smooth_function_of_every_label(name, step, star):
    middle = with_label(SUN, teff=star[0], logg=star[1])
    steps = np.arange(-3, 4)
    spectra = [
        synthesize(with_label(middle, **{name: middle[LABELS.index(name)] + step * k}), WAVELENGTH) for k in steps
    ]
    spectra = np.array(spectra, dtype=np.float64)
    smooth = np.vander(steps, 4) @ np.polyfit(steps, spectra, 3)
    assert np.abs(spectra - smooth).max() < 1e-5


def test_no_star_of_the_grid_gives_anything_but_a_spectrum():
    for labels in sample_grid_labels(25, np.random.default_rng(1)):
        flux = synthesize(labels, WAVELENGTH)
        assert flux.dtype == np.float32
        assert flux.shape == WAVELENGTH.shape
        assert ((flux > 0.1) & (flux < 1.001)).all()


def test_an_abundance_moves_the_lines_of_its_element():
    magnesium = LINES.wavelength[(LINES.species == "Mg I") & (LINES.strength > -3.5)]
    near = (np.abs(WAVELENGTH[:, None] - magnesium) < 1.5).any(axis=1)
    change = np.abs(synthesize(with_label(SUN, mg_h=0.3), WAVELENGTH) - synthesize(SUN, WAVELENGTH))
    assert near.any()
    assert change[near].max() > 0.01
    assert change[near].max() > 5 * np.median(change)


def test_carbon_monoxide_takes_the_carbon_from_cyanogen():
    giant = with_label(SUN, teff=4400.0, logg=1.5)
    inside = (LINES.species == "CN") & (LINES.wavelength > 15200.0)
    cyanogen = LINES.wavelength[inside][np.argmax(LINES.strength[inside])]
    at = cyanogen + np.array([-0.1, 0.0, 0.1])
    assert (synthesize(with_label(giant, o_h=0.3), at) > synthesize(giant, at) + 0.005).all()


def test_lines_are_stronger_in_metal_rich_and_sharper_without_macroturbulence():
    assert (
        synthesize(with_label(SUN, **dict.fromkeys(ABUNDANCES, 0.3)), WAVELENGTH).mean()
        < synthesize(SUN, WAVELENGTH).mean()
    )
    assert (
        synthesize(with_label(SUN, vmacro=0.0), WAVELENGTH).min()
        < synthesize(with_label(SUN, vmacro=12.0), WAVELENGTH).min()
    )


@pytest.mark.parametrize(
    ("labels", "wavelength", "message"),
    [
        (with_label(SUN, teff=3500.0), WAVELENGTH, "label 'teff': expected 4000 to 8000 K, got 3500"),
        (with_label(SUN, mg_h=np.nan), WAVELENGTH, "label 'mg_h': expected -2.5 to 1 dex, got nan"),
        (SUN[:4], WAVELENGTH, "labels: expected shape"),
        (SUN, WAVELENGTH[::-1], "ascending"),
        (SUN, np.array([5000.0, 5001.0]), "expected 15150 to 16960 Angstrom"),
        (SUN, np.array([15700.0, np.nan]), "ascending"),
        (SUN, np.array([]), "ascending"),
    ],
)
def test_bad_input_is_told_in_one_line(labels, wavelength, message):
    with pytest.raises(InputError, match=message) as error:
        synthesize(labels, wavelength)
    assert "\n" not in str(error.value)


# Labels of the net (teff, logg, [Fe/H], [alpha/Fe]); correlations to reach, of spectra and of derivatives by the first
# three labels.
KURUCZ_STARS = {
    "warm dwarfs": (
        [(6000, 4.3, 0, 0), (6500, 4.2, -0.3, 0.1), (5777, 4.44, 0, 0), (6200, 4.0, -0.2, 0)],
        0.88,
        (0.75, 0.75, 0.75),
    ),
    "cool dwarfs": (
        [(4500, 4.6, 0, 0), (4300, 4.6, -0.2, 0), (4800, 4.55, 0.2, 0), (4600, 4.5, -0.4, 0.2)],
        0.85,
        (0.75, 0.65, 0.75),
    ),
    "giants": (
        [(4700, 2.5, 0, 0), (4300, 1.5, -0.3, 0.1), (4900, 3.0, 0.1, 0), (4500, 2.0, -0.5, 0.2)],
        0.85,
        (0.75, 0.75, 0.75),
    ),
}


def labels_of(kurucz_star):
    """vmic and vmacro are guesses. That O is none of the net's alpha elements shows in its OH lines."""
    teff, logg, fe_h, alpha_fe = kurucz_star
    alpha = [alpha_fe * (element in ("Mg", "Si", "S", "Ca", "Ti")) for element in ELEMENTS]
    return np.array([teff, logg, 1.0 if logg > 3.5 else 1.5, 4.0, *(fe_h + np.array(alpha))])


@pytest.mark.reference
@pytest.mark.skipif(
    not (REFERENCE / "kurucz_flux_nn.npz").exists(),
    reason=f"NOT COMPARED WITH KURUCZ SPECTRA: {REFERENCE / 'kurucz_flux_nn.npz'} is absent",
)
@pytest.mark.parametrize("kind", KURUCZ_STARS)
def test_spectra_and_their_derivatives_are_those_of_kurucz(kind):
    specification = importlib.util.spec_from_file_location("make_domains", REFERENCE / "make_domains.py")
    domains = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(domains)
    net = domains.net(REFERENCE / "kurucz_flux_nn.npz")
    wavelength = np.load(REFERENCE / "apogee_wavelength.npz")["wavelength"]
    pixels = np.load(REFERENCE / "continuum_pixels.npz")["pixels_cannon"]

    def both(stars):
        ours = np.array([synthesize(labels_of(star), wavelength) for star in stars])
        theirs = domains.evaluate(net, np.asarray(stars))
        return [domains.normalise(flux, wavelength, pixels) for flux in (ours, theirs)]

    def correlation(ours, theirs):
        return np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(ours, theirs, strict=True)])

    stars, least, least_of_derivatives = KURUCZ_STARS[kind]
    stars = np.array(stars, dtype=np.float64)
    reached = [correlation(*both(stars))]
    for step in np.diag([100, 0.2, 0.1, 0.1])[:3]:
        (up, kurucz_up), (down, kurucz_down) = both(stars + step), both(stars - step)
        reached.append(correlation(up - down, kurucz_up - kurucz_down))
    print(f"\n{kind}: spectrum, d/dTeff, d/dlogg, d/d[Fe/H]:", *(f"{value:.3f}" for value in reached))
    assert all(np.array(reached) >= (least, *least_of_derivatives))

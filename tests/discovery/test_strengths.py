"""cyclegan/discovery/strengths.py: lines that were taken out of theory's list come back as they were."""

import numpy as np
import pytest

from cyclegan.discovery.strengths import candidates, fit_lines, known_levels
from emulator.added_lines import Stars
from emulator.labels import ABUNDANCES
from emulator.lines import LINES, Lines
from emulator.synthesis import synthesize

WAVELENGTH = np.exp(np.arange(np.log(15684.0), np.log(15713.0), 1.4e-5))
IRON, MOLECULE = 15690.75, 15705.84  # of lines that stand alone: Fe I and CN


def stars_of_many_kinds():
    random = np.random.default_rng(0)
    teff, iron = np.linspace(4300.0, 6200.0, 14), random.uniform(-0.4, 0.3, 14)
    logg = np.interp(teff, [4300.0, 5000.0, 6200.0], [1.5, 2.8, 4.3])
    metals = iron[:, None] + random.uniform(-0.2, 0.2, (14, len(ABUNDANCES)))
    metals[:, 0] = iron
    return np.column_stack([teff, logg, np.full(14, 1.5), np.full(14, 4.0), metals])


LABELS = stars_of_many_kinds()


def nearest(wavelength, species):
    own = np.flatnonzero(LINES.species == species)
    return int(own[np.abs(LINES.wavelength[own] - wavelength).argmin()])


@pytest.fixture(scope="module")
def lacking():
    """Theory without the two lines, its stars, and what they lack."""
    rows = [nearest(IRON, "Fe I"), nearest(MOLECULE, "CN")]
    theory = LINES.chosen(np.delete(np.arange(len(LINES.wavelength)), rows))
    whole = np.stack([synthesize(star, WAVELENGTH) for star in LABELS])
    without = np.stack([synthesize(star, WAVELENGTH, theory) for star in LABELS])
    return LINES.chosen(np.array(rows)), theory, Stars(LABELS, WAVELENGTH, theory), without - whole


@pytest.fixture(scope="module")
def fitted(lacking):
    _, theory, stars, flux = lacking
    return fit_lines(stars, flux, [IRON, MOLECULE], [["Fe"], ["C", "N"]], theory)


def test_species_log_gf_and_excitation_are_found(lacking, fitted):
    truth = lacking[0]
    assert [line.species for line in fitted] == ["Fe I", "CN"]
    for line, at, excitation, log_gf in zip(fitted, truth.wavelength, truth.excitation, truth.log_gf, strict=True):
        assert line.wavelength == pytest.approx(at, abs=0.02)
        assert line.excitation == pytest.approx(excitation, abs=0.15)
        assert line.log_gf == pytest.approx(log_gf, abs=0.15)
        assert line.misfit < 1e-3
        assert not line.companion


def test_errors_of_log_gf_and_excitation_go_together(fitted):
    iron, molecule = fitted
    assert 0 < iron.log_gf_error < 0.5
    assert 0 < iron.excitation_error < 0.5
    assert iron.correlation > 0.9  # a higher level needs a larger log gf
    assert 0 < molecule.excitation_error < 0.5
    assert iron.others == []
    assert not iron.usual


def test_an_error_of_the_flux_makes_errors_larger(lacking, fitted):
    _, theory, stars, flux = lacking
    noise = np.random.default_rng(1).normal(0.0, 0.01, flux.shape)
    worse, molecule = fit_lines(stars, flux + noise, [IRON, MOLECULE], [["Fe"], ["C", "N"]], theory)
    assert worse.log_gf_error > 1.5 * fitted[0].log_gf_error
    assert abs(worse.log_gf - fitted[0].log_gf) < 3 * worse.log_gf_error
    assert molecule.usual  # the other lines of CN say more of its excitation than these stars


def test_a_line_beside_another_is_its_companion(lacking):
    truth, theory, stars, _ = lacking
    beside = truth.wavelength[0] * (1 - 4.5e-5)
    add = Lines(np.array([beside]), np.array(["Fe I"]), np.array([6.0]), np.array([-0.4]), np.array([-4.5]))
    more = theory.merged(truth).merged(add)
    both = np.stack([synthesize(star, WAVELENGTH, theory) - synthesize(star, WAVELENGTH, more) for star in LABELS])
    lines = fit_lines(stars, both, [IRON], [["Fe"]], theory)
    assert [line.companion for line in lines].count(True) == 1
    assert [line.wavelength for line in lines] == sorted(line.wavelength for line in lines)
    (companion,) = (line for line in lines if line.companion)
    assert companion.wavelength == pytest.approx(beside, abs=0.1)


def test_what_a_line_may_be_of():
    assert candidates(["Fe"]) == ["Fe I", "Fe II"]
    assert candidates(["C", "N"]) == ["CN", "CO", "C I", "C II", "N I", "N II"]
    assert candidates(["O"])[:2] == ["CO", "OH"]
    assert candidates(["Y"]) == []


def test_the_list_says_which_excitation_is_usual():
    levels = known_levels(LINES)
    strong = LINES.excitation[(LINES.species == "CN") & (LINES.strength >= -5.25)]
    assert levels["CN"].mean == pytest.approx(strong.mean())
    assert levels["N II"].sigma > 2

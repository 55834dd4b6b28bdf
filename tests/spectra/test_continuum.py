"""cyclegan/spectra/continuum.py: against known polynomials, numpy's fit, and spectra with a continuum put in."""

import zipfile

import h5py
import numpy as np
import pytest
import torch
from numpy.polynomial import chebyshev

from cyclegan.spectra.continuum import Continuum
from cyclegan.spectra.continuum_files import read_continuum, read_continuum_pixels, write_continuum
from cyclegan.spectra.spectra import Spectra
from emulator.commands.errors import InputError
from emulator.derivatives import jacobian

CHIPS = (slice(0, 400), slice(400, 700))
WAVELENGTH = 10 ** (4.18 + 6e-6 * np.r_[0:400, 600:900])
STARS = 40


def polynomials(degree, n=STARS, seed=0):
    """Smooth continua (n, P) around 300, another on each chip."""
    rng = np.random.default_rng(seed)
    truth = np.empty((n, len(WAVELENGTH)))
    for chip in CHIPS:
        lam = WAVELENGTH[chip]
        x = 2 * (lam - lam[0]) / (lam[-1] - lam[0]) - 1
        steepness = np.r_[0, 0.3 / np.arange(1, degree + 1) ** 2]
        truth[:, chip] = 300 * chebyshev.chebval(x, (np.eye(degree + 1)[0] + steepness * rng.uniform(-1, 1, (n, 1))).T)
    return torch.from_numpy(truth)


def spectra(flux, relative_error=0.01):
    return Spectra(flux, flux.abs() * relative_error, torch.ones_like(flux, dtype=torch.bool))


@pytest.mark.parametrize("degree", [0, 1, 3, 5])
@pytest.mark.parametrize("given", [True, False])
def test_a_chebyshev_polynomial_is_found_to_rounding(degree, given):
    truth = polynomials(degree)
    pixels = np.arange(len(WAVELENGTH)) % 7 == 0 if given else None
    found = Continuum(WAVELENGTH, degree, pixels).fit(spectra(truth))
    np.testing.assert_allclose(found, truth, rtol=1e-8)


def test_on_given_pixels_it_is_the_fit_of_numpy():
    rng = np.random.default_rng(1)
    flux = polynomials(4).numpy() * rng.uniform(0.6, 1.1, (STARS, len(WAVELENGTH)))
    error = 300 * rng.uniform(
        0.012, 0.02, flux.shape
    )  # between the floor and the worst, or the weights would be others
    pixels = rng.random(len(WAVELENGTH)) < 0.3
    mask = rng.random(flux.shape) < 0.9
    found = Continuum(WAVELENGTH, 4, pixels).fit(Spectra(*map(torch.from_numpy, (flux, error, mask))))
    for star in range(STARS):
        for chip in CHIPS:
            lam = WAVELENGTH[chip]
            x = (lam - lam.mean()) / np.ptp(lam)  # another scaling: the polynomial is the same
            used = pixels[chip] & mask[star, chip]
            fit = chebyshev.chebfit(x[used], flux[star, chip][used], 4, w=1 / error[star, chip][used])
            np.testing.assert_allclose(found[star, chip], chebyshev.chebval(x, fit), rtol=1e-8)


def test_dividing_conserves_signal_to_noise_and_what_was_masked():
    truth = polynomials(3)
    before = spectra(truth * torch.rand(truth.shape, dtype=torch.float64).add(0.5))
    before.mask[:, 50:60] = False
    continuum = Continuum(WAVELENGTH, 3, np.arange(len(WAVELENGTH)) % 3 == 0)
    after = continuum.normalize(before)
    torch.testing.assert_close(after.flux / after.error, before.flux / before.error)
    torch.testing.assert_close(after.flux * continuum.fit(before), before.flux)
    assert torch.equal(after.mask, before.mask)


def test_the_unit_of_flux_does_not_matter():
    flux = polynomials(3) * torch.rand(STARS, len(WAVELENGTH), dtype=torch.float64).add(0.5)
    continuum = Continuum(WAVELENGTH)
    expected = continuum.normalize(spectra(flux))
    for scale in (1e-17, 1e12):
        torch.testing.assert_close(continuum.normalize(spectra(flux * scale)).flux, expected.flux)


def lines(n=STARS, seed=2):
    """Normalised spectra (n, P): 40 lines of 3 to 60 % depth in 700 pixels, another set for each star."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, len(WAVELENGTH), (n, 40, 1))
    depths, widths = rng.uniform(0.03, 0.6, (n, 40, 1)), rng.uniform(1.2, 2.5, (n, 40, 1))
    profile = depths * np.exp(-0.5 * ((np.arange(len(WAVELENGTH)) - centres) / widths) ** 2)
    return torch.from_numpy(np.exp(-profile.sum(axis=1)))


def test_rounding_moves_a_found_continuum_by_no_more_than_rounding():
    noise = 0.01 * torch.randn(STARS, len(WAVELENGTH), generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    flux, continuum = (polynomials(3) * (lines() + noise)).float(), Continuum(WAVELENGTH)
    expected = continuum.fit(spectra(flux))
    torch.testing.assert_close(continuum.fit(spectra(flux * 1e-17)) / 1e-17, expected, rtol=5e-5, atol=0)
    alone = torch.cat([continuum.fit(spectra(one[None])) for one in flux])
    torch.testing.assert_close(alone, expected, rtol=5e-5, atol=0)


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.03])
def test_clipping_finds_the_continuum_above_lines_whatever_the_noise(noise):
    truth, random = polynomials(3), torch.Generator().manual_seed(3)
    flux = truth * (lines() + noise * torch.randn(truth.shape, generator=random, dtype=torch.float64))
    flux[:, 100] *= 1.8  # a spike
    data = Spectra(flux, truth * max(noise, 0.003), torch.ones_like(flux, dtype=torch.bool))
    offset = Continuum(WAVELENGTH).fit(data) / truth - 1
    # A fit to all pixels lies some 5 % low. Clipping more below than above lifts the fit by a fifth of the noise.
    everything = Continuum(WAVELENGTH, 3, np.ones(len(WAVELENGTH), bool)).fit(data) / truth - 1
    assert everything.mean() < -0.04
    assert abs(offset.mean()) < 0.25 * noise + 0.002
    assert offset.std() < 0.4 * noise + 0.005


def test_noise_alone_lifts_the_continuum_by_at_most_a_quarter_of_itself():
    truth, noise = polynomials(3, n=200), 0.02
    flux = truth * (1 + noise * torch.randn(truth.shape, generator=torch.Generator().manual_seed(5)))
    offset = Continuum(WAVELENGTH).fit(spectra(flux, noise)) / truth - 1
    assert abs(offset.mean()) < 0.25 * noise


def test_what_is_unusable_has_no_pull_and_stays_finite():
    truth = polynomials(3)
    flux, error, mask = spectra(truth)
    expected = Continuum(WAVELENGTH).fit(Spectra(flux, error, mask))
    flux, error, mask = flux.clone(), error.clone(), mask.clone()
    for number, (where, value) in enumerate([(flux, np.nan), (flux, np.inf), (error, np.nan), (error, np.inf)]):
        where[:, 10 + number] = value
    error[:, 20], error[:, 21] = 0.0, -1.0
    flux[:, 30], mask[:, 30] = 1e9, False
    continuum = Continuum(WAVELENGTH)
    torch.testing.assert_close(continuum.fit(Spectra(flux, error, mask)), expected)
    after = continuum.normalize(Spectra(flux, error, mask))
    assert after.flux.isfinite().all()
    assert (after.error.isfinite() & (after.error > 0)).all()
    unusable = torch.zeros(len(WAVELENGTH), dtype=torch.bool)
    unusable[[10, 11, 12, 13, 20, 21, 30]] = True
    assert torch.equal(after.mask, ~unusable.expand_as(after.mask))


@pytest.mark.parametrize("how", ["masked", "few", "crowded", "negative", "nan"])
def test_a_chip_without_a_continuum_is_masked_and_the_other_is_not(how):
    flux, error, mask = spectra(polynomials(3))
    flux, mask = flux.clone(), mask.clone()
    if how in ("few", "crowded"):
        mask[0, CHIPS[1]] = False
        mask[0, 400 : 400 + (3 if how == "few" else 12)] = True
    elif how == "masked":
        mask[0, CHIPS[1]] = False
    else:
        flux[0, CHIPS[1]] = -1.0 if how == "negative" else np.nan
    after = Continuum(WAVELENGTH).normalize(Spectra(flux, error, mask))
    assert not after.mask[0, CHIPS[1]].any()
    assert (after.flux[0, CHIPS[1]] == 1).all()
    assert after.mask[0, CHIPS[0]].all()
    assert after.mask[1:].all()


def test_it_is_kept_in_a_file_and_does_the_same_again(tmp_path):
    pixels = np.arange(len(WAVELENGTH)) % 3 == 0
    data = spectra(polynomials(4) * lines())
    with h5py.File(tmp_path / "spectra.h5", "w") as file:
        assert read_continuum(file, WAVELENGTH) is None
    for number, kept in enumerate([Continuum(WAVELENGTH, 2, pixels), Continuum(WAVELENGTH, 4, starts=np.array([350]))]):
        with h5py.File(tmp_path / f"{number}.h5", "w") as file:
            write_continuum(kept, file)
        with h5py.File(tmp_path / f"{number}.h5") as file:
            assert torch.equal(read_continuum(file, WAVELENGTH).fit(data), kept.fit(data))
        torch.save(kept.contents(), tmp_path / "contents.pt")
        contents = torch.load(tmp_path / "contents.pt", weights_only=True)
        assert torch.equal(Continuum.from_contents(contents, WAVELENGTH).fit(data), kept.fit(data))


@pytest.mark.parametrize("given", [True, False])
def test_derivatives_pass_through_it(given):
    """Against central differences; of lines (P,) that a parameter deepens on a continuum that another tilts."""
    pixels = np.arange(len(WAVELENGTH)) % 3 == 0 if given else None
    continuum, deepest = Continuum(WAVELENGTH, 2, pixels), 1 - lines()[:1]
    slope = torch.linspace(-1, 1, len(WAVELENGTH), dtype=torch.float64)

    def flux(parameters):
        return continuum.normalize_exact((1 - parameters[:, :1] * deepest) * (1 + parameters[:, 1:] * slope))

    at = torch.tensor([[0.8, 0.1], [1.0, -0.05]], dtype=torch.float64)
    value, derivative = jacobian(flux, at)
    assert torch.equal(value, flux(at))
    for column, along in enumerate(1e-5 * torch.eye(2, dtype=torch.float64)):
        expected = (flux(at + along) - flux(at - along)) / 2e-5
        torch.testing.assert_close(derivative[column], expected, rtol=1e-3, atol=1e-4)
    assert derivative[1].abs().max() < 0.05 * derivative[0].abs().max()  # a tilt is continuum, and gone


@pytest.mark.parametrize("kind", ["bool.npy", "bool.npz", "wavelength.npy", "wavelength.txt"])
def test_continuum_pixels_from_a_file(tmp_path, kind):
    pixels = np.arange(len(WAVELENGTH)) % 5 == 2
    path = tmp_path / kind
    near = WAVELENGTH[pixels] + 0.03  # a seventh of a pixel off
    near = np.r_[10000.0, near, 20000.0]  # and two of another instrument
    {
        "bool.npy": lambda: np.save(path, pixels),
        "bool.npz": lambda: np.savez(path, pixels=pixels),
        "wavelength.npy": lambda: np.save(path, near),
        "wavelength.txt": lambda: np.savetxt(path, near),
    }[kind]()
    assert (read_continuum_pixels(path, WAVELENGTH) == pixels).all()


def test_bad_continuum_pixels_are_told(tmp_path):
    np.save(tmp_path / "short.npy", np.ones(99, bool))
    (tmp_path / "text.npy").write_text("hello")
    with zipfile.ZipFile(tmp_path / "text.npz", "w") as archive:
        archive.writestr("pixels", "hello")
    for name, words in (
        ("short.npy", r"expected 700 .* got \(99,\)"),
        ("text.npy", "one array"),
        ("text.npz", "a list of wavelengths"),
        ("none.npy", "found none"),
    ):
        with pytest.raises(InputError, match=words):
            read_continuum_pixels(tmp_path / name, WAVELENGTH)
    with pytest.raises(InputError, match=r"more than 3 pixels for degree 3 between 15.* got 2"):
        Continuum(WAVELENGTH, 3, np.isin(np.arange(700), [*range(0, 400, 9), 450, 600]))
    with pytest.raises(InputError, match="expected 700, one for each wavelength"):
        Continuum(WAVELENGTH, 3, np.ones(3, bool))

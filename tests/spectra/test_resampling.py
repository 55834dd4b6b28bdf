"""cyclegan/spectra/resampling.py: against specutils, and what it must conserve."""

import astropy.units as u
import numpy as np
import pytest
import torch
from astropy.nddata import VarianceUncertainty
from specutils import Spectrum
from specutils.manipulation import FluxConservingResampler

from cyclegan.spectra.resampling import Resampler, pixel_edges
from cyclegan.spectra.spectra import Spectra
from emulator.commands.errors import InputError

SOURCE = 10 ** (4.179 + 6e-6 * np.arange(600))
GRIDS = {
    "finer": np.linspace(15110.0, 15200.0, 900),
    "coarser": np.linspace(15110.0, 15200.0, 90),
    "logarithmic": 10 ** np.linspace(4.1795, 4.182, 333),
    "uneven": 15105.0 + 0.1 * np.arange(120) + 0.004 * np.arange(120) ** 2,
    "wider": np.linspace(15000.0, 15400.0, 500),
}


def noise(n=3, pixels=600, seed=0):
    random = torch.Generator().manual_seed(seed)
    flux = 1 + 0.3 * torch.rand(n, pixels, generator=random, dtype=torch.float64)
    error = 0.01 + 0.02 * torch.rand(n, pixels, generator=random, dtype=torch.float64)
    return Spectra(flux, error, torch.ones(n, pixels, dtype=torch.bool))


@pytest.mark.parametrize("name", GRIDS)
def test_flux_and_errors_are_those_of_specutils(name):
    spectra, there = noise(), Resampler(SOURCE, GRIDS[name])(noise())
    theirs = FluxConservingResampler(extrapolation_treatment="nan_fill")
    for row in range(len(spectra.flux)):
        spectrum = Spectrum(
            flux=spectra.flux[row].numpy() * u.ct,
            spectral_axis=SOURCE * u.AA,
            uncertainty=VarianceUncertainty(spectra.error[row].numpy() ** 2),
        )
        expected = theirs(spectrum, GRIDS[name] * u.AA)
        # They divide by what is covered where a pixel is only half covered; here such a pixel is not usable.
        usable = there.mask[row].numpy()
        assert usable.sum() > 50
        np.testing.assert_allclose(there.flux[row][usable], expected.flux.value[usable], rtol=1e-10)
        sigma = expected.uncertainty.represent_as(VarianceUncertainty).array ** 0.5
        np.testing.assert_allclose(there.error[row][usable], sigma[usable], rtol=1e-10)


@pytest.mark.parametrize("name", ["finer", "coarser", "wider"])
def test_the_integral_of_flux_is_conserved(name):
    target = GRIDS[name]
    spectra = noise()
    # A spectrum that vanishes outside what both grids cover.
    inside = torch.from_numpy((SOURCE > 15120) & (SOURCE < 15190))
    spectra = spectra._replace(flux=torch.where(inside, spectra.flux, 0.0))
    there = Resampler(SOURCE, target)(spectra)
    (blue, red), (target_blue, target_red) = pixel_edges(SOURCE), pixel_edges(target)
    before, after = spectra.flux.numpy() @ (red - blue), there.flux.numpy() @ (target_red - target_blue)
    np.testing.assert_allclose(after, before, rtol=1e-12)


def test_a_flat_spectrum_stays_flat_and_whole_pixels_average():
    spectra = noise()._replace(flux=torch.full((3, len(SOURCE)), 7.0))
    there = Resampler(SOURCE, GRIDS["uneven"])(spectra)
    torch.testing.assert_close(there.flux, torch.full_like(there.flux, 7.0))
    source, pairs = np.arange(100.0, 200.0), np.arange(100.5, 199.0, 2.0)
    spectra = noise(pixels=100)
    there = Resampler(source, pairs)(spectra)
    torch.testing.assert_close(there.flux, spectra.flux.unflatten(1, (50, 2)).mean(dim=2))
    torch.testing.assert_close(there.error, spectra.error.square().unflatten(1, (50, 2)).sum(dim=2).sqrt() / 2)


def test_wavelengths_of_the_same_grid_are_picked_untouched():
    picked = np.r_[10:200, 300:560]
    spectra = noise()
    there = Resampler(SOURCE, SOURCE[picked] * (1 + 1e-10))(spectra)
    for ours, tensor in zip(there, spectra, strict=True):
        assert torch.equal(ours, tensor[:, picked])


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_masked_pixels_spoil_those_that_take_from_them_and_no_others(value):
    spectra, bad = noise(), 300
    target = np.linspace(SOURCE[250], SOURCE[350], 50)
    mask = spectra.mask.clone()
    mask[:, bad] = False
    flux, error = spectra.flux.clone(), spectra.error.clone()
    flux[:, bad] = error[:, bad] = value
    clean, there = Resampler(SOURCE, target)(spectra), Resampler(SOURCE, target)(Spectra(flux, error, mask))
    (blue, red), (target_blue, target_red) = pixel_edges(SOURCE), pixel_edges(target)
    touched = torch.from_numpy((target_blue < red[bad]) & (target_red > blue[bad]))
    assert touched.sum() in (1, 2)
    assert torch.equal(there.mask, (~touched).expand_as(there.mask))
    assert torch.equal(there.flux[:, ~touched], clean.flux[:, ~touched])
    assert there.flux.isfinite().all()
    assert there.error.isfinite().all()


def test_nothing_leaks_across_the_gap_between_chips():
    source = SOURCE[np.r_[0:200, 400:600]]
    target = np.linspace(SOURCE[150], SOURCE[450], 400)
    there = Resampler(source, target)(noise(pixels=400))
    in_gap = (target > SOURCE[201]) & (target < SOURCE[398])
    assert not there.mask[:, in_gap].any()
    assert (there.flux[:, in_gap] == 0).all()
    assert there.mask[:, (target < SOURCE[198]) & (target > SOURCE[152])].all()


def test_grids_apart_are_told():
    with pytest.raises(InputError, match=r"5000\.0 to 6000\.0 A, got 15100"):
        Resampler(SOURCE, np.linspace(5000.0, 6000.0, 100))


def test_what_is_left_of_the_same_grid_is_picked_as_it_is():
    spectra = noise(pixels=600)
    spectra.mask[:, 100] = False
    part = slice(40, 500)
    there = Resampler(SOURCE[part], SOURCE)(Spectra(*(tensor[:, part] for tensor in spectra)))
    inside = (torch.arange(600) >= 40) & (torch.arange(600) < 500)
    assert torch.equal(there.mask, spectra.mask & inside)
    assert all(torch.equal(a[:, part], b[:, part]) for a, b in zip(there[:2], spectra[:2], strict=True))


def test_pixels_of_a_coarser_grid_with_the_same_centres_take_from_all_between():
    step = 0.1
    fine = 15000 + step * np.arange(301)
    coarse = fine[1:-1:3].copy()
    spectra = noise(pixels=301)
    spectra.mask[:, 9:12] = torch.eye(3, dtype=torch.bool)[0]  # of one pixel its middle and red third are bad
    there = Resampler(fine, coarse)(spectra)
    thirds = [tensor[:, :300].view(3, 100, 3) for tensor in spectra]
    torch.testing.assert_close(there.flux, thirds[0].mean(dim=2))
    torch.testing.assert_close(there.error, thirds[1].square().sum(dim=2).sqrt() / 3)
    assert torch.equal(there.mask, torch.arange(100).expand(3, -1) != 3)

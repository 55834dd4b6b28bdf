"""cyclegan/effects.py: the noise is what its errors say."""

import numpy as np
import pytest
import torch
from conftest import PIXELS, toy_wavelength

from cyclegan.effects import SNR_HIGH, SNR_LOW, chip_profile, photon_noise


def test_the_error_grows_by_half_towards_the_ends_of_each_chip():
    profile = chip_profile(toy_wavelength())
    for chip in (profile[:100], profile[100:]):
        assert chip[[0, -1]].tolist() == pytest.approx([1.5, 1.5])
        assert chip[len(chip) // 2].item() == pytest.approx(1.0, abs=1e-4)
        assert torch.equal(chip.diff().sign()[:49], -torch.ones(49))
        torch.testing.assert_close(chip, chip.flip(0))


@pytest.fixture(scope="module")
def noisy():
    flux = torch.linspace(0.3, 1.0, 200).expand(3000, -1)
    return flux, photon_noise(flux, torch.ones(200), torch.Generator().manual_seed(1))


def test_the_noise_is_gaussian_with_the_stated_errors(noisy):
    flux, spectra = noisy
    deviation = ((spectra.flux - flux) / spectra.error).double().numpy()
    # 600 000 draws: standard errors of mean, variance and kurtosis are 0.0013, 0.0018 and 0.0063.
    assert deviation.mean() == pytest.approx(0, abs=0.006)
    assert (deviation**2).mean() == pytest.approx(1, abs=0.008)
    assert (deviation**4).mean() == pytest.approx(3, abs=0.06)
    assert spectra.mask.all()


def test_each_star_has_its_own_signal_to_noise(noisy):
    _, spectra = noisy
    ratio = 1 / (spectra.error.mean(dim=1) - 1e-3).numpy()
    assert SNR_LOW * 0.95 < ratio.min() < SNR_LOW * 1.05
    assert SNR_HIGH * 0.95 < ratio.max() < SNR_HIGH * 1.05
    # Log-uniform: the mean logarithm is in the middle, 3000 draws.
    assert np.log(ratio).mean() == pytest.approx(np.log(SNR_LOW * SNR_HIGH) / 2, abs=0.04)


def test_errors_scatter_from_pixel_to_pixel(noisy):
    _, spectra = noisy
    scatter = (spectra.error - 1e-3) / (spectra.error - 1e-3).mean(dim=1, keepdim=True)
    assert scatter.std().item() == pytest.approx(0.15, abs=0.002)
    assert (spectra.error > 0).all()


def test_errors_follow_the_profile():
    profile = chip_profile(toy_wavelength())
    error = photon_noise(torch.ones(4000, PIXELS), profile, torch.Generator().manual_seed(2)).error - 1e-3
    relative = error.mean(dim=0) / error.mean(dim=0)[50]
    np.testing.assert_allclose(relative.numpy(), (profile / profile[50]).numpy(), rtol=0.03)


def test_the_same_seed_gives_the_same_noise():
    flux, profile = torch.ones(5, 10), torch.ones(10)
    first, again, other = (photon_noise(flux, profile, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.flux, again.flux)
    assert torch.equal(first.error, again.error)
    assert not torch.equal(first.flux, other.flux)

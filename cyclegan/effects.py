"""What a telescope does to a spectrum: small functions on batches, on the device."""

import torch
from torch import Tensor

from cyclegan.spectra import Spectra, chip_starts

SNR_LOW, SNR_HIGH = 60.0, 300.0  # per pixel: the range of APOGEE's combined spectra


def chip_profile(wavelength: Tensor) -> Tensor:
    """How the error grows from the middle of each chip (1) to its ends (1.5), (P,): fewer photons reach the ends."""
    profile = torch.empty(len(wavelength))
    for chip in torch.tensor_split(torch.arange(len(wavelength)), chip_starts(wavelength.cpu().numpy()).tolist()):
        profile[chip] = 1 + 0.5 * torch.linspace(-1, 1, len(chip)) ** 4
    return profile.to(wavelength.device)


def photon_noise(flux: Tensor, profile: Tensor, generator: torch.Generator) -> Spectra:
    """Noiseless flux (B, P) as observed, with the errors that an APOGEE pipeline would state.

    Each star has its own signal to noise, log-uniform from SNR_LOW to SNR_HIGH; the error follows `profile` (P,)
    and scatters by 15 % from pixel to pixel.
    """
    stars, pixels = flux.shape
    ratio = torch.rand(stars, 1, generator=generator, device=flux.device)
    snr = SNR_LOW * (SNR_HIGH / SNR_LOW) ** ratio
    scatter = torch.randn(stars, pixels, generator=generator, device=flux.device).mul_(0.15).add_(1).abs_()
    error = profile * scatter / snr + 1e-3
    noise = torch.randn(stars, pixels, generator=generator, device=flux.device)
    return Spectra(flux + error * noise, error, torch.ones_like(flux, dtype=torch.bool))

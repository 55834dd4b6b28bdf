"""The spaces in which networks see spectra: principal components, and pixels."""

from typing import cast

import torch
from torch import Tensor, nn

from cyclegan.spectra.leading import leading_directions
from cyclegan.spectra.spectra import ERROR_FLOOR, Spectra, at_a_time, masked_mean, noise_of, typical_weight
from emulator.commands.errors import InputError

FILLED = 2**24  # numbers at a time that stand for masked pixels: 64 MB
ROUNDS = 10  # of expectation maximisation


class Components(nn.Module):
    """Spectra of one domain as coefficients of K principal components that both domains share.

    With w (P,) the pixels' weights (1 over the typical error) and V (P, K) orthonormal,
        c = V^T w (x - mean),    x = mean + V c / w,
    so that the mean over pixels of ((x' - x) / sigma)^2 is |c' - c|^2 / P for a star with the typical errors: the
    networks' distances cost K instead of P. The `error` of coefficients, (B, 1), carries each star's own errors and
    that factor.
    """

    mean: Tensor
    weight: Tensor
    basis: Tensor

    def __init__(self, mean: Tensor, weight: Tensor, basis: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("weight", weight)
        self.register_buffer("basis", basis)

    def project(self, spectra: Spectra) -> Spectra:
        """Spectra (B, P) -> coefficients (B, K); masked pixels have no pull on them."""
        usable = spectra.mask
        if usable.all():
            coefficients = self.coordinates(spectra.flux)
        else:
            start, masked = self.start(spectra.flux, usable), masked_pixels(usable)
            size = max(1, FILLED // (masked.shape[1] * self.basis.shape[1]))
            parts = zip(start.split(size), masked.split(size), strict=True)
            coefficients = torch.cat([self.filled(*part) for part in parts])
        inverse = torch.where(usable, 1 / spectra.error.clamp_min(ERROR_FLOOR), 0.0) / self.weight
        precision = (inverse.square().sum(dim=1) / usable.sum(dim=1).clamp_min(1)).clamp_min(1e-12)
        pixels, width = self.basis.shape
        error = (pixels / width / precision).sqrt()[:, None]
        return Spectra(coefficients, error, torch.ones_like(coefficients, dtype=torch.bool))

    def coordinates(self, flux: Tensor) -> Tensor:
        """Flux (B, P) of which every pixel is usable -> coefficients (B, K)."""
        return (flux - self.mean) * self.weight @ self.basis

    def start(self, flux: Tensor, usable: Tensor) -> Tensor:
        """Flux (B, P) -> coefficients (B, K) with zeros where pixels are not usable (B, P)."""
        return torch.where(usable, (flux - self.mean) * self.weight, 0.0) @ self.basis

    def filled(self, start: Tensor, masked: Tensor) -> Tensor:
        """Coefficients (B, K) of spectra whose masked pixels are as the components themselves have them.

        start (B, K): as `start` gives them; masked (B, m): `masked_pixels`. With the rows M (m, K) of V at a star's
        masked pixels, c <- start + M^T M c is expectation maximisation for the least-squares coefficients of the usable
        ones; a few rounds reach them unless most of a spectrum is masked.
        """
        rows = torch.nn.functional.pad(self.basis, (0, 0, 0, 1))[masked]  # (B, m, K)
        product, coefficients = rows.transpose(1, 2) @ rows, start[:, None]
        for _ in range(ROUNDS):
            coefficients = start[:, None] + coefficients @ product
        return coefficients[:, 0]

    def noise(self, coefficients: Spectra) -> Tensor:
        """The noise (B, 1), 1 sigma, of each coefficient: V is orthonormal, so it is that of a weighted pixel."""
        pixels, width = self.basis.shape
        return coefficients.error * (width / pixels) ** 0.5

    def restore(self, coefficients: Tensor) -> Tensor:
        """Coefficients (B, K) -> flux (B, P)."""
        return self.mean + self.moved(coefficients)

    def moved(self, difference: Tensor) -> Tensor:
        """Differences of coefficients (..., K) -> of flux (..., P)."""
        return difference @ self.basis.T / self.weight


def masked_pixels(usable: Tensor) -> Tensor:
    """The numbers (B, m) of each star's masked pixels, m: of whom most are masked; P, one behind the last, in the rest.

    usable: (B, P).
    """
    stars, pixels = (~usable).nonzero(as_tuple=True)
    count = (~usable).sum(dim=1)
    place = torch.arange(stars.shape[0], device=stars.device) - (count.cumsum(dim=0) - count)[stars]
    most = cast(int, count.max().item())  # `int` would have torch.export take it for a constant
    found = torch.full((usable.shape[0], most), usable.shape[1], device=stars.device)
    return found.index_put((stars, place), pixels)


class Pixels(nn.Module):
    """Spectra of one domain pixel by pixel, in units of the typical error and minus the domain's own mean."""

    mean: Tensor
    weight: Tensor

    def __init__(self, mean: Tensor, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("weight", weight)

    def project(self, spectra: Spectra) -> Spectra:
        """Spectra (B, P) -> standardised pixels (B, P), masked ones at the mean."""
        residual = torch.where(spectra.mask, self.coordinates(spectra.flux), 0.0)
        return Spectra(residual, spectra.error.clamp_min(ERROR_FLOOR) * self.weight, spectra.mask)

    def coordinates(self, flux: Tensor) -> Tensor:
        """Flux (B, P) of which every pixel is usable -> standardised pixels (B, P)."""
        return (flux - self.mean) * self.weight

    def noise(self, pixels: Spectra) -> Tensor:
        """The noise (B, P), 1 sigma, of each pixel; none where it is masked, as there is none in its value."""
        return noise_of(pixels)

    def restore(self, pixels: Tensor) -> Tensor:
        """Standardised pixels (B, P) -> flux (B, P)."""
        return self.mean + self.moved(pixels)

    def moved(self, difference: Tensor) -> Tensor:
        """Differences of standardised pixels (..., P) -> of flux (..., P)."""
        return difference / self.weight


Space = Components | Pixels


def pooled_components(synth: Spectra, obs: Spectra, components: int) -> tuple[Components, Components]:
    """The spaces of the two domains: one basis, the leading components of both sets of residuals, two means.

    Raises InputError where there are fewer spectra or pixels than components.
    """
    most = min(len(synth.flux) + len(obs.flux), synth.flux.shape[1])
    if components > most:
        raise InputError(
            f"config key 'networks.components': expected at most {most}, as many as spectra or pixels, got {components}"
        )
    weight = typical_weight(obs)
    means = masked_mean(synth), masked_mean(obs)
    counts = [len(side.flux) for side in (synth, obs)]
    pooled = weight.new_empty(sum(counts), len(weight))
    for side, mean, residuals in zip((synth, obs), means, pooled.split(counts), strict=True):
        size = at_a_time(len(weight))
        for some, place in zip(side.chunks(size), residuals.split(size), strict=True):
            place.copy_(torch.where(some.mask, (some.flux - mean) * weight, 0.0) / len(side.flux) ** 0.5)
    basis = leading_directions(pooled, components)
    # A component's sign is arbitrary: make its largest pixel positive.
    basis = basis * basis.gather(0, basis.abs().argmax(dim=0, keepdim=True)).sign()
    # In half precision, as whoever shares a run keeps them: orthonormal to 1e-5, and half the room.
    basis = basis.half().float()
    return Components(means[0], weight, basis), Components(means[1], weight, basis.clone())


def projected_on(space: Space, spectra: Spectra) -> Spectra:
    """Coordinates (N, K) of spectra (N, P) in a space, on its device."""
    pieces = spectra.chunks(at_a_time(spectra.flux.shape[1]))
    projected = [space.project(piece.to(space.mean.device)) for piece in pieces]
    return Spectra(*(torch.cat(parts) for parts in zip(*projected, strict=True)))


def with_noise(space: Space, coordinates: Tensor, observed: Spectra, generator: torch.Generator) -> Tensor:
    """Coordinates (B, K) without noise as they would be observed: with the noise that the errors of observed (B, K)
    state, and its masks. Neither must tell the one from the other.
    """
    deviates = torch.randn(coordinates.shape, generator=generator, device=generator.device).to(coordinates)
    return with_deviates(space, coordinates, observed, deviates)


def with_deviates(space: Space, coordinates: Tensor, observed: Spectra, deviates: Tensor) -> Tensor:
    """`with_noise` where standard normal deviates (B, K) are drawn already."""
    return torch.where(observed.mask, coordinates + deviates * space.noise(observed), 0.0)

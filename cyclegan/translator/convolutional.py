"""Convolutional networks on pixels, as Cycle-StarNet has them."""

import itertools
import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from cyclegan.spectra.spaces import Pixels
from cyclegan.spectra.spectra import Spectra, masked_mean, typical_weight
from cyclegan.translator.networks import Networks, any_width
from emulator.commands.errors import InputError

KERNEL, STRIDE = 7, 4


def _lengths(pixels: int, layers: int) -> list[int]:
    """The length of a spectrum of `pixels` before and after each of `layers` strided convolutions."""
    lengths = [pixels]
    for _ in range(layers):
        lengths.append(math.ceil(lengths[-1] / STRIDE))
    return lengths


class ConvEncoder(nn.Module):
    """Strided convolutions over the pixels; latents are a few channels along the spectrum, flattened."""

    scale: Tensor

    def __init__(self, scale: Tensor, shared: int, split: int, channels: list[int]) -> None:
        super().__init__()
        self.register_buffer("scale", scale.mean())
        steps = []
        for inputs, outputs in zip([1, *channels], channels, strict=False):
            # Padding such that the length is divided by the stride, rounded up.
            steps += [nn.Conv1d(inputs, outputs, KERNEL, STRIDE, padding=KERNEL // 2), nn.LeakyReLU(0.1)]
        self.trunk = nn.Sequential(*steps)
        self.shared_head = any_width(channels[-1], shared)
        self.split_head = any_width(channels[-1], split)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (B, P) to shared (B, Zs) and split (B, Zp) latents."""
        features = self.trunk(pixels[:, None] / self.scale).transpose(1, 2)  # (B, L, C)
        return self.shared_head(features).flatten(1), self.split_head(features).flatten(1)


class ConvGenerator(nn.Module):
    """Transposed convolutions from latents back to the pixels."""

    scale: Tensor

    def __init__(self, scale: Tensor, shared: int, split: int, channels: list[int]) -> None:
        super().__init__()
        self.register_buffer("scale", scale.mean())
        self.lengths = _lengths(len(scale), len(channels))[::-1]
        widths = [*channels[::-1], 1]
        self.shared_head = any_width(shared, widths[0])
        self.split_head = any_width(split, widths[0])
        self.trunk = nn.ModuleList(
            nn.ConvTranspose1d(inputs, outputs, KERNEL, STRIDE, padding=KERNEL // 2)
            for inputs, outputs in itertools.pairwise(widths)
        )

    def forward(self, shared: Tensor, split: Tensor) -> Tensor:
        """Shared (B, Zs) and split (B, Zp) latents to pixels (B, P)."""
        rows = shared.shape[0], self.lengths[0]  # not its length, of which a traced program keeps the number
        shared, split = shared.view(*rows, self.shared_head.in_features), split.view(*rows, self.split_head.in_features)
        features = (self.shared_head(shared) + self.split_head(split)).transpose(1, 2)  # (B, C, L)
        for layer, length in zip(self.trunk, self.lengths[1:], strict=True):
            features = layer(nn.functional.leaky_relu(features, 0.1), output_size=[length])
        return features[:, 0] * self.scale


class ConvDiscriminator(nn.Module):
    """Judges (pixels, latents): convolutions over the pixels, then a linear layer over both."""

    def __init__(self, scale: Tensor, latents: int, channels: list[int]) -> None:
        super().__init__()
        self.spectrum = ConvEncoder(scale, 1, 0, channels)
        self.judge = nn.Sequential(
            nn.Linear(_lengths(len(scale), len(channels))[-1] + latents, 256), nn.LeakyReLU(0.2), nn.Linear(256, 1)
        )

    def forward(self, pixels: Tensor, latents: Tensor) -> Tensor:
        """Logits (B, 1) that pixels (B, P) with these latents (B, Z) are real."""
        features, _ = self.spectrum(pixels)
        return self.judge(torch.cat([features, latents], dim=1))


@dataclass(frozen=True)
class Convolutional(Networks):
    """Convolutional networks on pixels; shared and split are channels of latents along the spectrum.

    channels: of the strided convolutions.
    """

    channels: list[int] = field(metadata={"minimum": 1})

    def spaces(self, synth: Spectra, obs: Spectra) -> tuple[Pixels, Pixels]:
        """Pixels in units of the typical error of obs (M, P), each domain less its own mean."""
        if not self.channels:
            raise InputError("config key 'networks.channels': expected one at least, got none")
        weight = typical_weight(obs)
        return Pixels(masked_mean(synth), weight), Pixels(masked_mean(obs), weight.clone())

    def empty_space(self, pixels: int) -> Pixels:
        """A space of so many pixels, to be filled from a checkpoint."""
        return Pixels(torch.empty(pixels), torch.empty(pixels))

    def encoder(self, scale: Tensor, split: int) -> ConvEncoder:
        """An encoder of pixels whose spreads are scale (P,)."""
        return ConvEncoder(scale, self.shared, split, self.channels)

    def generator(self, scale: Tensor, split: int) -> ConvGenerator:
        """The generator for such an encoder."""
        return ConvGenerator(scale, self.shared, split, self.channels)

    def discriminator(self, scale: Tensor, latents: int) -> ConvDiscriminator:
        """A discriminator of pixels with so many latents."""
        return ConvDiscriminator(scale, latents, self.channels)

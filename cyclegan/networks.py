"""Encoders, generators and discriminators: dense, started from principal components, and convolutional.

Every encoder maps coordinates (B, K) to (shared (B, Zs), split (B, Zp)), every generator back, every discriminator
(coordinates, latents) to logits (B, 1). Encoders and generators of the two domains have parameters of the same names
and shapes but for the split latent's, which a domain without one has with width zero.
"""

import itertools
import math
import warnings

import torch
from torch import Tensor, nn


def _any_width(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer whose widths may be zero: a split latent of none takes the same path as one of many."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Initializing zero-element tensors")
        return nn.Linear(inputs, outputs)


def _linear(inputs: int, outputs: int, start: Tensor | None = None) -> nn.Linear:
    """A linear layer that starts at `start` (outputs, inputs), or at zero."""
    layer = _any_width(inputs, outputs)
    nn.init.zeros_(layer.bias)
    with torch.no_grad():
        layer.weight.copy_(start if start is not None else torch.zeros(outputs, inputs))
    return layer


class DenseEncoder(nn.Module):
    """Latents = linear(u) + MLP(u), u = coefficients / scale.

    The shared latents start as the leading principal components in units of their standard deviation, the split ones
    as the next, and the MLP at zero: both domains start with the same meaning of every latent variable.
    """

    def __init__(self, scale: Tensor, shared: int, split: int, width: int) -> None:
        super().__init__()
        inputs = len(scale)
        self.register_buffer("scale", scale)
        self.trunk = nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width), nn.GELU())
        self.shared_linear = _linear(inputs, shared, torch.eye(shared, inputs))
        self.shared_bend = _linear(width, shared)
        self.split_linear = _linear(inputs, split, torch.eye(shared + split, inputs)[shared:])
        self.split_bend = _linear(width, split)

    def forward(self, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        u = coefficients / self.scale
        bend = self.trunk(u)
        return self.shared_linear(u) + self.shared_bend(bend), self.split_linear(u) + self.split_bend(bend)

    @torch.no_grad()
    def turn(self, part: str, centre: Tensor, axes: Tensor) -> None:
        """Have the latents z of one part, shared or split, become (z - centre (Z,)) @ axes (Z, Z)."""
        linear, bend = getattr(self, f"{part}_linear"), getattr(self, f"{part}_bend")
        linear.bias.sub_(centre)
        for layer in (linear, bend):
            layer.weight.copy_(axes.T @ layer.weight)
            layer.bias.copy_(layer.bias @ axes)


class DenseGenerator(nn.Module):
    """Coefficients = scale * (linear(latents) + MLP(latents)); starts as the inverse of `DenseEncoder`'s start.

    The split latents have no effect at first, so that they do not take over what shared ones are for.
    """

    def __init__(self, scale: Tensor, shared: int, split: int, width: int) -> None:
        super().__init__()
        outputs = len(scale)
        self.register_buffer("scale", scale)
        self.shared_linear = _linear(shared, outputs, torch.eye(outputs, shared))
        self.split_linear = _linear(split, outputs)
        self.shared_hidden = nn.Linear(shared, width)
        self.split_hidden = _linear(split, width)
        self.trunk = nn.Sequential(nn.GELU(), nn.Linear(width, width), nn.GELU())
        self.bend = _linear(width, outputs)

    def forward(self, shared: Tensor, split: Tensor) -> Tensor:
        bend = self.bend(self.trunk(self.shared_hidden(shared) + self.split_hidden(split)))
        return self.scale * (self.shared_linear(shared) + self.split_linear(split) + bend)

    @torch.no_grad()
    def turn(self, part: str, centre: Tensor, axes: Tensor) -> None:
        """Generate the same from (z - centre (Z,)) @ axes (Z, Z) of one part as from its latents z until now."""
        for layer in (getattr(self, f"{part}_linear"), getattr(self, f"{part}_hidden")):
            layer.bias.add_(layer.weight @ centre)
            layer.weight.copy_(torch.linalg.solve(axes, layer.weight.T).T)


class DenseDiscriminator(nn.Module):
    """Judges (coefficients, latents): an MLP of two hidden layers on both, side by side."""

    def __init__(self, scale: Tensor, latents: int, width: int) -> None:
        super().__init__()
        self.register_buffer("scale", scale)
        self.judge = nn.Sequential(
            nn.Linear(len(scale) + latents, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, 1),
        )

    def forward(self, coefficients: Tensor, latents: Tensor) -> Tensor:
        return self.judge(torch.cat([coefficients / self.scale, latents], dim=1))


KERNEL, STRIDE = 7, 4


def _lengths(pixels: int, layers: int) -> list[int]:
    """The length of a spectrum of `pixels` before and after each of `layers` strided convolutions."""
    lengths = [pixels]
    for _ in range(layers):
        lengths.append(math.ceil(lengths[-1] / STRIDE))
    return lengths


class ConvEncoder(nn.Module):
    """Strided convolutions over the pixels; latents are a few channels along the spectrum, flattened."""

    def __init__(self, scale: Tensor, shared: int, split: int, channels: list[int]) -> None:
        super().__init__()
        self.register_buffer("scale", scale.mean())
        steps = []
        for inputs, outputs in zip([1, *channels], channels, strict=False):
            # Padding such that the length is divided by the stride, rounded up.
            steps += [nn.Conv1d(inputs, outputs, KERNEL, STRIDE, padding=KERNEL // 2), nn.LeakyReLU(0.1)]
        self.trunk = nn.Sequential(*steps)
        self.shared_head = _any_width(channels[-1], shared)
        self.split_head = _any_width(channels[-1], split)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunk(pixels[:, None] / self.scale).transpose(1, 2)  # (B, L, C)
        return self.shared_head(features).flatten(1), self.split_head(features).flatten(1)


class ConvGenerator(nn.Module):
    """Transposed convolutions from latents back to the pixels."""

    def __init__(self, scale: Tensor, shared: int, split: int, channels: list[int]) -> None:
        super().__init__()
        self.register_buffer("scale", scale.mean())
        self.lengths = _lengths(len(scale), len(channels))[::-1]
        widths = [*channels[::-1], 1]
        self.shared_head = _any_width(shared, widths[0])
        self.split_head = _any_width(split, widths[0])
        self.trunk = nn.ModuleList(
            nn.ConvTranspose1d(inputs, outputs, KERNEL, STRIDE, padding=KERNEL // 2)
            for inputs, outputs in itertools.pairwise(widths)
        )

    def forward(self, shared: Tensor, split: Tensor) -> Tensor:
        rows = len(shared), self.lengths[0]
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
        features, _ = self.spectrum(pixels)
        return self.judge(torch.cat([features, latents], dim=1))

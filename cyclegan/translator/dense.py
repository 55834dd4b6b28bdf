"""Dense networks on principal components, from which they start."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from cyclegan.spectra.spaces import Components, pooled_components
from cyclegan.spectra.spectra import Spectra
from cyclegan.translator.networks import Linear, Networks, any_width
from emulator.commands.errors import InputError


def _linear(inputs: int, outputs: int, start: Tensor | None = None) -> Linear:
    """A linear layer that starts at `start` (outputs, inputs), or at zero."""
    layer = any_width(inputs, outputs)
    nn.init.zeros_(layer.bias)
    with torch.no_grad():
        layer.weight.copy_(start if start is not None else torch.zeros(outputs, inputs))
    return layer


class DenseEncoder(nn.Module):
    """Latents = linear(u) + MLP(u), u = coefficients / scale.

    The shared latents start as the leading principal components in units of their standard deviation, the split ones
    as the next, and the MLP at zero: both domains start with the same meaning of every latent variable.
    """

    scale: Tensor

    def __init__(self, scale: Tensor, shared: int, split: int, width: int) -> None:
        super().__init__()
        inputs = len(scale)
        self.register_buffer("scale", scale)
        self.trunk = nn.Sequential(Linear(inputs, width), nn.GELU(), Linear(width, width), nn.GELU())
        self.shared_linear = _linear(inputs, shared, torch.eye(shared, inputs))
        self.shared_bend = _linear(width, shared)
        self.split_linear = _linear(inputs, split, torch.eye(shared + split, inputs)[shared:])
        self.split_bend = _linear(width, split)

    def forward(self, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates (B, K) to shared (B, Zs) and split (B, Zp) latents."""
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

    @torch.no_grad()
    def start_linear(self, matrix: Tensor) -> None:
        """Have shared latents be the leading ones of coefficients @ matrix (K, K), but for what the MLP adds."""
        shared = len(self.shared_linear.weight)
        self.shared_linear.weight.copy_((self.scale[:, None] * matrix / self.scale)[:, :shared].T)

    @torch.no_grad()
    def start_split(self, directions: Tensor, spread: Tensor) -> None:
        """Have split latents be coefficients @ directions (K, Zp) / spread (Zp,), but for what the MLP adds."""
        self.split_linear.weight.copy_((directions / spread * self.scale[:, None]).T)


class DenseGenerator(nn.Module):
    """Coefficients = scale * (linear(latents) + MLP(latents)); starts as the inverse of `DenseEncoder`'s start.

    The split latents have no effect at first, so that they do not take over what shared ones are for.
    """

    scale: Tensor

    def __init__(self, scale: Tensor, shared: int, split: int, width: int) -> None:
        super().__init__()
        outputs = len(scale)
        self.register_buffer("scale", scale)
        self.shared_linear = _linear(shared, outputs, torch.eye(outputs, shared))
        self.split_linear = _linear(split, outputs)
        self.shared_hidden = Linear(shared, width)
        self.split_hidden = _linear(split, width)
        self.trunk = nn.Sequential(nn.GELU(), Linear(width, width), nn.GELU())
        self.bend = _linear(width, outputs)

    def forward(self, shared: Tensor, split: Tensor) -> Tensor:
        """Shared (B, Zs) and split (B, Zp) latents to coordinates (B, K)."""
        bend = self.bend(self.trunk(self.shared_hidden(shared) + self.split_hidden(split)))
        return self.scale * (self.shared_linear(shared) + self.split_linear(split) + bend)

    @torch.no_grad()
    def turn(self, part: str, centre: Tensor, axes: Tensor) -> None:
        """Generate the same from (z - centre (Z,)) @ axes (Z, Z) of one part as from its latents z until now."""
        for layer in (getattr(self, f"{part}_linear"), getattr(self, f"{part}_hidden")):
            layer.bias.add_(layer.weight @ centre)
            layer.weight.copy_(torch.linalg.solve(axes, layer.weight.T).T)

    @torch.no_grad()
    def start_linear(self, matrix: Tensor) -> None:
        """Have coefficients be what shared latents stand for @ matrix (K, K), but for what the MLP adds."""
        shared = self.shared_linear.in_features
        self.shared_linear.weight.copy_((self.scale[:, None] * matrix / self.scale)[:shared].T)

    @torch.no_grad()
    def start_split(self, directions: Tensor, spread: Tensor) -> None:
        """Have split latents add directions (K, Zp) * spread (Zp,) to coefficients, but for what the MLP adds."""
        self.split_linear.weight.copy_(directions * spread / self.scale[:, None])


class DenseDiscriminator(nn.Module):
    """Judges (coefficients, latents): an MLP of two hidden layers on both, side by side."""

    scale: Tensor

    def __init__(self, scale: Tensor, latents: int, width: int) -> None:
        super().__init__()
        self.register_buffer("scale", scale)
        self.judge = nn.Sequential(
            Linear(len(scale) + latents, width),
            nn.LeakyReLU(0.2),
            Linear(width, width),
            nn.LeakyReLU(0.2),
            Linear(width, 1),
        )

    def forward(self, coefficients: Tensor, latents: Tensor) -> Tensor:
        """Logits (B, 1) that coordinates (B, K) with these latents (B, Z) are real."""
        return self.judge(torch.cat([coefficients / self.scale, latents], dim=-1))


@dataclass(frozen=True)
class Dense(Networks):
    """Dense networks on principal components. Small: a second processor thread mostly waits for the first.

    They start as a good linear map, so that few and large steps do.

    components: in which the networks see spectra; width: of hidden layers.
    """

    threads: ClassVar[int | None] = 1
    learning_rate: ClassVar[float] = 4e-3
    epoch_steps: ClassVar[int] = 40

    components: int = field(metadata={"minimum": 1})
    width: int = field(metadata={"minimum": 1})

    def spaces(self, synth: Spectra, obs: Spectra) -> tuple[Components, Components]:
        """The leading components of both sets, (N, P) and (M, P); InputError where there are fewer than latents."""
        if self.shared + self.split > self.components:
            raise InputError(
                f"config key 'networks.shared': expected shared and split together at most {self.components}, as"
                f" networks.components, got {self.shared} + {self.split}"
            )
        return pooled_components(synth, obs, self.components)

    def empty_space(self, pixels: int) -> Components:
        """A space of so many pixels, to be filled from a checkpoint."""
        return Components(torch.empty(pixels), torch.empty(pixels), torch.empty(pixels, self.components))

    def encoder(self, scale: Tensor, split: int) -> DenseEncoder:
        """An encoder of coefficients whose spreads are scale (K,)."""
        return DenseEncoder(scale, self.shared, split, self.width)

    def generator(self, scale: Tensor, split: int) -> DenseGenerator:
        """The generator for such an encoder."""
        return DenseGenerator(scale, self.shared, split, self.width)

    def discriminator(self, scale: Tensor, latents: int) -> DenseDiscriminator:
        """A discriminator of coefficients with so many latents."""
        return DenseDiscriminator(scale, latents, 2 * self.width)

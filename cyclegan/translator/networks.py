"""What a kind of networks has to offer, and how a configuration names one.

A kind is a dataclass: its fields are the keys that the configuration's `networks` takes, and it makes all networks of a
translator. Every encoder maps coordinates (B, K) to (shared (B, Zs), split (B, Zp)), every generator back, every
discriminator (coordinates, latents) to logits (B, 1). Encoders and generators of the two domains have parameters of the
same names and shapes but for the split latent's, which have `split` in their names, and which a domain without a split
latent has with width zero.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from cyclegan.spectra.spaces import Space
from cyclegan.spectra.spectra import Spectra
from emulator.commands.schema import make_kind


@dataclass(frozen=True)
class Networks(ABC):
    """A kind of networks, with its sizes.

    shared, split: how many latent variables of both domains, and of the observed domain alone; for each place along
    the spectrum, if the latents lie along it. threads: how many processor threads pay, None for all there are;
    learning_rate, epoch_steps: how fast they learn, and in how many steps an epoch of many stars.
    """

    threads: ClassVar[int | None] = None
    learning_rate: ClassVar[float] = 1e-3
    epoch_steps: ClassVar[int] = 150

    shared: int = field(metadata={"minimum": 1})
    split: int = field(metadata={"minimum": 0})

    @abstractmethod
    def spaces(self, synth: Spectra, obs: Spectra) -> tuple[Space, Space]:
        """The spaces in which the networks of the two domains see spectra, from training spectra (N, P), (M, P)."""

    @abstractmethod
    def empty_space(self, pixels: int) -> Space:
        """A space like those of `spaces`, to be filled from a checkpoint."""

    @abstractmethod
    def encoder(self, scale: Tensor, split: int) -> nn.Module:
        """An encoder of coordinates whose spreads are scale (K,); split: 0 for the synthetic domain."""

    @abstractmethod
    def generator(self, scale: Tensor, split: int) -> nn.Module:
        """The generator for such an encoder."""

    @abstractmethod
    def discriminator(self, scale: Tensor, latents: int) -> nn.Module:
        """A discriminator of coordinates with so many latents."""


@runtime_checkable
class Turning(Protocol):
    """An encoder or generator whose latents can be had along other axes."""

    def turn(self, part: str, centre: Tensor, axes: Tensor) -> None:
        """Have the latents z of one part, shared or split, be (z - centre (Z,)) @ axes (Z, Z) from now on."""
        ...


@runtime_checkable
class Starting(Protocol):
    """An encoder or generator whose latents can be started as linear functions of coordinates."""

    def start_linear(self, matrix: Tensor) -> None:
        """Start as with coordinates @ matrix (K, K) in place of coordinates: before an encoder, after a generator."""
        ...

    def start_split(self, directions: Tensor, spread: Tensor) -> None:
        """Have split latents be coordinates @ directions / spread, with directions (K, Zp) orthonormal."""
        ...


def make_networks(settings: Mapping[str, Any], imported_only: bool = False) -> Networks:
    """The networks that a configuration's `networks` describes.

    imported_only: of the kinds that others define take only those whose module has been imported. Raises InputError for
    what is no kind, and for keys that it does not take.
    """
    # Networks is abstract, and no instance of it is ever made here: only of its kinds.
    return make_kind(settings, Networks, "networks", "a kind of networks", imported_only)  # type: ignore[type-abstract]


class Linear(nn.Linear):
    """A linear layer of one network, or of several side by side: weight (N, out, in), inputs (N, B, in)."""

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, in) to (B, out), or (N, B, in) to (N, B, out)."""
        if self.weight.ndim == 2:
            return super().forward(inputs)
        return torch.baddbmm(self.bias[:, None], inputs, self.weight.mT)


def any_width(inputs: int, outputs: int) -> Linear:
    """A linear layer whose widths may be zero: a split latent of none takes the same path as one of many."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Initializing zero-element tensors")
        return Linear(inputs, outputs)


class Undrawn(TorchFunctionMode):
    """Within it networks are made without starting values, for weights that are known: to draw them takes time, and
    memory for as large a network as anybody claims.
    """

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """PyTorch's call for each of its functions."""
        if function is Tensor.copy_ or getattr(function, "__module__", "") == nn.init.__name__:
            return args[0] if args else kwargs["tensor"]
        return function(*args, **(kwargs or {}))

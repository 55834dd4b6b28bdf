"""The Payne: a small network from stellar labels to a spectrum."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from emulator.commands.errors import InputError, refusing
from emulator.commands.saving import load_saved, saved
from emulator.commands.writing import write_whole
from emulator.flux import FLUX_RANGE
from emulator.labels import UNITS, scale
from emulator.lines import Lines
from emulator.wavelength import nearest_pixels

FORMAT = "payne 1"
ACTIVATIONS = {"leaky_relu": nn.LeakyReLU, "sigmoid": nn.Sigmoid}


def in_half(values: Tensor) -> Tensor:
    """The numbers (...) of half precision nearest to values (...), in the type of these; larger ones as they are."""
    half = values.half().to(values)
    return torch.where(half.isfinite(), half, values)


class Payne(nn.Module):
    """Labels (B, L) in their own units -> continuum-normalised flux (B, P).

    The weights travel with all that they need. The forward pass never clamps, so that gradients by labels stay true
    everywhere: outside its range an emulator extrapolates, and `check_labels` tells.

    Attributes:
        lines: the line list that the spectra trained on were made with, where it is known.

    Args:
        label_names: of L labels.
        label_low: (L,), the lower ends of the ranges trained on, in the labels' units.
        label_high: (L,), the upper ends.
        wavelength: (P,), vacuum Angstrom, ascending.
        width: of the two hidden layers.
        activation: one of ACTIVATIONS.
    """

    label_low: Tensor
    label_high: Tensor
    wavelength: Tensor

    def __init__(
        self,
        label_names: Sequence[str],
        label_low: Tensor,
        label_high: Tensor,
        wavelength: Tensor,
        width: int = 300,
        activation: str = "leaky_relu",
    ) -> None:
        super().__init__()
        self.label_names, self.activation = tuple(label_names), activation
        self.lines: Lines | None = None
        self.register_buffer("label_low", label_low.float())
        self.register_buffer("label_high", label_high.float())
        self.register_buffer("wavelength", wavelength.double())
        nonlinear = ACTIVATIONS[activation]
        self.hidden = nn.Sequential(
            nn.Linear(len(self.label_names), width), nonlinear(), nn.Linear(width, width), nonlinear()
        )
        self.output = nn.Linear(width, len(wavelength))

    def forward(self, labels: Tensor) -> Tensor:
        """Flux (B, P) of labels (B, L)."""
        hidden = self.hidden(scale(labels, self.label_low, self.label_high))
        # Near flux 1 bfloat16 steps by 0.004 to 0.008, more than the error of the emulator.
        with torch.autocast(labels.device.type, enabled=False):
            return self.output(hidden.float())

    def check_labels(self, labels: Tensor) -> None:
        """Refuse labels outside the ranges trained on.

        Args:
            labels: (..., L), in their own units.

        Raises:
            InputError: for another number of labels, and for the first that is outside its range or not finite.
        """
        if labels.shape[-1] != len(self.label_names):
            expected = f"{len(self.label_names)} labels ({', '.join(self.label_names)})"
            raise InputError(f"labels: expected {expected}, got {labels.shape[-1]}")
        rows = labels.detach().to(self.label_low).reshape(-1, len(self.label_names))
        outside = ~((rows >= self.label_low) & (rows <= self.label_high))
        if outside.any():
            row, column = outside.nonzero()[0].tolist()
            name = self.label_names[column]
            low, high = self.label_low[column], self.label_high[column]
            raise InputError(
                f"label '{name}': expected {low:.6g} to {high:.6g} {UNITS.get(name, '')}".rstrip()
                + f", the range the emulator was trained on, got {rows[row, column]:.6g} in row {row}"
            )

    def on(self, wavelength: Tensor) -> "Payne":
        """The same network for some of its pixels.

        Args:
            wavelength: (p,), vacuum Angstrom, ascending: where these are.

        Returns:
            Another Payne, on the same device.

        Raises:
            InputError: for a wavelength that is not among its own, to a part in ten million.
        """
        own = self.wavelength.cpu()
        nearest, there = nearest_pixels(wavelength, own)
        if not there.all():
            pixel = int((~there).nonzero()[0])
            raise InputError(
                f"emulator: expected the spectra's wavelengths among its own {len(own)} pixels, {own[0]:.3f} to"
                f" {own[-1]:.3f} A, got {wavelength[pixel]:.3f} A at pixel {pixel}, where its nearest is"
                f" {own[nearest[pixel]]:.3f} A"
            )
        contents = self.contents()
        for name in ("wavelength", "output.weight", "output.bias"):
            contents["state"][name] = contents["state"][name][nearest]
        return Payne.from_contents(contents, "emulator").to(self.wavelength.device)

    def rounded(self) -> "Payne":
        """The same with weights that half precision holds, in which whoever shares a run keeps them in half the room.

        The flux of the built-in emulator changes by 1e-5 (root mean square), a hundredth of its own error.

        Returns:
            Another Payne, in evaluation mode on the CPU; weights too large for half precision stay what they are.
        """
        contents = self.contents()
        for name in ("hidden.0.weight", "hidden.2.weight", "output.weight"):
            contents["state"][name] = in_half(contents["state"][name])
        return Payne.from_contents(contents, "emulator")

    def contents(self) -> dict[str, Any]:
        """All that makes this network, as tensors and plain types: what a file or a checkpoint stores."""
        return {
            "format": FORMAT,
            "medium": "vacuum",
            "label_names": list(self.label_names),
            "width": self.output.in_features,
            "activation": self.activation,
            "lines": None if self.lines is None else self.lines.contents(),
            "state": {name: tensor.detach().cpu() for name, tensor in self.state_dict().items()},
        }

    @classmethod
    def from_contents(cls, contents: dict[str, Any], where: str) -> "Payne":
        """The inverse of `contents`.

        Args:
            contents: what `contents` gave.
            where: they came from, for messages.

        Returns:
            The network, in evaluation mode on the CPU.

        Raises:
            InputError: for something else.
        """
        found = contents.get("format", "no format") if isinstance(contents, dict) else type(contents).__name__
        if found != FORMAT:
            raise InputError(f"{where}: expected a Payne of format '{FORMAT}', got {found!r}")
        with refusing(f"{where}: expected a Payne of two hidden layers", "other weights"):
            state = contents["state"]
            activation = contents.get("activation", "leaky_relu")  # the only one when files did not say
            low, high, wavelength = (state[name] for name in ("label_low", "label_high", "wavelength"))
            width = contents["width"]
            if state["hidden.2.weight"].shape != (width, width):  # before what it claims takes memory
                raise ValueError(f"a width of {width}")
            payne = cls(contents["label_names"], low, high, wavelength, width, activation)
            payne.load_state_dict(state)
            if (lines := contents.get("lines")) is not None:
                payne.lines = Lines.from_contents(lines)
            payne.check(where)
        return payne.eval()

    def check(self, where: str) -> None:
        """Refuse what cannot be an emulator.

        Args:
            where: it came from, for messages.

        Raises:
            InputError: for labels without names or ranges, numbers that are not finite, wavelengths that do not ascend,
                and what makes no flux in the middle of its ranges.
        """
        if unnamed := [name for name in self.label_names if not (isinstance(name, str) and name.strip())]:
            raise InputError(f"{where}: expected a name for each label, got {unnamed[0]!r}")
        if len(set(self.label_names)) != len(self.label_low):
            names = ", ".join(self.label_names)
            raise InputError(f"{where}: expected {len(self.label_low)} different names of labels, got {names}")
        for name, tensor in self.state_dict().items():
            if not tensor.isfinite().all():
                raise InputError(f"{where}: expected finite numbers in {name}, got NaN or infinite ones")
        if not (self.label_low < self.label_high).all():
            raise InputError(f"{where}: expected lower ends of labels below upper ones, got others")
        if not ((self.wavelength > 0).all() and (self.wavelength.diff() > 0).all()):
            raise InputError(f"{where}: expected ascending wavelengths above 0, got others")
        with torch.no_grad():
            flux = self((self.label_low + self.label_high)[None] / 2)
        if (most := flux.abs().max()) > FLUX_RANGE[1]:
            got = f"{most:.3g} in the middle of its ranges"
            raise InputError(f"{where}: expected an emulator of flux, at most {FLUX_RANGE[1]:g}, got {got}")

    def save(self, path: str | Path) -> None:
        """Write a file that stands alone, all of it or nothing.

        Args:
            path: of the file.
        """
        write_whole(path, saved(self.contents()))

    @classmethod
    def load(cls, path: str | Path) -> "Payne":
        """The Payne that `save` wrote.

        Args:
            path: of the file.

        Returns:
            The network, in evaluation mode on the CPU.

        Raises:
            InputError: where there is no file, or another one.
        """
        try:
            contents = load_saved(path)
        except FileNotFoundError as error:
            raise InputError(
                f"{path}: expected an emulator's file, as `python -m emulator.train output={path}` makes one,"
                " found none"
            ) from error
        except Exception as error:  # an unpickler that meets other bytes raises whatever they lead it to
            raise InputError(f"{path}: expected a file written by Payne.save, got one that does not load") from error
        return cls.from_contents(contents, where=str(path))


def is_emulator(path: Path) -> bool:
    """Whether there is a file that `Payne.save` wrote."""
    with suppress(InputError):
        Payne.load(path)
        return True
    return False

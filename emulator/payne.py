"""The Payne: a small network from stellar labels to a spectrum, and the module that trains it."""

import math
import pickle
import zipfile
from collections.abc import Sequence
from pathlib import Path

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn

from emulator.command import InputError, written_whole
from emulator.labels import UNITS, scale
from emulator.wavelength import nearest_pixels

FORMAT = "payne 1"
ACTIVATIONS = {"leaky_relu": nn.LeakyReLU, "sigmoid": nn.Sigmoid}


class Payne(nn.Module):
    """Labels (B, L) in their own units -> continuum-normalised flux (B, P).

    The weights travel with what they need: label_low and label_high (L,), the range of labels trained on;
    wavelength (P,), vacuum Angstrom, ascending; label_names; and activation, one of ACTIVATIONS. The forward pass never
    clamps, so that gradients by labels stay true everywhere: outside its range an emulator extrapolates, and
    `check_labels` tells.
    """

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
        self.register_buffer("label_low", label_low.float())
        self.register_buffer("label_high", label_high.float())
        self.register_buffer("wavelength", wavelength.double())
        nonlinear = ACTIVATIONS[activation]
        self.hidden = nn.Sequential(
            nn.Linear(len(self.label_names), width), nonlinear(), nn.Linear(width, width), nonlinear()
        )
        self.output = nn.Linear(width, len(wavelength))

    def forward(self, labels: Tensor) -> Tensor:
        hidden = self.hidden(scale(labels, self.label_low, self.label_high))
        # Near flux 1 bfloat16 steps by 0.004 to 0.008, more than the error of the emulator.
        with torch.autocast(labels.device.type, enabled=False):
            return self.output(hidden.float())

    def check_labels(self, labels: Tensor) -> None:
        """Raise InputError for the first label of labels (..., L) outside the range trained on, or not finite."""
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
        """The same network for some of its pixels: those at wavelength (p,), vacuum Angstrom, ascending.

        Raises InputError for a wavelength that is not among its own, to a part in ten million.
        """
        own = self.wavelength.cpu()
        nearest, there = nearest_pixels(wavelength, own)
        if not there.all():
            pixel = int((~there).nonzero()[0])
            raise InputError(
                f"emulator: expected the spectra's wavelengths among its own {len(self.wavelength)} pixels, got"
                f" {wavelength[pixel]:.3f} A at pixel {pixel}, where its nearest is {own[nearest[pixel]]:.3f} A"
            )
        contents = self.contents()
        for name in ("wavelength", "output.weight", "output.bias"):
            contents["state"][name] = contents["state"][name][nearest]
        return Payne.from_contents(contents, "emulator").to(self.wavelength.device)

    def contents(self) -> dict:
        """All that makes this network, as tensors and plain types: what a file or a checkpoint stores."""
        return {
            "format": FORMAT,
            "medium": "vacuum",
            "label_names": list(self.label_names),
            "width": self.output.in_features,
            "activation": self.activation,
            "state": {name: tensor.detach().cpu() for name, tensor in self.state_dict().items()},
        }

    @classmethod
    def from_contents(cls, contents: dict, where: str) -> "Payne":
        """The inverse of `contents`; raises InputError, naming where they came from, if they are something else."""
        found = contents.get("format", "no format") if isinstance(contents, dict) else type(contents).__name__
        if found != FORMAT:
            raise InputError(f"{where}: expected a Payne of format '{FORMAT}', got {found!r}")
        try:
            state = contents["state"]
            ranges = (state[name] for name in ("label_low", "label_high", "wavelength"))
            activation = contents.get("activation", "leaky_relu")  # the only one when files did not say
            payne = cls(contents["label_names"], *ranges, contents["width"], activation)
            payne.load_state_dict(state)
        except (KeyError, TypeError, AttributeError, RuntimeError) as error:
            problem = " ".join(str(error).split())
            raise InputError(
                f"{where}: expected a Payne of two hidden layers, got other weights ({problem})"
            ) from error
        return payne.eval()

    def save(self, path: str | Path) -> None:
        """Write a file that stands alone, all of it or nothing."""
        with written_whole(path) as temporary:
            torch.save(self.contents(), temporary)

    @classmethod
    def load(cls, path: str | Path) -> "Payne":
        """The Payne that `save` wrote, in evaluation mode on the CPU; InputError for any other file."""
        try:
            contents = torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError as error:
            raise InputError(
                f"{path}: expected an emulator's file, as `python -m emulator.train output={path}` makes one,"
                " found none"
            ) from error
        except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
            raise InputError(f"{path}: expected a file written by Payne.save, got one that does not load") from error
        return cls.from_contents(contents, where=str(path))


def absolute_error_percentiles(flux: Tensor, truth: Tensor) -> tuple[float, float]:
    """The median and the 95th percentile of |flux - truth| over all stars and pixels of two (N, P)."""
    error = (flux - truth).abs().flatten()
    return tuple(error.kthvalue(max(1, math.ceil(q * len(error)))).values.item() for q in (0.5, 0.95))


class PayneModule(LightningModule):
    """Trains a Payne in the space of its grid's principal components, then folds them into its output layer.

    flux = mean + c C with C (K, P) orthonormal: the squared error of the coefficients c is that of the flux, at a
    small part of the cost, since P is thousands and K a few hundred. Training batches are (labels (B, L), c (B, K)),
    the others (labels, flux (B, P)).
    """

    def __init__(self, payne: Payne, mean: Tensor, components: Tensor, steps: int, learning_rate: float) -> None:
        super().__init__()
        self.payne = payne
        self.coefficients = nn.Linear(payne.output.in_features, len(components))
        self.register_buffer("mean", mean)
        self.register_buffer("components", components)
        self.steps, self.learning_rate = steps, learning_rate

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        labels, truth = batch
        payne = self.payne
        hidden = payne.hidden(scale(labels, payne.label_low, payne.label_high))
        loss = nn.functional.mse_loss(self.coefficients(hidden), truth)
        self.log("train/loss", loss)
        return loss

    @torch.no_grad()
    def fold(self) -> None:
        """Output layer = components after coefficients: two linear maps make one."""
        output, coefficients = self.payne.output, self.coefficients
        output.weight.copy_(self.components.T @ coefficients.weight)
        output.bias.copy_(self.mean + coefficients.bias @ self.components)

    def on_validation_epoch_start(self) -> None:
        self.fold()

    def on_train_end(self) -> None:
        self.fold()

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> None:
        labels, truth = batch
        median, high = absolute_error_percentiles(self.payne(labels), truth)
        self.log_dict({"val/median_error": median, "val/p95_error": high}, prog_bar=True)

    def configure_optimizers(self) -> dict:
        weights = [*self.payne.hidden.parameters(), *self.coefficients.parameters()]
        optimizer = torch.optim.Adam(weights, lr=self.learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, total_steps=self.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

"""How a Payne is trained, and how far off it is."""

import math

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from emulator.labels import scale
from emulator.payne import Payne


def absolute_error_percentiles(flux: Tensor, truth: Tensor) -> tuple[float, float]:
    """The median and the 95th percentile of |flux - truth| over all stars and pixels of two (N, P)."""
    error = (flux - truth).abs().flatten()
    median, high = (error.kthvalue(max(1, math.ceil(q * len(error)))).values.item() for q in (0.5, 0.95))
    return median, high


class PayneModule(LightningModule):
    """Trains a Payne in the space of its grid's principal components, then folds them into its output layer.

    flux = mean + c C with C (K, P) orthonormal: the squared error of the coefficients c is that of the flux, at a
    small part of the cost, since P is thousands and K a few hundred. Training batches are (labels (B, L), c (B, K)),
    the others (labels, flux (B, P)).
    """

    mean: Tensor
    components: Tensor

    def __init__(self, payne: Payne, mean: Tensor, components: Tensor, steps: int, learning_rate: float) -> None:
        super().__init__()
        self.payne = payne
        self.coefficients = nn.Linear(payne.output.in_features, len(components))
        self.register_buffer("mean", mean)
        self.register_buffer("components", components)
        self.steps, self.learning_rate = steps, learning_rate

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        """The squared error of coefficients (B, K) at labels (B, L)."""
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
        """Fold: what is validated is the Payne itself."""
        self.fold()

    def on_train_end(self) -> None:
        """Fold: the last steps come after the last validation."""
        self.fold()

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> None:
        """Log the errors of the flux (B, P) at labels (B, L)."""
        labels, truth = batch
        median, high = absolute_error_percentiles(self.payne(labels), truth)
        self.log_dict({"val/median_error": median, "val/p95_error": high}, prog_bar=True)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam on all but the output layer, which is folded and not trained; one cycle of learning rates."""
        weights = [*self.payne.hidden.parameters(), *self.coefficients.parameters()]
        optimizer = torch.optim.Adam(weights, lr=self.learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, total_steps=self.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

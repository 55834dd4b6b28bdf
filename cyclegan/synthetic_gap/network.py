"""StarNet (Fabbro et al. 2018, MNRAS 475, 2978), a network that reads labels off spectra."""

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from cyclegan.spectra.spectra import Spectra

BATCH = 256  # spectra at a time where none is trained on
REACH, POOLED = 8, 4  # pixels of a convolution and of the pool
FEWEST_PIXELS = 2 * (REACH - 1) + POOLED


class StarNet(nn.Sequential):
    """Flux (B, P), standardised -> labels (B, L), standardised; two convolutions, a pool and two dense layers."""

    def __init__(self, pixels: int, labels: int) -> None:
        super().__init__(
            nn.Unflatten(1, (1, pixels)),
            nn.Conv1d(1, 4, REACH),
            nn.ReLU(),
            nn.Conv1d(4, 16, REACH),
            nn.ReLU(),
            nn.MaxPool1d(POOLED),
            nn.Flatten(),
            nn.Linear(16 * ((pixels - 2 * (REACH - 1)) // POOLED), 256),
            nn.ReLU(),
            nn.Linear(256, 128),
            nn.ReLU(),
            nn.Linear(128, labels),
        )


class StarNetModule(LightningModule):
    """Learns labels (n, L) of spectra (n, P), whose means and spreads it standardises both by.

    noise: errors (m, P) of observed spectra; where given, each training spectrum gets noise of one of them, anew
    each time. What is masked is taken to be as in the mean spectrum.
    """

    noise: Tensor
    mean: Tensor
    spread: Tensor
    label_mean: Tensor
    label_spread: Tensor

    def __init__(
        self, spectra: Spectra, labels: Tensor, noise: Tensor | None, steps: int, learning_rate: float
    ) -> None:
        super().__init__()
        self.steps, self.learning_rate = steps, learning_rate
        self.register_buffer("noise", noise)
        flux = torch.where(spectra.mask, spectra.flux, torch.nan)
        mean = flux.nanmean(dim=0).nan_to_num(1.0)
        self.register_buffer("mean", mean)
        self.register_buffer("spread", (flux - mean).square().nanmean().sqrt().clamp_min(1e-6))
        self.register_buffer("label_mean", labels.mean(dim=0))
        self.register_buffer("label_spread", labels.std(dim=0).clamp_min(1e-6))
        self.network = StarNet(len(mean), labels.shape[1])

    def forward(self, spectra: Spectra) -> Tensor:
        """Labels (B, L) of spectra (B, P), in their own units."""
        seen = (spectra.flux - self.mean).masked_fill(~spectra.mask, 0.0) / self.spread
        return self.label_mean + self.label_spread * self.network(seen)

    def training_step(self, batch: list[Tensor], batch_index: int) -> Tensor:
        """The squared error of labels read off a batch of flux with fresh noise, in units of their spread."""
        flux, mask, labels = batch
        if self.noise is not None:
            errors = self.noise[torch.randint(len(self.noise), (len(flux),), device=flux.device)]
            flux = flux + errors * torch.randn_like(flux)
        found = self(Spectra(flux, flux, mask))
        loss = nn.functional.mse_loss(found / self.label_spread, labels / self.label_spread)
        self.log("loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam with one cycle of learning rates."""
        optimizer = torch.optim.Adam(self.network.parameters(), lr=self.learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, total_steps=self.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    @torch.no_grad()
    def predict(self, spectra: Spectra) -> Tensor:
        """`forward`, a piece at a time."""
        self.eval()
        return torch.cat([self(piece) for piece in spectra.chunks(BATCH)])

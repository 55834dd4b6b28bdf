"""python -m cyclegan.starnet checkpoint=RUN: how much of the synthetic gap is closed, as a network measures it.

StarNet (Fabbro et al. 2018, MNRAS 475, 2978) reads labels off spectra. Trained on theory and shown observed spectra it
is wrong by what theory lacks; trained on translated theory it should be as good as if it had been trained on observed
spectra with their true labels.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import hydra
import torch
from matplotlib.figure import Figure
from omegaconf import DictConfig
from pytorch_lightning import LightningModule, Trainer, seed_everything
from pytorch_lightning.callbacks import TQDMProgressBar
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from cyclegan.checkpoint import find_checkpoint, find_domains, load_trained
from cyclegan.domains import Domain
from cyclegan.figures import plot_embedding
from cyclegan.label_figures import plot_fitted, plot_label_residuals
from cyclegan.results import format_table, write_json
from cyclegan.separation import embed
from cyclegan.spectra import Spectra
from cyclegan.transfer import DEVICES, Transfer, find_device
from emulator.command import MOST_SEED, InputError, config_folder, errors_in_one_line, run, validate, written_together

log = logging.getLogger(__name__)

SYNTHETIC, REMEDY, TRANSLATED, OBSERVED = "synthetic", "synthetic, noise added", "translated", "observed"
OUTLIER = 5.0  # sigma beyond all synthetic spectra at a pixel: no star of the training set looks like this
SHOWN = 400  # stars of each set in the map
BATCH = 256  # spectra at a time where none is trained on
REACH, POOLED = 8, 4  # pixels of a convolution and of the pool
FEWEST_PIXELS = 2 * (REACH - 1) + POOLED


@dataclass
class StarNetConfig:
    checkpoint: str
    split: str = field(metadata={"choices": ("val", "test")})
    epochs: int = field(metadata={"minimum": 1})
    batch_size: int = field(metadata={"minimum": 1})
    learning_rate: float = field(metadata={"above": 0.0})
    seed: int = field(metadata={"minimum": 0, "maximum": MOST_SEED})
    synth: str | None
    obs: str | None
    device: str = field(metadata={"choices": DEVICES})
    output: str | None


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
        flux, mask, labels = batch
        if self.noise is not None:
            errors = self.noise[torch.randint(len(self.noise), (len(flux),), device=flux.device)]
            flux = flux + errors * torch.randn_like(flux)
        found = self(Spectra(flux, flux, mask))
        loss = nn.functional.mse_loss(found / self.label_spread, labels / self.label_spread)
        self.log("loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> dict:
        optimizer = torch.optim.Adam(self.network.parameters(), lr=self.learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, total_steps=self.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    @torch.no_grad()
    def predict(self, spectra: Spectra) -> Tensor:
        """`forward`, a piece at a time."""
        self.eval()
        return torch.cat([self(piece) for piece in spectra.chunks(BATCH)])


class Lesson(NamedTuple):
    """What a StarNet learns from: spectra (n, P), their labels (n, L), and errors (m, P) to draw noise from, if any."""

    spectra: Spectra
    labels: Tensor
    noise: Tensor | None = None


class Read(NamedTuple):
    """Labels that a network read off N spectra, (N, L), as the figures of fitted labels take them."""

    labels: Tensor
    converged: Tensor


def teach(lesson: Lesson, config: DictConfig, what: str) -> StarNetModule:
    """A StarNet trained on a lesson as `config` says."""
    seed_everything(config.seed, verbose=False)
    spectra, labels, noise = lesson
    batches = -(-len(labels) // config.batch_size)
    module = StarNetModule(spectra, labels, noise, config.epochs * batches, config.learning_rate)
    stars = TensorDataset(spectra.flux, spectra.mask, labels)
    order = BatchSampler(RandomSampler(stars), config.batch_size, drop_last=False)
    log.info("%s: %d spectra", what, len(labels))
    trainer = Trainer(
        max_epochs=config.epochs,
        accelerator=find_device(config.device, "config key 'device'"),
        devices=1,
        logger=False,
        callbacks=[TQDMProgressBar(refresh_rate=20)],
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(stars, sampler=order, batch_size=None))
    return module.cpu()


def interpolate(flux: Tensor, mask: Tensor) -> Tensor:
    """Flux (B, P) with pixels that mask (B, P) leaves out on the line between their nearest neighbours that count."""
    pixels = torch.arange(flux.shape[1], device=flux.device).expand_as(flux)
    left = torch.where(mask, pixels, -1).cummax(dim=1).values
    right = torch.where(mask, pixels, flux.shape[1]).flip(1).cummin(dim=1).values.flip(1)
    left, right = torch.where(left < 0, right, left), torch.where(right == flux.shape[1], left, right)
    left, right = (side.clamp(0, flux.shape[1] - 1) for side in (left, right))
    share = (pixels - left) / (right - left).clamp_min(1)
    return flux.gather(1, left) * (1 - share) + flux.gather(1, right) * share


def without_outliers(obs: Spectra, synth: Spectra) -> Spectra:
    """Observed spectra (B, P) with all that is masked, or OUTLIER sigma beyond what any synthetic one has at its pixel,
    interpolated: the remedy of those who train on theory.
    """
    low, high = synth.flux.amin(dim=0), synth.flux.amax(dim=0)
    room = OUTLIER * obs.error
    good = obs.mask & (obs.flux >= low - room) & (obs.flux <= high + room)
    return obs._replace(flux=interpolate(obs.flux, good), mask=good.any(dim=1, keepdim=True).expand_as(good))


def noise_of(spectra: Spectra) -> Tensor:
    """The noise (B, P), 1 sigma, of spectra's usable pixels; none for others, whose errors may be any number."""
    return torch.where(spectra.mask, spectra.error, 0.0)


def judge(read: dict[str, Tensor], truth: Tensor, names: Sequence[str]) -> list[dict[str, str | float]]:
    """A row for each label and lesson: bias and scatter, mean and standard deviation of read minus true (N, L).

    rms: of both together; closed: the share of the distance in rms from theory to the ceiling (trained on observed
    spectra) that is gone.
    """
    rows = []
    for i, name in enumerate(names):
        good = truth[:, i].isfinite()
        off = {lesson: (labels[good, i] - truth[good, i]).double() for lesson, labels in read.items()}
        rms = {lesson: values.square().mean().sqrt().item() for lesson, values in off.items()}
        for lesson, values in off.items():
            distance = rms[SYNTHETIC] - rms[OBSERVED]
            rows.append(
                {
                    "label": name,
                    "trained on": lesson,
                    "bias": values.mean().item(),
                    "scatter": values.std().item(),
                    "rms": rms[lesson],
                    "closed": (rms[SYNTHETIC] - rms[lesson]) / distance if distance > 0 else math.nan,
                }
            )
    return rows


def stacked(labels: dict[str, Tensor], names: Sequence[str], whose: str) -> Tensor:
    """Labels by name, (N,) each, as (N, L); InputError where one is not known."""
    if not set(names) <= set(labels):
        raise InputError(f"{whose}: expected labels {', '.join(names)}, got {', '.join(labels) or 'none'}")
    return torch.stack([labels[name] for name in names], dim=1).cpu()


def shared_labels(synth: Domain, obs: Domain, split: str) -> list[str]:
    """The labels of synthetic training stars and of observed ones of a split, in the former's order.

    InputError where there are none.
    """
    ours, theirs = synth.drawn_labels(0), obs.known_labels(split)
    names = [name for name in ours if name in theirs]
    if not names:
        raise InputError(
            f"domains: expected labels that both know, got {', '.join(ours) or 'none'} in synth and"
            f" {', '.join(theirs) or 'none'} in obs"
        )
    return names


def plot_gap(obs: Spectra, synth: Spectra, translated: Spectra, seed: int) -> Figure:
    """t-SNE maps of SHOWN observed stars, with as many synthetic and as many translated ones that were given noise."""
    generator = torch.Generator().manual_seed(seed)
    seen = torch.where(obs.mask, obs.flux, 1.0)[:SHOWN].numpy()
    maps = {}
    for title, kind, spectra in (("before", "synthetic", synth), ("after", "translated", translated)):
        flux = spectra.flux[:SHOWN]
        donors = torch.randint(len(obs.error), (len(flux),), generator=generator)
        noisy = flux + noise_of(obs.rows(donors)) * torch.randn(flux.shape, generator=generator)
        maps[title] = dict(zip(("observed", kind), embed(seen, noisy.numpy()), strict=True))
    return plot_embedding(maps, ["training spectra before translation", "and after"])


def starnet(config: DictConfig) -> list[dict[str, str | float]]:
    """Train and test what `config` (validated) asks for; writes starnet.json and pictures, all or nothing.

    Raises InputError for input that cannot be used.
    """
    find_device(config.device, "config key 'device'")
    checkpoint = find_checkpoint(config.checkpoint)
    trained = load_trained(checkpoint)
    synth, obs, _ = find_domains(trained, config)
    if len(trained.wavelength) < FEWEST_PIXELS:
        raise InputError(f"{checkpoint}: expected at least {FEWEST_PIXELS} pixels, got {len(trained.wavelength)}")
    names = shared_labels(synth, obs, config.split)
    seeds = config.seed, config.seed + 10  # of stars that are others in the two domains
    theory, real = synth.draw(seeds[0]), obs.draw(seeds[1])
    labels = stacked(synth.drawn_labels(seeds[0]), names, "training spectra of the synthetic domain")
    true = stacked(obs.drawn_labels(seeds[1]), names, "training spectra of the observed domain")
    known, good = (values.isfinite().all(dim=1) for values in (labels, true))
    for which, whole in (("synthetic", known), ("observed", good)):
        if not whole.any():
            raise InputError(f"{which} domain: expected training spectra whose labels are all known, got none")
    theory, labels = theory.rows(known), labels[known]
    model = Transfer(trained, str(checkpoint))
    split = model.draw_split(len(labels), config.seed)
    translated = theory._replace(flux=model.synth_to_obs(theory.flux, mask=theory.mask, split=split))
    errors = noise_of(real)
    lessons = {
        SYNTHETIC: Lesson(theory, labels),
        REMEDY: Lesson(theory, labels, errors),
        TRANSLATED: Lesson(translated, labels, errors),
        OBSERVED: Lesson(real.rows(good), true[good]),
    }
    stars = obs.matched(config.split)
    truth = stacked(obs.known_labels(config.split), names, f"observed stars of '{config.split}'")
    output = checkpoint.parent / "starnet" if config.output is None else Path(config.output)
    with written_together(output) as unfinished:
        read = {}
        for name, lesson in lessons.items():
            module = teach(lesson, config, name)
            read[name] = module.predict(without_outliers(stars, theory) if name == REMEDY else stars)
        rows = judge(read, truth, names)
        found = {"run": str(config.checkpoint), "split": config.split, "stars": len(truth), "rows": rows}
        write_json(unfinished / "starnet.json", found)
        ways = {name: Read(values, torch.ones(len(values), dtype=torch.bool)) for name, values in read.items()}
        plot_fitted(ways, truth, names).savefig(unfinished / "labels.png", dpi=110)
        plot_label_residuals(ways, truth, names).savefig(unfinished / "residuals.png", dpi=110)
        plot_gap(real, theory, translated, config.seed).savefig(unfinished / "gap.png", dpi=110)
    print(format_table(rows))
    log.info("StarNet's table and pictures in %s", output)
    return rows


@hydra.main(version_base="1.3", config_path=config_folder(), config_name="starnet")
def main(config: DictConfig) -> None:
    with errors_in_one_line():
        starnet(validate(config, StarNetConfig))


if __name__ == "__main__":
    run(main, "starnet")

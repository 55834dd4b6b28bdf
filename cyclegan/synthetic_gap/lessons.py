"""What StarNets are taught with, and how well each then reads."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from cyclegan.domains.domains import Domain
from cyclegan.figures.sets import plot_embedding
from cyclegan.scores.separation import embed
from cyclegan.spectra.spectra import Spectra, noise_of
from cyclegan.synthetic_gap.network import StarNetModule
from cyclegan.trained.model import TrainedModel
from emulator.commands.errors import InputError
from emulator.commands.processes import LoneTrainer, TrainingProgress, seed

log = logging.getLogger(__name__)

SYNTHETIC, REMEDY, TRANSLATED, OBSERVED = "synthetic", "synthetic, noise added", "translated", "observed"
OUTLIER = 5.0  # sigma beyond all synthetic spectra at a pixel: no star of the training set looks like this
SHOWN = 400  # stars of each set in the map


class Lesson(NamedTuple):
    """What a StarNet learns from: spectra (n, P), their labels (n, L), and errors (m, P) to draw noise from, if any."""

    spectra: Spectra
    labels: Tensor
    noise: Tensor | None = None


class Read(NamedTuple):
    """Labels that a network read off N spectra, (N, L), as the figures of fitted labels take them."""

    labels: Tensor
    converged: Tensor


@dataclass(frozen=True)
class Teaching:
    """How each StarNet is trained; accelerator: as PyTorch calls it."""

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    accelerator: str


def teach(lesson: Lesson, how: Teaching, what: str) -> StarNetModule:
    """A StarNet trained on a lesson; what: its name, to be logged."""
    seed(how.seed)
    spectra, labels, noise = lesson
    batches = -(-len(labels) // how.batch_size)
    module = StarNetModule(spectra, labels, noise, how.epochs * batches, how.learning_rate)
    stars = TensorDataset(spectra.flux, spectra.mask, labels)
    order = BatchSampler(RandomSampler(stars), how.batch_size, drop_last=False)
    log.info("%s: %d spectra", what, len(labels))
    trainer = LoneTrainer(
        max_epochs=how.epochs,
        accelerator=how.accelerator,
        logger=False,
        callbacks=[TrainingProgress()],
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


def compare_lessons(read: Mapping[str, Tensor], truth: Tensor, names: Sequence[str]) -> list[dict[str, str | float]]:
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


def stacked(labels: Mapping[str, Tensor], names: Sequence[str], whose: str) -> Tensor:
    """Labels by name, (N,) each, as (N, L); InputError where one is not known."""
    if not set(names) <= set(labels):
        raise InputError(f"{whose}: expected labels {', '.join(names)}, got {', '.join(labels) or 'none'}")
    return torch.stack([labels[name] for name in names], dim=1).cpu()


def shared_labels(synth: Domain, obs: Domain, subset: str) -> list[str]:
    """The labels of synthetic training stars and of observed ones of a subset, in the former's order.

    InputError where there are none.
    """
    ours, theirs = synth.drawn_labels(0), obs.known_labels(subset)
    names = [name for name in ours if name in theirs]
    if not names:
        raise InputError(
            f"domains: expected labels that both know, got {', '.join(ours) or 'none'} in synth and"
            f" {', '.join(theirs) or 'none'} in obs"
        )
    return names


def make_lessons(synth: Domain, obs: Domain, model: TrainedModel, names: Sequence[str], seed: int) -> dict[str, Lesson]:
    """What the StarNets learn from, by name: theory, the remedy, translations, and observed stars with true labels.

    names: of the labels; seed: of the stars that are drawn. Raises InputError where no star has them all.
    """
    seeds = seed, seed + 10  # of stars that are others in the two domains
    theory, real = synth.draw(seeds[0]), obs.draw(seeds[1])
    labels = stacked(synth.drawn_labels(seeds[0]), names, "training spectra of the synthetic domain")
    true = stacked(obs.drawn_labels(seeds[1]), names, "training spectra of the observed domain")
    known, good = (values.isfinite().all(dim=1) for values in (labels, true))
    for which, whole in (("synthetic", known), ("observed", good)):
        if not whole.any():
            raise InputError(f"{which} domain: expected training spectra whose labels are all known, got none")
    theory, labels = theory.rows(known), labels[known]
    split = model.draw_split(len(labels), seed)
    translated = theory._replace(flux=model.synth_to_obs(theory.flux, mask=theory.mask, split=split))
    errors = noise_of(real)
    return {
        SYNTHETIC: Lesson(theory, labels),
        REMEDY: Lesson(theory, labels, errors),
        TRANSLATED: Lesson(translated, labels, errors),
        OBSERVED: Lesson(real.rows(good), true[good]),
    }


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

"""A trained translator in use: `load` reads it back from a run, from flux to flux.

import cyclegan
model = cyclegan.load("runs/payne2payne/2026-11-22_12-00-00")
observed = model.synth_to_obs(flux)
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from cyclegan.linear.maps import Controls, controls
from cyclegan.spectra.spectra import ERROR_FLOOR, Spectra
from cyclegan.spectra.tables import check_names
from cyclegan.trained.checkpoint import Checkpoint, read_checkpoint, translator_of
from cyclegan.trained.forward import ForwardModel, mean_of, sampled
from cyclegan.trained.run_folder import find_checkpoint
from emulator.commands.device import find_device
from emulator.commands.errors import InputError
from emulator.payne import Payne

Values = ArrayLike | Tensor

SYNTH_TO_OBS, OBS_TO_SYNTH = "synth_to_obs", "obs_to_synth"
BATCH = 256  # spectra at a time: larger batches leave the processor's caches


class Translated(NamedTuple):
    """Spectra (B, P) of the other domain, and the latents between: shared (B, Zs), split (B, Zp)."""

    flux: Tensor
    shared: Tensor
    split: Tensor


class TrainedModel:
    """A trained translator, from flux to flux; `load` makes one.

    Arrays and tensors go in. Float32 tensors come out, and lie where those that went in did. flux (B, P) is normalised
    to a continuum of 1. A pixel of it counts if it is finite; where error (B, P), 1 sigma, is given, if that is above 0
    and at most the run's domains.worst_error; and where mask (B, P) is given, if that is True. The others have no pull
    on the result, which is defined in all pixels. A star of which none counts becomes NaN. Gradients flow to flux and
    to labels.

    Attributes:
        wavelength: (P,), vacuum Angstrom, of every spectrum that goes in or comes out.
        label_names: what `from_labels` takes, none where no emulator of the synthetic domain is known.
        split_sample: (n, Zp), split latents of training stars.
        record: what the checkpoint stands on.
        step: how many batches it was trained on.
        translator: the networks, in evaluation mode.
    """

    def __init__(
        self, checkpoint: Checkpoint, where: str, device: torch.device | str = "cpu", brought: Payne | None = None
    ) -> None:
        record = self.record = checkpoint.record
        self.step, self.where = checkpoint.step, where
        self.translator = translator_of(checkpoint, where).to(device).eval().requires_grad_(False)
        self.wavelength = record.wavelength.to(device)
        self.device = self.wavelength.device
        self.hidden = {name: mask.to(device) for name, mask in record.hidden.items()}
        self.split_sample = record.split_sample().to(device)
        self._continuum = record.continuum_of_theory()
        emulator = record.emulator_of(where)
        self.emulator = None if emulator is None else emulator.to(device).requires_grad_(False)
        domains = record.domains
        self.observed_emulated, self.worst_error = domains.obs.path is None, domains.worst_error
        self._theory = self.emulator if domains.synth.path is None else brought
        self.label_names = () if self._theory is None else self._theory.label_names

    @property
    def controls(self) -> Controls:
        """Translations of this run's stars without networks; of version 0.2, the mean shift alone."""
        return self.record.controls or controls(self.translator.space_o.mean - self.translator.space_s.mean, {})

    @property
    def forward_model(self) -> ForwardModel:
        """Labels to spectra of both domains.

        Raises:
            InputError: where no emulator of the synthetic domain is known.
        """
        if self._theory is None:
            raise InputError(
                f"{self.where}: expected a run whose synthetic domain is emulated, or an emulator of it, got neither"
            )
        hidden = self.hidden.get("synth")
        population, split = self.record.population_of_theory(), self.split_sample
        return ForwardModel(self._theory, population, self.translator, hidden, self._continuum, split, self.where)

    def synth_to_obs(
        self, flux: Values, error: Values | None = None, mask: Values | None = None, split: Tensor | None = None
    ) -> Tensor:
        """Synthetic spectra as the telescope would see them, without noise.

        Args:
            flux: (B, P).
            error: (B, P), 1 sigma.
            mask: (B, P), True = usable.
            split: (B, Zp), or (1, Zp) for all: what only observed spectra have; by default the mean of training stars.

        Returns:
            Flux (B, P).

        Raises:
            InputError: where shapes are not the checkpoint's.
        """
        return self._in_batches(SYNTH_TO_OBS, self._spectra(flux, error, mask), split).flux

    def obs_to_synth(self, flux: Values, error: Values | None = None, mask: Values | None = None) -> Tensor:
        """Observed spectra as theory would have them.

        Args:
            flux: (B, P).
            error: (B, P), 1 sigma.
            mask: (B, P), True = usable.

        Returns:
            Flux (B, P).

        Raises:
            InputError: where shapes are not the checkpoint's.
        """
        return self._in_batches(OBS_TO_SYNTH, self._spectra(flux, error, mask)).flux

    def encode_synth(self, flux: Values, error: Values | None = None, mask: Values | None = None) -> Tensor:
        """The shared latents of synthetic spectra.

        Args:
            flux: (B, P).
            error: (B, P), 1 sigma.
            mask: (B, P), True = usable.

        Returns:
            Shared latents (B, Zs).

        Raises:
            InputError: where shapes are not the checkpoint's.
        """
        unused = self.split_sample.new_zeros(1, self.split_sample.shape[1])
        return self._in_batches(SYNTH_TO_OBS, self._spectra(flux, error, mask), unused).shared

    def encode_obs(
        self, flux: Values, error: Values | None = None, mask: Values | None = None
    ) -> tuple[Tensor, Tensor]:
        """The latents of observed spectra.

        Args:
            flux: (B, P).
            error: (B, P), 1 sigma.
            mask: (B, P), True = usable.

        Returns:
            Shared latents (B, Zs) and split latents (B, Zp).

        Raises:
            InputError: where shapes are not the checkpoint's.
        """
        _, shared, split = self._in_batches(OBS_TO_SYNTH, self._spectra(flux, error, mask))
        return shared, split

    def from_labels(self, labels: Mapping[str, Values] | Values, split: Tensor | None = None) -> Tensor:
        """Stars as the telescope would see them, without noise.

        Args:
            labels: as `synthesize` takes them.
            split: (B, Zp), or (1, Zp) for all: what only observed spectra have; by default the mean of training stars.

        Returns:
            Flux (B, P).

        Raises:
            InputError: for labels that the emulator does not take, other shapes, and a run without an emulator.
        """
        return self.synth_to_obs(self.synthesize(labels), split=split)

    def synthesize(self, labels: Mapping[str, Values] | Values) -> Tensor:
        """Stars as synthetic spectra, which lack the lines that the run's synthetic domain was made to lack.

        Args:
            labels: (B, L) in the order of label_names, or by name each label's value, or values (B,), in its own unit.

        Returns:
            Flux (B, P).

        Raises:
            InputError: for other names, values outside the emulator's range, and a run without an emulator.
        """
        model = self.forward_model
        if isinstance(labels, Mapping):
            check_names(list(labels), model.label_names, "labels")
            columns = [torch.atleast_1d(as_tensor(labels[name], name)) for name in model.label_names]
            labels = torch.stack(torch.broadcast_tensors(*columns), dim=1)
        values = as_tensor(labels, "labels")
        if values.ndim != 2:
            raise InputError(f"labels: expected shape (stars, {len(model.label_names)}), got {tuple(values.shape)}")
        model.emulator.check_labels(values)
        return model.synthetic(values.to(self.device)).to(values.device)

    def mean_split(self) -> Tensor:
        """The mean split latent of training stars.

        Returns:
            (1, Zp).

        Raises:
            InputError: where no training star's is known, as before the first validation.
        """
        return mean_of(self.split_sample, self.where)

    def draw_split(self, stars: int, seed: int) -> Tensor:
        """Split latents as training stars have them.

        Args:
            stars: how many are drawn, with replacement.
            seed: of the draw.

        Returns:
            (stars, Zp).

        Raises:
            InputError: where no training star's is known, as before the first validation.
        """
        return draw_rows(sampled(self.split_sample, self.where), stars, seed)

    def _spectra(self, flux: Values, error: Values | None, mask: Values | None) -> Spectra:
        flux = as_tensor(flux, "flux")
        pixels = len(self.wavelength)
        if flux.ndim != 2:
            raise InputError(f"flux: expected shape (stars, {pixels}), got {tuple(flux.shape)}")
        counts = flux.isfinite()
        for name, values in (("flux", flux), ("error", error), ("mask", mask)):
            if values is None:
                continue
            values = as_tensor(values, name).to(flux.device)
            expected = (max(len(flux), 1), pixels)
            if tuple(values.shape) != expected:
                raise InputError(f"{name}: expected shape {expected} (stars, pixels), got {tuple(values.shape)}")
            if name == "error":
                counts = counts & (values > 0) & (values <= self.worst_error)
            if name == "mask":
                counts = counts & values.bool()
        return Spectra(torch.where(counts, flux, 1.0), torch.full_like(flux[:, :1], ERROR_FLOOR), counts)

    def _in_batches(self, direction: str, spectra: Spectra, split: Tensor | None = None) -> Translated:
        stars, home = len(spectra.flux), spectra.flux.device
        split = self.mean_split() if split is None and direction == SYNTH_TO_OBS else split
        if split is not None:
            split, width = as_tensor(split, "split"), self.split_sample.shape[1]
            if split.shape not in ((stars, width), (1, width)):
                raise InputError(f"split: expected shape {(stars, width)} (stars, Zp), got {tuple(split.shape)}")
            split = split.to(self.device).expand(stars, -1)
        parts = []
        for first in range(0, stars, BATCH):
            rows = slice(first, first + BATCH)
            part = self.translate(direction, spectra.rows(rows).to(self.device), None if split is None else split[rows])
            parts.append([tensor.to(home) for tensor in part])
        return Translated(*map(torch.cat, zip(*parts, strict=True)))

    def translate(self, direction: str, spectra: Spectra, split: Tensor | None = None) -> Translated:
        """Translate one batch that lies on the translator's device.

        How large errors are makes no difference, only which pixels the mask leaves: one for each star, (B, 1), will do.

        Args:
            direction: SYNTH_TO_OBS or OBS_TO_SYNTH.
            spectra: (B, P).
            split: (B, Zp), needed for SYNTH_TO_OBS alone.

        Returns:
            The spectra of the other domain, and the latents between.
        """
        return self.translate_seen(direction, self.seen(direction, spectra), split)

    def seen(self, direction: str, spectra: Spectra) -> Spectra:
        """One batch (B, P) as the networks see it, (B, K); NaN where no pixel of a star counts."""
        space = self.translator.space_s if direction == SYNTH_TO_OBS else self.translator.space_o
        blind = spectra.mask.view(torch.uint8).amax(dim=1, keepdim=True) == 0  # (B, 1); `any` is slower
        coordinates = space.project(spectra)
        return coordinates._replace(flux=coordinates.flux.masked_fill(blind, math.nan))

    def translate_seen(self, direction: str, seen: Spectra, split: Tensor | None = None) -> Translated:
        """`translate`, given what `seen` gave."""
        t = self.translator
        if direction == SYNTH_TO_OBS:
            if split is None:
                raise ValueError("split latents are needed to translate synthetic spectra")
            shared = t.encode_synth(seen.flux)
            return Translated(t.space_o.restore(t.generator_o(shared, split)), shared, split)
        shared, own = t.encoder_o(seen.flux)
        return Translated(t.space_s.restore(t.generate_synth(shared)), shared, own)


def as_tensor(values: Values, name: str) -> Tensor:
    """Numbers as a float32 tensor; NumPy's, which may have the other byte order, as FITS files do, on the CPU.

    Raises InputError for what is no array of numbers.
    """
    if isinstance(values, Tensor):
        return values.float()
    try:
        return torch.from_numpy(np.array(values, dtype="float32"))
    except (ValueError, TypeError) as error:
        raise InputError(f"{name}: expected an array of numbers, got something else ({error})") from error


def draw_rows(sample: Tensor, count: int, seed: int) -> Tensor:
    """`count` rows of sample (n, Z), drawn with replacement."""
    drawn = torch.randint(len(sample), (count,), generator=torch.Generator().manual_seed(seed))
    return sample[drawn.to(sample.device)]


def load(checkpoint: str | Path, device: str = "auto", emulator: str | Path | None = None) -> TrainedModel:
    """The trained model of a run's folder or of one checkpoint.

    Args:
        checkpoint: a run's folder (its last.ckpt), or a checkpoint.
        device: auto, cpu or gpu.
        emulator: a file that `Payne.save` wrote, of the run's synthetic domain where that came from spectra.

    Returns:
        The model, in evaluation mode.

    Raises:
        InputError: where there is no checkpoint, no such device, or an emulator already.
    """
    found, where = find_device(device, "device"), find_checkpoint(checkpoint)
    read = read_checkpoint(where)
    if emulator is None:
        return TrainedModel(read, str(checkpoint), found)
    if read.record.domains.synth.path is None:
        raise InputError(f"emulator: expected none beside {checkpoint}, which brings its own, got {emulator}")
    brought = Payne.load(emulator).on(read.record.wavelength).to(found).requires_grad_(False)
    return TrainedModel(read, str(checkpoint), found, brought)

"""python -m cyclegan.transfer checkpoint=RUN input=FILE.h5 output=OUT.h5: spectra of one domain as the other's.

In Python:

    from cyclegan.transfer import load
    model = load("runs/payne2payne/2026-11-22_12-00-00")
    observed = model.synth_to_obs(flux)
"""

import logging
import math
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple, Protocol

import h5py
import hydra
import numpy as np
import torch
from numpy.typing import ArrayLike
from omegaconf import DictConfig
from torch import Tensor
from tqdm import tqdm

from cyclegan.checkpoint import Trained, load_trained
from cyclegan.continuum import Continuum
from cyclegan.files import SpectraFile, written_spectra
from cyclegan.spectra import ERROR_FLOOR, WORST_ERROR, Spectra
from cyclegan.tables import check_label_columns, check_names, read_labels, read_table
from emulator.command import MOST_SEED, InputError, config_folder, errors_in_one_line, run, validate
from emulator.payne import Payne

log = logging.getLogger(__name__)

Values = ArrayLike | Tensor

SYNTH_TO_OBS, OBS_TO_SYNTH = "synth_to_obs", "obs_to_synth"
DEVICES = ("auto", "cpu", "gpu")
MEAN, DRAWN = "mean", "drawn"
BATCH = 256  # spectra at a time: larger batches leave the processor's caches
TABLE_SPLIT = "test"  # under which stars of a table of labels are written: they are nobody's training set


@dataclass
class TransferConfig:
    checkpoint: str
    input: str | None
    labels: str | None
    output: str
    direction: str = field(metadata={"choices": (SYNTH_TO_OBS, OBS_TO_SYNTH)})
    split: str
    seed: int = field(metadata={"minimum": 0, "maximum": MOST_SEED})
    wavelength: str | None
    batch_size: int = field(metadata={"minimum": 1})
    device: str = field(metadata={"choices": DEVICES})


class Translated(NamedTuple):
    """Spectra (B, P) of the other domain, and the latents between: shared (B, Zs), split (B, Zp)."""

    flux: Tensor
    shared: Tensor
    split: Tensor


class Transfer:
    """A trained translator, from flux to flux; `load` makes one.

    wavelength (P,): vacuum Angstrom, of every spectrum that goes in or comes out; label_names (L,): what `from_labels`
    takes, none where neither the run nor `load` has an emulator of the synthetic domain; split_sample (n, Zp): of
    training stars.

    Arrays and tensors go in. Float32 tensors come out, and lie where those that went in did. flux (B, P) is normalised
    to a continuum of 1. A pixel of it counts if it is finite; where error (B, P), 1 sigma, is given, if that is above 0
    and at most WORST_ERROR; and where mask (B, P) is given, if that is True. The others have no pull on the result,
    which is defined in all pixels. A star of which none counts becomes NaN. Gradients flow to flux and to labels.
    """

    def __init__(self, trained: Trained, where: str, brought: Payne | None = None) -> None:
        self.translator, self.wavelength = trained.translator, trained.wavelength
        self.split_sample, self.where = trained.split, where
        emulated = trained.config.domains.synth.path is None
        self.observed_emulated = trained.config.domains.obs.path is None
        self._emulator = trained.emulator if emulated else brought
        self.hidden, self.continuum = trained.hidden.get("synth"), trained.continuum
        self.label_names = self._emulator.label_names if self._emulator is not None else ()
        self.device = self.wavelength.device

    @property
    def emulator(self) -> Payne:
        """What makes the synthetic domain's spectra; InputError where a file did."""
        if self._emulator is None:
            raise InputError(
                f"{self.where}: expected a run whose synthetic domain is emulated, or an emulator of it, got neither"
            )
        return self._emulator

    def synth_to_obs(
        self, flux: Values, error: Values | None = None, mask: Values | None = None, split: Tensor | None = None
    ) -> Tensor:
        """Synthetic spectra (B, P) as the telescope would see them, (B, P), without noise.

        split (B, Zp), or (1, Zp) for all: what only observed spectra have; by default the mean of training stars.
        Raises InputError where shapes are not the checkpoint's.
        """
        return self._in_batches(SYNTH_TO_OBS, self._spectra(flux, error, mask), split).flux

    def obs_to_synth(self, flux: Values, error: Values | None = None, mask: Values | None = None) -> Tensor:
        """Observed spectra (B, P) as theory would have them, (B, P). Raises InputError for other shapes."""
        return self._in_batches(OBS_TO_SYNTH, self._spectra(flux, error, mask)).flux

    def encode_synth(self, flux: Values, error: Values | None = None, mask: Values | None = None) -> Tensor:
        """The shared latents (B, Zs) of synthetic spectra (B, P)."""
        unused = self.split_sample.new_zeros(1, self.split_sample.shape[1])
        return self._in_batches(SYNTH_TO_OBS, self._spectra(flux, error, mask), unused).shared

    def encode_obs(
        self, flux: Values, error: Values | None = None, mask: Values | None = None
    ) -> tuple[Tensor, Tensor]:
        """The shared (B, Zs) and the split latents (B, Zp) of observed spectra (B, P)."""
        _, shared, split = self._in_batches(OBS_TO_SYNTH, self._spectra(flux, error, mask))
        return shared, split

    def from_labels(self, labels: Mapping[str, Values] | Values, split: Tensor | None = None) -> Tensor:
        """Stars of these labels, as in `synthesize`, as observed spectra (B, P); split: as in `synth_to_obs`."""
        return self.synth_to_obs(self.synthesize(labels), split=split)

    def synthesize(self, labels: Mapping[str, Values] | Values) -> Tensor:
        """Stars as synthetic spectra (B, P), which lack the lines that the run's synthetic domain was made to lack.

        labels: (B, L) in the order of label_names, or by name each label's value, or values (B,), in its own unit.
        Raises InputError for other names, values outside the emulator's range, and a run without an emulator.
        """
        emulator = self.emulator
        if isinstance(labels, Mapping):
            check_names(list(labels), emulator.label_names, "labels")
            columns = [torch.atleast_1d(as_tensor(labels[name], name)) for name in emulator.label_names]
            labels = torch.stack(torch.broadcast_tensors(*columns), dim=1)
        labels = as_tensor(labels, "labels")
        if labels.ndim != 2:
            width = len(emulator.label_names)
            raise InputError(f"labels: expected shape (stars, {width}), got {tuple(labels.shape)}")
        emulator.check_labels(labels)
        return self.synthetic(labels.to(self.device)).to(labels.device)

    def synthetic(self, labels: Tensor) -> Tensor:
        """`synthesize` without its checks: labels (B, L) on the translator's device -> (B, P), for torch.func."""
        flux = self.hide(self.emulator(labels))
        return flux if self.continuum is None else self.continuum.normalize_exact(flux)

    def hide(self, flux: Tensor) -> Tensor:
        """Flux (B, P) without the lines that the run's synthetic domain was made to lack."""
        return flux if self.hidden is None else flux.masked_fill(self.hidden, 1.0)

    def observed(self, labels: Tensor, split: Tensor | None = None) -> Tensor:
        """`from_labels` without its checks: labels (B, L), split (B, Zp) -> (B, P), for torch.func."""
        t = self.translator
        shared = t.encode_synth(t.space_s.coordinates(self.synthetic(labels)))
        split = self.mean_split().expand(len(shared), -1) if split is None else split
        return t.space_o.restore(t.generator_o(shared, split))

    def mean_split(self) -> Tensor:
        """The mean split latent (1, Zp) of training stars."""
        return self._sample().mean(dim=0, keepdim=True)

    def draw_split(self, stars: int, seed: int) -> Tensor:
        """Split latents (stars, Zp), each that of a training star drawn at random."""
        return draw_rows(self._sample(), stars, seed)

    def _sample(self) -> Tensor:
        if len(self.split_sample) == 0:
            raise InputError(f"{self.where}: expected split latents of training stars, got a run not yet validated")
        return self.split_sample

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
                counts = counts & (values > 0) & (values <= WORST_ERROR)
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
        """One batch on the translator's device; split (B, Zp): needed for SYNTH_TO_OBS alone.

        How large errors are makes no difference, only which pixels the mask leaves: one for each star, (B, 1), will do.
        """
        t = self.translator
        blind = spectra.mask.view(torch.uint8).amax(dim=1, keepdim=True) == 0  # (B, 1); `any` is slower
        if direction == SYNTH_TO_OBS:
            shared = t.encode_synth(t.space_s.project(spectra).flux).masked_fill(blind, math.nan)
            return Translated(t.space_o.restore(t.generator_o(shared, split)), shared, split)
        shared, split = (z.masked_fill(blind, math.nan) for z in t.encoder_o(t.space_o.project(spectra).flux))
        return Translated(t.space_s.restore(t.generate_synth(shared)), shared, split)


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


def find_device(device: str, where: str) -> str:
    """What PyTorch calls a device of DEVICES: 'cuda' or 'cpu'; InputError, told of `where`, if there is none such."""
    gpu = device != "cpu" and torch.cuda.is_available()
    if device not in DEVICES or (device == "gpu" and not gpu):
        raise InputError(f"{where}: expected cpu or auto, got {device}, and there is none here")
    return "cuda" if gpu else "cpu"


def load(checkpoint: str | Path, device: str = "auto", emulator: str | Path | None = None) -> Transfer:
    """The translator of a run's folder or of one checkpoint; device: auto, cpu or gpu.

    emulator: of the run's synthetic domain (a file that `Payne.save` wrote), where that came from a file of spectra.
    Raises InputError where there is no checkpoint, no such device, or an emulator already.
    """
    trained = load_trained(checkpoint, find_device(device, "device"))
    if emulator is None:
        return Transfer(trained, str(checkpoint))
    if trained.config.domains.synth.path is None:
        raise InputError(f"emulator: expected none beside {checkpoint}, which brings its own, got {emulator}")
    brought = Payne.load(emulator).on(trained.wavelength.cpu()).to(trained.wavelength.device).requires_grad_(False)
    return Transfer(trained, str(checkpoint), brought)


class Source(Protocol):
    """Where spectra to translate come from. splits: how many there are in each."""

    splits: dict[str, int]

    def read(self, split: str, rows: slice) -> Spectra:
        """Some of them, (n, P)."""
        ...

    def carry(self, output: h5py.File) -> None:
        """Write what else is known of the stars."""
        ...


class FileSource(SpectraFile):
    """Spectra from a file that has the wavelengths (P,) of a translator, and maybe more."""

    def __init__(self, path: str, wavelength: Tensor, wavelength_file: str | None) -> None:
        super().__init__(path, wavelength_file=wavelength_file)
        pixels = len(self.wavelength)
        try:
            self.pick(wavelength.cpu())
        except InputError:
            self.close()
            raise
        self.columns = [
            name
            for name, dataset in self.file.items()
            if (split := name.rpartition(" ")[2]) in self.splits
            and isinstance(dataset, h5py.Dataset)
            and dataset.shape[:1] == (self.splits[split],)
            and dataset.shape[1:2] != (pixels,)
            and not name.startswith("latent_")
        ]

    def carry(self, output: h5py.File) -> None:
        for name, value in self.file.attrs.items():
            # Wavelengths are written as vacuum ones; how the pixels that are left were normalised is told below.
            if name != "medium" and not name.startswith("continuum_"):
                output.attrs[name] = value
        try:
            continuum = Continuum.read(self.file, self.wavelength.numpy(), self.places())
        except InputError as error:
            log.warning("%s: %s; the output does not say how it was normalised", self.path, error)
        else:
            if continuum is not None:
                continuum.write(output)
        for name in self.columns:
            output.copy(self.file[name], output, name)


class LabelTable:
    """Synthetic spectra of the stars in a table of labels, CSV with a header; a column `id` may name them.

    Tables that `cyclegan.fit` wrote will do.

    Raises InputError, naming the row (from 0), for what the emulator does not take.
    """

    def __init__(self, path: str, model: Transfer) -> None:
        self.model, names = model, model.emulator.label_names
        columns = read_table(path)
        check_label_columns(list(columns), names, path)
        self.identities = columns.get("id")
        self.labels = read_labels(columns, model.emulator, path)
        self.splits = {TABLE_SPLIT: len(self.labels)}

    @torch.inference_mode()  # not inherited by the thread that reads
    def read(self, split: str, rows: slice) -> Spectra:
        flux = self.model.synthesize(self.labels[rows])
        return Spectra(flux, torch.full_like(flux, ERROR_FLOOR), torch.ones_like(flux, dtype=torch.bool))

    def carry(self, output: h5py.File) -> None:
        output.attrs["label_names"] = list(self.model.label_names)
        output[f"labels {TABLE_SPLIT}"] = self.labels.numpy()
        if self.identities is not None:
            output.create_dataset(f"id {TABLE_SPLIT}", data=self.identities, dtype=h5py.string_dtype())


def split_latents(config: DictConfig, model: Transfer, counts: dict[str, int]) -> dict[str, Tensor]:
    """The split latents (n, Zp) for the n spectra of each split, as config.split says.

    From a file of observed spectra come those of the split of the same name, else of its first: in order where there
    are as many as needed, otherwise drawn from those with a usable pixel. Raises InputError where there are none.
    """
    if config.split == MEAN:
        return {name: model.mean_split().expand(count, -1) for name, count in counts.items()}
    if config.split == DRAWN:
        return {name: model.draw_split(count, config.seed + i) for i, (name, count) in enumerate(counts.items())}
    if not Path(config.split).is_file():
        raise InputError(f"config key 'split': expected {MEAN}, {DRAWN} or a file of spectra, got {config.split}")
    latents = {}
    with FileSource(config.split, model.wavelength, config.wavelength) as file:
        for i, (name, count) in enumerate(counts.items()):
            theirs = name if name in file.splits else next(iter(file.splits))
            batches = tqdm(file.chunks(theirs, config.batch_size), f"encoding {theirs}", unit="batch", leave=False)
            parts = [model.translate(OBS_TO_SYNTH, batch.to(model.device)).split for batch in batches]
            found = torch.cat(parts) if parts else model.split_sample[:0]
            seen = found[found.isfinite().all(dim=1)]
            if len(seen) == 0:
                raise InputError(f"{config.split}: expected usable spectra in 'spectra {theirs}', got none")
            if len(found) == count:
                latents[name], how = found, "in order"
            else:
                latents[name], how = draw_rows(seen, count, config.seed + i), f"drawn from {len(seen)}"
            log.info("split latents of '%s': of '%s' in %s, %s", name, theirs, config.split, how)
    return latents


@contextmanager
def open_source(config: DictConfig, model: Transfer) -> Iterator[Source]:
    """The spectra to translate; InputError where they cannot be used."""
    if config.labels is not None:
        yield LabelTable(config.labels, model)
    else:
        with FileSource(config.input, model.wavelength, config.wavelength) as file:
            yield file


def check_together(config: DictConfig) -> None:
    """Raise InputError for values that are each in their range but do not go together."""
    if (config.input is None) == (config.labels is None):
        got = "neither" if config.input is None else "both"
        raise InputError(f"config key 'input': expected either input or labels, got {got}")
    if config.direction == OBS_TO_SYNTH and config.labels is not None:
        raise InputError("config key 'direction': expected synth_to_obs for labels, got obs_to_synth")
    if config.direction == OBS_TO_SYNTH and config.split != MEAN:
        raise InputError(f"config key 'split': expected none for obs_to_synth, got {config.split}")
    output = Path(config.output).resolve()
    for key in ("checkpoint", "input", "labels", "split", "wavelength"):
        if config[key] is not None and Path(config[key]).resolve() == output:
            raise InputError(f"config key 'output': expected another file than '{key}', got {config.output}")


@torch.inference_mode()
def transfer(config: DictConfig) -> None:
    """Translate as `config` (validated) says, and write the spectra with their latents, all of them or nothing.

    A thread reads the next batch and writes the last one while this one is translated. Raises InputError for input
    that cannot be used.
    """
    check_together(config)
    model = load(config.checkpoint, config.device)
    with open_source(config, model) as source:
        counts = {name: count for name, count in source.splits.items() if count}
        if not counts:
            raise InputError(f"{config.input}: expected spectra, got none in {', '.join(source.splits)}")
        split = split_latents(config, model, counts) if config.direction == SYNTH_TO_OBS else {}
        pieces = [
            (name, slice(first, min(first + config.batch_size, count)))
            for name, count in counts.items()
            for first in range(0, count, config.batch_size)
        ]
        with (
            written_spectra(config.output, model.wavelength, counts=counts) as writer,
            ThreadPoolExecutor(1) as thread,
            tqdm(total=sum(counts.values()), desc="translating", unit="spectrum") as bar,
        ):

            def write(name: str, spectra: Spectra, translated: Translated) -> None:
                flux, shared, split = (tensor.cpu() for tensor in translated)
                if (lost := flux[:, :1].isnan()).any():
                    spectra = spectra._replace(mask=spectra.mask & ~lost)
                    blind.append(int(lost.sum()))
                writer.append(name, spectra._replace(flux=flux), latent_shared=shared, latent_split=split)

            blind: list[int] = []
            source.carry(writer.file)  # of the input; what is said next is of this file
            writer.file.attrs.update(checkpoint=str(config.checkpoint), direction=config.direction)
            reading, writing = thread.submit(source.read, *pieces[0]), None
            for (name, rows), following in zip_longest(pieces, pieces[1:]):
                spectra = reading.result()
                if following is not None:
                    reading = thread.submit(source.read, *following)
                latents = split[name][rows] if split else None
                batch = spectra._replace(error=spectra.error[:, :1]).to(model.device)
                translated = model.translate(config.direction, batch, latents)
                if writing is not None:
                    writing.result()
                writing = thread.submit(write, name, spectra, translated)
                bar.update(rows.stop - rows.start)
            writing.result()
            total, lost = sum(counts.values()), sum(blind)
            if lost == total:
                raise InputError(
                    f"{config.input or config.labels}: expected usable pixels, got none in any of {total} spectra: NaN,"
                    f" masked, or of an error above {WORST_ERROR:g} of the continuum, which is to be 1"
                )
    log.info("%d spectra in %s", total, config.output)
    if lost:
        log.warning("%d of them, or their partners in split=FILE, had no usable pixel, and are NaN", lost)


@hydra.main(version_base="1.3", config_path=config_folder(), config_name="transfer")
def main(config: DictConfig) -> None:
    with errors_in_one_line():
        transfer(validate(config, TransferConfig))


if __name__ == "__main__":
    run(main, "transfer")

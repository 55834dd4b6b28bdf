"""Where spectra to translate come from: a file of them, or a table of labels."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import h5py
import torch
from torch import Tensor

from cyclegan.spectra.continuum_files import read_continuum, write_continuum
from cyclegan.spectra.files import SpectraFile
from cyclegan.spectra.joining import copy_rows
from cyclegan.spectra.spectra import Spectra, exact
from cyclegan.spectra.tables import check_label_columns, read_labels, read_table
from cyclegan.trained.arrays import draw_rows
from cyclegan.trained.model import TrainedModel
from cyclegan.trained.translated import OBS_TO_SYNTH
from emulator.commands.errors import InputError
from emulator.commands.progress import progress

log = logging.getLogger(__name__)

ASSUMED = "assumed: the input has none"
MEAN, DRAWN = "mean", "drawn"
TABLE_SUBSET = "test"  # under which stars of a table of labels are written: they are nobody's training set


class Source(Protocol):
    """Where spectra to translate come from. subsets: how many there are in each."""

    subsets: dict[str, int]

    def read(self, subset: str, rows: slice) -> Spectra:
        """Some of them, (n, P)."""
        ...

    def carry(self, output: h5py.File, rows: Mapping[str, slice]) -> None:
        """Write what else is known of the stars in some rows of each subset."""
        ...


class FileSource(SpectraFile):
    """Spectra from a file that has the wavelengths (P,) of a model, and maybe more; observed: or theory's."""

    def __init__(self, path: str, model: TrainedModel, wavelength_file: str | None, observed: bool) -> None:
        super().__init__(path, wavelength_file=wavelength_file, worst_error=model.worst_error)
        pixels = len(self.wavelength)
        try:
            self.pick(model.wavelength.cpu())
        except InputError:
            self.close()
            raise
        self.tell_of_errors(observed)
        self.columns = [
            name
            for name, dataset in self.file.items()
            if (subset := name.rpartition(" ")[2]) in self.subsets
            and isinstance(dataset, h5py.Dataset)
            and dataset.shape is not None
            and dataset.shape[:1] == (self.subsets[subset],)
            and dataset.shape[1:2] != (pixels,)
            and not name.startswith("latent_")
        ]

    def carry(self, output: h5py.File, rows: Mapping[str, slice]) -> None:
        """Write attributes of the file, some rows of its columns, and how its spectra were normalised."""
        for name, value in self.file.attrs.items():
            # Wavelengths are written as vacuum ones; how the pixels that are left were normalised is told below.
            if name != "medium" and not name.startswith("continuum_"):
                output.attrs[name] = value
        if not self.has_errors:
            output.attrs["error"] = ASSUMED
        try:
            continuum = read_continuum(self.file, self.wavelength.numpy(), self.places())
        except InputError as error:
            log.warning("%s: %s; the output does not say how it was normalised", self.path, error)
        else:
            if continuum is not None:
                write_continuum(continuum, output)
        for name in self.columns:
            dataset, own = self.file[name], rows.get(name.rpartition(" ")[2], slice(0, 0))
            if own == slice(0, len(dataset)):
                output.copy(dataset, output, name)
            elif own.stop > own.start:
                copy_rows([(dataset, own)], output, name)


class LabelSource:
    """Synthetic spectra of the stars in a table of labels, CSV with a header; a column `id` may name them.

    Tables that `cyclegan.fit` wrote will do.

    Raises InputError, naming the row (from 0), for what the emulator does not take.
    """

    def __init__(self, path: str, model: TrainedModel) -> None:
        self.model, emulator = model, model.forward_model.emulator
        columns = read_table(path)
        check_label_columns(list(columns), emulator.label_names, path)
        self.identities = columns.get("id")
        self.labels = read_labels(columns, emulator, path)
        self.subsets = {TABLE_SUBSET: len(self.labels)}

    @torch.inference_mode()  # not inherited by the thread that reads
    def read(self, subset: str, rows: slice) -> Spectra:
        """Synthetic spectra (n, P) of some stars."""
        return exact(self.model.synthesize(self.labels[rows]))

    def carry(self, output: h5py.File, rows: Mapping[str, slice]) -> None:
        """Write the labels and the names of some of the stars."""
        own = rows[TABLE_SUBSET]
        output.attrs["label_names"] = list(self.model.label_names)
        output[f"labels {TABLE_SUBSET}"] = self.labels[own].numpy()
        if self.identities is not None:
            output.create_dataset(f"id {TABLE_SUBSET}", data=self.identities[own], dtype=h5py.string_dtype())


def split_latents(
    wanted: str,
    wavelength_file: str | None,
    seed: int,
    batch_size: int,
    model: TrainedModel,
    counts: Mapping[str, int],
    rows: Mapping[str, slice],
) -> dict[str, Tensor]:
    """The split latents (n, Zp) for the n spectra of each subset; wanted: MEAN, DRAWN or a file of observed spectra.

    rows: which of them are asked for, whole batches; they are the same whatever is. From a file come those of the
    subset of the same name, else of its first: in order where there are as many as needed, otherwise drawn from those
    with a usable pixel. Raises InputError where there are none.
    """
    if wanted == MEAN:
        return {name: model.mean_split().expand(count, -1) for name, count in counts.items()}
    if wanted == DRAWN:
        return {name: model.draw_split(count, seed + i) for i, (name, count) in enumerate(counts.items())}
    if not Path(wanted).is_file():
        raise InputError(f"config key 'split': expected {MEAN}, {DRAWN} or a file of spectra, got {wanted}")
    latents = {}
    with FileSource(wanted, model, wavelength_file, observed=True) as file:
        for i, (name, count) in enumerate(counts.items()):
            theirs = name if name in file.subsets else next(iter(file.subsets))
            in_order = file.subsets[theirs] == count
            asked = rows.get(name, slice(0, 0)) if in_order else slice(0, file.subsets[theirs])
            found = model.split_sample.new_full((file.subsets[theirs], model.split_sample.shape[1]), torch.nan)
            firsts = range(asked.start, asked.stop, batch_size)
            for first in progress(firsts, f"encoding {theirs}", unit="batch", leave=False):
                batch = slice(first, min(first + batch_size, asked.stop))
                spectra = file.read(theirs, batch).to(model.device)
                found[batch] = model.translate(OBS_TO_SYNTH, spectra).split
            seen = found[found.isfinite().all(dim=1)]
            if len(seen) == 0 and asked == slice(0, len(found)):
                raise InputError(f"{wanted}: expected usable spectra in 'spectra {theirs}', got none")
            if in_order:
                latents[name], how = found, "in order"
            else:
                latents[name], how = draw_rows(seen, count, seed + i), f"drawn from {len(seen)}"
            log.info("split latents of '%s': of '%s' in %s, %s", name, theirs, wanted, how)
    return latents

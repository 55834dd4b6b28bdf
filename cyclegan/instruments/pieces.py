"""Spectra to convert, some at a time: of an instrument's files, or of one in the HDF5 layout."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import torch

from cyclegan.instruments.instrument import BATCH, LabelTable, Reader, Stars
from cyclegan.instruments.known import reader_of
from cyclegan.instruments.options import Options
from cyclegan.instruments.report import Report
from cyclegan.instruments.velocities import Velocities
from cyclegan.spectra.files import SpectraFile
from cyclegan.spectra.resampling import Resampler
from cyclegan.spectra.spectra import Spectra
from cyclegan.spectra.texts import read_names
from emulator.commands.errors import InputError
from emulator.commands.parts import Part
from emulator.commands.progress import progress

SPECTRA, MODELS = "spectra with errors", "models, which have none"


class Piece(NamedTuple):
    """Spectra as they were read, on the new grid; what goes with them, n rows each; and what to call a bad row."""

    spectra: Spectra
    subset: np.ndarray
    columns: dict[str, np.ndarray]
    sources: list[str]


class Conversion(NamedTuple):
    """What spectra of an instrument's files are converted by.

    others: readers of other instruments, whose files do not belong here; rows, bits: of the reader's instrument;
    labels: a table of them, None for those that files tell themselves.
    """

    reader: Reader
    others: Sequence[Reader]
    rows: str
    bits: int
    options: Options
    resampler: Resampler
    labels: LabelTable | None
    velocities: Velocities
    report: Report

    def pieces(self, paths: Sequence[Path]) -> Iterator[Piece]:
        """The spectra of the files, about BATCH at a time; all with labels, or none; all with errors, or none.

        Raises InputError where a file is of another instrument, or tells labels while those before it did not.
        """
        held: list[Stars] = []
        labelled: bool | None = None if self.labels is None else True
        for stars in self._stars(paths):
            labelled = stars.labels is not None if labelled is None else labelled
            if stars.labels is not None and not labelled:
                found = f"some in {stars.path} after files without: read it first, or give a table as --labels"
                raise InputError(f"IN: expected labels in all files or in none, got {found}")
            held.append(stars)
            if sum(len(stars.visit) for stars in held) >= BATCH:
                yield self._piece(held, bool(labelled))
                held = []
        if held:
            yield self._piece(held, bool(labelled))

    def _stars(self, paths: Sequence[Path]) -> Iterator[Stars]:
        name, kind = self.reader.instrument.name, None
        share = self.options.share.share(list(self.reader.one_each(paths)), "files")
        for path in progress(share, "converting", unit="file"):
            try:
                for stars in self.reader.read(path, self.rows, self.velocities):
                    if isinstance(stars, InputError):
                        self.report.refuse(stars)
                        continue
                    own = SPECTRA if stars.errors else MODELS
                    kind = kind or own
                    if own != kind:
                        raise InputError(f"{path}: expected {kind}, as in the files before it, got {own}")
                    yield stars
            except InputError as problem:
                if other := reader_of(path, self.others):
                    found = f"{path} of {other.instrument.name} beside files of {name}"
                    raise InputError(f"IN: expected files of one instrument, got {found}") from problem
                self.report.refuse(problem)

    def _piece(self, held: list[Stars], labelled: bool) -> Piece:
        self.report.errors = held[0].errors
        flux, error, bits = (
            torch.from_numpy(np.concatenate(arrays)) for arrays in zip(*(stars[:3] for stars in held), strict=True)
        )
        names = np.concatenate([stars.name for stars in held])
        options, resampler, report = self.options, self.resampler, self.report
        sound = flux.isfinite() & error.isfinite() & (error > 0)
        taken = resampler.taken
        for bit, name in enumerate(self.reader.instrument.bits):
            if self.bits >> bit & 1:
                report.mask(name, bits[:, taken] >> bit & 1)
        report.mask("no flux or no error", ~sound[:, taken])
        report.mask_uncovered(resampler, len(flux))
        columns = {
            "id": names,
            "snr": np.concatenate([stars.snr for stars in held]),
            "visit": np.concatenate([stars.visit for stars in held]),
        }
        if options.velocity or options.velocities:
            columns |= _velocities(held)
        if labelled:
            found = columns["labels"] = self._labels(held, names)
            report.unlabelled |= set(names[np.isnan(found).all(axis=1)].tolist())
        subset = np.array([options.subset_of(name) for name in names.tolist()])
        spectra = resampler(Spectra(flux, error, sound & (bits & self.bits == 0)))
        return Piece(spectra, subset, columns, [source for stars in held for source in _sources(stars)])

    def _labels(self, held: list[Stars], names: np.ndarray) -> np.ndarray:
        """Labels (n, L), NaN where unknown."""
        if self.labels is not None:
            return self.labels.find(names, _about(held))
        none = [np.full((len(stars.visit), len(self.reader.label_names)), np.nan, "float32") for stars in held]
        return np.concatenate([n if s.labels is None else s.labels for s, n in zip(held, none, strict=True)])


def _velocities(held: list[Stars]) -> dict[str, np.ndarray]:
    """By which velocities stars were put to rest, and their errors (n,); NaN where files had them at rest."""
    none = [np.full((len(stars.visit), 2), np.nan) for stars in held]
    both = np.concatenate([n if s.velocity is None else s.velocity for s, n in zip(held, none, strict=True)])
    return {"velocity": both[:, 0], "velocity_err": both[:, 1]}


def _about(held: list[Stars]) -> dict[str, np.ndarray]:
    """What files say of their spectra, (n,) by name; blank where a file does not say it."""
    keys = sorted(set().union(*(stars.about for stars in held)))
    blank = [np.zeros(len(stars.visit), "U1") for stars in held]
    return {
        key: np.concatenate([stars.about.get(key, none) for stars, none in zip(held, blank, strict=True)])
        for key in keys
    }


def _sources(stars: Stars) -> list[str]:
    """What to call each spectrum of a file in a message."""
    names = stars.name.tolist()
    several = len(set(names)) > 1
    return [
        f"{stars.path}" + f", {name}" * several + f", visit {number}" * (number > 0)
        for name, number in zip(names, stars.visit.tolist(), strict=True)
    ]


def pieces_of_hdf5(source: SpectraFile, part: Part, resampler: Resampler, report: Report) -> Iterator[Piece]:
    """A part of the spectra of a file in the HDF5 layout with all that goes with them, in their subsets."""
    own = part.rows(source.subsets, BATCH)
    total = sum(rows.stop - rows.start for rows in own.values())
    with progress(what="converting", total=total, unit="spectrum") as bar:
        for subset, asked in own.items():
            count = source.subsets[subset]
            # Errors are in the unit of flux until the continuum is divided out: none is too large yet.
            for number, spectra in enumerate(source.chunks(subset, BATCH, asked)):
                first = asked.start + number * BATCH
                rows = slice(first, first + len(spectra.flux))
                report.mask("in the file", ~spectra.mask)
                report.mask_uncovered(resampler, len(spectra.flux))
                sources = [f"{source.path}, '{subset}' row {row}" for row in range(rows.start, rows.stop)]
                with source.reading():
                    columns = _columns(source.file, subset, rows, count)
                yield Piece(resampler(spectra), np.full(len(sources), subset), columns, sources)
                bar.update(len(sources))


def _columns(file: h5py.File, subset: str, rows: slice, count: int) -> dict[str, np.ndarray]:
    columns = {}
    for key, dataset in file.items():
        name, _, of = key.rpartition(" ")
        own = name in ("spectra", "spectra_err", "mask")
        if of == subset and not own and isinstance(dataset, h5py.Dataset) and dataset.shape[:1] == (count,):
            are_names = dataset.ndim == 1 and h5py.check_string_dtype(dataset.dtype) is not None
            columns[name] = np.array(read_names(dataset, rows), object) if are_names else dataset[rows]
    return columns

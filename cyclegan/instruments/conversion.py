"""Spectra of an instrument's files to one HDF5 file: masked, on one grid, normalised, in subsets."""

import hashlib
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import torch
from tqdm import tqdm

from cyclegan.instruments.input_files import find_files
from cyclegan.instruments.instrument import LabelTable, Reader, Star
from cyclegan.spectra.continuum import Continuum, read_continuum_pixels
from cyclegan.spectra.files import SUBSETS, SpectraFile, read_medium
from cyclegan.spectra.resampling import Resampler
from cyclegan.spectra.spectra import ERROR_FLOOR, WORST_ERROR, Spectra
from cyclegan.spectra.texts import read_names
from cyclegan.spectra.writer import SpectraWriter, written_spectra
from emulator.commands.errors import InputError, refusing
from emulator.commands.outputs import check_apart
from emulator.commands.results import printable
from emulator.hdf5 import is_hdf5, open_hdf5
from emulator.wavelength import chip_starts, read_wavelength

BATCH = 256  # spectra
DEGREE = 3  # of the continuum's polynomials
NAMED = 3  # of what is passed over


@dataclass
class Options:
    """What a conversion is asked to do, as `cyclegan.instruments.options` describes it to users."""

    inputs: Sequence[str]
    output: str
    rows: str
    pixels: str | None
    wavelength: str | None
    bits: int
    degree: int | None
    continuum: str | None
    like: str | None
    labels: str | None
    val: float
    test: float
    seed: int
    strict: bool


def subset_of(star: str, val: float, test: float, seed: int) -> str:
    """train, val or test, by the star's name alone: adding files never moves a star."""
    draw = int.from_bytes(hashlib.sha256(f"{seed} {star}".encode()).digest()[:8], "big") / 2**64
    return "val" if draw < val else "test" if draw < val + test else "train"


@dataclass
class Report:
    """What was read, masked, refused and passed over, by why; strict: the first refusal ends it all."""

    strict: bool
    passed_over: Mapping[str, Sequence[str]]
    spectra: Counter[str] = field(default_factory=Counter)  # written, by subset
    stars: dict[str, set[str]] = field(default_factory=lambda: {subset: set() for subset in SUBSETS})
    read: int = 0
    masked: dict[str, float] = field(default_factory=dict)  # summed shares of the spectra's pixels, by cause
    usable: float = 0.0
    refused: int = 0
    unlabelled: set[str] = field(default_factory=set)
    errors: bool = True  # whether the spectra have any
    missing: Sequence[str] | None = None  # labels for which a table has no column; None where there is no table

    def refuse(self, problem: InputError | str) -> None:
        """Name a problem on stderr and count it; InputError where the first one ends it all."""
        if self.strict:
            raise InputError(str(problem))
        self.refused += 1
        tqdm.write(printable(f"refused: {problem}"), file=sys.stderr)

    def mask(self, cause: str, pixels: torch.Tensor) -> None:
        """Count what a cause masks: pixels (B, P) bool. A pixel may have several causes."""
        self.masked[cause] = self.masked.get(cause, 0.0) + float(pixels.double().mean(dim=1).sum())

    def mask_uncovered(self, resampler: Resampler, count: int) -> None:
        """Count the new pixels of `count` spectra that no pixels of theirs cover wholly."""
        if resampler.weight is not None:
            self.mask("not covered", ~resampler.whole.expand(count, -1))

    @property
    def names(self) -> set[str]:
        """Of all stars that were written."""
        return set().union(*self.stars.values())

    def table(self) -> str:
        """All of it, as aligned lines."""
        lines = [f"{'':22}{'spectra':>10}{'stars':>10}"]
        lines += [
            f"{subset:22}{self.spectra[subset]:>10}{len(self.stars[subset]) or '-':>10}"
            for subset in SUBSETS
            if self.spectra[subset]
        ]
        lines.append(f"{'refused':22}{self.refused:>10}")
        for why, names in self.passed_over.items():
            told = [printable(name) for name in names[:NAMED]] + ["..."] * (len(names) > NAMED)
            lines.append(f"{why:22}{len(names):>10}  {', '.join(told)}")
        lines.append(f"{'masked pixels':22}{'share':>10}")
        shares = {**self.masked, "usable in the end": self.usable}
        lines += [f"  {cause:20}{share / self.read:>10.2%}" for cause, share in shares.items() if share]
        if not self.errors:
            lines.append("no errors ('spectra_err SUBSET') in the input: the output has none")
        if self.missing is not None:
            named = self.names
            without = f", no column for {', '.join(self.missing)}" if self.missing else ""
            lines.append(f"labels for {len(named - self.unlabelled)} of {len(named)} stars{without}")
        return "\n".join(lines)


class Piece(NamedTuple):
    """Spectra as they were read, on the new grid; what goes with them, n rows each; and what to call a bad row."""

    spectra: Spectra
    subset: np.ndarray
    columns: dict[str, np.ndarray]
    sources: list[str]


def pieces_of_files(
    reader: Reader,
    paths: Sequence[Path],
    options: Options,
    resampler: Resampler,
    labels: LabelTable | None,
    report: Report,
) -> Iterator[Piece]:
    """The spectra of an instrument's files, about BATCH at a time."""
    stars: list[Star] = []
    for path in tqdm(paths, "converting", unit="file", disable=None):
        try:
            stars.append(reader.read(path, options.rows))
        except InputError as problem:
            report.refuse(problem)
        if sum(len(star.visit) for star in stars) >= BATCH:
            yield _piece(reader, stars, options, resampler, labels, report)
            stars = []
    if stars:
        yield _piece(reader, stars, options, resampler, labels, report)


def _piece(
    reader: Reader,
    stars: list[Star],
    options: Options,
    resampler: Resampler,
    labels: LabelTable | None,
    report: Report,
) -> Piece:
    flux, error, bits = (
        torch.from_numpy(np.concatenate(arrays)) for arrays in zip(*(star[:3] for star in stars), strict=True)
    )
    sound = flux.isfinite() & error.isfinite() & (error > 0)
    taken = resampler.taken
    for bit, name in enumerate(reader.instrument.bits):
        if options.bits >> bit & 1:
            report.mask(name, bits[:, taken] >> bit & 1)
    report.mask("no flux or no error", ~sound[:, taken])
    report.mask_uncovered(resampler, len(flux))
    repeats = [len(star.visit) for star in stars]
    subset = np.repeat([subset_of(star.name, options.val, options.test, options.seed) for star in stars], repeats)
    columns = {
        "id": np.repeat([star.name for star in stars], repeats),
        "snr": np.concatenate([star.snr for star in stars]),
        "visit": np.concatenate([star.visit for star in stars]),
    }
    if labels is not None:
        found = labels.find(stars)
        report.unlabelled |= {star.name for star, row in zip(stars, found, strict=True) if np.isnan(row).all()}
        columns["labels"] = np.repeat(found, repeats, axis=0)
    sources = [f"{star.path}, visit {number}" if number else f"{star.path}" for star in stars for number in star.visit]
    return Piece(resampler(Spectra(flux, error, sound & (bits & options.bits == 0))), subset, columns, sources)


def pieces_of_hdf5(source: SpectraFile, resampler: Resampler, report: Report) -> Iterator[Piece]:
    """The spectra of a file in the HDF5 layout with all that goes with them, in their subsets."""
    with tqdm(total=sum(source.subsets.values()), unit="spectrum", disable=None) as progress:
        for subset, count in source.subsets.items():
            # Errors are in the unit of flux until the continuum is divided out: none is too large yet.
            for number, spectra in enumerate(source.chunks(subset, BATCH)):
                rows = slice(number * BATCH, number * BATCH + len(spectra.flux))
                report.mask("in the file", ~spectra.mask)
                report.mask_uncovered(resampler, len(spectra.flux))
                sources = [f"{source.path}, '{subset}' row {row}" for row in range(rows.start, rows.stop)]
                with source.reading():
                    columns = _columns(source.file, subset, rows, count)
                yield Piece(resampler(spectra), np.full(len(sources), subset), columns, sources)
                progress.update(len(sources))


def _columns(file: h5py.File, subset: str, rows: slice, count: int) -> dict[str, np.ndarray]:
    columns = {}
    for key, dataset in file.items():
        name, _, of = key.rpartition(" ")
        own = name in ("spectra", "spectra_err", "mask")
        if of == subset and not own and isinstance(dataset, h5py.Dataset) and dataset.shape[:1] == (count,):
            are_names = dataset.ndim == 1 and h5py.check_string_dtype(dataset.dtype) is not None
            columns[name] = np.array(read_names(dataset, rows), object) if are_names else dataset[rows]
    return columns


def store(piece: Piece, continuum: Continuum, writer: SpectraWriter, report: Report) -> None:
    """Normalise a batch, mask what is too uncertain, and write it; a spectrum with no usable pixel is refused."""
    spectra = continuum.normalize(piece.spectra)
    if not writer.errors:  # what stood for them was of the flux before it was normalised
        spectra = spectra._replace(error=torch.full_like(spectra.error, ERROR_FLOOR))
    report.mask("no continuum", piece.spectra.mask & ~spectra.mask)
    report.mask(f"error above {WORST_ERROR}", spectra.mask & (spectra.error > WORST_ERROR))
    spectra = spectra._replace(mask=spectra.mask & (spectra.error <= WORST_ERROR))
    report.read += len(spectra.flux)
    report.usable += float(spectra.mask.double().mean(dim=1).sum())
    alive = spectra.mask.any(dim=1).numpy()
    for row in np.flatnonzero(~alive):
        report.refuse(f"{piece.sources[row]}: expected usable pixels, got a spectrum that is masked throughout")
    for subset in np.unique(piece.subset[alive]):
        rows = np.flatnonzero(alive & (piece.subset == subset))
        columns = {name: values[rows] for name, values in piece.columns.items()}
        writer.append(subset, spectra.rows(torch.from_numpy(rows)), **columns)
        report.spectra[subset] += len(rows)
        report.stars[subset] |= set(columns.get("id", ()))


def store_all(pieces: Iterator[Piece], continuum: Continuum, writer: SpectraWriter, report: Report) -> None:
    """Store all batches and what normalised them. Raises InputError where nothing was left to store."""
    continuum.write(writer.file)
    for piece in pieces:
        store(piece, continuum, writer, report)
    if not report.spectra:
        raise InputError(f"IN: expected at least one usable spectrum, got {report.refused} refused and no other")


def convert_spectra(reader: Reader, options: Options) -> Report:
    """Convert options.inputs, files of an instrument or one HDF5 file of spectra, to options.output.

    Raises InputError for options that cannot be, where nothing could be read, and where a subset has no star.
    """
    output = Path(options.output)
    if output.suffix not in (".h5", ".hdf5"):
        raise InputError(f"OUT: expected a file name ending in .h5 after the inputs, got {output}")
    if not (options.val >= 0 and options.test >= 0 and options.val + options.test < 1):
        raise InputError(f"--val, --test: expected shares that leave some to train, got {options.val}, {options.test}")
    if options.degree is not None and options.degree < 0:
        raise InputError(f"--degree: expected 0 or more, got {options.degree}")
    named = {f"--{name}": getattr(options, name) for name in ("labels", "wavelength", "continuum", "like")}
    check_apart([output], named | {f"{given}": given for given in options.inputs})
    found = find_files(options.inputs, reader)
    paths, report = found.paths, Report(options.strict, found.passed_over)
    if any(is_hdf5(path) for path in paths):
        if len(paths) > 1 or options.labels:
            raise InputError(f"IN: expected {reader.files}, or one HDF5 file, and that without --labels")
        convert_hdf5(reader, paths[0], options, report)
    else:
        convert_files(reader, paths, options, report)
    return report


def convert_hdf5(reader: Reader, path: Path, options: Options, report: Report) -> None:
    """Bring spectra that are in the HDF5 layout already to another grid, and normalise them."""
    with SpectraFile(path, normalised=False, worst_error=np.inf) as source:
        own = source.wavelength.numpy()
        wavelength, continuum = _target(reader, options, own)
        pieces = pieces_of_hdf5(source, Resampler(own, wavelength), report)
        report.errors = source.has_errors
        with written_spectra(
            options.output,
            reader.instrument.name.lower(),
            torch.from_numpy(wavelength),
            source.label_names,
            errors=source.has_errors,
        ) as writer:
            store_all(pieces, continuum, writer, report)


def convert_files(reader: Reader, paths: Sequence[Path], options: Options, report: Report) -> None:
    """Convert an instrument's files; a star's name decides its subset."""
    instrument = reader.instrument
    wavelength, continuum = _target(reader, options, None)
    labels = reader.read_labels(Path(options.labels)) if options.labels else None
    report.missing = None if labels is None else labels.missing
    resampler = Resampler(instrument.wavelength, wavelength)
    pieces = pieces_of_files(reader, paths, options, resampler, labels, report)
    label_names = reader.label_names if labels is not None else ()
    with written_spectra(
        options.output, reader.instrument.name.lower(), torch.from_numpy(wavelength), label_names
    ) as writer:
        name = instrument.name.lower()
        writer.file.attrs.update({f"{name}_rows": options.rows, f"{name}_bits": options.bits})
        store_all(pieces, continuum, writer, report)
        for subset, share in zip(SUBSETS, (1, options.val, options.test), strict=True):
            if share and not report.spectra[subset]:
                raise InputError(
                    f"--val, --test: expected a star for each subset, got none of {len(report.names)} for '{subset}':"
                    " give more files, other shares (0 leaves a subset out) or another --seed"
                )


def _medium(path: str) -> str:
    """Of the wavelengths in a file: as an HDF5 file of spectra says, vacuum for all others."""
    if not is_hdf5(path):
        return "vacuum"
    expected = "a file of wavelengths"
    with open_hdf5(path, expected) as file, refusing(f"{path}: expected {expected}"):
        return read_medium(file)


def _target(reader: Reader, options: Options, own: np.ndarray | None) -> tuple[np.ndarray, Continuum]:
    """The grid to write, and the continuum on it; own: the grid of the input where that may be kept."""
    chosen = [
        f"--{name}" for name in ("pixels", "wavelength", "degree", "continuum") if getattr(options, name) is not None
    ]
    if options.like:
        if chosen:
            raise InputError(f"--like: expected no {', '.join(chosen)} beside it, which the file decides, got both")
        with SpectraFile(options.like) as like:
            wavelength = like.wavelength.numpy()
            continuum = Continuum.read(like.file, wavelength)
        if continuum is None:
            raise InputError(f"{options.like}: expected a file that this command wrote, got one without its continuum")
        return wavelength, continuum
    if options.pixels and options.wavelength:
        raise InputError("--pixels, --wavelength: expected one of them, got both")
    if options.wavelength:
        wavelength = read_wavelength(options.wavelength, _medium(options.wavelength))
    elif own is not None and not options.pixels:
        wavelength = own
    else:
        wavelength = reader.instrument.cut(options.pixels)
    pixels = read_continuum_pixels(options.continuum, wavelength) if options.continuum else None
    starts = np.union1d(chip_starts(wavelength), np.searchsorted(wavelength, reader.instrument.chip_bounds))
    return wavelength, Continuum(wavelength, DEGREE if options.degree is None else options.degree, pixels, starts)

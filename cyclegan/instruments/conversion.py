"""Spectra of an instrument's files to one HDF5 file: masked, on one grid, normalised, in subsets."""

import json
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch

from cyclegan.instruments.cross_correlation import Templates
from cyclegan.instruments.input_files import find_files
from cyclegan.instruments.instrument import LabelTable, Reader
from cyclegan.instruments.known import files_of, reader_of, reader_of_wavelengths, unknown_file
from cyclegan.instruments.options import DEGREE, Options, chosen_bits, chosen_cut, chosen_rows
from cyclegan.instruments.pieces import Conversion, Piece, pieces_of_hdf5
from cyclegan.instruments.report import Report
from cyclegan.instruments.velocities import Velocities, read_velocities
from cyclegan.spectra.continuum import Continuum
from cyclegan.spectra.continuum_files import read_continuum, read_continuum_pixels, write_continuum
from cyclegan.spectra.files import SUBSETS, SpectraFile, read_medium
from cyclegan.spectra.joining import REPORT
from cyclegan.spectra.resampling import Resampler
from cyclegan.spectra.spectra import ERROR_FLOOR, WORST_ERROR
from cyclegan.spectra.writer import SpectraWriter, written_spectra
from emulator.commands.errors import InputError, refusing
from emulator.commands.outputs import check_apart
from emulator.hdf5 import is_hdf5, open_hdf5
from emulator.instrument import Instrument
from emulator.parts import MADE_OF
from emulator.wavelength import chip_starts
from emulator.wavelength_files import read_wavelength

# Options that mean nothing to spectra in HDF5, which are in subsets already.
OF_FILES = ("rows", "bits", "labels", "velocities", "velocity", "val", "test", "seed")


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


def store_all(pieces: Iterable[Piece], continuum: Continuum, writer: SpectraWriter, report: Report) -> None:
    """Store all batches and what normalised them."""
    write_continuum(continuum, writer.file)
    for piece in pieces:
        store(piece, continuum, writer, report)


def check_any(report: Report) -> None:
    """Raise InputError where nothing was left to store."""
    if not report.spectra:
        raise _nothing(report)


def _nothing(report: Report) -> InputError:
    return InputError(f"IN: expected at least one usable spectrum, got {report.refused} refused and no other")


def named_files(options: Options) -> dict[str, str | None]:
    """What options name beside the inputs, by the option."""
    names = ("labels", "velocities", "velocity", "wavelength", "continuum", "like")
    return {f"--{name}": getattr(options, name) for name in names}


def convert_spectra(readers: Sequence[Reader], options: Options, made_of: str | None = None) -> Report:
    """Convert options.inputs, files of one of the readers' instruments or one HDF5 file of spectra, to options.target.

    made_of: what a part says of itself. Raises InputError for options that the instrument does not have, for files of
    two instruments, where nothing could be read, and where a subset has no star; of a part these two are not asked.
    """
    check_apart([Path(options.output)], named_files(options) | {f"{given}": given for given in options.inputs})
    found = find_files(options.inputs, readers)
    paths, report = found.paths, Report(options.strict, found.passed_over)
    if any(is_hdf5(path) for path in paths):
        if len(paths) > 1:
            raise InputError(f"IN: expected {files_of(readers)}, or one HDF5 file, got one among {len(paths)} files")
        if vain := [f"--{name}" for name in OF_FILES if getattr(options, name) is not None]:
            raise InputError(f"{', '.join(vain)}: expected files of an instrument beside it, got HDF5, {paths[0]}")
        convert_hdf5(readers, paths[0], options, report, made_of)
    else:
        convert_files(readers, paths, options, report, made_of)
    return report


def _tell_part(writer: SpectraWriter, report: Report, made_of: str) -> None:
    """Write what a part has to say to those who join it."""
    writer.file.attrs[MADE_OF] = made_of
    writer.file[REPORT] = json.dumps(report.to_plain())


def convert_hdf5(readers: Sequence[Reader], path: Path, options: Options, report: Report, made_of: str | None) -> None:
    """Bring spectra that are in the HDF5 layout already to another grid, and normalise them."""
    with SpectraFile(path, normalised=False, worst_error=np.inf) as source:
        own = source.wavelength.numpy()
        reader = reader_of_wavelengths(own, readers)
        wavelength, continuum = grid_and_continuum(reader.instrument, options, own)
        pieces = pieces_of_hdf5(source, options.share, _resampler(own, wavelength, options), report)
        report.errors = source.has_errors
        with written_spectra(
            options.target,
            reader.instrument.name.lower(),
            torch.from_numpy(wavelength),
            source.label_names,
            errors=source.has_errors,
        ) as writer:
            store_all(pieces, continuum, writer, report)
            if made_of is None:
                check_any(report)
            else:
                _tell_part(writer, report, made_of)


def convert_files(
    readers: Sequence[Reader], paths: Sequence[Path], options: Options, report: Report, made_of: str | None
) -> None:
    """Convert files of the instrument that the first of them is of; a star's name decides its subset."""
    reader = _reader_of_all(readers, paths, report)
    instrument, rows, bits = reader.instrument, chosen_rows(options, reader), chosen_bits(options, reader.instrument)
    wavelength, continuum = grid_and_continuum(instrument, options, None)
    labels = reader.read_labels(Path(options.labels)) if options.labels else None
    report.missing = None if labels is None else labels.missing
    others = [other for other in readers if other is not reader]
    resampler = _resampler(instrument.wavelength, wavelength, options)
    velocities = _velocities(instrument, options, labels)
    report.measured = velocities.measured
    pieces = Conversion(reader, others, rows, bits, options, resampler, labels, velocities, report).pieces(paths)
    first = list(islice(pieces, 1))
    label_names = reader.label_names if any("labels" in piece.columns for piece in first) else ()
    if label_names and labels is None:
        report.missing = ()
    name = instrument.name.lower()
    with written_spectra(
        options.target, name, torch.from_numpy(wavelength), label_names, errors=report.errors
    ) as writer:
        writer.file.attrs.update({f"{name}_rows": rows, f"{name}_bits": bits})
        store_all(chain(first, pieces), continuum, writer, report)
        if made_of is None:
            check_any(report)
            check_subsets(report, options)
        else:
            _tell_part(writer, report, made_of)


def check_subsets(report: Report, options: Options) -> None:
    """Raise InputError where a subset was to get stars, and got none."""
    for subset, share in zip(SUBSETS, (1, *options.shares), strict=True):
        if share and not report.spectra[subset]:
            raise InputError(
                f"--val, --test: expected a star for each subset, got none of {len(report.names)} for '{subset}':"
                " give more files, other shares (0 leaves a subset out) or another --seed"
            )


def _velocities(instrument: Instrument, options: Options, labels: LabelTable | None) -> Velocities:
    """What tells velocities of stars beside their files."""
    return Velocities(
        read_velocities(options.velocities) if options.velocities else None,
        labels.velocities if labels is not None else None,
        Templates.read(options.velocity, instrument.wavelength) if options.velocity else None,
    )


def _reader_of_all(readers: Sequence[Reader], paths: Sequence[Path], report: Report) -> Reader:
    """The one reader, or of several the one that recognises the first file that any does; InputError for none."""
    if len(readers) == 1:
        return readers[0]
    for path in paths:
        if reader := reader_of(path, readers):
            return reader
    for path in paths:
        report.refuse(unknown_file(path, readers))
    raise _nothing(report)


def _resampler(own: np.ndarray, wavelength: np.ndarray, options: Options) -> Resampler:
    """From a grid to that of the options; InputError, told of what chose it, where they have nothing in common."""
    try:
        return Resampler(own, wavelength)
    except InputError as problem:
        raise InputError(f"{options.like or options.wavelength or '--pixels'}: {problem}") from problem


def _medium(path: str) -> str:
    """Of the wavelengths in a file: as an HDF5 file of spectra says, vacuum for all others."""
    if not is_hdf5(path):
        return "vacuum"
    expected = "a file of wavelengths"
    with open_hdf5(path, expected) as file, refusing(f"{path}: expected {expected}"):
        return read_medium(file)


def grid_and_continuum(
    instrument: Instrument, options: Options, own: np.ndarray | None
) -> tuple[np.ndarray, Continuum]:
    """The grid to write, and the continuum on it; own: the grid of the input where that may be kept."""
    chosen = [
        f"--{name}" for name in ("pixels", "wavelength", "degree", "continuum") if getattr(options, name) is not None
    ]
    if options.like:
        if chosen:
            raise InputError(f"--like: expected no {', '.join(chosen)} beside it, which the file decides, got both")
        with SpectraFile(options.like) as like:
            wavelength = like.wavelength.numpy()
            continuum = read_continuum(like.file, wavelength)
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
        wavelength = chosen_cut(options, instrument)
    pixels = read_continuum_pixels(options.continuum, wavelength) if options.continuum else None
    starts = np.union1d(chip_starts(wavelength), np.searchsorted(wavelength, instrument.chip_bounds))
    return wavelength, Continuum(wavelength, DEGREE if options.degree is None else options.degree, pixels, starts)

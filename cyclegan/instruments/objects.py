"""Spectra in memory, specutils' Spectrum, to one HDF5 file, as those of files are."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cyclegan.instruments.conversion import check_subsets, grid_and_continuum, store_all
from cyclegan.instruments.known import READERS, reader_of_wavelengths
from cyclegan.instruments.label_columns import NAMES
from cyclegan.instruments.names import star_name
from cyclegan.instruments.options import SEED, SHARE, Options, check_numbers
from cyclegan.instruments.pieces import Piece
from cyclegan.instruments.report import Report
from cyclegan.spectra.spectra import ERROR_FLOOR, Spectra
from cyclegan.spectra.spectrum_objects import has_errors, is_spectrum, on_grid, rest_wavelength
from cyclegan.spectra.writer import written_spectra
from emulator.commands.errors import InputError, refusing
from emulator.wavelength import checked_wavelength


def convert_objects(
    spectra: Any,
    output: str | Path,
    names: Sequence[str] | None = None,
    labels: Mapping[str, Sequence[float]] | None = None,
    *,
    medium: str | None = None,
    wavelength: np.ndarray | None = None,
    like: str | Path | None = None,
    degree: int | None = None,
    val: float = SHARE,
    test: float = SHARE,
    seed: int = SEED,
) -> Report:
    """Write a Spectrum of specutils, or a list of them, each of one star or more, as `cyclegan.convert` writes files.

    They are put on one grid, `wavelength` (P,) in vacuum Angstrom, that of the file `like`, or that of the first of
    them; in the rest frame that their `redshift` or `radial_velocity` gives; and divided by their continuum. Errors
    come from their uncertainties, all of them or none; masked pixels are masked. names: of the stars, by default what
    their `meta` tells, or else their numbers; labels: by name, one of each for each star. medium: vacuum or air, by
    default what they say themselves. like, degree, val, test and seed: as the options of the command.

    Raises InputError for what is no such Spectrum, has no usable pixel, or has no wavelength of the grid; for names and
    labels of another number of stars; for wavelengths that are none; and where a subset would have no star.
    """
    objects = [spectra] if is_spectrum(spectra) else list(spectra)
    if not objects or not all(map(is_spectrum, objects)):
        raise InputError("spectra: expected a Spectrum of specutils or a list of them, got something else")
    with_errors = {has_errors(spectrum) for spectrum in objects}
    if len(with_errors) > 1:
        raise InputError("spectra: expected uncertainties in all of them or in none, got some without")
    if like is not None and wavelength is not None:
        raise InputError("like: expected no wavelength beside it, which the file decides, got both")
    if wavelength is None:
        own = np.sort(rest_wavelength(objects[0], medium, "spectra[0]"))
    else:
        own = checked_wavelength(np.asarray(wavelength), "wavelength")
    as_text = None if like is None else str(like)
    options = Options((), str(output), degree=degree, like=as_text, val=val, test=test, seed=seed, strict=True)
    check_numbers(options)
    name = reader_of_wavelengths(own, READERS).instrument.name.lower()
    grid, continuum = grid_and_continuum(reader_of_wavelengths(own, READERS).instrument, options, own)
    report = Report(strict=True, passed_over={}, errors=with_errors == {True})
    pieces = _pieces(objects, grid, medium, names, labels or {}, options)
    with written_spectra(output, name, torch.from_numpy(grid), tuple(labels or ()), errors=report.errors) as writer:
        store_all(pieces, continuum, writer, report)
        check_subsets(report, options)
    return report


def _pieces(
    objects: Sequence[Any],
    grid: np.ndarray,
    medium: str | None,
    names: Sequence[str] | None,
    labels: Mapping[str, Sequence[float]],
    options: Options,
) -> Iterator[Piece]:
    """A piece for each Spectrum."""
    stars = [spectrum.flux.size // len(spectrum.spectral_axis) for spectrum in objects]
    for what, given in {"names": names, **{f"labels['{name}']": values for name, values in labels.items()}}.items():
        if given is not None and len(given) != sum(stars):
            raise InputError(f"{what}: expected one for each of {sum(stars)} stars, got {len(given)}")
    with refusing("labels: expected numbers", "others"):
        table = np.array([np.asarray(values, "float32") for values in labels.values()]).T
    first = 0
    for number, (spectrum, count) in enumerate(zip(objects, stars, strict=True)):
        where, rows = f"spectra[{number}]", slice(first, first + count)
        found = on_grid(spectrum, grid, medium, where, unit=None)
        error = found.error if has_errors(spectrum) else torch.full_like(found.error, ERROR_FLOOR)
        told = names[rows] if names is not None else [_name(spectrum, row, first + row) for row in range(count)]
        ids = [star_name([name], f"names of {where}") for name in told]
        columns = {"id": np.array(ids, str)} | ({"labels": table[rows]} if labels else {})
        subset = [options.subset_of(name) for name in ids]
        yield Piece(Spectra(found.flux.float(), error.float(), found.mask), np.array(subset), columns, [where] * count)
        first += count


def _name(spectrum: Any, row: int, number: int) -> str:
    """What a Spectrum's meta calls one of its stars, the star's number where it does not."""
    meta = spectrum.meta or {}
    for told in (meta, meta.get("header") or {}):
        found = {str(key).upper(): value for key, value in dict(told).items()}
        for key in (key for key in NAMES if key in found):
            values = np.ravel(found[key])
            name = str(values[row if row < len(values) else 0]).strip()
            if name:
                return name
    return str(number)

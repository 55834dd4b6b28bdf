"""python -m cyclegan.apogee IN... OUT.h5: APOGEE spectra from the survey's FITS files to the HDF5 layout."""

import argparse
import hashlib
import re
import sys
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, NoReturn

import h5py
import numpy as np
import torch
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning
from tqdm import tqdm

from cyclegan.continuum import Continuum, read_continuum_pixels
from cyclegan.files import SPLITS, SpectraFile, SpectraWriter, written_spectra
from cyclegan.resampling import Resampler
from cyclegan.spectra import WORST_ERROR, Spectra
from emulator.command import InputError, errors_in_one_line, exit_when_terminated
from emulator.labels import ABUNDANCES, LABELS
from emulator.wavelength import (
    APOGEE_CUTS,
    APOGEE_WAVELENGTH,
    LOG_START,
    LOG_STEP,
    PIXELS,
    chip_starts,
    read_wavelength,
)

CHIP_BOUNDS = APOGEE_WAVELENGTH[[3430, 6212]]  # in the middle of the two gaps between the chips

# https://www.sdss.org/dr17/algorithms/bitmasks (APOGEE_PIXMASK)
BIT_NAMES = (
    "BADPIX", "CRPIX", "SATPIX", "UNFIXABLE", "BADDARK", "BADFLAT", "BADERR", "NOSKY", "LITTROW_GHOST", "PERSIST_HIGH",
    "PERSIST_MED", "PERSIST_LOW", "SIG_SKYLINE", "SIG_TELLURIC", "NOT_ENOUGH_PSF", "POORSNR",
)  # fmt: skip
BAD_BITS = 16639 | 1 << 12 | 1 << 13  # what the survey itself calls bad, and residuals of sky and telluric lines
BATCH = 256  # spectra
# What astropy raises for a file whose bytes are not what they were.
DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    zlib.error,
    AstropyUserWarning,
)


class Star(NamedTuple):
    """The spectra of one file: flux, error and bits (n, P) of APOGEE_PIXMASK; visit (n,), 0 = combined; snr (n,).

    Flux and error are in the file's unit. telescope and field are empty where the file does not tell them.
    """

    flux: np.ndarray
    error: np.ndarray
    bits: np.ndarray
    visit: np.ndarray
    snr: np.ndarray
    name: str
    path: Path
    telescope: str
    field: str


def read_star(path: str | Path, rows: str = "combined") -> Star:
    """The combined spectrum of an apStar or aspcapStar file of DR12 to DR17, or its `visits`, on APOGEE_WAVELENGTH.

    apStar: HDU 1 flux, 2 error, 3 bit mask; of several visits, row 0 is the coadd with a weight for each pixel, row 1
    with one for each visit, and the visits follow; of one visit there is just that. aspcapStar: HDU 1 flux, 2 error,
    3 the model, and no bit mask. Raises InputError for a file that is not such a one, or is truncated.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: expected a FITS file, found none")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyUserWarning)
            warnings.filterwarnings("error", "File may have been truncated", AstropyUserWarning)
            with fits.open(path, memmap=False) as hdus:
                len(hdus)  # reads all headers, so that a truncated file is found out
                return _star(hdus, path, rows)
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(f"{path}: expected a FITS file, got a damaged or other one ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return re.split(r"\n|\. ", str(error).strip())[0].rstrip(".") or type(error).__name__


def _star(hdus: fits.HDUList, path: Path, rows: str) -> Star:
    expected = (
        f"{path}: expected an apStar or aspcapStar file, {PIXELS} pixels from log10(wavelength) {LOG_START}"
        f" in steps of {LOG_STEP:g}"
    )
    if len(hdus) < 4 or not all(isinstance(hdu, fits.ImageHDU) for hdu in hdus[1:4]):
        raise InputError(f"{expected} in HDU 1 to 3, got {', '.join(type(hdu).__name__ for hdu in hdus[:4])}")
    header = hdus[1].header
    grid = tuple(header.get(key, hdus[0].header.get(key)) for key in ("NAXIS1", "CRVAL1", "CDELT1"))
    if grid[0] != PIXELS or None in grid or not np.allclose(grid[1:], (LOG_START, LOG_STEP), rtol=1e-6, atol=0):
        raise InputError(f"{expected}, got {grid[0]} from {grid[1]} in steps of {grid[2]}")
    if len({hdu.shape for hdu in hdus[1:4]}) > 1 or len(hdus[1].shape) > 2:
        raise InputError(f"{expected}, got HDU 1 to 3 of shapes {', '.join(str(hdu.shape) for hdu in hdus[1:4])}")
    flux, error, third = (np.atleast_2d(hdu.data) for hdu in hdus[1:4])
    has_bits = third.dtype.kind in "iu"
    if rows == "visits" and not has_bits:
        raise InputError(f"{path}: expected an apStar file, which holds visits, got an aspcapStar file")
    if len(flux) == 2:
        raise InputError(f"{path}: expected 1 spectrum, or 2 combined ones and the visits, got 2")
    first = 2 if len(flux) > 2 else 0
    picked = slice(first, None) if rows == "visits" else slice(0, 1)
    count = len(flux[picked])
    visit = np.arange(1, count + 1) if rows == "visits" else np.zeros(1, int)
    about = hdus[0].header
    if not has_bits and len(hdus) > 4:  # aspcapStar tells about its star in a table of one row
        told = set(hdus[4].columns.names).intersection(("APOGEE_ID", "SNR", "TELESCOPE", "FIELD"))
        about = {key: hdus[4].data[key][0] for key in told}
    snr = [about.get(f"SNRVIS{number}" if number else "SNR", np.nan) for number in visit]
    return Star(
        flux[picked].astype("float32"),
        error[picked].astype("float32"),
        third[picked].astype("int32") if has_bits else np.zeros((count, PIXELS), "int32"),
        visit,
        np.array(snr, "float32"),
        str(about.get("OBJID") or about.get("APOGEE_ID") or _name_of(path)).strip(),
        path,
        str(about.get("TELESCOP") or about.get("TELESCOPE") or "").strip(),
        str(about.get("FIELD") or "").strip(),
    )


def _name_of(path: Path) -> str:
    """apStar-dr17-2M00000002+7417074.fits, aspcapStar-r5-v603-2M..., asStar-...: what follows the versions."""
    stem = path.name.removesuffix(".gz").removesuffix(".fits")
    return re.sub(r"^\w*Star\w*-((dr|[rstvl])\d[\w.]*-)*", "", stem)


class StarLabels:
    """The labels of stars from the survey's allStar table, as the columns LABELS.

    TEFF, LOGG, VMICRO, VMACRO, FE_H and X_FE, with [X/H] = X_FE + FE_H. In DR12 [X/H] is a column of its own and the
    microturbulence is 10^PARAM[2]. missing: the labels that the table has no column for. Values below -999 mean
    unknown. The table is mapped, not read: it has 3 GB.
    Raises InputError where the file is no such table.
    """

    def __init__(self, path: str | Path) -> None:
        try:
            with fits.open(path, memmap=True) as hdus:  # what is mapped stays so
                self.table = hdus[1].data
                self.columns = set(hdus[1].columns.names)
                named = self.table["APOGEE_ID"] if "APOGEE_ID" in self.columns else []
                names = np.char.strip(np.asarray(named).astype(str))
        except DAMAGE as error:
            raise InputError(f"{path}: expected an allStar table in FITS, got '{_first_line(error)}'") from error
        self.missing = [name for name in LABELS if not self._sources(name)]
        if "APOGEE_ID" not in self.columns or len(self.missing) == len(LABELS):
            columns = ", ".join(sorted(self.columns)[:8])
            raise InputError(f"{path}: expected columns APOGEE_ID, TEFF, LOGG, FE_H, ..., got {columns}")
        self.order = np.argsort(names, kind="stable")
        self.names = names[self.order]

    def _sources(self, label: str) -> list[str]:
        """The columns to add up."""
        if label in ABUNDANCES:
            choices = [[label.upper()], [label.upper().replace("_H", "_FE"), "FE_H"]]
        else:
            named = {"vmic": "VMICRO", "vmacro": "VMACRO"}.get(label, label.upper())
            choices = [[named], ["PARAM"]] if label == "vmic" else [[named]]
        return next((choice for choice in choices if self.columns.issuperset(choice)), [])

    def find(self, stars: Sequence[Star]) -> np.ndarray:
        """Labels (n, len(LABELS)) of n stars, NaN where unknown.

        Of several rows with a star's name, the one of its telescope, field and file, then that of the highest SNR.
        """
        found = [self._row(star) for star in stars]
        known = [number for number, row in enumerate(found) if row is not None]
        labels = np.full((len(stars), len(LABELS)), np.nan, "float32")
        if known:
            rows = self.table[[found[number] for number in known]]
            labels[known] = np.stack([self._values(rows, name) for name in LABELS], axis=1)
        return labels

    def _row(self, star: Star) -> int | None:
        first, last = (np.searchsorted(self.names, star.name, side) for side in ("left", "right"))
        candidates = self.order[first:last]
        if len(candidates) == 0:
            return None
        rows, rank = self.table[candidates], np.zeros(len(candidates))
        for column, value in (("TELESCOPE", star.telescope), ("FIELD", star.field), ("FILE", star.path.name)):
            if column in self.columns:
                rank += np.char.strip(np.asarray(rows[column]).astype(str)) == value
        snr = np.asarray(rows["SNR"], float) if "SNR" in self.columns else rank
        return int(candidates[np.lexsort((np.nan_to_num(snr), rank))[-1]])

    def _values(self, rows: fits.FITS_rec, label: str) -> np.ndarray:
        if not (sources := self._sources(label)):
            return np.full(len(rows), np.nan)
        values = np.stack([np.asarray(rows[s][:, 2] if s == "PARAM" else rows[s], float) for s in sources])
        values = np.where(values < -999, np.nan, values).sum(axis=0)
        return 10**values if sources == ["PARAM"] else values


def split_of(star: str, val: float, test: float, seed: int) -> str:
    """train, val or test, by the star's name alone: adding files never moves a star."""
    draw = int.from_bytes(hashlib.sha256(f"{seed} {star}".encode()).digest()[:8], "big") / 2**64
    return "val" if draw < val else "test" if draw < val + test else "train"


@dataclass
class Report:
    """What was read, masked and refused; strict: the first refusal ends it all."""

    strict: bool
    spectra: Counter = field(default_factory=Counter)  # written, by split
    stars: dict[str, set[str]] = field(default_factory=lambda: {split: set() for split in SPLITS})
    read: int = 0
    masked: Counter = field(default_factory=Counter)  # summed shares of the spectra's pixels, by cause
    usable: float = 0.0
    refused: int = 0
    unlabelled: set[str] = field(default_factory=set)
    missing: Sequence[str] | None = None  # labels for which a table has no column; None where there is no table

    def refuse(self, problem: InputError | str) -> None:
        if self.strict:
            raise InputError(str(problem))
        self.refused += 1
        tqdm.write(f"refused: {problem}", file=sys.stderr)

    def mask(self, cause: str, pixels: torch.Tensor) -> None:
        """Count what a cause masks: pixels (B, P) bool. A pixel may have several causes."""
        self.masked[cause] += float(pixels.double().mean(dim=1).sum())

    @property
    def names(self) -> set[str]:
        return set().union(*self.stars.values())

    def table(self) -> str:
        lines = [f"{'':22}{'spectra':>10}{'stars':>10}"]
        lines += [
            f"{split:22}{self.spectra[split]:>10}{len(self.stars[split]) or '-':>10}"
            for split in SPLITS
            if self.spectra[split]
        ]
        lines.append(f"{'refused':22}{self.refused:>10}")
        lines.append(f"{'masked pixels':22}{'share':>10}")
        shares = {**self.masked, "usable in the end": self.usable}
        lines += [f"  {cause:20}{share / self.read:>10.2%}" for cause, share in shares.items() if share]
        if self.missing is not None:
            named = self.names
            without = f", no column for {', '.join(self.missing)}" if self.missing else ""
            lines.append(f"labels for {len(named - self.unlabelled)} of {len(named)} stars{without}")
        return "\n".join(lines)


class Batch(NamedTuple):
    """Spectra as they were read, on the new grid; what goes with them, n rows each; and what to call a bad row."""

    spectra: Spectra
    split: np.ndarray
    columns: dict[str, np.ndarray]
    sources: list[str]


def fits_batches(
    paths: Sequence[Path], options: argparse.Namespace, resampler: Resampler, labels: StarLabels | None, report: Report
) -> Iterator[Batch]:
    """The spectra of apStar and aspcapStar files, about BATCH at a time."""
    stars = []
    for path in tqdm(paths, "converting", unit="file", disable=None):
        try:
            stars.append(read_star(path, options.rows))
        except InputError as problem:
            report.refuse(problem)
        if sum(len(star.visit) for star in stars) >= BATCH:
            yield _fits_batch(stars, options, resampler, labels, report)
            stars = []
    if stars:
        yield _fits_batch(stars, options, resampler, labels, report)


def _fits_batch(
    stars: list[Star], options: argparse.Namespace, resampler: Resampler, labels: StarLabels | None, report: Report
) -> Batch:
    flux, error, bits = (torch.from_numpy(np.concatenate([getattr(s, k) for s in stars])) for k in Star._fields[:3])
    sound = flux.isfinite() & error.isfinite() & (error > 0)
    taken = resampler.taken
    for bit, name in enumerate(BIT_NAMES):
        if options.bits >> bit & 1:
            report.mask(name, bits[:, taken] >> bit & 1)
    report.mask("no flux or no error", ~sound[:, taken])
    repeats = [len(star.visit) for star in stars]
    split = np.repeat([split_of(star.name, options.val, options.test, options.seed) for star in stars], repeats)
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
    return Batch(resampler(Spectra(flux, error, sound & (bits & options.bits == 0))), split, columns, sources)


def hdf5_batches(source: SpectraFile, resampler: Resampler, report: Report) -> Iterator[Batch]:
    """The spectra of a file in the HDF5 layout with all that goes with them, in their splits."""
    with tqdm(total=sum(source.splits.values()), unit="spectrum", disable=None) as progress:
        for split, count in source.splits.items():
            # Errors are in the unit of flux until the continuum is divided out: none is too large yet.
            for number, spectra in enumerate(source.chunks(split, BATCH, worst_error=np.inf)):
                rows = slice(number * BATCH, number * BATCH + len(spectra.flux))
                report.mask("in the file", ~spectra.mask)
                sources = [f"{source.path}, '{split}' row {row}" for row in range(rows.start, rows.stop)]
                yield Batch(
                    resampler(spectra), np.full(len(sources), split), _columns(source.file, split, rows, count), sources
                )
                progress.update(len(sources))


def _columns(file: h5py.File, split: str, rows: slice, count: int) -> dict[str, np.ndarray]:
    columns = {}
    for key, dataset in file.items():
        name, _, of = key.rpartition(" ")
        own = name in ("spectra", "spectra_err", "mask")
        if of == split and not own and isinstance(dataset, h5py.Dataset) and dataset.shape[:1] == (count,):
            columns[name] = dataset.asstr()[rows] if h5py.check_string_dtype(dataset.dtype) else dataset[rows]
    return columns


def store(batch: Batch, continuum: Continuum, writer: SpectraWriter, report: Report) -> None:
    """Normalise a batch, mask what is too uncertain, and write it; a spectrum with no usable pixel is refused."""
    spectra = continuum.normalize(batch.spectra)
    report.mask("no continuum", batch.spectra.mask & ~spectra.mask)
    report.mask(f"error above {WORST_ERROR}", spectra.mask & (spectra.error > WORST_ERROR))
    spectra = spectra._replace(mask=spectra.mask & (spectra.error <= WORST_ERROR))
    report.read += len(spectra.flux)
    report.usable += float(spectra.mask.double().mean(dim=1).sum())
    alive = spectra.mask.any(dim=1).numpy()
    for row in np.flatnonzero(~alive):
        report.refuse(f"{batch.sources[row]}: expected usable pixels, got a spectrum that is masked throughout")
    for split in np.unique(batch.split[alive]):
        rows = np.flatnonzero(alive & (batch.split == split))
        columns = {name: values[rows] for name, values in batch.columns.items()}
        writer.append(split, spectra.rows(torch.from_numpy(rows)), **columns)
        report.spectra[split] += len(rows)
        report.stars[split] |= set(columns.get("id", ()))


def store_all(batches: Iterator[Batch], continuum: Continuum, writer: SpectraWriter, report: Report) -> None:
    """Store all batches and what normalised them. Raises InputError where nothing was left to store."""
    continuum.write(writer.file)
    for batch in batches:
        store(batch, continuum, writer, report)
    if not report.spectra:
        raise InputError(f"IN: expected at least one usable spectrum, got {report.refused} refused and no other")


def convert(options: argparse.Namespace) -> Report:
    """Convert options.inputs to options.output, as `parser` describes the options.

    Raises InputError for options that cannot be, where nothing could be read, and where a split has no star.
    """
    output = Path(options.output)
    if output.suffix not in (".h5", ".hdf5"):
        raise InputError(f"OUT: expected a file name ending in .h5 after the inputs, got {output}")
    if not (options.val >= 0 and options.test >= 0 and options.val + options.test < 1):
        raise InputError(f"--val, --test: expected shares that leave some to train, got {options.val}, {options.test}")
    if options.degree is not None and options.degree < 0:
        raise InputError(f"--degree: expected 0 or more, got {options.degree}")
    paths, report = _expand(options.inputs), Report(options.strict)
    if any(path.is_file() and h5py.is_hdf5(path) for path in paths):
        if len(paths) > 1 or options.labels or output.resolve() == paths[0].resolve():
            raise InputError("IN: expected FITS files, or one HDF5 file, another than OUT and without --labels")
        with SpectraFile(paths[0], normalised=False) as source:
            own = source.wavelength.numpy()
            wavelength, continuum = _target(options, own)
            batches = hdf5_batches(source, Resampler(own, wavelength), report)
            with written_spectra(output, torch.from_numpy(wavelength), source.label_names) as writer:
                store_all(batches, continuum, writer, report)
        return report
    wavelength, continuum = _target(options, None)
    labels = StarLabels(options.labels) if options.labels else None
    report.missing = labels and labels.missing
    batches = fits_batches(paths, options, Resampler(APOGEE_WAVELENGTH, wavelength), labels, report)
    with written_spectra(output, torch.from_numpy(wavelength), LABELS if labels else ()) as writer:
        writer.file.attrs.update(apogee_rows=options.rows, apogee_bits=options.bits)
        store_all(batches, continuum, writer, report)
        for split, share in zip(SPLITS, (1, options.val, options.test), strict=True):
            if share and not report.spectra[split]:
                raise InputError(
                    f"--val, --test: expected a star for each split, got none of {len(report.names)} for '{split}':"
                    " give more files, other shares (0 leaves a split out) or another --seed"
                )
    return report


def _expand(inputs: Sequence[str]) -> list[Path]:
    paths = []
    for given in map(Path, inputs):
        found = sorted([*given.rglob("*.fits"), *given.rglob("*.fits.gz")]) if given.is_dir() else [given]
        if not found:
            raise InputError(f"{given}: expected FITS files in this folder, found none")
        paths += found
    return paths


def _target(options: argparse.Namespace, own: np.ndarray | None) -> tuple[np.ndarray, Continuum]:
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
        wavelength = read_wavelength(options.wavelength)
    else:
        cut = APOGEE_WAVELENGTH[APOGEE_CUTS[options.pixels or "7214"]]
        wavelength = own if own is not None and not options.pixels else cut
    pixels = read_continuum_pixels(options.continuum, wavelength) if options.continuum else None
    starts = np.union1d(chip_starts(wavelength), np.searchsorted(wavelength, CHIP_BOUNDS))
    return wavelength, Continuum(wavelength, 3 if options.degree is None else options.degree, pixels, starts)


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (--help lists the options)")


def bit_mask(text: str) -> int:
    """A number that may be written as 0x... or 0b..."""
    return int(text, 0)


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = Parser(prog="python -m cyclegan.apogee", description=__doc__.partition(": ")[2], allow_abbrev=False)
    add = parser.add_argument
    add("inputs", metavar="IN", nargs="+", help="apStar and aspcapStar files, folders of them, or one HDF5 file")
    add("output", metavar="OUT.h5", help="the file to write")
    add("--rows", choices=("combined", "visits"), default="combined", help="of apStar files (default: combined)")
    add("--pixels", choices=APOGEE_CUTS, help="of the survey's 8575 pixels, which chips keep (default: 7214)")
    add("--wavelength", metavar="FILE", help="resample to these vacuum wavelengths instead, conserving flux")
    add("--bits", type=bit_mask, default=BAD_BITS, help="that mask a pixel (default: %(default)s)")
    add("--degree", type=int, help="of the continuum's Chebyshev polynomials (default: 3)")
    add("--continuum", metavar="FILE", help="continuum pixels or their wavelengths (default: found by clipping)")
    add("--like", metavar="FILE.h5", help="take grid and continuum from a file that this command wrote")
    add("--labels", metavar="FILE", help="the survey's allStar table, to join labels from")
    add("--val", type=float, default=0.1, help="share of the stars (default: %(default)s)")
    add("--test", type=float, default=0.1, help="share of the stars (default: %(default)s)")
    add("--seed", type=int, default=1, help="of the splits (default: %(default)s)")
    add("--strict", action="store_true", help="stop at the first file that is refused")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    with errors_in_one_line():
        print(convert(parser().parse_args(arguments)).table())


if __name__ == "__main__":
    exit_when_terminated()
    main()

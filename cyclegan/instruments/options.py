"""The options of a command that converts instruments' files."""

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from cyclegan.instruments.instrument import Reader
from cyclegan.instruments.known import files_of
from emulator.commands.errors import InputError
from emulator.commands.overrides import at_home
from emulator.commands.parts import MOST_PARTS, WHOLE, Part
from emulator.instrument import Instrument

DEGREE = 3  # of the continuum's polynomials
SHARE, SEED = 0.1, 1  # of the stars, for val and for test each; by which these are drawn


@dataclass
class Options:
    """What a conversion is asked to do, as the command's help describes it. None: what the instrument has for it."""

    inputs: Sequence[str]
    output: str
    rows: str | None = None
    pixels: str | None = None
    wavelength: str | None = None
    bits: int | None = None
    degree: int | None = None
    continuum: str | None = None
    like: str | None = None
    labels: str | None = None
    velocities: str | None = None
    velocity: str | None = None
    val: float | None = None
    test: float | None = None
    seed: int | None = None
    strict: bool = False
    part: str | None = None
    parts: int | None = None

    @property
    def share(self) -> Part:
        """The part of the work that is asked for; InputError for what is none."""
        return WHOLE if self.part is None else Part.read(self.part, "--part")

    @property
    def shares(self) -> tuple[float, float]:
        """Of the stars, for val and for test."""
        val, test = (SHARE if given is None else given for given in (self.val, self.test))
        return val, test

    def subset_of(self, star: str) -> str:
        """train, val or test, by the star's name alone: adding files never moves a star."""
        val, test = self.shares
        seed = SEED if self.seed is None else self.seed
        draw = int.from_bytes(hashlib.sha256(f"{seed} {star}".encode()).digest()[:8], "big") / 2**64
        return "val" if draw < val else "test" if draw < val + test else "train"

    @property
    def target(self) -> Path:
        """The file to write now."""
        return Path(self.output) if self.part is None else self.share.path(self.output)


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are InputErrors."""

    def error(self, message: str) -> NoReturn:
        """Raise InputError where argparse would print and exit."""
        raise InputError(f"{message} (--help lists the options)")


def whole(text: str) -> int:
    """A whole number, which may be written as 0x... or 0b..."""
    try:
        return int(text, 0)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected a whole number, got '{text}'") from error


def fraction(text: str) -> float:
    """A share of all, as a number."""
    try:
        return float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got '{text}'") from error


def parser(readers: Sequence[Reader], command: str, description: str) -> Parser:
    """The options of `python -m command` for the files of these readers; description: what the command is for."""
    usage = f"python -m {command} [OPTIONS] IN [IN ...] OUT.h5"  # the list of them follows, and is to fit a screen
    parser = Parser(usage=usage, description=description, allow_abbrev=False)
    add = parser.add_argument
    add("inputs", metavar="IN", nargs="+", help=f"{files_of(readers)}, folders of them, or one HDF5 file")
    add("output", metavar="OUT.h5", help="the file to write")
    rows = _of_each(readers, lambda reader: reader.rows)
    add("--rows", metavar="NAME", help=f"of each file; {rows}; the first is the default")
    cuts = _of_each(readers, lambda reader: reader.instrument.cuts)
    add("--pixels", metavar="NAME", help=f"which pixels chips keep; {cuts}; the first is the default")
    add("--wavelength", metavar="FILE", help="resample to these vacuum wavelengths instead, conserving flux")
    bits = _of_each(readers, lambda reader: [str(reader.instrument.bad_bits)])
    add("--bits", type=whole, metavar="NUMBER", help=f"that mask a pixel; by default {bits}")
    add("--degree", type=whole, help=f"of the continuum's Chebyshev polynomials (default: {DEGREE})")
    add("--continuum", metavar="FILE", help="continuum pixels or their wavelengths (default: found by clipping)")
    add("--like", metavar="FILE.h5", help="take grid and continuum from a file that this command wrote")
    add("--labels", metavar="FILE", help=f"to join labels from; {_of_each(readers, lambda reader: [reader.labels])}")
    add("--velocities", metavar="FILE", help="a table of file or id, and velocity in km/s, of stars not at rest")
    add("--velocity", metavar="THEORY", help="measure what is not told: with an emulator, or synthetic spectra in HDF5")
    add("--val", type=fraction, help=f"share of the stars (default: {SHARE})")
    add("--test", type=fraction, help=f"share of the stars (default: {SHARE})")
    add("--seed", type=whole, help=f"of the subsets (default: {SEED})")
    add("--strict", action="store_true", help="stop at the first file that is refused")
    add("--part", metavar="3/16", help="convert a part of the files alone, into OUT.h5.parts")
    add("--parts", type=int, metavar="16", help="convert all parts that are not there yet, and join them")
    return parser


def _of_each(readers: Sequence[Reader], choices: Callable[[Reader], Iterable[str]]) -> str:
    """The choices that each instrument has, for a user to read."""
    return ", ".join(f"{reader.instrument.name}: {' or '.join(choices(reader))}" for reader in readers)


def parse(parser: Parser, arguments: Sequence[str] | None) -> Options:
    """The options that a command line gives; None: that of this process. InputError for such as cannot be."""
    given = sys.argv[1:] if arguments is None else arguments
    options = Options(**vars(parser.parse_args([at_home(argument) for argument in given])))
    output = Path(options.output)
    if output.suffix not in (".h5", ".hdf5"):
        raise InputError(f"OUT: expected a file name ending in .h5 after the inputs, got {output}")
    check_numbers(options)
    if options.parts is not None and not 1 <= options.parts <= MOST_PARTS:
        raise InputError(f"--parts: expected 1 to {MOST_PARTS}, got {options.parts}")
    if options.part is not None and options.parts is not None:
        raise InputError("--part, --parts: expected one of them, got both")
    return options


def check_numbers(options: Options) -> None:
    """Raise InputError for shares that leave nothing to train, and for a degree below 0."""
    val, test = options.shares
    if not (val >= 0 and test >= 0 and val + test < 1):
        raise InputError(f"--val, --test: expected shares that leave some to train, got {val}, {test}")
    if options.degree is not None and options.degree < 0:
        raise InputError(f"--degree: expected 0 or more, got {options.degree}")


def chosen_rows(options: Options, reader: Reader) -> str:
    """Which spectra of a file to read; InputError where the instrument's files have no such."""
    return reader.rows[0] if options.rows is None else _choice("--rows", options.rows, reader.rows, reader.instrument)


def chosen_cut(options: Options, instrument: Instrument) -> np.ndarray:
    """The wavelengths (p,) of the pixels to keep, vacuum Angstrom; InputError where the instrument has no such cut."""
    if options.pixels is not None:
        _choice("--pixels", options.pixels, instrument.cuts, instrument)
    return instrument.cut(options.pixels)


def chosen_bits(options: Options, instrument: Instrument) -> int:
    """The bits that mask a pixel, as a number; InputError for bits that the instrument's mask does not have."""
    if options.bits is None:
        return instrument.bad_bits
    if not 0 <= options.bits < 1 << len(instrument.bits):
        known = f"bits 0 to {len(instrument.bits) - 1}" if instrument.bits else "0, for want of a mask,"
        raise InputError(f"--bits: expected {known} of {instrument.name}, got {options.bits}")
    return options.bits


def _choice(option: str, given: str, choices: Iterable[str], instrument: Instrument) -> str:
    if given not in choices:
        raise InputError(f"{option}: expected {' or '.join(choices)}, of {instrument.name}, got '{given}'")
    return given

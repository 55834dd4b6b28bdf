"""The options of a command that converts an instrument's files."""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from cyclegan.instruments.conversion import DEGREE, Options
from cyclegan.instruments.instrument import Reader
from emulator.commands.errors import InputError
from emulator.commands.overrides import at_home


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are InputErrors."""

    def error(self, message: str) -> NoReturn:
        """Raise InputError where argparse would print and exit."""
        raise InputError(f"{message} (--help lists the options)")


def bit_mask(text: str) -> int:
    """A number that may be written as 0x... or 0b..."""
    return int(text, 0)


def parser(reader: Reader, command: str, description: str) -> Parser:
    """The options of `python -m command` for the files of a reader; description: what the command is for."""
    instrument = reader.instrument
    parser = Parser(prog=f"python -m {command}", description=description, allow_abbrev=False)
    add = parser.add_argument
    add("inputs", metavar="IN", nargs="+", help=f"{reader.files}, folders of them, or one HDF5 file")
    add("output", metavar="OUT.h5", help="the file to write")
    add("--rows", choices=reader.rows, default=reader.rows[0], help="of each file (default: %(default)s)")
    cut, pixels = next(iter(instrument.cuts)), len(instrument.wavelength)
    add("--pixels", choices=instrument.cuts, help=f"of {pixels} pixels, which chips keep (default: {cut})")
    add("--wavelength", metavar="FILE", help="resample to these vacuum wavelengths instead, conserving flux")
    add("--bits", type=bit_mask, default=instrument.bad_bits, help="that mask a pixel (default: %(default)s)")
    add("--degree", type=int, help=f"of the continuum's Chebyshev polynomials (default: {DEGREE})")
    add("--continuum", metavar="FILE", help="continuum pixels or their wavelengths (default: found by clipping)")
    add("--like", metavar="FILE.h5", help="take grid and continuum from a file that this command wrote")
    add("--labels", metavar="FILE", help=f"the survey's {reader.labels}, to join labels from")
    add("--val", type=float, default=0.1, help="share of the stars (default: %(default)s)")
    add("--test", type=float, default=0.1, help="share of the stars (default: %(default)s)")
    add("--seed", type=int, default=1, help="of the subsets (default: %(default)s)")
    add("--strict", action="store_true", help="stop at the first file that is refused")
    return parser


def parse(parser: Parser, arguments: Sequence[str] | None) -> Options:
    """The options that a command line gives; None: that of this process. InputError for others."""
    given = sys.argv[1:] if arguments is None else arguments
    return Options(**vars(parser.parse_args([at_home(argument) for argument in given])))

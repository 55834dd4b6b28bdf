"""python -m cyclegan.apogee IN... OUT.h5: APOGEE spectra from the survey's FITS files to the HDF5 layout."""

from collections.abc import Sequence

from cyclegan.instruments.apogee import ApogeeReader
from cyclegan.instruments.options import parse, parser
from cyclegan.instruments.parts import convert
from emulator.commands.running import errors_in_one_line, exit_when_terminated
from emulator.commands.streams import outlast_readers


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert what the command line asks for, and print what was read and masked."""
    readers = (ApogeeReader(),)
    with errors_in_one_line():
        options = parse(parser(readers, "cyclegan.apogee", (__doc__ or "").partition(": ")[2]), arguments)
        print(convert(readers, options).table())


if __name__ == "__main__":
    outlast_readers()
    exit_when_terminated()
    main()

"""python -m cyclegan.convert IN... OUT.h5: spectra from the files of a known instrument to the HDF5 layout."""

from collections.abc import Sequence

from cyclegan.instruments.known import READERS
from cyclegan.instruments.options import parse, parser
from cyclegan.instruments.parts import convert
from emulator.commands.running import errors_in_one_line, exit_when_terminated
from emulator.commands.streams import outlast_readers


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert what the command line asks for, and print what was read and masked."""
    with errors_in_one_line():
        options = parse(parser(READERS, "cyclegan.convert", (__doc__ or "").partition(": ")[2]), arguments)
        print(convert(READERS, options).table())


if __name__ == "__main__":
    outlast_readers()
    exit_when_terminated()
    main()

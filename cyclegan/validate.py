"""python -m cyclegan.validate FILE... [matched=false] [wavelength=FILE]: what files of spectra hold, and whether two
can be trained on together. matched=false: their stars in val and test are not the same, row by row; wavelength: for
files that do not hold theirs."""

import sys
from collections.abc import Sequence
from pathlib import Path

from cyclegan.spectra.description import describe, differences
from cyclegan.spectra.files import SpectraFile
from emulator.commands.errors import InputError
from emulator.commands.overrides import at_home
from emulator.commands.results import printable
from emulator.commands.running import errors_in_one_line
from emulator.commands.streams import outlast_readers

USAGE = "python -m cyclegan.validate FILE... [matched=false] [wavelength=FILE]"


def validate_files(paths: Sequence[str | Path], wavelength_file: str | None = None, matched: bool = True) -> list[str]:
    """Print a description of each file, and return the problems; with two files, also those between them."""
    files, problems = [], []
    for path in paths:
        try:
            file = SpectraFile(path, wavelength_file=wavelength_file)
        except InputError as error:
            print(f"{printable(str(path))}\n  cannot be read")
            problems.append(str(error))
            continue
        files.append(file)
        try:
            problems += [f"{path}: {problem}" for problem in describe(file)]
        except InputError as problem:
            problems.append(str(problem))
    if len(files) == len(paths) == 2:
        problems += [f"{paths[0]} and {paths[1]}: {problem}" for problem in differences(files[0], files[1], matched)]
        if not problems:
            print("these two can be trained on together")
    for file in files:
        file.close()
    return problems


def main(arguments: list[str]) -> int:
    """Validate the files that the arguments name; returns the exit status."""
    wavelengths = [a.removeprefix("wavelength=") for a in arguments if a.startswith("wavelength=")]
    paths = [a for a in arguments if not a.startswith(("wavelength=", "matched="))]
    matched = [a for a in arguments if a.startswith("matched=")]
    if {"--help", "-h"} & set(arguments):
        print(__doc__)
        return 0
    with errors_in_one_line():
        understood = max(len(wavelengths), len(matched)) <= 1 and {*matched} <= {"matched=false", "matched=true"}
        if not paths or not understood or any(path.startswith("-") for path in paths):
            raise InputError(f"expected {USAGE}, got {' '.join(arguments) or 'nothing'}")
        problems = validate_files(paths, wavelengths[0] if wavelengths else None, "matched=false" not in matched)
    for problem in problems:
        print(printable(f"error: {problem}"), file=sys.stderr)
    return 2 if problems else 0


if __name__ == "__main__":
    outlast_readers()
    sys.exit(main([at_home(argument) for argument in sys.argv[1:]]))

"""Conversions in parts: each by a process of its own, here or on another machine, and then joined."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from joblib import Parallel, delayed

from cyclegan.instruments.conversion import check_any, check_subsets, convert_spectra, named_files
from cyclegan.instruments.input_files import InputFiles, find_files
from cyclegan.instruments.instrument import Reader
from cyclegan.instruments.options import Options
from cyclegan.instruments.report import Report
from cyclegan.spectra.joining import REPORT, join_spectra
from cyclegan.spectra.writer import MAKER
from emulator.commands.errors import refusing
from emulator.commands.parts import Part, made_of
from emulator.hdf5 import is_hdf5, open_hdf5
from emulator.parts import as_one_of_all, is_made, made_parts, remove_parts

PROCESSES = -1  # as many as there are processors


def convert(readers: Sequence[Reader], options: Options) -> Report:
    """Convert all, or a part, or all parts that are not there yet and join them, as options say.

    Raises InputError as `convert_spectra` does, and where a part could not be made.
    """
    if options.part is None and options.parts is None:
        return convert_spectra(readers, options)
    found = find_files(options.inputs, readers)
    word = _word(options, found)
    if options.parts is None:
        return _convert_part(readers, options, word, all_are_made=False)
    each = [replace(options, part=str(part)) for part in Part.each(options.parts)]
    Parallel(PROCESSES)(delayed(_convert_part)(readers, one, word, all_are_made=True) for one in each)
    paths = made_parts(options.output, options.parts, word)
    report, maker = Report(options.strict, found.passed_over), ""
    for path in paths:
        _add(path, report)
        with open_hdf5(path, "a part") as file:
            maker = str(file.attrs[MAKER])
    check_any(report)
    if not is_hdf5(found.paths[0]):
        check_subsets(report, options)
    join_spectra(paths, Path(options.output), maker)
    remove_parts(options.output, options.parts)
    return report


def _word(options: Options, found: InputFiles) -> str:
    return made_of(
        replace(options, parts=None), [*found.paths, *(path for path in named_files(options).values() if path)]
    )


def _convert_part(readers: Sequence[Reader], options: Options, word: str, all_are_made: bool) -> Report:
    """Make a part, if it is not there yet, and say what is in it."""
    report = Report(options.strict, {})
    with as_one_of_all(options.share, options.output, all_are_made):
        if not is_made(options.target, word):
            return convert_spectra(readers, options, word)
        _add(options.target, report)
    return report


def _add(path: Path, report: Report) -> None:
    """Count what a part reports of itself."""
    with open_hdf5(path, "a part") as file, refusing(f"{path}: expected a part's report"):
        report.add(json.loads(file[REPORT].asstr()[()]))

"""python -m cyclegan.validate FILE... [matched=false] [wavelength=FILE]: what files of spectra hold, and whether two
can be trained on together. matched=false: their stars in val and test are not the same, row by row; wavelength: for
files that do not hold theirs."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import indent

import numpy as np

from cyclegan.files import FEWEST, SPLITS, SpectraFile
from cyclegan.results import format_table
from cyclegan.spectra import WORST_ERROR
from emulator.command import InputError, errors_in_one_line
from emulator.wavelength import chip_starts

USAGE = "python -m cyclegan.validate FILE... [matched=false] [wavelength=FILE]"
CHUNK = 500  # spectra in memory at a time
SAME = 1e-3  # of a label's value: float32 tables of the same stars agree to this


def describe_split(file: SpectraFile, split: str) -> tuple[dict[str, str], list[str]]:
    """A row of the table for a split, and what keeps it from being trained on."""
    count, problems = file.splits[split], [problem] if (problem := file.not_normalised(split)) else []
    pixels = masked = not_finite = without_error = 0
    low, high, total, error_total, usable = np.inf, -np.inf, 0.0, 0.0, 0
    for first in range(0, count, CHUNK):
        rows = slice(first, first + CHUNK)
        flux, error = (
            file.file[f"{name} {split}"][rows, file.pixels].astype("float32") for name in ("spectra", "spectra_err")
        )
        good = np.isfinite(flux) & np.isfinite(error)
        given = f"mask {split}" in file.file
        kept = good & (file.file[f"mask {split}"][rows, file.pixels].astype(bool) if given else True)
        pixels, not_finite = pixels + flux.size, not_finite + int((~good).sum())
        without_error += int((kept & ~(error > 0)).sum())
        kept &= (error > 0) & (error <= WORST_ERROR)
        masked, usable = masked + int((~kept).sum()), usable + int(kept.sum())
        low, high = min(low, flux[kept].min(initial=np.inf)), max(high, flux[kept].max(initial=-np.inf))
        total, error_total = total + flux[kept].sum(dtype=float), error_total + error[kept].sum(dtype=float)
    if count < (fewest := FEWEST[split]):
        problems.append(f"expected at least {fewest} spectra in '{split}', got {count}")
    elif without_error:
        problems.append(f"expected errors above 0 in 'spectra_err {split}', got {without_error} others")
    elif usable == 0 and not problems:
        problems.append(f"expected usable pixels in '{split}', got none")
    row = {"split": split, "spectra": str(count)}
    if usable:
        row |= {
            "flux": f"{low:.3g} to {high:.3g}",
            "mean flux": f"{total / usable:.4f}",
            "mean error": f"{error_total / usable:.4f}",
        }
    row |= {"masked": f"{100 * masked / max(pixels, 1):.2f} %", "NaN, inf": str(not_finite)}
    return row, problems


def describe_labels(file: SpectraFile) -> list[dict[str, str]]:
    """A row for each label: its range in every split, and how often it is unknown."""
    rows = [{"label": name} for name in file.label_names]
    for split in file.splits:
        if (labels := file.labels(split)) is None:
            continue
        for row, values in zip(rows, labels.numpy().T, strict=True):
            known = values[np.isfinite(values)]
            unknown = len(values) - len(known)
            row[split] = f"{known.min():.5g} to {known.max():.5g}" if len(known) else "unknown"
            row[split] += f" ({unknown} unknown)" if unknown and len(known) else ""
    return rows


def describe(file: SpectraFile) -> list[str]:
    """Print what a file holds, and return what keeps it from being trained on."""
    wavelength = file.wavelength.numpy()
    medium = file.file.attrs.get("medium", "vacuum, as it does not say")
    print(f"{file.path}")
    print(
        f"  {len(wavelength)} pixels in {len(chip_starts(wavelength)) + 1} chips, {wavelength[0]:.2f} to"
        f" {wavelength[-1]:.2f} A; medium: {medium}{' (read as vacuum)' if medium == 'air' else ''}"
    )
    described = [describe_split(file, split) for split in file.splits]
    print(indent(format_table([row for row, _ in described]), "  "))
    if labels := describe_labels(file):
        print(indent(format_table(labels), "  "))
    problems = [problem for _, own in described for problem in own]
    missing = [split for split in SPLITS if split not in file.splits]
    return problems + [f"expected a dataset 'spectra {split}', got none" for split in missing]


def differences(a: SpectraFile, b: SpectraFile, matched: bool) -> list[str]:
    """What keeps two files from being trained on together; matched: as files whose val and test are the same stars."""
    problems = []
    if len(a.wavelength) != len(b.wavelength):
        problems.append(f"expected as many pixels in both, got {len(a.wavelength)} and {len(b.wavelength)}")
    elif ((distance := (a.wavelength / b.wavelength - 1).abs()) > 1e-7).any():
        pixel = int(distance.argmax())
        problems.append(
            f"expected the same wavelengths in both, got {a.wavelength[pixel]:.3f} and {b.wavelength[pixel]:.3f} A"
            f" at pixel {pixel}"
        )
    for split in ("val", "test") if matched else ():
        counts = a.splits.get(split), b.splits.get(split)
        if None in counts:
            continue
        if counts[0] != counts[1]:
            problems.append(
                f"expected the same stars in '{split}' of both, got {counts[0]} and {counts[1]} (or matched=false)"
            )
            continue
        labels = [file.labels(split) for file in (a, b)]
        if any(values is None for values in labels):
            continue
        for name in [name for name in a.label_names if name in b.label_names]:
            one, other = (
                values[:, file.label_names.index(name)].numpy() for file, values in zip((a, b), labels, strict=True)
            )
            if (unlike := np.abs(one - other) > SAME * (1 + np.abs(one))).any():
                row = int(unlike.argmax())
                problems.append(
                    f"expected the same stars in '{split}' of both, got {name} {one[row]:.5g} and {other[row]:.5g}"
                    f" in row {row} (or matched=false)"
                )
    return problems


def validate(paths: Sequence[str | Path], wavelength_file: str | None = None, matched: bool = True) -> list[str]:
    """Print a description of each file, and return the problems; with two files, also those between them."""
    files, problems = [], []
    for path in paths:
        try:
            file = SpectraFile(path, wavelength_file=wavelength_file)
        except InputError as error:
            print(f"{path}\n  cannot be read")
            problems.append(str(error))
            continue
        files.append(file)
        try:
            problems += [f"{path}: {problem}" for problem in describe(file)]
        except BrokenPipeError:
            raise
        except OSError:
            problems.append(f"{path}: expected an HDF5 file of spectra, got a damaged one")
    if len(files) == len(paths) == 2:
        problems += [f"{paths[0]} and {paths[1]}: {problem}" for problem in differences(*files, matched)]
        if not problems:
            print("these two can be trained on together")
    for file in files:
        file.close()
    return problems


def main(arguments: list[str]) -> int:
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
        try:
            problems = validate(paths, *wavelengths or [None], matched="matched=false" not in matched)
            sys.stdout.flush()
        except BrokenPipeError:  # nobody reads on, as `head` does not; what is left in the buffer has to go somewhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 2 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

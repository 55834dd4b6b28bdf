"""What files of spectra hold, and what keeps two of them from being trained on together."""

import sys
from textwrap import indent

import numpy as np

from cyclegan.spectra.files import NO_ERRORS, SUBSETS, UNKNOWN_NOISE, SpectraFile
from cyclegan.spectra.same_stars import Rows, match_rows
from cyclegan.spectra.spectra import FEWEST, WORST_ERROR
from emulator.commands.errors import InputError
from emulator.commands.progress import progress
from emulator.commands.results import format_table, printable
from emulator.wavelength import chip_starts, same_wavelengths, unlike_pixel

CHUNK = 500  # spectra in memory at a time


def describe_subset(file: SpectraFile, subset: str) -> tuple[dict[str, str], list[str]]:
    """A row of the table for a subset, and what keeps it from being trained on."""
    count, problems = file.subsets[subset], [problem] if (problem := file.not_normalised(subset)) else []
    pixels = masked = not_finite = without_error = 0
    low, high, total, error_total, usable, seen = np.inf, -np.inf, 0.0, 0.0, 0, 0
    for first in progress(range(0, count, CHUNK), f"looking through {subset}", unit="chunk", leave=False):
        rows = slice(first, first + CHUNK)
        flux, error = (values.numpy() for values in file.read_as_stored(subset, rows))
        good = np.isfinite(flux) & np.isfinite(error)
        given = f"mask {subset}" in file.file
        kept = good & (file.read_mask(subset, rows).numpy() if given else True)
        pixels, not_finite = pixels + flux.size, not_finite + int((~good).sum())
        without_error += int((kept & ~(error > 0)).sum())
        kept &= (error > 0) & (error <= WORST_ERROR) & file.can_be(flux)
        masked, usable = masked + int((~kept).sum()), usable + int(kept.sum())
        seen += int(kept.any(axis=1).sum())
        low, high = min(low, flux[kept].min(initial=np.inf)), max(high, flux[kept].max(initial=-np.inf))
        total, error_total = total + flux[kept].sum(dtype=float), error_total + error[kept].sum(dtype=float)
    if count < (fewest := FEWEST[subset]):
        problems.append(f"expected at least {fewest} spectra in '{subset}', got {count}")
    elif without_error:
        problems.append(f"expected errors above 0 in 'spectra_err {subset}', got {without_error} others")
    elif inverted := file.mostly_masked(subset):
        problems.append(inverted)
    elif usable == 0 and not problems:
        problems.append(f"expected usable pixels in '{subset}', got none")
    elif 0 < seen < fewest:
        problems.append(f"expected at least {fewest} spectra with a usable pixel in '{subset}', got {seen}")
    row = {"subset": subset, "spectra": str(count)}
    if usable:
        row |= {
            "flux": f"{low:.3g} to {high:.3g}",
            "mean flux": f"{total / usable:.4f}",
            "mean error": f"{error_total / usable:.4f}",
        }
    row |= {"masked": f"{100 * masked / max(pixels, 1):.2f} %", "NaN, inf": str(not_finite)}
    return row, problems


def describe_labels(file: SpectraFile) -> list[dict[str, str]]:
    """A row for each label: its range in every subset, and how often it is unknown."""
    rows = [{"label": name} for name in file.label_names]
    for subset in file.subsets:
        if (labels := file.labels(subset)) is None:
            continue
        for row, values in zip(rows, labels.numpy().T, strict=True):
            known = values[np.isfinite(values)]
            unknown = len(values) - len(known)
            row[subset] = f"{known.min():.5g} to {known.max():.5g}" if len(known) else "unknown"
            row[subset] += f" ({unknown} unknown)" if unknown and len(known) else ""
    return rows


def describe(file: SpectraFile) -> list[str]:
    """Print what a file holds, and return what keeps it from being trained on."""
    wavelength = file.wavelength.numpy()
    medium = {"air": "air, converted to vacuum", "vacuum": "vacuum"}[file.medium]
    medium += "" if "medium" in file.file.attrs else ", as it does not say"
    print(printable(str(file.path)))
    print(
        f"  {len(wavelength)} pixels in {len(chip_starts(wavelength)) + 1} chips, {wavelength[0]:.2f} to"
        f" {wavelength[-1]:.2f} A in vacuum; medium of the file: {medium}"
    )
    with file.reading():
        described = [describe_subset(file, subset) for subset in file.subsets]
        labels = describe_labels(file)
    print(indent(format_table([row for row, _ in described]), "  "))
    if not file.has_errors:
        print(f"  {NO_ERRORS}; if these are observed, their {UNKNOWN_NOISE}")
    if labels:
        print(indent(format_table(labels), "  "))
    problems = [problem for _, own in described for problem in own]
    missing = [subset for subset in SUBSETS if subset not in file.subsets]
    return problems + [f"expected a dataset 'spectra {subset}', got none" for subset in missing]


def differences(a: SpectraFile, b: SpectraFile, matched: bool) -> list[str]:
    """Print which rows of two files belong together, and return what keeps these from being trained on together.

    matched: as files whose val and test are the same stars.
    """
    problems = []
    if len(a.wavelength) != len(b.wavelength):
        problems.append(f"expected as many pixels in both, got {len(a.wavelength)} and {len(b.wavelength)}")
    elif not same_wavelengths(a.wavelength, b.wavelength):
        pixel = unlike_pixel(a.wavelength, b.wavelength)
        problems.append(
            f"expected the same wavelengths in both, got {a.wavelength[pixel]:.3f} and {b.wavelength[pixel]:.3f} A"
            f" at pixel {pixel}"
        )
    for subset in ("val", "test") if matched else ():
        if not (subset in a.subsets and subset in b.subsets):
            continue
        try:
            match = match_rows(subset, _rows(a, subset), _rows(b, subset), " (or matched=false)")
        except InputError as error:
            problems.append(str(error))
            continue
        if match.told is not None:
            print(printable(match.told))
        if match.doubt is not None:
            print(printable(f"warning: {match.doubt}"), file=sys.stderr)
    return problems


def _rows(file: SpectraFile, subset: str) -> Rows:
    labels = file.labels(subset)
    by_name = {} if labels is None else dict(zip(file.label_names, labels.T, strict=True))
    return Rows(str(file.path), file.subsets[subset], file.identities(subset), by_name)

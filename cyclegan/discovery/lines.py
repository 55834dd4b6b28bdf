"""Lines that theory lacks, read off the evidence."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import find_peaks, peak_widths

from cyclegan.discovery.evidence import Evidence
from emulator.wavelength import pixels_within

APART = 12.5  # km/s between two lines, at least: APOGEE resolves no closer ones
CORE = 8.3  # km/s on either side of a line's deepest pixel in which responses are averaged


@dataclass
class MissingLine:
    """A line that theory lacks.

    wavelength: vacuum Angstrom; pixels start to stop (exclusive), at half its depth; depth: of the continuum, in the
    reference star that shows it best. element: whose abundance moves it most, response: d flux / d [X/H], per dex, that
    theory lacks there, significance: in sigma; second: the next one, empty where no other is significant;
    cannot_exclude: whether that moves it at least half as much, as carbon and nitrogen do the lines of CN.
    """

    wavelength: float
    start: int
    stop: int
    depth: float
    element: str
    response: float
    significance: float
    second: str
    second_response: float
    second_significance: float
    cannot_exclude: bool


def find_lines(
    evidence: Evidence, elements: Sequence[str], wavelength: np.ndarray, depth: float, significance: float
) -> list[MissingLine]:
    """The lines that are at least `depth` deep and whose maker is at least `significance` sigma sure, by wavelength."""
    lack = evidence.missing.max(axis=0)
    apart, near = (pixels_within(velocity, wavelength) for velocity in (APART, CORE))
    peaks, _ = find_peaks(lack, height=depth, prominence=depth / 2, distance=apart)
    _, _, left, right = peak_widths(lack, peaks, rel_height=0.5)
    lines = []
    for peak, first, last in zip(peaks, left, right, strict=True):
        core = slice(max(peak - near, 0), peak + near + 1)
        response, error = evidence.gain[core].mean(axis=0), evidence.error[core].mean(axis=0)
        sure = -response / error
        candidates = [e for e in np.argsort(response) if sure[e] >= significance]
        if not candidates:
            continue
        first_, second = candidates[0], candidates[1] if len(candidates) > 1 else None
        lines.append(
            MissingLine(
                wavelength=float(wavelength[peak]),
                start=int(np.floor(first)),
                stop=int(np.ceil(last)) + 1,
                depth=float(lack[peak]),
                element=elements[first_],
                response=float(response[first_]),
                significance=float(sure[first_]),
                second="" if second is None else elements[second],
                second_response=math.nan if second is None else float(response[second]),
                second_significance=math.nan if second is None else float(sure[second]),
                cannot_exclude=second is not None and bool(response[second] <= 0.5 * response[first_]),
            )
        )
    return lines


def write_lines(lines: Sequence[MissingLine], path: Path, marks: Sequence[Mapping[str, Any]] = ()) -> None:
    """A table of lines as CSV, one row each; marks: what else is known of each, if anything, by names of columns."""
    with path.open("w", newline="") as file:
        rows = csv.DictWriter(file, [*(f.name for f in fields(MissingLine)), *(marks[0] if marks else ())])
        rows.writeheader()
        for number, line in enumerate(lines):
            rows.writerow(asdict(line) | dict(marks[number] if marks else {}))

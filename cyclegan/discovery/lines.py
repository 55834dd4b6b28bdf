"""Lines that theory lacks, read off the evidence."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import find_peaks, peak_widths
from scipy.stats import norm

from cyclegan.discovery.evidence import Evidence
from cyclegan.spectra.tables import write_rows
from emulator.wavelength import pixels_within

APART = 12.5  # km/s between two lines, at least: APOGEE resolves no closer ones
CORE = 8.3  # km/s on either side of a line's deepest pixel in which responses are averaged


@dataclass
class MissingLine:
    """A line that theory lacks.

    wavelength: vacuum Angstrom; pixels start to stop (exclusive), at half its depth; depth: of the continuum, in the
    reference star that shows it best, and significance: in sigma; q: the share that is false of all lines that are as
    sure or surer. element: whose abundance moves it most, empty where that is not known, response: d flux / d [X/H],
    per dex, that theory lacks there, maker_significance: in sigma; second: the next one, empty where no other is
    significant; cannot_exclude: whether that moves it at least half as much, as carbon and nitrogen do the lines of CN.
    """

    wavelength: float
    start: int
    stop: int
    depth: float
    significance: float
    q: float
    element: str
    response: float
    maker_significance: float
    second: str
    second_response: float
    second_significance: float
    cannot_exclude: bool


def find_lines(
    evidence: Evidence, elements: Sequence[str], wavelength: np.ndarray, depth: float, false_discoveries: float
) -> list[MissingLine]:
    """The lines that are at least `depth` deep, of which a share `false_discoveries` is false, by wavelength.

    That a line is missing and who makes it are two questions. To the first: what is missing is more than its error, and
    moves with the stars. To the second: so sure that chance would name an element on that share of lines.
    """
    lack = evidence.missing.max(axis=0)
    apart, near = (pixels_within(velocity, wavelength) for velocity in (APART, CORE))
    peaks, _ = find_peaks(lack, height=depth, prominence=depth / 2, distance=apart)
    _, _, left, right = peak_widths(lack, peaks, rel_height=0.5)
    star = evidence.missing[:, peaks].argmax(axis=0)
    sigma = lack[peaks] / evidence.doubt[star, peaks]
    chance = np.maximum(norm.sf(sigma), evidence.still[peaks])
    q = discovery_rates(chance, len(wavelength))
    enough = norm.isf(false_discoveries / len(elements))
    lines = []
    for number in np.flatnonzero(q <= false_discoveries):
        peak = peaks[number]
        core = slice(max(peak - near, 0), peak + near + 1)
        response, error = evidence.gain[core].mean(axis=0), evidence.error[core].mean(axis=0)
        sure = -response / error
        candidates = [e for e in np.argsort(response) if sure[e] >= enough]
        first, second = (candidates[i] if len(candidates) > i else None for i in (0, 1))
        told = [(math.nan, math.nan) if e is None else (float(response[e]), float(sure[e])) for e in (first, second)]
        lines.append(
            MissingLine(
                wavelength=float(wavelength[peak]),
                start=int(np.floor(left[number])),
                stop=int(np.ceil(right[number])) + 1,
                depth=float(lack[peak]),
                significance=float(sigma[number]),
                q=float(q[number]),
                element="" if first is None else elements[first],
                response=told[0][0],
                maker_significance=told[0][1],
                second="" if second is None else elements[second],
                second_response=told[1][0],
                second_significance=told[1][1],
                cannot_exclude=second is not None and bool(response[second] <= 0.5 * response[first]),
            )
        )
    return lines


def discovery_rates(chance: np.ndarray, tests: int) -> np.ndarray:
    """The false discovery rate (n,) at which each of n candidates would be reported (Benjamini & Hochberg 1995).

    chance (n,): of each, the probability of as much where there is nothing; tests: places where one might have been.
    """
    order = np.argsort(chance)
    rates = chance[order] * tests / np.arange(1, len(chance) + 1)
    found = np.empty_like(rates)
    found[order] = np.minimum.accumulate(rates[::-1])[::-1]
    return np.minimum(found, 1.0)


def write_lines(lines: Sequence[MissingLine], path: Path, marks: Sequence[Mapping[str, Any]] = ()) -> None:
    """A table of lines as CSV, one row each; marks: what else is known of each, if anything, by names of columns."""
    columns = [*(f.name for f in fields(MissingLine)), *(marks[0] if marks else ())]
    rows = [asdict(line) | dict(mark) for line, mark in zip(lines, marks or [{}] * len(lines), strict=True)]
    write_rows(path, columns, [[row[name] for name in columns] for row in rows])

"""Lines that were found beside those that theory is known to lack."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cyclegan.discovery.known_lines import KnownLine, read_known_lines
from cyclegan.discovery.lines import APART, MissingLine
from cyclegan.spectra.chips import chip_slices
from emulator.commands.errors import InputError
from emulator.wavelength import LIGHT_SPEED, nearest_pixels, velocity_step

IRON = "Fe"  # whose label stands for all metals that have none of their own


@dataclass(frozen=True, eq=False)
class Reality:
    """The lines that theory is known to lack, and what they say of lines that were found.

    lines; wavelength (P,), the run's; covered (P,): pixels in which all such lines are known; about: what to tell.
    """

    lines: list[KnownLine]
    wavelength: np.ndarray
    covered: np.ndarray
    about: dict[str, Any]

    def covers(self, line: MissingLine) -> bool:
        """Whether a line lies where all lines are known."""
        return bool(self.covered[self.pixel(line)])

    def pixel(self, line: MissingLine) -> int:
        """The pixel in which a line was found."""
        return int(np.abs(self.wavelength - line.wavelength).argmin())

    def marks(self, line: MissingLine, missing: np.ndarray) -> dict[str, Any]:
        """What is known of a line, by names of columns; missing (P,): what theory lacks in the first reference star."""
        known = nearest_known(line, self.lines)
        if known is None:
            return {"known": "", "offset_km_s": ""}
        return {"known": _called(known), "offset_km_s": velocity_between(line, known)}

    def judge(
        self, lines: Sequence[MissingLine], marks: Sequence[Mapping[str, Any]], elements: Sequence[str]
    ) -> dict[str, Any]:
        """How lines agree with it, as `judge_by_known` says; marks: of each line."""
        return {**self.about, **judge_by_known(lines, elements, self)}


def reality_of_table(path: str | Path, wavelength: np.ndarray) -> Reality:
    """The lines of a table; covered are the pixels of each chip from the first to the last of its lines there."""
    lines = read_known_lines(path)
    inside = within(lines, wavelength)
    covered = np.zeros(len(wavelength), dtype=bool)
    for chip in chip_slices(wavelength):
        near = [line.wavelength for line in inside if wavelength[chip][0] <= line.wavelength <= wavelength[chip][-1]]
        if near:
            covered[chip] = (wavelength[chip] >= min(near)) & (wavelength[chip] <= max(near))
    if not inside:
        raise InputError(
            f"{path}: expected lines in the run's pixels, {wavelength[0]:.1f} to {wavelength[-1]:.1f} A, got lines of"
            f" {lines[0].wavelength:.1f} to {lines[-1].wavelength:.1f} A (vacuum)"
        )
    return Reality(inside, wavelength, covered, {"table": str(path), "lines": len(lines), "in_pixels": len(inside)})


def within(lines: Sequence[KnownLine], wavelength: np.ndarray) -> list[KnownLine]:
    """Those that lie in a pixel of the grid (P,), and not in its gaps."""
    if not lines:
        return []
    places = torch.tensor([line.wavelength for line in lines], dtype=torch.float64)
    pixels = nearest_pixels(places, torch.from_numpy(wavelength))[0].numpy()
    off = LIGHT_SPEED * np.abs(wavelength[pixels] / places.numpy() - 1)
    return [line for line, far in zip(lines, off, strict=True) if far <= velocity_step(wavelength)]


def nearest_known(line: MissingLine, known: Sequence[KnownLine]) -> KnownLine | None:
    """The known line on which a found one lies, if any: the nearest that would not be resolved from it."""
    on = [one for one in known if lies_on(line, one)]
    return min(on, key=lambda one: abs(one.wavelength - line.wavelength), default=None)


def lies_on(line: MissingLine, known: KnownLine) -> bool:
    """Whether the two would not be resolved, or the one lies within the other's width."""
    return abs(line.wavelength - known.wavelength) <= max(known.wavelength * APART / LIGHT_SPEED, known.width / 2)


def velocity_between(line: MissingLine, known: KnownLine) -> float:
    """By how much a line was found too far in the red, km/s."""
    return LIGHT_SPEED * (line.wavelength / known.wavelength - 1)


def marked(
    lines: Sequence[MissingLine], foreign: Sequence[KnownLine], reality: Reality | None, missing: np.ndarray
) -> tuple[list[MissingLine], list[dict[str, Any]]]:
    """Lines, of which those on foreign features are no element's; and what is known of each, as `Reality.marks` says.

    missing as there; `foreign` names the feature where there may be any.
    """
    kept, marks = [], []
    for line in lines:
        mark = {} if reality is None else reality.marks(line, missing)
        feature = nearest_known(line, foreign)
        if foreign:
            mark["foreign"] = "" if feature is None else _called(feature)
        kept.append(line if feature is None else replace(line, element="", second="", cannot_exclude=False))
        marks.append(mark)
    return kept, marks


def _called(known: KnownLine) -> str:
    return known.name or f"{known.wavelength:.2f}"


def makers_of(known: KnownLine, elements: Sequence[str]) -> set[str]:
    """Which of a run's elements may rightly be named for a line: its own, or iron where theory has metals as one."""
    own = set(known.elements) & set(elements)
    return own or ({IRON} & set(elements) if known.elements else set())


def judge_by_known(lines: Sequence[MissingLine], elements: Sequence[str], reality: Reality) -> dict[str, Any]:
    """How lines that were found agree with those that are known.

    found, recall: known lines with a line on them; reported, right, precision: lines in covered pixels, and those of
    them that lie on a known one. offset: found minus known wavelength, median and 1.48 times median absolute deviation.
    named: lines on known ones whose maker is known; agree, either: the share of them that is named so, first or among
    two.
    """
    inside = [line for line in lines if reality.covers(line)]
    pairs = [(line, known) for line in inside if (known := nearest_known(line, reality.lines)) is not None]
    found = [known for known in reality.lines if any(lies_on(line, known) for line in lines)]
    named = [(line, makers) for line, known in pairs if (makers := makers_of(known, elements))]
    velocities = [velocity_between(line, known) for line, known in pairs]
    lengths = [line.wavelength - known.wavelength for line, known in pairs]
    return {
        "known": len(reality.lines),
        "found": len(found),
        "recall": _share(len(found), len(reality.lines)),
        "reported": len(inside),
        "right": len(pairs),
        "precision": _share(len(pairs), len(inside)),
        "offset": {"km_s": _middle(velocities), "angstrom": _middle(lengths)},
        "named": len(named),
        "agree": _share(sum(line.element in makers for line, makers in named), len(named)),
        "either": _share(sum(bool({line.element, line.second} & makers) for line, makers in named), len(named)),
    }


def _share(count: int, of: int) -> float:
    return count / of if of else math.nan


def _middle(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {"median": math.nan, "scatter": math.nan}
    median = float(np.median(values))
    return {"median": median, "scatter": 1.4826 * float(np.median(np.abs(np.array(values) - median)))}

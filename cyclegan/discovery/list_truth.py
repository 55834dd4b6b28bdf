"""A fitted line list beside the lines that theory was made to lack, where they are known."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cyclegan.discovery.lines import MissingLine
from cyclegan.discovery.strengths import Fitted
from emulator.lines import Lines
from emulator.payne import Payne

ON = 5e-5  # in ln(wavelength), 15 km/s, the resolution: a fitted line so close to a true one lies on it
DEEP = 0.03  # of the continuum: of shallower lines log gf and excitation are not judged


class Pair(NamedTuple):
    """A fitted line, how deep it was found, and the strongest line on which it lies: its row in the truth, if any."""

    line: Fitted
    depth: float
    true: int | None


def lines_taken_out(theory: Payne, observed: Payne | None) -> Lines | None:
    """The lines that an observed domain's emulator was made with and theory's was not; None where that is not known."""
    if observed is None or observed.lines is None or theory.lines is None:
        return None
    known = set(_keys(theory.lines))
    return observed.lines.chosen(np.array([key not in known for key in _keys(observed.lines)], dtype=bool))


def _keys(lines: Lines) -> list[tuple[object, ...]]:
    columns = (lines.wavelength.round(3), lines.species, lines.excitation.round(3), lines.log_gf.round(3))
    return list(zip(*(column.tolist() for column in columns), strict=True))


def pair(fitted: Sequence[Fitted], found: Sequence[MissingLine], truth: Lines) -> list[Pair]:
    """Each fitted line that was found by itself, with the true line it lies on."""
    pairs = []
    for line in (one for one in fitted if not one.companion):
        depth = min(found, key=lambda other: abs(other.wavelength - line.wavelength)).depth
        on = np.flatnonzero(np.abs(np.log(truth.wavelength / line.wavelength)) < ON)
        pairs.append(Pair(line, depth, int(on[truth.strength[on].argmax()]) if len(on) else None))
    return pairs


def right(pairs: Sequence[Pair], truth: Lines) -> list[Pair]:
    """Those that are DEEP and whose species is that of the true line."""
    return [one for one in pairs if one.depth >= DEEP and one.true is not None and _is(one, truth)]


def _is(one: Pair, truth: Lines) -> bool:
    return bool(truth.species[one.true] == one.line.species)


def judge_list(pairs: Sequence[Pair], truth: Lines) -> dict[str, dict[str, float]]:
    """How well lines were measured: a row for each species that was fitted, and one for all.

    listed: how many are DEEP; on_a_line, species_right: the shares of them that lie on a true line, and that are of its
    species. Of the latter: log_gf, excitation: median errors without sign, dex and eV; log_gf_pull, excitation_pull:
    the same in units of the errors stated, 0.67 if these are right.
    """
    deep = [one for one in pairs if one.depth >= DEEP]
    rows = {}
    for name in [*sorted({one.line.species for one in deep}), "all"]:
        own = [one for one in deep if name in (one.line.species, "all")]
        same = right(own, truth)
        gf = np.array([one.line.log_gf - truth.log_gf[one.true] for one in same])
        volt = np.array([one.line.excitation - truth.excitation[one.true] for one in same])
        rows[name] = {
            "listed": len(own),
            "on_a_line": _share([one.true is not None for one in own]),
            "species_right": _share([one in same for one in own]),
            "log_gf": _median(gf),
            "excitation": _median(volt),
            "log_gf_pull": _median(gf / np.array([one.line.log_gf_error for one in same])),
            "excitation_pull": _median(volt / np.array([one.line.excitation_error for one in same])),
        }
    return rows


def _share(values: Sequence[bool]) -> float:
    return float(np.mean(values)) if values else math.nan


def _median(values: np.ndarray) -> float:
    return float(np.median(np.abs(values))) if len(values) else math.nan

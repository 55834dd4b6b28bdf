"""A real star beside theory: the lines that theory lacks, read off an atlas."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.ndimage import median_filter
from scipy.signal import find_peaks
from torch import Tensor

from cyclegan.discovery.known_lines import KnownLine
from cyclegan.discovery.lines import APART, CORE, MissingLine
from cyclegan.discovery.reality import Reality
from cyclegan.instruments.atlas import Atlas
from cyclegan.spectra.tables import check_names
from cyclegan.trained.forward import ForwardModel
from emulator.commands.errors import InputError
from emulator.wavelength import chip_starts, pixels_within

BROAD = 500.0  # km/s: the running median of star / theory over so much is a difference of continua


@dataclass(frozen=True, eq=False)
class Star(Reality):
    """The same of a star that was observed: what it lacks is known in all that its atlas covers.

    labels (L,); flux (P,): the star on theory's normalisation; excess (P,): by how much it is deeper than theory, both
    NaN where it is not covered; depth: of the continuum, by how much a line is.
    """

    labels: Tensor
    flux: np.ndarray
    excess: np.ndarray
    depth: float

    def marks(self, line: MissingLine, missing: np.ndarray) -> dict[str, Any]:
        """The same with how deep a line should be in this star, the first reference star; how deep it is; and whether
        that confirms it. Empty where the atlas does not reach.
        """
        pixel, known = self.pixel(line), self.covers(line)
        shown = float(deepest_near(self.excess, self.wavelength)[pixel])
        return {
            **super().marks(line, missing),
            "expected_depth": float(deepest_near(missing, self.wavelength)[pixel]),
            "star_depth": shown if known else "",
            "confirmed": shown > self.depth if known else "",
        }

    def judge(
        self, lines: Sequence[MissingLine], marks: Sequence[Mapping[str, Any]], elements: Sequence[str]
    ) -> dict[str, Any]:
        """The same, and how many lines the star confirms: of all where the atlas reaches, and of those that should be
        deeper than `depth` in it. at_half: how many it shows at least half as deep as they should be, so that those of
        just that depth count. by_chance: the share of pixels in which a line would be confirmed.
        """
        told = [mark for mark in marks if mark["confirmed"] != ""]
        deep = [mark for mark in told if mark["expected_depth"] > self.depth]
        confirmed = {name: _confirmed(some) for name, some in (("all", told), ("deep", deep))}
        chance = float((deepest_near(self.excess, self.wavelength)[self.covered] > self.depth).mean())
        return {**super().judge(lines, marks, elements), "confirmed": confirmed, "by_chance": chance}


def _confirmed(marks: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    confirmed = sum(mark["confirmed"] for mark in marks)
    half = sum(mark["star_depth"] > mark["expected_depth"] / 2 for mark in marks)
    share = confirmed / len(marks) if marks else math.nan
    return {"reported": len(marks), "confirmed": confirmed, "share": share, "at_half": half}


def labels_of_star(labels: Mapping[str, float] | None, model: ForwardModel, origin: str) -> Tensor:
    """Labels (L,) by their names as theory takes them; InputError where some are missing or outside its range."""
    names, key = model.label_names, "config key 'truth_labels'"
    if labels is None:
        raise InputError(f"{key}: expected the labels {', '.join(names)} of the star in {origin}, got none")
    check_names(list(labels), names, key)
    values = torch.tensor([[float(labels[name]) for name in names]])
    try:
        model.emulator.check_labels(values)
    except InputError as error:
        raise InputError(f"{key}: {error}") from error
    return values[0]


def star_of_atlas(atlas: Atlas, labels: Tensor, model: ForwardModel, resolution: float, depth: float) -> Star:
    """The lines in which a star is deeper than theory at its labels (L,) by more than `depth` of the continuum.

    The atlas is smoothed to the resolution, brought to the velocity at which it is most like what the run's telescope
    would see, and divided by the running median of star / theory over BROAD, in which lines have no share. Raises
    InputError where it covers none of the pixels.
    """
    wavelength = model.wavelength.numpy()
    atlas.check_overlap(wavelength)
    with torch.no_grad():
        theory, seen = (flux(labels[None])[0].double().numpy() for flux in (model.synthetic, model.observed))
    smoothed = atlas.smoothed(resolution)
    velocity = smoothed.velocity(wavelength, seen)
    flux, covered = smoothed.on(wavelength, velocity)
    if not covered.any():
        raise InputError(
            f"{atlas.origin}: expected an atlas that covers some pixels at a resolution of {resolution:g}, got one of"
            f" {atlas.ranges()} A"
        )
    flux = np.where(covered, flux / broad_part(flux / theory, covered, wavelength), np.nan)
    excess = theory - flux
    peaks, _ = find_peaks(
        np.nan_to_num(excess), height=depth, prominence=depth / 2, distance=pixels_within(APART, wavelength)
    )
    about = {"atlas": atlas.origin, "velocity": velocity, "covers": atlas.ranges(), "pixels": int(covered.sum())}
    lines = [KnownLine(float(wavelength[peak])) for peak in peaks]
    return Star(lines, wavelength, covered, about, labels, flux, excess, depth)


def broad_part(ratio: np.ndarray, covered: np.ndarray, wavelength: np.ndarray) -> np.ndarray:
    """The running median (P,) of a ratio over BROAD, in each piece of covered pixels alone; NaN elsewhere."""
    found = np.full(len(ratio), np.nan)
    size = 2 * pixels_within(BROAD / 2, wavelength) + 1
    pixels = np.flatnonzero(covered)
    chip = np.searchsorted(chip_starts(wavelength), pixels, side="right")
    for piece in np.split(pixels, np.flatnonzero((np.diff(pixels) > 1) | (np.diff(chip) != 0)) + 1):
        found[piece] = median_filter(ratio[piece], size, mode="nearest")
    return found


def deepest_near(excess: np.ndarray, wavelength: np.ndarray) -> np.ndarray:
    """The largest excess (P,) within CORE of each pixel; NaN where none of them is covered."""
    near = pixels_within(CORE, wavelength)
    padded = np.pad(np.where(np.isfinite(excess), excess, -np.inf), near, constant_values=-np.inf)
    deepest = np.lib.stride_tricks.sliding_window_view(padded, 2 * near + 1).max(axis=1)
    return np.where(np.isfinite(deepest), deepest, np.nan)

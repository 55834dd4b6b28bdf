"""Which pixels each element shapes, and the mask that hides some of them from the synthetic domain."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.signal import find_peaks, peak_widths
from torch import Tensor

from cyclegan.spectra.tables import check_names, read_table, write_rows
from emulator.commands.errors import InputError, refusing
from emulator.derivatives import responses
from emulator.payne import Payne
from emulator.wavelength import pixels_within

STRONG = 0.1  # flux per dex of the abundance, in the reference star where it is strongest: a line about 4 % deep
SURROUNDINGS = 104.0  # km/s: a line is judged by what is around it, not by the whole forest
REFERENCE_STARS = (  # a giant, a cool dwarf, a warm dwarf: teff, logg, vmic, vmacro; solar abundances
    (4700.0, 2.5, 1.6, 5.0),
    (4900.0, 4.6, 0.9, 3.0),
    (5900.0, 4.3, 1.2, 5.0),
)


class Feature(NamedTuple):
    """A line, or a blend of one element's lines: element, pixels start to stop (exclusive), the strongest response.

    wavelength: of the strongest pixel, vacuum Angstrom; response: d flux / d [X/H] there, per dex, negative.
    """

    element: str
    start: int
    stop: int
    wavelength: float
    response: float


def reference_labels(emulator: Payne) -> Tensor:
    """Labels (R, L) of the reference stars: abundances solar, others zero; the nearest in the emulator's range."""
    labels = torch.zeros(len(REFERENCE_STARS), len(emulator.label_names))
    for column, name in enumerate(("teff", "logg", "vmic", "vmacro")):
        if name in emulator.label_names:
            labels[:, emulator.label_names.index(name)] = torch.tensor(REFERENCE_STARS)[:, column]
    return labels.to(emulator.label_low).clamp(emulator.label_low, emulator.label_high)


def strong_features(emulator: Payne) -> list[Feature]:
    """Each element's strong features in the spectra that the emulator makes of the reference stars."""
    labels = reference_labels(emulator)
    # Most negative response over the reference stars: (P, L).
    response = responses(emulator, labels, range(labels.shape[1])).cpu().amin(dim=0).numpy()
    wavelength = emulator.wavelength.cpu().numpy()
    around = max(3, pixels_within(SURROUNDINGS, wavelength))
    features = []
    for column, name in enumerate(emulator.label_names):
        if not name.endswith("_h"):
            continue
        strength = np.clip(-response[:, column], 0, None)
        peaks, _ = find_peaks(strength, height=STRONG, prominence=STRONG / 2, wlen=around)
        _, _, left, right = peak_widths(strength, peaks, rel_height=0.75, wlen=around)
        for peak, first, last in zip(peaks, left, right, strict=True):
            start, stop = int(np.floor(first)), int(np.ceil(last)) + 1
            features.append(
                Feature(name.removesuffix("_h").capitalize(), start, stop, wavelength[peak], -strength[peak])
            )
    return features


def draw_hidden(features: list[Feature], share: float, generator: torch.Generator) -> list[Feature]:
    """`share` of each element's features, at random, to the nearest whole number."""
    hidden = []
    for element in dict.fromkeys(feature.element for feature in features):
        own = [feature for feature in features if feature.element == element]
        count = round(share * len(own))
        hidden += [own[i] for i in torch.randperm(len(own), generator=generator)[:count].tolist()]
    return hidden


def hidden_pixels(features: list[Feature], pixels: int) -> Tensor:
    """(P,) bool, True where a feature lies."""
    hidden = torch.zeros(pixels, dtype=torch.bool)
    for feature in features:
        hidden[feature.start : feature.stop] = True
    return hidden


def write_features(features: list[Feature], path: Path) -> None:
    """A table of features as CSV, one row each."""
    write_rows(path, Feature._fields, features)


def read_features(path: Path) -> list[Feature]:
    """The features of a table that `write_features` wrote; InputError for another file."""
    columns = read_table(path, "line")
    check_names(list(columns), Feature._fields, str(path), "columns")
    with refusing(f"{path}: expected the lines that were hidden", "something else"):
        rows = zip(*(columns[name] for name in Feature._fields), strict=True)
        found = [Feature(name, int(a), int(b), float(place), float(response)) for name, a, b, place, response in rows]
    for row, one in enumerate(found):
        if not (0 <= one.start < one.stop and 0 < one.wavelength < np.inf and np.isfinite(one.response)):
            got = ", ".join(map(str, one))
            raise InputError(f"{path}: expected lines that were hidden, from pixel to pixel, got {got} in row {row}")
    return found

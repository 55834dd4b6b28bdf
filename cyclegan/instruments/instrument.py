"""What the conversion asks of an instrument: its numbers, and a reader of its files."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from cyclegan.instruments.velocities import Velocities
from emulator.commands.errors import InputError
from emulator.instrument import Instrument

BATCH = 256  # spectra that are held at a time
COMBINED, VISITS = "combined", "visits"  # which spectra of a star
MOST_SNR = 1e6  # of a spectrum; what is said to be more is none


def possible_snr(told: np.ndarray) -> np.ndarray:
    """Ratios of signal to noise (n,), NaN where what is told cannot be one: they are not needed to read a spectrum."""
    values = np.asarray(told, "float64")
    return np.where((values >= 0) & (values <= MOST_SNR), values, np.nan).astype("float32")


class Stars(NamedTuple):
    """Spectra of one file, of one star or of several, on the instrument's wavelengths.

    flux and error (n, P), in the file's unit; bits (n, P): of the instrument's mask; visit (n,): 0 for a combined
    spectrum; snr (n,); name (n,): of the star that each is of. about: what else the file says of each, (n,) by the
    names of columns of a table of labels, for stars that have several rows there. labels (n, L): those of the reader's
    `label_names` that the file tells itself, NaN where unknown; None where it has no room for any. velocity (n, 2): by
    which they were put to rest, in the frame in which they were seen, and its error, in km/s, NaN where unknown; None
    where the file had them at rest. errors: whether there are any; where not, as of models, `error` is only a weight.
    """

    flux: np.ndarray
    error: np.ndarray
    bits: np.ndarray
    visit: np.ndarray
    snr: np.ndarray
    name: np.ndarray
    path: Path
    about: Mapping[str, np.ndarray]
    labels: np.ndarray | None = None
    velocity: np.ndarray | None = None
    errors: bool = True


class LabelTable(Protocol):
    """A survey's table of labels. missing: those labels of the instrument's for which it has no column."""

    missing: Sequence[str]

    def find(self, names: np.ndarray, about: Mapping[str, np.ndarray]) -> np.ndarray:
        """Labels (n, L) of the stars of n spectra, NaN where unknown; names and about: as in `Stars`."""
        ...

    def velocities(self, names: np.ndarray, about: Mapping[str, np.ndarray]) -> np.ndarray:
        """How fast the stars (n,) of n spectra recede from the Sun, in km/s, NaN where unknown."""
        ...


class Reader(Protocol):
    """How an instrument's files are read.

    files: what they are called, in a sentence; patterns: the names by which a folder is searched for them; rows: which
    spectra of a file there are to choose from, the default first; label_names: of the labels that a table of its survey
    knows; labels: what that table is called.
    """

    instrument: Instrument
    files: str
    patterns: tuple[str, ...]
    rows: tuple[str, ...]
    label_names: tuple[str, ...]
    labels: str

    def one_each(self, paths: Sequence[Path]) -> list[Path]:
        """Of the files of a star that are read together, one; of a file that stands alone, itself."""
        ...

    def recognises(self, path: Path) -> bool:
        """Whether a file is one of these, by its content, of which as little is read as tells it."""
        ...

    def read(self, path: Path, rows: str, velocities: Velocities) -> Iterator[Stars | InputError]:
        """The spectra of a file, at most BATCH at a time, and an InputError for each part of it that is to be left out.

        velocities: of stars that were not at rest when they were seen. Raises InputError for a file that is none of
        these, or is damaged. What was yielded before stands.
        """
        ...

    def read_labels(self, path: Path) -> LabelTable:
        """The survey's table of labels; InputError for another file."""
        ...

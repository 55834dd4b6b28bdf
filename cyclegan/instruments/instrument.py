"""What the conversion asks of an instrument: its numbers, and a reader of its files."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from emulator.instrument import Instrument

BATCH = 256  # spectra that are held at a time


class Stars(NamedTuple):
    """Spectra of one file, of one star or of several, on the instrument's wavelengths.

    flux and error (n, P), in the file's unit; bits (n, P): of the instrument's mask; visit (n,): 0 for a combined
    spectrum; snr (n,); name (n,): of the star that each is of. about: what else the file says of each, (n,) by the
    names of columns of a table of labels, for stars that have several rows there.
    """

    flux: np.ndarray
    error: np.ndarray
    bits: np.ndarray
    visit: np.ndarray
    snr: np.ndarray
    name: np.ndarray
    path: Path
    about: Mapping[str, np.ndarray]


class LabelTable(Protocol):
    """A survey's table of labels. missing: those labels of the instrument's for which it has no column."""

    missing: Sequence[str]

    def find(self, names: np.ndarray, about: Mapping[str, np.ndarray]) -> np.ndarray:
        """Labels (n, L) of the stars of n spectra, NaN where unknown; names and about: as in `Stars`."""
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

    def recognises(self, path: Path) -> bool:
        """Whether a file is one of these, by its content, of which as little is read as tells it."""
        ...

    def read(self, path: Path, rows: str) -> Iterator[Stars]:
        """The spectra of a file, at most BATCH at a time; InputError for a file that is none of these, or is damaged.

        What was yielded before an InputError stands.
        """
        ...

    def read_labels(self, path: Path) -> LabelTable:
        """The survey's table of labels; InputError for another file."""
        ...

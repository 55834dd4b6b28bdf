"""What the conversion asks of an instrument: its numbers, and a reader of its files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from emulator.instrument import Instrument


class Star(NamedTuple):
    """The spectra of one file, on the instrument's wavelengths.

    flux and error (n, P), in the file's unit; bits (n, P): of the instrument's mask; visit (n,): 0 for a combined
    spectrum; snr (n,). about: what else the file says of the star, by the names of columns of a table of labels.
    """

    flux: np.ndarray
    error: np.ndarray
    bits: np.ndarray
    visit: np.ndarray
    snr: np.ndarray
    name: str
    path: Path
    about: Mapping[str, str]


class LabelTable(Protocol):
    """A survey's table of labels. missing: those labels of the instrument's for which it has no column."""

    missing: Sequence[str]

    def find(self, stars: Sequence[Star]) -> np.ndarray:
        """Labels (n, L) of n stars, NaN where unknown."""
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

    def read(self, path: Path, rows: str) -> Star:
        """The spectra of a file; InputError for a file that is not such a one, or is damaged."""
        ...

    def read_labels(self, path: Path) -> LabelTable:
        """The survey's table of labels; InputError for another file."""
        ...

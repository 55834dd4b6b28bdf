"""Outputs beside the main one, as pictures are: what goes wrong with one costs that one, and not the work."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matplotlib import rc_context, rcdefaults
from matplotlib.figure import Figure

from emulator.commands.errors import first_line
from emulator.commands.writing import write_whole

log = logging.getLogger(__name__)


@contextmanager
def as_side_output(what: str) -> Iterator[None]:
    """Around what makes `what`: any error is told in one warning, and the command goes on with what comes after.

    Also an InputError: at the end of the work it is too late to ask for a better place to write to.
    """
    try:
        yield
    except Exception as error:
        log.warning("%s is left out: %s", what, first_line(error))


@contextmanager
def as_picture(what: str) -> Iterator[None]:
    """Around what draws and what writes a picture: as a side output, and in Matplotlib's own style.

    The user's may ask for LaTeX, or for fonts, that are not here.
    """
    with as_side_output(what), rc_context():
        rcdefaults()
        yield


def save_picture(figure: Figure, path: str | Path, dpi: float) -> None:
    """Write a figure as PNG, all of it or nothing; dpi: pixels an inch."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi)
    write_whole(path, file.getbuffer())

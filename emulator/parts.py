"""Parts of a command's output, each made by whatever process on whatever machine, until they are joined.

A part lies in OUT.parts, and says what it was made of. One that is there of the same settings and files is not made
again; so the command that makes them all, run once more, makes those that failed, and joins them.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from emulator.commands.errors import InputError
from emulator.commands.outputs import check_own
from emulator.commands.parts import Part, parts_folder
from emulator.commands.writing import write_whole
from emulator.hdf5 import open_hdf5

log = logging.getLogger(__name__)

MADE_OF = "made_of"  # the attribute of a part


def _word_of(path: Path) -> str | None:
    """What a part says that it was made of; None where there is none."""
    with suppress(InputError), open_hdf5(path, "a part") as file:
        word = file.attrs.get(MADE_OF)
        return word if isinstance(word, str) else None
    return None


def is_made(path: Path, word: str) -> bool:
    """Whether a part is there, of what `word` says that it is to be made of."""
    return _word_of(path) == word


@contextmanager
def as_one_of_all(part: Part, output: str | Path, all_are_made: bool) -> Iterator[None]:
    """Around the making of a part: where all are, `made_parts` tells why this one was not, and the others go on.

    Raises InputError where another's file is in its place.
    """
    path = part.path(output)
    check_own([path], _word_of(path) is not None, "a command over parts")
    note = path.with_suffix(".txt")
    with suppress(OSError):
        note.unlink(missing_ok=True)
    try:
        yield
    except InputError as problem:
        if not all_are_made:
            raise
        log.warning("part %s is left out: %s", part, problem)
        write_whole(note, f"{problem}\n")


def made_parts(output: str | Path, several: int, word: str) -> list[Path]:
    """All parts of `output`; InputError with the reason where one is missing, or made of something else than `word`."""
    parts = Part.each(several)
    if missing := [part for part in parts if not is_made(part.path(output), word)]:
        note = missing[0].path(output).with_suffix(".txt")
        reason = note.read_text().strip() if note.is_file() else "it was not made, or of something else"
        if len(missing) == several:
            remove_parts(output, several)
        raise InputError(
            f"{output}: expected {several} parts, got {several - len(missing)}; part {missing[0]}: {reason}"
        )
    return [part.path(output) for part in parts]


def remove_parts(output: str | Path, several: int) -> None:
    """Remove the parts of `output` with what was noted of them, and their folder if nothing else is in it."""
    for part in Part.each(several):
        for path in (part.path(output), part.path(output).with_suffix(".txt")):
            path.unlink(missing_ok=True)
    with suppress(OSError):
        parts_folder(output).rmdir()

"""Work in parts: which share of it is whose, and what a command runs to make all of them."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from emulator.commands.errors import InputError

MOST_PARTS = 9999
UNMADE = ("part", "parts", "device", "output")  # settings that change nothing of what is made
Piece = TypeVar("Piece")


@dataclass(frozen=True)
class Part:
    """One of several: number is from 1."""

    number: int
    several: int

    @classmethod
    def read(cls, text: str, key: str) -> Self:
        """The part that a text as 3/16 says; key: who asks. InputError for what is none."""
        found = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text, re.ASCII)
        part = cls(*map(int, found.groups())) if found else None
        if part is None or not 1 <= part.number <= part.several:
            raise InputError(f"{key}: expected a part as 3/16, from 1/16 to 16/16, got {text}")
        return part

    @classmethod
    def each(cls, several: int) -> list[Self]:
        """All of so many."""
        return [cls(number, several) for number in range(1, several + 1)]

    def __str__(self) -> str:
        return f"{self.number}/{self.several}"

    def path(self, output: str | Path) -> Path:
        """Where it lies until it is joined with the others to `output`."""
        return parts_folder(output) / f"{self.number:0{len(str(self.several))}}-of-{self.several}.h5"

    def share(self, pieces: Sequence[Piece], what: str) -> Sequence[Piece]:
        """Its own among all pieces of the work, in their order; InputError where there are fewer than parts.

        what: to call them in a message.
        """
        count, (first, last) = len(pieces), (self.number - 1, self.number)
        if self.several > count:
            raise InputError(f"part {self}: expected at most {count} parts, one for each of the {what}, got more")
        return pieces[count * first // self.several : count * last // self.several]

    def rows(self, counts: Mapping[str, int], batch: int) -> dict[str, slice]:
        """Its own rows of each subset that has any, of so many; whole batches, as they are when there is one part.

        So what is computed a batch at a time is the same to the bit.
        """
        batches = [
            (name, first, min(first + batch, count))
            for name, count in counts.items()
            for first in range(0, count, batch)
        ]
        rows: dict[str, slice] = {}
        for name, first, last in self.share(batches, f"batches of up to {batch} spectra"):
            rows[name] = slice(rows[name].start if name in rows else first, last)
        return rows


WHOLE = Part(1, 1)


def parts_folder(output: str | Path) -> Path:
    """Where parts of `output` lie."""
    return Path(f"{output}.parts")


def made_of(settings: Any, files: Iterable[str | Path]) -> str:
    """A word that tells what a part is made of from what others are: settings, a dataclass, and files as they are."""
    told: dict[str, Any] = {name: value for name, value in asdict(settings).items() if name not in UNMADE}
    for path in files:
        with suppress(OSError):
            found = Path(path).stat()
            told[f"file {path}"] = [found.st_size, found.st_mtime_ns]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def steps(arguments: Sequence[str]) -> list[list[str]]:
    """What a Hydra command runs for these arguments: with parts=N a sweep over the parts, and then what joins them."""
    found = [re.fullmatch(r"parts=(\d{1,4})", argument, re.ASCII) for argument in arguments]
    several = next((int(one[1]) for one in found if one), 0)
    once = [argument for argument in arguments if argument not in ("-m", "--multirun")]
    if not several or any(argument.startswith("-") for argument in once):
        return [list(arguments)]
    return [["--multirun", *once, f"part={','.join(map(str, Part.each(several)))}"], once]

"""Bad input is told in one line: what, expected, got, where; and the exit code is 2."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST = 200  # characters of what another's error says
INTERRUPTED = 130  # the exit code of what Ctrl-C ends


class InputError(ValueError):
    """Something the user gave cannot be used. The message is one line: what, expected, got, where.

    What it quotes of a file may have ends of lines of whatever kind in it: these become blanks.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.splitlines()))


def first_line(error: BaseException) -> str:
    """The first sentence of what an error says, at most LONGEST of it, or its name where it says nothing."""
    return re.split(r"\n|\. ", str(error).strip())[0][:LONGEST].rstrip(".") or type(error).__name__


@contextmanager
def refusing(expected: str, got: str = "a damaged or other one") -> Iterator[None]:
    """Around whatever parses a stranger's file: what it raises becomes an InputError of `expected`, `got` and why.

    A parser that meets bytes which it was not made for raises anything, and a list of what that may be is never whole.
    A lack of memory and an interrupt are not the file's, and pass; so does an InputError.
    """
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        raise InputError(f"{expected}, got {got} ({first_line(error)})") from error

"""What a command may write over: what it wrote itself, and never what it reads."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from emulator.commands.errors import InputError


def check_apart(outputs: Iterable[Path], inputs: Mapping[str, str | Path | None]) -> None:
    """Raise InputError where a file to write is one that is read; inputs: paths, or other values, by what names them.

    Links are followed: it is the same file under any name.
    """
    for output in outputs:
        for name, given in inputs.items():
            if given is not None and _same(output, Path(given)):
                raise InputError(f"{output}: expected another file to write than '{name}', got the same")


def inputs_of(config: object, outputs: Sequence[str] = ("output",)) -> dict[str, str]:
    """What may be paths among the values of a dataclass, by their keys; outputs: keys of what is written."""
    values = {key: value for key, value in vars(config).items() if key not in outputs}
    listed = {
        f"{key} {number}": one
        for key, value in values.items()
        if isinstance(value, list)
        for number, one in enumerate(value)
    }
    return {key: value for key, value in (values | listed).items() if isinstance(value, str)}


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them is not there
        return one.resolve() == other.resolve()


def check_own(outputs: Sequence[Path], own: bool, command: str) -> None:
    """Raise InputError where a file to write is there, unless they are this command's own of an earlier time."""
    if folders := [path for path in outputs if path.is_dir()]:
        raise InputError(f"{folders[0]}: expected a file to write, got a folder")
    if there := [path for path in outputs if not own and path.exists()]:
        raise InputError(f"{there[0]}: expected a file that {command} wrote, or none, got another's: it is kept")

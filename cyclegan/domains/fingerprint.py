"""What tells a file of spectra from another of the same name."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cyclegan.spectra.spectra import Spectra
from cyclegan.spectra.unchanged import FileState
from emulator.commands.errors import InputError

Fingerprint = dict[str, Any]  # size (bytes) and modified (seconds since 1970) of a file; sha256 of what was read


def fingerprint(path: Path, read: Iterable[Spectra]) -> Fingerprint:
    """That of a file, and of the spectra (N, P) of it that are used, whatever else it holds."""
    digest = hashlib.sha256()
    for spectra in read:
        for values in spectra:
            digest.update(values.contiguous().numpy().data)
    state = path.stat()
    return {"size": state.st_size, "modified": state.st_mtime, "sha256": digest.hexdigest()}


def is_fingerprint(value: Fingerprint) -> bool:
    """Whether a stranger's is one."""
    kinds = {"size": int, "modified": float, "sha256": str}
    return value.keys() == kinds.keys() and all(isinstance(value[name], kind) for name, kind in kinds.items())


def check_same(path: Path, found: Fingerprint, expected: Fingerprint) -> None:
    """Raise InputError where a file holds other spectra than those that a run was trained with."""
    if found["sha256"] != expected["sha256"]:
        raise InputError(
            f"{path}: expected the spectra that the run was trained with, in a file of {_told(expected)}, got others,"
            f" in one of {_told(found)}"
        )


def _told(one: Fingerprint) -> str:
    return str(FileState(one["size"], int(one["modified"] * 1e9)))

"""The files that a command line names: folders are searched, links followed, and what is passed over is told."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from cyclegan.instruments.instrument import Reader
from cyclegan.instruments.known import files_of
from emulator.commands.errors import InputError

RESOURCE_FORK = "._"  # what macOS puts before a file's name for what else it knows of it, on disks of other systems


@dataclass
class InputFiles:
    """paths: the files to read; passed_over: what is not read, by why."""

    paths: list[Path] = field(default_factory=list)
    passed_over: dict[str, list[str]] = field(default_factory=dict)
    _known: set[tuple[int, int]] = field(default_factory=set)

    def search(self, folder: Path, patterns: Sequence[str]) -> bool:
        """Take the files below a folder whose names, in whatever case, are like one of the patterns.

        Whether there are any, be it that they were taken before.
        """
        if not self._is_new(folder):
            return True
        found, any_like = [], False
        for root, folders, names in os.walk(folder, followlinks=True, onerror=self._unreadable):
            folders[:] = [name for name in sorted(folders) if self._is_new(Path(root, name))]
            for path in (Path(root, name) for name in sorted(names)):
                if path.name.startswith(RESOURCE_FORK):
                    self._pass_over("resource forks of macOS", path)
                    continue
                if not any(fnmatchcase(path.name.lower(), pattern) for pattern in patterns):
                    self._pass_over("other files", path)
                    continue
                any_like = True
                if self._is_new(path):
                    found.append(path)
        self.paths += sorted(found)
        return any_like

    def take(self, path: Path) -> None:
        """Take a file that is named itself, whatever its name."""
        if self._is_new(path):
            self.paths.append(path)

    def _is_new(self, path: Path) -> bool:
        """Whether a file or a folder is reached for the first time, by whatever name: so that loops of links end."""
        try:
            status = path.stat()
        except OSError:  # whatever reads it will say so
            return True
        identity = (status.st_dev, status.st_ino)
        if identity in self._known:
            self._pass_over("reached before", path)
            return False
        self._known.add(identity)
        return True

    def _unreadable(self, error: OSError) -> None:
        self._pass_over("unreadable folders", error.filename)

    def _pass_over(self, why: str, path: Path | str) -> None:
        self.passed_over.setdefault(why, []).append(str(path))


def find_files(inputs: Sequence[str], readers: Sequence[Reader]) -> InputFiles:
    """What `inputs`, files and folders, come to for readers. A file that is reached twice counts once.

    Raises InputError for a folder without any.
    """
    found, patterns = InputFiles(), sorted({pattern for reader in readers for pattern in reader.patterns})
    for given in map(Path, inputs):
        if not given.is_dir():
            found.take(given)
        elif not found.search(given, patterns):
            among = "".join(f", {len(paths)} {why}" for why, paths in found.passed_over.items())
            raise InputError(f"{given}: expected {files_of(readers)} in this folder, found none{among}")
    return found

"""A domain whose spectra come from an HDF5 file."""

import logging
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from cyclegan.domains.fingerprint import fingerprint
from cyclegan.domains.on_disk import AT_ONCE, StarsOnDisk
from cyclegan.spectra.continuum_files import read_continuum
from cyclegan.spectra.files import SUBSETS, SpectraFile
from cyclegan.spectra.spectra import WORST_ERROR, Spectra
from cyclegan.spectra.unchanged import check_unchanged
from emulator.commands.errors import InputError
from emulator.commands.progress import progress

log = logging.getLogger(__name__)

CHUNK = 200  # spectra that are read at a time where not all are held


class HDF5Domain:
    """Spectra from a file in the layout of `SpectraFile`, with all of train, val and test.

    skip_pixels: how many to leave out at the blue end; wavelength_file: for files without wavelengths; worst_error: of
    the continuum, above which pixels are masked; observed: whether the spectra are, or theory's. Everything is checked
    at the door. What is masked is counted and reported. More than AT_ONCE training spectra stay in the file, of which
    each draw then reads about AT_ONCE: `fixed` is False. The file has to stay as it is until the last draw.
    """

    def __init__(
        self,
        path: str | Path,
        skip_pixels: int = 0,
        wavelength_file: str | Path | None = None,
        worst_error: float = WORST_ERROR,
        observed: bool = True,
    ) -> None:
        self._opened = partial(SpectraFile, path, skip_pixels, wavelength_file, worst_error=worst_error)
        with self._opened() as file:
            self.path, self.wavelength, self.label_names = file.path, file.wavelength, file.label_names
            self.origin, self.state = str(path), file.state
            if skip_pixels:
                log.info("%s: left out %d pixels at the blue end (domains.skip_pixels)", path, skip_pixels)
            file.tell_of_errors(observed)
            self.fixed = file.subsets.get("train", 0) <= AT_ONCE
            passed: list[Tensor] = []
            passing = () if self.fixed else self._pass(file, "train", passed)
            self.subsets = {subset: self._read(file, subset) for subset in SUBSETS if self.fixed or subset != "train"}
            self.fingerprint = fingerprint(self.path, chain(passing, self.subsets.values()))
            self.labels = {subset: file.labels(subset) for subset in SUBSETS}
            self.identities = {subset: file.identities(subset) for subset in SUBSETS}
            # A spectrum without usable pixels teaches nothing; rows of 'train' in the file -> rows here, -1 for none.
            seen = self.seen("train") if self.fixed else torch.cat(passed)
            names = self.identities["train"] or [str(row) for row in range(len(seen))]
            self.train_names = [name for name, kept in zip(names, seen.tolist(), strict=True) if kept]
            self.train_rows = torch.where(seen, seen.cumsum(dim=0) - 1, -1)
            self.keep_seen("train", seen)
            self.on_disk = None if self.fixed else StarsOnDisk(self._again, seen.nonzero()[:, 0])
            self.continuum = read_continuum(file.file, self.wavelength.numpy(), file.places())

    def _again(self) -> SpectraFile:
        """The file, opened again; InputError where it is another meanwhile."""
        check_unchanged(self.path, self.state)
        return self._opened()

    def _read(self, file: SpectraFile, subset: str) -> Spectra:
        spectra = file.read(subset)
        self._report(file, subset, int((~spectra.mask).sum()))
        return spectra

    def _pass(self, file: SpectraFile, subset: str, seen: list[Tensor]) -> Iterator[Spectra]:
        """A subset in chunks; which of the stars of each have a usable pixel, (n,) bool, is put into `seen`."""
        masked = 0
        with progress(what=f"reading {self.path.name}", total=file.subsets[subset], unit="spectrum") as bar:
            for chunk in file.chunks(subset, CHUNK):
                yield chunk
                seen.append(chunk.mask.any(dim=1))
                masked += int((~chunk.mask).sum())
                bar.update(len(chunk.mask))
        self._report(file, subset, masked)

    def _report(self, file: SpectraFile, subset: str, masked: int) -> None:
        """Tell how many pixels of a subset are masked; InputError where nothing is left."""
        pixels = file.subsets[subset] * len(self.wavelength)
        if not pixels:
            raise InputError(f"{self.path}: expected spectra in '{subset}', got an empty domain")
        if masked == pixels:
            raise InputError(
                f"{self.path}: expected usable pixels in 'spectra {subset}', got none: NaN, masked, or of an error"
                f" above {file.worst_error:g} of the continuum, which is to be 1"
            )
        if inverted := file.mostly_masked(subset):
            log.warning("%s: %s", self.path, inverted)
        if masked:
            log.warning(
                "%s: masked %d of %d pixels in '%s' (NaN, infinite, no flux, error above %g, or by the file's mask)",
                self.path,
                masked,
                pixels,
                subset,
                file.worst_error,
            )

    def keep(self, subset: str, wanted: Tensor) -> None:
        """Hold only those spectra of a subset that are wanted (N,) bool, with what goes with them."""
        if not wanted.all():
            self.arrange(subset, wanted.nonzero()[:, 0])

    def arrange(self, subset: str, rows: Tensor) -> None:
        """Hold these rows (n,) of a subset, in this order: spectra, labels and names."""
        if subset in self.subsets:
            self.subsets[subset] = self.subsets[subset].rows(rows)
        if (labels := self.labels[subset]) is not None:
            self.labels[subset] = labels[rows]
        if (names := self.identities[subset]) is not None:
            self.identities[subset] = [names[row] for row in rows.tolist()]

    def seen(self, subset: str) -> Tensor:
        """Which stars of a subset in memory have a usable pixel, (N,) bool."""
        return self.subsets[subset].mask.any(dim=1)

    def keep_seen(self, subset: str, seen: Tensor) -> None:
        """Hold only the stars of a subset that are seen (N,) bool, and report how many are not."""
        if blind := int((~seen).sum()):
            log.warning("%s: left out %d stars in '%s' that have no usable pixel", self.path, blind, subset)
        self.keep(subset, seen)

    def draw(self, seed: int) -> Spectra:
        """The file's training spectra (N, P), whatever the seed; where they stay in it, those that a seed draws."""
        return self.subsets["train"] if self.on_disk is None else self.on_disk.read(self.on_disk.drawn(seed))

    def training(self, rows: Tensor) -> Spectra:
        """The training spectra (n, P) of some rows (n,) of those that are not left out."""
        return self.subsets["train"].rows(rows) if self.on_disk is None else self.on_disk.read(rows)

    def all_training(self) -> Iterator[Spectra]:
        """All training spectra, in pieces (n, P) that fit into memory."""
        return iter([self.subsets["train"]]) if self.on_disk is None else self.on_disk.chunks()

    def matched(self, subset: str) -> Spectra:
        """Spectra (N, P) of a subset that are not left out."""
        return self.subsets[subset]

    def count(self, subset: str) -> int:
        """How many spectra of a subset are not left out."""
        if subset == "train" and self.on_disk is not None:
            return len(self.on_disk)
        return len(self.subsets[subset].flux)

    def truth(self, subset: str) -> Tensor | None:
        """None: nobody knows the noiseless flux."""
        return None

    def drawn_labels(self, seed: int) -> dict[str, Tensor]:
        """Labels (N,) of `draw`, by name; none where the file has none."""
        known = self.known_labels("train")
        return known if self.on_disk is None else {name: known[name][self.on_disk.drawn(seed)] for name in known}

    def known_labels(self, subset: str) -> dict[str, Tensor]:
        """Labels (N,) of a subset, by name; none where the file has none."""
        labels = self.labels[subset]
        return {} if labels is None else dict(zip(self.label_names, labels.T, strict=True))

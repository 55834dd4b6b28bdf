"""A domain whose spectra come from an HDF5 file."""

import logging
from pathlib import Path

import torch
from torch import Tensor

from cyclegan.domains.fingerprint import fingerprint
from cyclegan.spectra.continuum import Continuum
from cyclegan.spectra.files import SUBSETS, SpectraFile
from cyclegan.spectra.spectra import WORST_ERROR, Spectra
from emulator.commands.errors import InputError

log = logging.getLogger(__name__)


class HDF5Domain:
    """Spectra from a file in the layout of `SpectraFile`, with all of train, val and test.

    skip_pixels: how many to leave out at the blue end; wavelength_file: for files without wavelengths; worst_error: of
    the continuum, above which pixels are masked; observed: whether the spectra are, or theory's. Everything is checked
    at the door. What is masked is counted and reported.
    """

    fixed = True

    def __init__(
        self,
        path: str | Path,
        skip_pixels: int = 0,
        wavelength_file: str | Path | None = None,
        worst_error: float = WORST_ERROR,
        observed: bool = True,
    ) -> None:
        with SpectraFile(path, skip_pixels, wavelength_file, worst_error=worst_error) as file:
            self.path, self.wavelength, self.label_names = file.path, file.wavelength, file.label_names
            self.origin = str(path)
            if skip_pixels:
                log.info("%s: left out %d pixels at the blue end (domains.skip_pixels)", path, skip_pixels)
            file.tell_of_errors(observed)
            self.subsets = {subset: self._read(file, subset) for subset in SUBSETS}
            self.fingerprint = fingerprint(self.path, self.subsets.values())
            self.labels = {subset: file.labels(subset) for subset in SUBSETS}
            self.identities = {subset: file.identities(subset) for subset in SUBSETS}
            # A spectrum without usable pixels teaches nothing; rows of 'train' in the file -> rows here, -1 for none.
            seen = self.seen("train")
            names = self.identities["train"] or [str(row) for row in range(len(seen))]
            self.train_names = [name for name, kept in zip(names, seen.tolist(), strict=True) if kept]
            self.train_rows = torch.where(seen, seen.cumsum(dim=0) - 1, -1)
            self.keep_seen("train", seen)
            self.continuum = Continuum.read(file.file, self.wavelength.numpy(), file.places())

    def _read(self, file: SpectraFile, subset: str) -> Spectra:
        spectra = file.read(subset)
        if len(spectra.flux) == 0:
            raise InputError(f"{self.path}: expected spectra in '{subset}', got an empty domain")
        if not spectra.mask.any():
            raise InputError(
                f"{self.path}: expected usable pixels in 'spectra {subset}', got none: NaN, masked, or of an error"
                f" above {file.worst_error:g} of the continuum, which is to be 1"
            )
        if inverted := file.mostly_masked(subset):
            log.warning("%s: %s", self.path, inverted)
        if masked := int((~spectra.mask).sum()):
            log.warning(
                "%s: masked %d of %d pixels in '%s' (NaN, infinite, no flux, error above %g, or by the file's mask)",
                self.path,
                masked,
                spectra.mask.numel(),
                subset,
                file.worst_error,
            )
        return spectra

    def keep(self, subset: str, wanted: Tensor) -> None:
        """Hold only those spectra of a subset that are wanted (N,) bool, with what goes with them."""
        if not wanted.all():
            self.arrange(subset, wanted.nonzero()[:, 0])

    def arrange(self, subset: str, rows: Tensor) -> None:
        """Hold these rows (n,) of a subset, in this order: spectra, labels and names."""
        self.subsets[subset] = self.subsets[subset].rows(rows)
        if (labels := self.labels[subset]) is not None:
            self.labels[subset] = labels[rows]
        if (names := self.identities[subset]) is not None:
            self.identities[subset] = [names[row] for row in rows.tolist()]

    def seen(self, subset: str) -> Tensor:
        """Which stars of a subset have a usable pixel, (N,) bool."""
        return self.subsets[subset].mask.any(dim=1)

    def keep_seen(self, subset: str, seen: Tensor) -> None:
        """Hold only the stars of a subset that are seen (N,) bool, and report how many are not."""
        if blind := int((~seen).sum()):
            log.warning("%s: left out %d stars in '%s' that have no usable pixel", self.path, blind, subset)
        self.keep(subset, seen)

    def draw(self, seed: int) -> Spectra:
        """The file's training spectra (N, P), whatever the seed."""
        return self.subsets["train"]

    def matched(self, subset: str) -> Spectra:
        """Spectra (N, P) of a subset that are not left out."""
        return self.subsets[subset]

    def count(self, subset: str) -> int:
        """How many spectra of a subset are not left out."""
        return len(self.subsets[subset].flux)

    def truth(self, subset: str) -> Tensor | None:
        """None: nobody knows the noiseless flux."""
        return None

    def drawn_labels(self, seed: int) -> dict[str, Tensor]:
        """Labels (N,) of `draw`, by name; none where the file has none."""
        return self.known_labels("train")

    def known_labels(self, subset: str) -> dict[str, Tensor]:
        """Labels (N,) of a subset, by name; none where the file has none."""
        labels = self.labels[subset]
        return {} if labels is None else dict(zip(self.label_names, labels.T, strict=True))

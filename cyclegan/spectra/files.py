"""Spectra in HDF5 files: the layout (docs/data.md), read a piece at a time."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import h5py
import numpy as np
import torch
from torch import Tensor

from cyclegan.spectra.spectra import ERROR_FLOOR, WORST_ERROR, Spectra
from cyclegan.spectra.texts import read_names
from cyclegan.spectra.unchanged import FileState, check_unchanged
from emulator.commands.errors import InputError, refusing
from emulator.flux import FLUX_LEVELS, LEVEL_SPECTRA, Values, is_flux
from emulator.hdf5 import open_hdf5, read_all, read_label_names
from emulator.labels import is_known
from emulator.wavelength import MEDIA, air_to_vacuum, nearest_pixels
from emulator.wavelength_files import read_wavelength

log = logging.getLogger(__name__)

SUBSETS = ("train", "val", "test")
MASK = "True or 1 where a pixel is usable, False or 0 where not"
NO_ERRORS = f"no errors ('spectra_err SUBSET'), so {ERROR_FLOOR:g}, the floor, is taken for that of each pixel"
UNKNOWN_NOISE = "noise is unknown: what is in units of it, as scores, chi-square and errors of labels, means little"
NEGLIGIBLE = 1e-6  # of the flux: an error that is too small to be believed anywhere, however steep the continuum
MOST_MASKED = 0.5  # of a subset's pixels, by the file's own mask: more, and it is likely the wrong way round


def read_medium(file: h5py.File) -> str:
    """What a file says that its wavelengths are in, vacuum where it does not say."""
    medium = file.attrs.get("medium", "vacuum")
    return medium.decode() if isinstance(medium, bytes) else str(medium)  # as others than h5py write it


class SpectraFile:
    """A file of `spectra SUBSET` and maybe `spectra_err SUBSET` (n, P), `wavelength` (P,), and what goes with them.

    wavelength (P,): vacuum Angstrom; medium: that of the file's own wavelengths; subsets: how many spectra each holds;
    label_names: of the columns of `labels SUBSET`, empty where there are none; has_errors: in all subsets or in none,
    as those of theory; they are then ERROR_FLOOR. skip_pixels: how many to leave out at
    the blue end; wavelength_file: where the wavelengths are, for files that have none; normalised: whether flux has to
    be; worst_error: of the continuum, above which pixels are masked. What is not read here stays in `file`.
    Shapes are checked when the file is opened, values when they are read: InputError names the file, the dataset,
    what was expected and what is there.
    """

    def __init__(
        self,
        path: str | Path,
        skip_pixels: int = 0,
        wavelength_file: str | Path | None = None,
        normalised: bool = True,
        worst_error: float = WORST_ERROR,
    ) -> None:
        self.path, self.normalised, self.worst_error = Path(path), normalised, worst_error
        self.pixels = slice(skip_pixels, None)
        self.picked: Tensor | None = None  # of those pixels, the ones to read; all for None
        self._level_known: set[str] = set()  # subsets whose flux was seen to be normalised
        self.file = open_hdf5(path, "an HDF5 file of spectra")
        self.state = FileState.of(self.path)
        try:
            with self.reading():
                self.wavelength = torch.from_numpy(self._read_wavelength(wavelength_file))
                self.has_errors = any({f"spectra {one}", f"spectra_err {one}"} <= self.file.keys() for one in SUBSETS)
                self.subsets = {
                    subset: self._check_subset(subset) for subset in SUBSETS if f"spectra {subset}" in self.file
                }
                if not self.subsets:
                    found = ", ".join(sorted(self.file)) or "none"
                    raise InputError(f"{path}: expected a dataset 'spectra SUBSET' for one of {SUBSETS}, got {found}")
                self.label_names = self._read_label_names()
        except InputError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self.file.close()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Around what reads the file: whatever it raises becomes an InputError, and so does a change of the file."""
        try:
            with refusing(f"{self.path}: expected an HDF5 file of spectra", "a damaged one"):
                yield
        finally:
            check_unchanged(self.path, self.state)  # HDF5 gives zeros where a file has become shorter

    def _dataset(self, name: str) -> h5py.Dataset:
        found = self.file.get(name)
        if not isinstance(found, h5py.Dataset):
            raise InputError(f"{self.path}: expected a dataset '{name}', got {', '.join(sorted(self.file)) or 'none'}")
        if found.dtype.kind not in "fiub" or found.ndim == 0:
            raise InputError(f"{self.path}: expected an array of numbers in '{name}', got {found}")
        return found

    def _read_wavelength(self, wavelength_file: str | Path | None) -> np.ndarray:
        medium = read_medium(self.file)
        if medium not in MEDIA:
            raise InputError(f"{self.path}: expected attribute medium = {' or '.join(MEDIA)}, got {medium}")
        self.medium: str = medium
        if "wavelength" not in self.file:
            if wavelength_file is None:
                raise InputError(
                    f"{self.path}: expected a dataset 'wavelength', or wavelength=FILE that holds it, got neither"
                )
            wavelength = read_wavelength(wavelength_file, medium)
        else:
            wavelength = read_all(self._dataset("wavelength")).astype("float64")
            if medium == "air":
                wavelength = air_to_vacuum(wavelength)
        if wavelength.ndim != 1:
            raise InputError(f"{self.path}: expected 'wavelength' of shape (pixels,), got {wavelength.shape}")
        wavelength = wavelength[self.pixels]
        if len(wavelength) < 2:
            raise InputError(
                f"{self.path}: expected at least 2 wavelengths from pixel {self.pixels.start} on, got {len(wavelength)}"
            )
        if (wrong := ~(np.diff(wavelength) > 0)).any():
            first = int(wrong.argmax())
            pair = " and ".join(f"{value:.3f}" for value in wavelength[first : first + 2])
            pixel = first + self.pixels.start
            raise InputError(f"{self.path}: expected ascending wavelengths, got {pair} from pixel {pixel} on")
        if wavelength[0] <= 0 or np.isinf(wavelength[-1]):
            got = f"{wavelength[0]:.3f} to {wavelength[-1]:.3f}"
            raise InputError(f"{self.path}: expected finite wavelengths above 0, got {got}")
        return wavelength

    def _check_subset(self, subset: str) -> int:
        flux = self._dataset(f"spectra {subset}")
        pixels = len(self.wavelength) + self.pixels.start
        if flux.shape[1:] != (pixels,):
            raise InputError(
                f"{self.path}: expected 'spectra {subset}' of shape (n, {pixels}) (spectra, pixels), got {flux.shape}"
            )
        expected = (len(flux), pixels)
        if self.has_errors and f"spectra_err {subset}" not in self.file:
            raise InputError(
                f"{self.path}: expected errors in all subsets or in none, got no 'spectra_err {subset}' among"
                f" {', '.join(sorted(self.file))}"
            )
        for name in [name for name in ("spectra_err", "mask") if f"{name} {subset}" in self.file]:
            if (found := self._dataset(f"{name} {subset}").shape) != expected:
                raise InputError(
                    f"{self.path}: expected '{name} {subset}' of shape {expected} (spectra, pixels), got {found}"
                )
        if f"mask {subset}" in self.file and (kind := self._dataset(f"mask {subset}").dtype).kind not in "biu":
            raise InputError(f"{self.path}: expected {MASK}, in 'mask {subset}', got {kind}")
        found = getattr(self.file.get(f"id {subset}"), "shape", None)
        if f"id {subset}" in self.file and found != flux.shape[:1]:
            raise InputError(f"{self.path}: expected 'id {subset}' of shape ({len(flux)},) (names), got {found}")
        return len(flux)

    def _read_label_names(self) -> tuple[str, ...]:
        subsets = [subset for subset in self.subsets if f"labels {subset}" in self.file]
        names = read_label_names(self.file)
        for subset in subsets if names else ():
            expected = (self.subsets[subset], len(names))
            if (found := self._dataset(f"labels {subset}").shape) != expected:
                raise InputError(
                    f"{self.path}: expected 'labels {subset}' of shape {expected} (spectra, label_names), got {found}"
                )
        return names if subsets else ()

    def read(self, subset: str, rows: slice = slice(None)) -> Spectra:
        """Spectra (n, P) of a subset; NaN or infinite pixels, those with errors above `worst_error` or a flux that is
        none, those that the file masks are masked.

        Raises InputError where the subset is missing or damaged, its flux is not normalised but has to be, or the error
        of a pixel to be used is not above 0.
        """
        if subset not in self.subsets:
            raise InputError(f"{self.path}: expected a dataset 'spectra {subset}', got {', '.join(sorted(self.file))}")
        with self.reading():
            if self.normalised and subset not in self._level_known:
                if problem := self.not_normalised(subset):
                    raise InputError(f"{self.path}: {problem}")
                self._level_known.add(subset)
            flux, error = self.read_as_stored(subset, rows)
            masked = f"mask {subset}" in self.file
            usable = self.read_mask(subset, rows) if masked else torch.ones_like(flux, dtype=torch.bool)
        if len(flux) and not (masked and not usable.all()):
            (low, high), (smallest, largest) = flux.aminmax(), error.aminmax()
            # The rule is that all is well, and it is much quicker told.
            believed = smallest > 0 and largest <= self.worst_error and largest.isfinite()
            if believed and self.can_be(low) and self.can_be(high):
                return Spectra(flux, error, usable)
        sound = self.can_be(flux) & error.isfinite()
        usable &= sound
        if (wrong := usable & (error <= 0)).any():
            row, pixel = wrong.nonzero()[0].tolist()
            raise InputError(
                f"{self.path}: expected errors above 0 in 'spectra_err {subset}', got {error[row, pixel]:g}"
                f" in row {row + (rows.start or 0)}, pixel {pixel} ({int(wrong.sum())} in all)"
            )
        sound &= error > 0
        usable &= error <= self.worst_error
        return Spectra(torch.where(sound, flux, 1.0), torch.where(sound, error, WORST_ERROR), usable)

    def read_as_stored(self, subset: str, rows: slice | np.ndarray) -> tuple[Tensor, Tensor]:
        """Flux and errors (n, P) as they are in the file, whatever they are.

        Errors that it does not have are ERROR_FLOOR; where flux need not be normalised, and none is known in its unit,
        NEGLIGIBLE of a spectrum's median, the same for all pixels.
        """
        flux = self._read_pixels(f"spectra {subset}", rows)
        if self.has_errors:
            return flux, self._read_pixels(f"spectra_err {subset}", rows)
        if self.normalised:
            return flux, torch.full_like(flux, ERROR_FLOOR)
        level = flux.abs().nanmedian(dim=1, keepdim=True).values
        return flux, (NEGLIGIBLE * torch.where(level > 0, level, 1.0)).expand_as(flux)

    def tell_of_errors(self, observed: bool) -> None:
        """Log what is taken for errors that the file does not have; a warning where it holds observed spectra."""
        if self.has_errors:
            return
        if observed:
            log.warning("%s: %s; the %s", self.path, NO_ERRORS, UNKNOWN_NOISE)
        else:
            log.info("%s: %s", self.path, NO_ERRORS)

    def can_be(self, flux: Values) -> Values:
        """Which flux (...) can be some: what is finite, and where it is to be normalised what `is_flux` says."""
        return is_flux(flux) if self.normalised else abs(flux) < np.inf

    def not_normalised(self, subset: str) -> str | None:
        """What is wrong if the flux of a subset has a continuum far from 1; None if it is normalised.

        That is told by the median of some spectra, wherever a pixel is not so noisy that it says nothing.
        """
        rows = self._some_rows(subset)
        flux, error = self.read_as_stored(subset, rows)
        told = flux.isfinite() & (error <= self.worst_error * flux.abs().clamp_min(1))
        if f"mask {subset}" in self.file:
            told &= self.read_mask(subset, rows)
        if told.any() and not FLUX_LEVELS[0] <= (level := flux[told].median().item()) <= FLUX_LEVELS[1]:
            return f"expected flux normalised to a continuum of 1 in 'spectra {subset}', got a median of {level:.4g}"
        return None

    def mostly_masked(self, subset: str) -> str | None:
        """What is wrong if the file's own mask leaves few pixels of some spectra of a subset; None if it does not."""
        if f"mask {subset}" not in self.file or not self.subsets[subset]:
            return None
        with self.reading():
            masked = 1 - self.read_mask(subset, self._some_rows(subset)).float().mean().item()
        if masked <= MOST_MASKED:
            return None
        return (
            f"expected most pixels usable in 'mask {subset}', got {masked:.0%} masked: is it the wrong way round?"
            f" It has to hold {MASK}"
        )

    def _some_rows(self, subset: str) -> slice | np.ndarray:
        """LEVEL_SPECTRA rows from first to last, all where there are fewer."""
        last = self.subsets[subset] - 1
        return slice(0) if last < 0 else np.unique(np.linspace(0, last, LEVEL_SPECTRA).astype(int))

    def read_mask(self, subset: str, rows: slice | np.ndarray) -> Tensor:
        """The file's own mask (n, P), True where usable; InputError where a number in it is neither 0 nor 1."""
        values = self._dataset(f"mask {subset}")[rows, self.pixels]
        if values.dtype != bool and (wrong := (values != 0) & (values != 1)).any():
            row, pixel = np.argwhere(wrong)[0].tolist()
            in_file = int(rows[row]) if isinstance(rows, np.ndarray) else row + (rows.start or 0)
            raise InputError(
                f"{self.path}: expected {MASK}, in 'mask {subset}', got {values[row, pixel]} in row {in_file}, pixel"
                f" {pixel + self.pixels.start}: of a bit mask, where 0 is good, store mask = bits == 0"
            )
        return self._picked(values.astype(bool, copy=False))

    def _read_pixels(self, name: str, rows: slice | np.ndarray) -> Tensor:
        return self._picked(self._dataset(name)[rows, self.pixels].astype("float32", copy=False))

    def _picked(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values) if self.picked is None else torch.from_numpy(values)[:, self.picked]

    def pick(self, wavelength: Tensor) -> None:
        """Read only the pixels at wavelength (p,), vacuum Angstrom, ascending, from now on.

        Raises InputError for one that is not among the file's, to a part in ten million.
        """
        nearest, there = nearest_pixels(wavelength, self.wavelength)
        found = self.wavelength[nearest]
        if not there.all():
            pixel = int((~there).nonzero()[0])
            expected, got = (f"{len(w)} pixels, {w[0]:.3f} to {w[-1]:.3f} A" for w in (wavelength, self.wavelength))
            raise InputError(
                f"{self.path}: expected the wavelengths of {expected}, got {got}, where the nearest to"
                f" {wavelength[pixel]:.3f} A is {found[pixel]:.3f} A"
            )
        first, last = int(nearest[0]), int(nearest[-1])
        self.pixels = slice(self.pixels.start + first, self.pixels.start + last + 1)
        self.picked = None if len(nearest) == last - first + 1 else nearest - first
        self.wavelength = found

    def places(self) -> np.ndarray:
        """Where in the file's own spectra the pixels are that are read, (P,)."""
        first = self.pixels.start
        return first + (np.arange(len(self.wavelength)) if self.picked is None else self.picked.numpy())

    def rows_together(self, subset: str) -> int:
        """How many spectra of a subset the file stores together: to read one takes as long as to read these."""
        return (self._dataset(f"spectra {subset}").chunks or (1,))[0]

    def chunks(self, subset: str, size: int, rows: slice = slice(None)) -> Iterator[Spectra]:
        """The subset, or some rows of it, at most `size` spectra (size, P) at a time."""
        start, stop, _ = rows.indices(self.subsets[subset])
        for first in range(start, stop, size):
            yield self.read(subset, slice(first, min(first + size, stop)))

    def labels(self, subset: str) -> Tensor | None:
        """Labels (n, L) of a subset, NaN where unknown; None where the file has no names for them, or no labels."""
        if not self.label_names or f"labels {subset}" not in self.file:
            return None
        with self.reading():
            labels = torch.from_numpy(read_all(self._dataset(f"labels {subset}")).astype("float32"))
        return torch.where(is_known(labels), labels, torch.nan)

    def identities(self, subset: str) -> list[str] | None:
        """The n names of the stars of a subset, where the file has any; InputError where they cannot be read."""
        if f"id {subset}" not in self.file:
            return None
        with self.reading():
            names = read_names(self.file[f"id {subset}"])
        return names if any(names) else None

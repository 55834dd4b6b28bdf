"""Spectra in HDF5 files: the layout (docs/data.md), read a piece at a time."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import h5py
import numpy as np
import torch
from torch import Tensor

from cyclegan.spectra.spectra import WORST_ERROR, Spectra
from emulator.commands.errors import InputError
from emulator.wavelength import MEDIA, air_to_vacuum, nearest_pixels, read_wavelength

SUBSETS = ("train", "val", "test")
# Spectra of each that training can do with: 10 of 'train' were translated worse than by a mean shift
# (docs/few-stars.md), and `separation.quick_auc` shows a half of those of 'val' as real, and trains on half of these.
FEWEST = {"train": 20, "val": 4, "test": 1}
FLUX_LEVELS = (0.2, 2.0)  # the median flux of spectra whose continuum is 1, however deep and many their lines are
LEVEL_SPECTRA = 32  # of a subset, that are looked at for it


def read_label_names(file: h5py.File) -> tuple[str, ...]:
    """The names of labels that a file has, none where it has none."""
    return tuple(np.atleast_1d(file.attrs.get("label_names", [])).astype(str).tolist())


def read_medium(file: h5py.File) -> str:
    """What a file says that its wavelengths are in, vacuum where it does not say."""
    medium = file.attrs.get("medium", "vacuum")
    return medium.decode() if isinstance(medium, bytes) else str(medium)  # as others than h5py write it


class SpectraFile:
    """A file of `spectra SUBSET` and `spectra_err SUBSET` (n, P), `wavelength` (P,), and what goes with them.

    wavelength (P,): vacuum Angstrom; medium: that of the file's own wavelengths; subsets: how many spectra each holds;
    label_names: of the columns of `labels SUBSET`, empty where there are none. skip_pixels: how many to leave out at
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
        if not self.path.is_file():
            raise InputError(f"{path}: expected an HDF5 file of spectra, found no such file")
        try:
            self.file = h5py.File(path, "r")
        except OSError as error:
            raise self._damaged() from error
        try:
            self.wavelength = torch.from_numpy(self._read_wavelength(wavelength_file))
            self.subsets = {
                subset: self._check_subset(subset) for subset in SUBSETS if f"spectra {subset}" in self.file
            }
            if not self.subsets:
                found = ", ".join(sorted(self.file)) or "none"
                raise InputError(f"{path}: expected a dataset 'spectra SUBSET' for one of {SUBSETS}, got {found}")
            self.label_names = self._read_label_names()
        except OSError as error:
            self.close()
            raise self._damaged() from error
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

    def _damaged(self) -> InputError:
        return InputError(f"{self.path}: expected an HDF5 file of spectra, got a truncated or other file")

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
            wavelength = self._dataset("wavelength")[()].astype("float64")
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
        if wavelength[0] <= 0:
            raise InputError(f"{self.path}: expected wavelengths above 0, got {wavelength[0]:.3f}")
        return wavelength

    def _check_subset(self, subset: str) -> int:
        flux = self._dataset(f"spectra {subset}")
        pixels = len(self.wavelength) + self.pixels.start
        if flux.shape[1:] != (pixels,):
            raise InputError(
                f"{self.path}: expected 'spectra {subset}' of shape (n, {pixels}) (spectra, pixels), got {flux.shape}"
            )
        expected = (len(flux), pixels)
        names = ["spectra", "spectra_err", *(["mask"] if f"mask {subset}" in self.file else [])]
        for name in names:
            if (found := self._dataset(f"{name} {subset}").shape) != expected:
                raise InputError(
                    f"{self.path}: expected '{name} {subset}' of shape {expected} (spectra, pixels), got {found}"
                )
        found = getattr(self.file.get(f"id {subset}"), "shape", None)
        if f"id {subset}" in self.file and found != flux.shape[:1]:
            raise InputError(f"{self.path}: expected 'id {subset}' of shape ({len(flux)},) (names), got {found}")
        return len(flux)

    def _read_label_names(self) -> tuple[str, ...]:
        subsets = [subset for subset in self.subsets if f"labels {subset}" in self.file]
        names = read_label_names(self.file)
        for subset in subsets:
            expected = (self.subsets[subset], len(names))
            if names and (found := self._dataset(f"labels {subset}").shape) != expected:
                raise InputError(
                    f"{self.path}: expected 'labels {subset}' of shape {expected} (spectra, label_names), got {found}"
                )
        return names if subsets else ()

    def read(self, subset: str, rows: slice = slice(None)) -> Spectra:
        """Spectra (n, P) of a subset; NaN or infinite pixels, those with errors above `worst_error`, those that the
        file masks are masked.

        Raises InputError where the subset is missing or damaged, its flux is not normalised but has to be, or the error
        of a pixel to be used is not above 0.
        """
        if subset not in self.subsets:
            raise InputError(f"{self.path}: expected a dataset 'spectra {subset}', got {', '.join(sorted(self.file))}")
        try:
            if self.normalised and subset not in self._level_known:
                if problem := self.not_normalised(subset):
                    raise InputError(f"{self.path}: {problem}")
                self._level_known.add(subset)
            flux, error = (
                self._read_pixels(f"{name} {subset}", rows, "float32") for name in ("spectra", "spectra_err")
            )
            masked = f"mask {subset}" in self.file
            usable = (
                self._read_pixels(f"mask {subset}", rows, "bool") if masked else torch.ones_like(flux, dtype=torch.bool)
            )
        except OSError as damage:
            raise self._damaged() from damage
        if len(flux) and not (masked and not usable.all()) and flux.sum().isfinite():
            smallest, largest = error.aminmax()  # the rule is that all is well, and it is much quicker told
            if smallest > 0 and largest <= self.worst_error and largest.isfinite():
                return Spectra(flux, error, usable)
        usable &= flux.isfinite() & error.isfinite()
        if (wrong := usable & (error <= 0)).any():
            row, pixel = wrong.nonzero()[0].tolist()
            raise InputError(
                f"{self.path}: expected errors above 0 in 'spectra_err {subset}', got {error[row, pixel]:g}"
                f" in row {row + (rows.start or 0)}, pixel {pixel} ({int(wrong.sum())} in all)"
            )
        finite = flux.isfinite() & error.isfinite() & (error > 0)
        usable &= error <= self.worst_error
        return Spectra(torch.where(finite, flux, 1.0), torch.where(finite, error, WORST_ERROR), usable)

    def not_normalised(self, subset: str) -> str | None:
        """What is wrong if the flux of a subset has a continuum far from 1; None if it is normalised.

        That is told by the median of some spectra, wherever a pixel is not so noisy that it says nothing.
        """
        last = self.subsets[subset] - 1
        rows = slice(0) if last < 0 else np.unique(np.linspace(0, last, LEVEL_SPECTRA).astype(int))
        flux, error = (self._read_pixels(f"{name} {subset}", rows, "float32") for name in ("spectra", "spectra_err"))
        told = flux.isfinite() & (error <= self.worst_error * flux.abs().clamp_min(1))
        if f"mask {subset}" in self.file:
            told &= self._read_pixels(f"mask {subset}", rows, "bool")
        if told.any() and not FLUX_LEVELS[0] <= (level := flux[told].median().item()) <= FLUX_LEVELS[1]:
            return f"expected flux normalised to a continuum of 1 in 'spectra {subset}', got a median of {level:.4g}"
        return None

    def _read_pixels(self, name: str, rows: slice | np.ndarray, kind: str) -> Tensor:
        values = torch.from_numpy(self._dataset(name)[rows, self.pixels].astype(kind, copy=False))
        return values if self.picked is None else values[:, self.picked]

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

    def chunks(self, subset: str, size: int) -> Iterator[Spectra]:
        """The subset, at most `size` spectra (size, P) at a time."""
        for first in range(0, self.subsets[subset], size):
            yield self.read(subset, slice(first, first + size))

    def labels(self, subset: str) -> Tensor | None:
        """Labels (n, L) of a subset, NaN where unknown; None where the file has no names for them, or no labels."""
        if not self.label_names or f"labels {subset}" not in self.file:
            return None
        return torch.from_numpy(self._dataset(f"labels {subset}")[()].astype("float32"))

    def identities(self, subset: str) -> list[str] | None:
        """The n names of the stars of a subset, where the file has them; InputError where they cannot be read."""
        dataset = self.file.get(f"id {subset}")
        if dataset is None:
            return None
        texts = h5py.check_string_dtype(dataset.dtype)
        try:
            return (dataset.asstr()[()] if texts else dataset[()].astype(str)).tolist()
        except OSError as damage:
            raise self._damaged() from damage
        except UnicodeDecodeError as error:
            raise InputError(f"{self.path}: expected names in UTF-8 in 'id {subset}', got others") from error

"""A domain yields Spectra: from an emulator, made on the fly on the device, or from an HDF5 file."""

import logging
from pathlib import Path
from typing import Protocol

import h5py
import numpy as np
import torch
from torch import Tensor

from cyclegan.effects import chip_profile, photon_noise
from cyclegan.spectra import ERROR_FLOOR, WORST_ERROR, Spectra
from emulator.command import InputError
from emulator.labels import ABUNDANCES
from emulator.payne import Payne

log = logging.getLogger(__name__)


class Domain(Protocol):
    """Where spectra come from. wavelength (P,): vacuum Angstrom, ascending; fixed: every draw is the same."""

    wavelength: Tensor
    fixed: bool

    def draw(self, seed: int) -> Spectra:
        """Training spectra (N, P) for the batches of one epoch."""
        ...

    def matched(self, split: str) -> Spectra:
        """Spectra (N, P) of the 'val' or 'test' stars, whose rows are the same stars in both domains."""
        ...

    def truth(self, split: str) -> Tensor | None:
        """The noiseless flux (N, P) of `matched`, where it is known."""
        ...


class HDF5Domain:
    """Spectra from a file of `spectra SPLIT`, `spectra_err SPLIT` (n, P) for SPLIT in train, val, test, `wavelength`.

    skip_pixels: how many to leave out at the blue end. Everything is checked at the door: InputError names the file,
    the dataset, what was expected and what is there. NaN or infinite pixels are masked, counted and reported.
    """

    fixed = True

    def __init__(self, path: str | Path, skip_pixels: int = 0) -> None:
        self.path = Path(path)
        self.pixels = slice(skip_pixels, None)
        if not self.path.is_file():
            raise InputError(f"{path}: expected an HDF5 file of spectra, found no such file")
        try:
            with h5py.File(path, "r") as file:
                self.wavelength = torch.from_numpy(self._read_wavelength(file))
                self.splits = {split: self._read_split(file, split) for split in ("train", "val", "test")}
        except OSError as error:
            raise InputError(f"{path}: expected an HDF5 file of spectra, got a truncated or other file") from error

    def _dataset(self, file: h5py.File, name: str) -> h5py.Dataset:
        if not isinstance(file.get(name), h5py.Dataset):
            raise InputError(f"{self.path}: expected a dataset '{name}', got {', '.join(sorted(file)) or 'none'}")
        if file[name].dtype.kind not in "fiu" or file[name].ndim == 0:
            raise InputError(f"{self.path}: expected an array of numbers in '{name}', got {file[name]}")
        return file[name]

    def _read_wavelength(self, file: h5py.File) -> np.ndarray:
        wavelength = self._dataset(file, "wavelength")[()].astype("float64")[self.pixels]
        if wavelength.ndim != 1 or len(wavelength) < 2:
            raise InputError(
                f"{self.path}: expected at least 2 wavelengths from pixel {self.pixels.start} on, got {wavelength.size}"
            )
        if not (np.diff(wavelength) > 0).all():
            raise InputError(f"{self.path}: expected finite, ascending wavelengths, got others")
        return wavelength

    def _read_split(self, file: h5py.File, split: str) -> Spectra:
        flux, error = (
            torch.from_numpy(self._dataset(file, f"{name} {split}")[..., self.pixels].astype("float32"))
            for name in ("spectra", "spectra_err")
        )
        expected = (len(flux), len(self.wavelength))
        for name, found in (("spectra", tuple(flux.shape)), ("spectra_err", tuple(error.shape))):
            if found != expected:
                raise InputError(
                    f"{self.path}: expected '{name} {split}' of shape {expected} (spectra, pixels), got {found}"
                )
        if len(flux) == 0:
            raise InputError(f"{self.path}: expected spectra in '{split}', got an empty domain")
        finite = flux.isfinite() & error.isfinite()
        if bad := int((~finite).sum()):
            log.warning("%s: masked %d NaN or infinite pixels of %d in '%s'", self.path, bad, flux.numel(), split)
        if (wrong := finite & (error <= 0)).any():
            row, pixel = wrong.nonzero()[0].tolist()
            raise InputError(
                f"{self.path}: expected errors above 0 in 'spectra_err {split}', got {error[row, pixel]:g}"
                f" in row {row}, pixel {pixel} ({int(wrong.sum())} in all)"
            )
        usable = finite & (error <= WORST_ERROR)
        if not usable.any():
            raise InputError(f"{self.path}: expected usable pixels in 'spectra {split}', got none")
        return Spectra(torch.where(finite, flux, 1.0), torch.where(finite, error, WORST_ERROR), usable)

    def draw(self, seed: int) -> Spectra:
        return self.splits["train"]

    def matched(self, split: str) -> Spectra:
        return self.splits[split]

    def truth(self, split: str) -> Tensor | None:
        return None


class EmulatedDomain:
    """Spectra that a frozen emulator makes on its device of stars drawn anew each time.

    hidden (P,) bool: pixels set to the continuum, as if their lines were missing from the list. noisy: spectra as
    observed (`photon_noise`); otherwise they are exact, and their error is the floor below which none is believed.
    """

    fixed = False

    def __init__(self, emulator: Payne, stars: int, matched_stars: int, hidden: Tensor | None, noisy: bool) -> None:
        self.emulator = emulator.requires_grad_(False).eval()
        self.stars, self.matched_stars = stars, matched_stars
        self.hidden, self.noisy = hidden, noisy
        self.wavelength = emulator.wavelength
        self.profile = chip_profile(self.wavelength)

    def _labels(self, stars: int, seed: int) -> Tensor:
        labels = draw_survey_stars(self.emulator.label_names, stars, torch.Generator().manual_seed(seed))
        self.emulator.check_labels(labels)
        return labels.to(self.wavelength.device)

    @torch.no_grad()
    def _clean(self, labels: Tensor) -> Tensor:
        flux = self.emulator(labels.to(self.emulator.label_low))
        return flux if self.hidden is None else flux.masked_fill(self.hidden.to(flux.device), 1.0)

    def _spectra(self, flux: Tensor, seed: int) -> Spectra:
        if self.noisy:
            generator = torch.Generator(flux.device).manual_seed(seed)
            return photon_noise(flux, self.profile.to(flux.device), generator)
        return Spectra(flux, torch.full_like(flux, ERROR_FLOOR), torch.ones_like(flux, dtype=torch.bool))

    def draw(self, seed: int) -> Spectra:
        return self._spectra(self._clean(self._labels(self.stars, seed)), seed + 1)

    def matched(self, split: str) -> Spectra:
        return self._spectra(self.truth(split), MATCHED_SEEDS[split] + 1)

    def truth(self, split: str) -> Tensor:
        return self._clean(self._labels(self.matched_stars, MATCHED_SEEDS[split]))


# Stars to score on are the same in every run, whatever its seed: runs differ by their training, not by their exam.
MATCHED_SEEDS = {"val": 10**12, "test": 2 * 10**12}


def draw_survey_stars(label_names: tuple[str, ...], n: int, generator: torch.Generator) -> Tensor:
    """Labels (n, L) of stars as a survey of the Galactic disc would meet them: 60 % red giants, 40 % dwarfs.

    Gravity follows temperature along the giant branch and the main sequence, with scatter; alpha elements rise
    towards low [Fe/H]; every element scatters by 0.08 dex on its own. Raises InputError for a label not drawn here.
    """

    def normal(centre: Tensor | float, spread: float) -> Tensor:
        return centre + spread * torch.randn(n, generator=generator)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, generator=generator)

    giant = torch.rand(n, generator=generator) < 0.6
    teff = torch.where(giant, uniform(4300, 5200), uniform(4600, 6500))
    fe_h = normal(-0.2, 0.25).clamp(-0.9, 0.4)
    branch = 1.3 + (teff - 4300) / 450 - 0.6 * fe_h
    labels = {
        "teff": teff,
        "logg": torch.where(giant, normal(branch, 0.2).clamp(1.0, 3.6), normal(4.45, 0.12).clamp(4.0, 4.8)),
        "vmic": torch.where(giant, normal(1.6, 0.2), normal(1.1, 0.2)).clamp(0.6, 2.3),
        "vmacro": torch.where(giant, normal(5.0, 1.0), normal(4.0, 1.2)).clamp(1.5, 9.0),
        "fe_h": fe_h,
    }
    alpha = normal(-0.15 * fe_h, 0.05)
    for name in ABUNDANCES[1:]:
        trend = alpha if name in ("o_h", "mg_h", "si_h", "s_h", "ca_h", "ti_h") else torch.zeros(n)
        if name in ("c_h", "n_h"):  # the first dredge-up turns carbon of giants into nitrogen
            trend = torch.where(giant, -0.08 if name == "c_h" else 0.12, 0.0)
        labels[name] = fe_h + normal(trend, 0.08).clamp(-0.27, 0.37)
    if unknown := [name for name in label_names if name not in labels]:
        raise InputError(f"emulator: expected labels among {', '.join(labels)}, got {', '.join(unknown)}")
    return torch.stack([labels[name] for name in label_names], dim=1)

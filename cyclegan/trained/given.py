"""Spectra as users have them, to a trained model and back in kind: tensors, arrays, or specutils' Spectrum."""

from typing import Any

import torch
from torch import Tensor

from cyclegan.spectra.spectra import ERROR_FLOOR, Spectra
from cyclegan.spectra.spectrum_objects import has_errors, is_spectrum, like, on_grid
from cyclegan.trained.arrays import Values, as_array, as_tensor
from cyclegan.trained.translated import Translated
from emulator.commands.errors import InputError
from emulator.flux import FLUX_LEVELS, LEVEL_SPECTRA


class Given:
    """Flux (B, P), error and mask as tensors or arrays.

    spectra: the same as tensors, flux 1 where a pixel does not count, the error (B, 1) the floor, as it makes no
    difference to a translation. noise: (B, P), 1 sigma, None where it was not given. brings_errors: whether what goes
    back has room for errors.
    """

    brings_errors = False

    def __init__(
        self, flux: Values, error: Values | None, mask: Values | None, pixels: int, worst_error: float
    ) -> None:
        self.are_tensors = isinstance(flux, Tensor)
        flux = as_tensor(flux, "flux")
        if flux.ndim != 2:
            raise InputError(f"flux: expected shape (stars, {pixels}), got {tuple(flux.shape)}")
        counts = certain = flux.isfinite()
        self.noise: Tensor | None = None
        for name, values in (("flux", flux), ("error", error), ("mask", mask)):
            if values is None:
                continue
            values = as_tensor(values, name).to(flux.device)
            expected = (max(len(flux), 1), pixels)
            if tuple(values.shape) != expected:
                raise InputError(f"{name}: expected shape {expected} (stars, pixels), got {tuple(values.shape)}")
            if name == "error":
                self.noise = values
                counts = counts & (values > 0) & (values <= worst_error)
                certain = certain & (values > 0) & (values <= worst_error * flux.abs().clamp_min(1))
            if name == "mask":
                if (wrong := (values != 0) & (values != 1)).any():
                    got = f"{values[wrong][0].item():g}: of a bit mask, where 0 is good, give mask = bits == 0"
                    raise InputError(
                        f"mask: expected True or 1 where a pixel is usable, False or 0 where not, got {got}"
                    )
                counts, certain = counts & values.bool(), certain & values.bool()
        check_level(flux, certain, "flux")
        self.spectra = Spectra(torch.where(counts, flux, 1.0), torch.full_like(flux[:, :1], ERROR_FLOOR), counts)

    def numbers(self, made: Tensor) -> Any:
        """What was made of them, in their own kind."""
        return made if self.are_tensors else as_array(made)

    def translated(self, made: Translated) -> Any:
        """What they became, in their own kind."""
        return self.numbers(made.flux)


class GivenObjects(Given):
    """One Spectrum of specutils, or a list of them, each with any number of stars, on grids of their own.

    What goes back has their shapes and meta, and errors and masks as `transfer` writes them: the errors of the
    translation, of an ensemble, and else their own.
    """

    brings_errors = True

    def __init__(self, flux: Any, medium: str | None, wavelength: Tensor, worst_error: float) -> None:
        self.kind, self.wavelength = type(flux), wavelength.cpu().numpy()
        self.objects = [flux] if is_spectrum(flux) else list(flux)
        self.alone = is_spectrum(flux)
        parts = [
            on_grid(spectrum, self.wavelength, medium, "flux" if self.alone else f"flux[{i}]")
            for i, spectrum in enumerate(self.objects)
        ]
        for i, (values, error, mask) in enumerate(parts):
            certain = mask & (error <= worst_error * values.abs().clamp_min(1))
            check_level(values, certain, "flux" if self.alone else f"flux[{i}]")
        values, error, mask = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        super().__init__(values, None, mask & (error <= worst_error), len(wavelength), worst_error)
        self.are_tensors, self.noise, self.stars = False, error.float(), [len(part.flux) for part in parts]

    def translated(self, made: Translated) -> Any:
        """What they became, as such objects."""
        mask = as_array(~self.spectra.mask | made.flux.isnan())
        found, first = [], 0
        for spectrum, stars in zip(self.objects, self.stars, strict=True):
            rows = slice(first, first := first + stars)
            error = self.noise if made.error is None and has_errors(spectrum) else made.error
            told = None if error is None else as_array(error[rows])
            found.append(like(spectrum, self.wavelength, as_array(made.flux[rows]), told, mask[rows]))
        return found[0] if self.alone else self.kind(found)


def check_level(flux: Tensor, certain: Tensor, name: str) -> None:
    """Raise InputError where the median of flux (B, P), of a few stars, is far from a continuum of 1.

    certain (B, P): the pixels that are not so noisy that they say nothing.
    """
    few = slice(None, None, 1 + len(flux) // LEVEL_SPECTRA)
    told = flux.detach()[few][certain[few]]
    if len(told) and not FLUX_LEVELS[0] <= (level := told.median().item()) <= FLUX_LEVELS[1]:
        raise InputError(f"{name}: expected flux normalised to a continuum of 1, got a median of {level:.4g}")


def take(
    flux: Any, error: Values | None, mask: Values | None, medium: str | None, wavelength: Tensor, worst_error: float
) -> Given:
    """Spectra for a model of these wavelengths (P,), in whatever kind they come.

    Raises InputError for other shapes, and for error, mask or medium beside spectra of the kind that has no use of it.
    """
    are_objects = is_spectrum(flux) or (isinstance(flux, list | tuple) and bool(flux) and all(map(is_spectrum, flux)))
    if not are_objects and medium is not None:
        raise InputError(f"medium: expected none beside arrays, which are on the model's own pixels, got {medium}")
    if not are_objects:
        return Given(flux, error, mask, len(wavelength), worst_error)
    for name, values in (("error", error), ("mask", mask)):
        if values is not None:
            raise InputError(f"{name}: expected none beside a Spectrum, which has its own, got one")
    return GivenObjects(flux, medium, wavelength, worst_error)

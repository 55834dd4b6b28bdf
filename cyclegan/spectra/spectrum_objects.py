"""specutils' Spectrum, to arrays on a grid and back. specutils is not imported: whoever has such an object has it."""

import copy
from typing import Any

import numpy as np
import torch

from cyclegan.spectra.resampling import Resampler
from cyclegan.spectra.spectra import Spectra
from emulator.commands.errors import InputError, refusing
from emulator.wavelength import MEDIA, air_to_vacuum


def is_spectrum(value: object) -> bool:
    """Whether this is a Spectrum of specutils."""
    return hasattr(value, "spectral_axis") and hasattr(value, "flux") and hasattr(value, "uncertainty")


def has_errors(spectrum: Any) -> bool:
    """Whether a Spectrum has an uncertainty."""
    return spectrum.uncertainty is not None


def on_grid(spectrum: Any, wavelength: np.ndarray, medium: str | None, name: str, unit: str | None = "") -> Spectra:
    """A Spectrum of one or more stars on a grid (P,) of vacuum Angstrom, the flux conserved, (n, P), in float64.

    The error is 0 where it has no uncertainty. A pixel is usable where all that it takes from is finite, with an error
    above 0, and not masked: astropy's masks are True where a pixel is bad. `name` it is called in messages. unit: that
    of the flux, none by default; None stands for its own.
    Raises InputError for flux with a unit, an axis that is no wavelength, or without a wavelength in common.
    """
    own, flux = rest_wavelength(spectrum, medium, name), _rows(spectrum, spectrum.flux)
    with refusing(f"{name}: expected flux without a unit, divided by its continuum", f"{spectrum.flux.unit}"):
        flux = flux.to_value(flux.unit if unit is None else unit)
    usable = np.isfinite(flux)
    if spectrum.mask is not None:
        usable &= _rows(spectrum, np.broadcast_to(spectrum.mask, spectrum.flux.shape)) == 0
    error = np.zeros(flux.shape)
    if has_errors(spectrum):
        error = _standard_deviation(spectrum, name, spectrum.flux.unit if unit is None else unit)
        usable &= np.isfinite(error) & (error > 0)
    ascending = np.argsort(own)
    try:
        resampler = Resampler(own[ascending], wavelength)
    except InputError as problem:
        raise InputError(f"{name}: {problem}") from problem
    arrays = (flux.astype("float64"), error.astype("float64"), usable)
    return resampler(Spectra(*(torch.from_numpy(array[:, ascending]) for array in arrays)))


def rest_wavelength(spectrum: Any, medium: str | None, name: str) -> np.ndarray:
    """Where the pixels (p,) of a Spectrum lie, in vacuum Angstrom, in the rest frame that its redshift gives.

    medium: vacuum or air; by default air where the FITS header that it is from says so, CTYPE AWAV, and else vacuum.
    Raises InputError for another medium, and an axis that is no wavelength.
    """
    if medium not in (None, *MEDIA):
        raise InputError(f"medium: expected {' or '.join(MEDIA)}, got {medium}")
    axis = spectrum.spectral_axis
    with refusing(f"{name}: expected one axis of wavelengths, frequencies or energies", f"{axis.unit}"):
        wavelength = axis.to_value("Angstrom").astype("float64")
    with refusing(f"{name}: expected one redshift or radial_velocity for all its stars", f"{axis.redshift}"):
        redshift = float(axis.redshift)
    if not redshift > -1:
        raise InputError(f"{name}: expected a redshift above -1, got {redshift:g}")
    rest = wavelength / (1 + redshift)
    if rest.ndim != 1 or not (np.isfinite(rest).all() and (rest > 0).all() and len(rest) > 1):
        raise InputError(f"{name}: expected one axis of at least two positive wavelengths, got another")
    if medium is None:
        kinds = getattr(spectrum.wcs, "world_axis_physical_types", None) or ()
        medium = "air" if any("obs.atmos" in str(kind) for kind in kinds) else "vacuum"
    # Through air it came as it was observed.
    return air_to_vacuum(wavelength) / (1 + redshift) if medium == "air" else rest


def like(spectrum: Any, wavelength: np.ndarray, flux: np.ndarray, error: np.ndarray | None, mask: np.ndarray) -> Any:
    """A Spectrum of the kind and the shape of `spectrum`, with its meta, on other wavelengths (P,) in Angstrom.

    flux, error, 1 sigma, and mask, True = bad: (n, P), a row for each star of `spectrum`.
    """
    # Of the libraries of whoever has a Spectrum; half a second that others save.
    from astropy import units
    from astropy.nddata import StdDevUncertainty

    along = spectrum.spectral_axis_index
    shape = np.moveaxis(np.empty(spectrum.flux.shape, bool), along, -1).shape[:-1]
    flux, mask = (np.moveaxis(rows.reshape(*shape, -1), -1, along) for rows in (flux, mask))
    if error is not None:
        error = np.moveaxis(error.reshape(*shape, -1), -1, along)
    return type(spectrum)(
        flux=flux * units.one,
        spectral_axis=wavelength * units.AA,
        spectral_axis_index=along,
        uncertainty=None if error is None else StdDevUncertainty(error),
        mask=mask,
        meta=copy.copy(spectrum.meta),
    )


def _rows(spectrum: Any, values: Any) -> Any:
    """Values of the shape of a Spectrum's flux, a row for each star, (n, p)."""
    return np.moveaxis(values, spectrum.spectral_axis_index, -1).reshape(-1, len(spectrum.spectral_axis))


def _standard_deviation(spectrum: Any, name: str, unit: Any) -> np.ndarray:
    """The uncertainty (n, p) as 1 sigma; InputError for an unknown kind."""
    from astropy.nddata import StdDevUncertainty

    kind = type(spectrum.uncertainty).__name__
    expected = f"{name}: expected a standard deviation, a variance or an inverse variance as uncertainty"
    with refusing(expected, kind), np.errstate(divide="ignore", invalid="ignore"):
        return _rows(spectrum, spectrum.uncertainty.represent_as(StdDevUncertainty).quantity.to_value(unit))

"""Wavelengths: air and vacuum, chips, and which of them are the same."""

import numpy as np
import torch
from torch import Tensor

from emulator.commands.errors import InputError

MEDIA = ("vacuum", "air")
LIGHT_SPEED = 299792.458  # km/s, exact
SHORTEST_IN_AIR = 2000.0  # Angstrom: shorter waves do not pass through air, and lists in air give them in vacuum
SAME_WAVELENGTH = 1e-7  # of themselves: wavelengths that differ by less are the same; 30 m/s


def chip_starts(wavelength: np.ndarray) -> np.ndarray:
    """Pixels (chips - 1,) at which a new detector chip begins: where wavelength (P,) jumps by more than 3 steps."""
    steps = np.diff(wavelength)
    return np.flatnonzero(steps > 3 * np.median(steps)) + 1


def velocity_step(wavelength: Tensor | np.ndarray) -> float:
    """The width of a pixel of a grid (P,), in km/s: the median over the pixels."""
    return LIGHT_SPEED * float(torch.as_tensor(wavelength).log().diff().median())


def pixels_within(velocity: float, wavelength: Tensor | np.ndarray) -> int:
    """How many pixels of a grid (P,) `velocity`, in km/s, comes to, to the nearest; one at least."""
    return max(1, round(velocity / velocity_step(wavelength)))


def with_gaps(values: np.ndarray, wavelength: np.ndarray) -> np.ndarray:
    """values (P,) with a NaN before each chip, so that a line drawn through them does not cross the gaps."""
    return np.insert(values.astype(float), chip_starts(wavelength), np.nan)


def air_to_vacuum(wavelength: np.ndarray) -> np.ndarray:
    """Vacuum wavelengths for air wavelengths, both in Angstrom; those below SHORTEST_IN_AIR are in vacuum already.

    The inverse of `vacuum_to_air` to 1e-9 A: the refraction changes so slowly that three rounds find it.
    """
    vacuum = np.asarray(wavelength, float)
    for _ in range(3):
        vacuum = wavelength * _refraction(vacuum)
    return vacuum


def vacuum_to_air(wavelength: np.ndarray) -> np.ndarray:
    """Air wavelengths for vacuum wavelengths, both in Angstrom; those below SHORTEST_IN_AIR stay in vacuum."""
    return wavelength / _refraction(np.asarray(wavelength, float))


def _refraction(vacuum: np.ndarray) -> np.ndarray:
    """The refractive index of standard air, 15 C (Ciddor 1996, Applied Optics 35, 1566, equation 1)."""
    square = (1e4 / np.maximum(vacuum, SHORTEST_IN_AIR)) ** 2  # of the wavenumber per micrometre
    index = 1 + 0.05792105 / (238.0185 - square) + 0.00167917 / (57.362 - square)
    return np.where(vacuum < SHORTEST_IN_AIR, 1.0, index)


def nearest_pixels(wanted: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """Where each of wanted (p,) is nearest in among (P,), ascending; and whether it is there, to SAME_WAVELENGTH."""
    nearest = torch.bucketize(wanted, (among[1:] + among[:-1]) / 2)
    return nearest, torch.isclose(among[nearest], wanted.double(), rtol=SAME_WAVELENGTH, atol=0)


def same_wavelengths(a: Tensor, b: Tensor) -> bool:
    """Whether two grids, (P,) and (Q,), are the same, to SAME_WAVELENGTH."""
    if len(a) != len(b):
        return False
    a, b = a.cpu(), b.cpu()
    return bool(((a - b).abs() <= SAME_WAVELENGTH * b.abs()).all())  # several times as fast as torch.allclose


def unlike_pixel(a: Tensor, b: Tensor) -> int:
    """The pixel at which two grids (P,) differ most."""
    return int((a.cpu() / b.cpu() - 1).abs().argmax())


def checked_wavelength(values: np.ndarray, where: str) -> np.ndarray:
    """Wavelengths (P,) in Angstrom as float64; InputError, told of `where`, unless they are positive and ascending."""
    if values.dtype.kind not in "fiu" or values.ndim != 1 or len(values) < 2:
        raise InputError(f"{where}: expected a list of wavelengths, got shape {values.shape} of {values.dtype}")
    values = values.astype("float64")
    if not (np.isfinite(values).all() and (values > 0).all() and (np.diff(values) > 0).all()):
        raise InputError(f"{where}: expected positive, ascending wavelengths in Angstrom, got others")
    return values

"""Atlases: one star's spectrum at a resolution far above a survey's, as a file, and as the survey would see it."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from astropy.units import Unit
from scipy.ndimage import gaussian_filter1d

from cyclegan.instruments.fits_files import opened_fits
from emulator.array_files import check_arrays
from emulator.commands.errors import InputError, refusing
from emulator.wavelength import LIGHT_SPEED, MEDIA, air_to_vacuum

STEP = 0.5  # km/s between the pixels of a smoothed atlas
GAP = 3.0  # steps of an atlas, beyond which nothing is known of what lies between
COVERED = 0.999  # of what a smoothed pixel is made of, for it to count
FASTEST = 150.0  # km/s: the largest velocity that is looked for; a star's about the Sun, or that of air for vacuum
MOST = 0.8  # of the pixels
SHORTEST = {"vacuum": 100.0, "air": 2000.0}  # Angstrom; below, other units are meant, or air is not transparent
LONGEST = 1e7
WAVELENGTHS, FLUXES = ("wavelength", "wave", "lambda", "loglam"), ("flux", "intensity")  # columns of FITS tables
AIR = {"CTYPE1": "AWAV", "AIRORVAC": "air"}  # what FITS headers say of wavelengths in air


class Atlas(NamedTuple):
    """One star: wavelength (n,), vacuum Angstrom, ascending; flux (n,) in any unit; covered (n,): 0 where it has none.

    origin: the file, and the star where the file has several.
    """

    wavelength: np.ndarray
    flux: np.ndarray
    covered: np.ndarray
    origin: str

    def smoothed(self, resolution: float) -> "Atlas":
        """The same seen at a resolution (wavelength / FWHM), with a Gaussian line spread; its own is not taken off.

        Raises InputError where it is sampled too coarsely for that.
        """
        logarithm, width = np.log(self.wavelength), LIGHT_SPEED / resolution
        steps = LIGHT_SPEED * np.diff(logarithm)
        if (usual := float(np.median(steps))) > width / 2:
            raise InputError(
                f"{self.origin}: expected pixels of at most {width / 2:.3g} km/s for a resolution of {resolution:g},"
                f" got {usual:.3g} km/s"
            )
        even = np.arange(logarithm[0], logarithm[-1], STEP / LIGHT_SPEED)
        after = np.searchsorted(logarithm, even).clip(1, len(logarithm) - 1)
        known = steps[after - 1] < GAP * usual
        sigma = width / (8 * np.log(2)) ** 0.5 / STEP
        flux, covered = (
            gaussian_filter1d(values.astype(float), sigma, mode="nearest")
            for values in (np.interp(even, logarithm, self.flux), known)
        )
        return self._replace(wavelength=np.exp(even), flux=flux, covered=covered)

    def on(self, wavelength: np.ndarray, velocity: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Flux (P,) at wavelength (P,) once a velocity, km/s away from us, is taken out; and which of it is covered."""
        there = wavelength * (1 + velocity / LIGHT_SPEED)
        covered = np.interp(there, self.wavelength, self.covered, left=0, right=0) > COVERED
        return np.interp(there, self.wavelength, self.flux), covered

    def velocity(self, wavelength: np.ndarray, template: np.ndarray) -> float:
        """The velocity, km/s away from us, at which it is most like a template (P,) in its rest frame.

        It is that of the highest correlation, on steps of 1 km/s, and of the parabola through its neighbours. Where
        less is covered than MOST of what is at rest, none is looked for: few pixels are like anything.
        """
        tried = np.arange(-FASTEST, FASTEST + 1)
        needed = max(3, MOST * self.on(wavelength)[1].sum())
        likeness = np.array([self._likeness(wavelength, template, velocity, needed) for velocity in tried])
        best = int(np.clip(likeness.argmax(), 1, len(tried) - 2))
        below, middle, above = likeness[best - 1 : best + 2]
        bend = below - 2 * middle + above
        return float(tried[best] + (0.5 * (below - above) / bend if bend < 0 else 0.0))

    def _likeness(self, wavelength: np.ndarray, template: np.ndarray, velocity: float, needed: float) -> float:
        flux, covered = self.on(wavelength, velocity)
        if covered.sum() < needed or np.ptp(flux[covered]) == 0 or np.ptp(template[covered]) == 0:
            return -1.0
        return float(np.corrcoef(flux[covered], template[covered])[0, 1])

    def check_overlap(self, wavelength: np.ndarray) -> None:
        """Raise InputError where none of wavelength (P,) is covered, saying what is."""
        if not self.on(wavelength)[1].any():
            raise InputError(
                f"{self.origin}: expected an atlas that covers some of {wavelength[0]:.1f} to {wavelength[-1]:.1f} A,"
                f" got one of {self.ranges()} A"
            )

    def ranges(self) -> str:
        """From where to where it reaches, as text."""
        steps = np.diff(self.wavelength)
        ends = np.flatnonzero((steps > GAP * np.median(steps)) | (np.diff(self.covered > COVERED) != 0))
        pieces = np.split(np.arange(len(self.wavelength)), ends + 1)
        known = [self.wavelength[piece] for piece in pieces if len(piece) > 1 and self.covered[piece[0]] > COVERED]
        return ", ".join(f"{piece[0]:.1f} to {piece[-1]:.1f}" for piece in known)


def read_atlas(path: str | Path, star: str | None = None) -> Atlas:
    """The spectrum of a star from a file.

    The file is .npz with arrays `wavelength` and `flux`, or NAME_wavelength and NAME_flux for each of several stars, of
    which `star` is one; or FITS: a table with columns of these names, or an image whose header says its wavelengths
    (CRVAL1, CDELT1 or CD1_1, CRPIX1). Angstrom in vacuum, unless .npz has `medium`, or a header CTYPE1 = AWAV or
    AIRORVAC, or a unit that says otherwise. Pixels without a finite flux are left out.
    Raises InputError for another file, and where it has no such star.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: expected an atlas, found no such file")
    expected = f"{path}: expected an atlas, .npz or FITS with wavelengths and fluxes"
    with refusing(expected):
        if path.suffix.lower() == ".npz":
            wavelength, flux, medium = _from_npz(path, star)
        elif star is not None:
            raise InputError(f"{path}: expected an .npz file of several stars to take {star} from, got another")
        else:
            wavelength, flux, medium = _from_fits(path, expected)
        wavelength, flux = np.array(wavelength, float), np.array(flux, float)
    if wavelength.ndim != 1 or wavelength.shape != flux.shape:
        raise InputError(f"{path}: expected as many fluxes as wavelengths, got {flux.shape} and {wavelength.shape}")
    good = np.isfinite(wavelength) & (wavelength > 0) & np.isfinite(flux)
    wavelength, first = np.unique(wavelength[good], return_index=True)  # ascending
    if len(wavelength) < 3:
        raise InputError(f"{path}: expected a spectrum, got {len(wavelength)} pixels with a wavelength and a flux")
    if medium not in MEDIA:
        raise InputError(f"{path}: expected a medium of {' or '.join(MEDIA)}, got {medium}")
    if not (SHORTEST[medium] <= wavelength[0] and wavelength[-1] <= LONGEST):
        got = f"{wavelength[0]:g} to {wavelength[-1]:g}"
        raise InputError(f"{path}: expected wavelengths of {SHORTEST[medium]:g} to {LONGEST:g} Angstrom, got {got}")
    wavelength = air_to_vacuum(wavelength) if medium == "air" else wavelength
    origin = f"{path}" if star is None else f"{path}, {star}"
    return Atlas(wavelength, flux[good][first], np.ones(len(wavelength)), origin)


def _from_npz(path: Path, star: str | None) -> tuple[np.ndarray, np.ndarray, str]:
    check_arrays(path)
    with np.load(path, allow_pickle=False) as arrays:
        names = {
            name.removesuffix("wavelength").removesuffix("_"): name.removesuffix("wavelength")
            for name in arrays.files
            if name.endswith("wavelength") and name.removesuffix("wavelength") + "flux" in arrays.files
        }
        if not names:
            raise InputError(f"{path}: expected arrays wavelength and flux, got {', '.join(arrays.files) or 'none'}")
        if star not in names and not (star is None and len(names) == 1):
            stars = ", ".join(name for name in names if name) or "the only one, which has no name"
            raise InputError(f"{path}: expected the name of a star in it, one of {stars}, got {star or 'none'}")
        prefix = next(iter(names.values())) if star is None else names[star]
        medium = str(arrays["medium"]) if "medium" in arrays.files else "vacuum"
        return arrays[f"{prefix}wavelength"], arrays[f"{prefix}flux"], medium


def _from_fits(path: Path, expected: str) -> tuple[np.ndarray, np.ndarray, str]:
    with opened_fits(path, expected) as hdus:
        for hdu in hdus:
            found = _from_table(hdu) if isinstance(hdu, fits.BinTableHDU) else _from_image(hdu)
            if found is not None:
                said = {str(header.get(key, "")).strip() for header in (hdus[0].header, hdu.header) for key in AIR}
                return (*found, "air" if said & set(AIR.values()) else "vacuum")
    raise InputError(f"{path}: expected a table of wavelength and flux, or an image whose header has CRVAL1, got none")


def _from_table(hdu: fits.BinTableHDU) -> tuple[Any, Any] | None:
    columns = {column.name.lower(): column for column in hdu.columns}
    wavelength = next((columns[name] for name in WAVELENGTHS if name in columns), None)
    flux = next((columns[name] for name in FLUXES if name in columns), None)
    if wavelength is None or flux is None:
        return None
    values = np.array(hdu.data[wavelength.name], float).ravel()
    values = 10**values if wavelength.name.lower() == "loglam" else _in_angstrom(values, wavelength.unit)
    return values, np.array(hdu.data[flux.name], float).ravel()


def _from_image(hdu: Any) -> tuple[Any, Any] | None:
    header = hdu.header
    step = header.get("CDELT1", header.get("CD1_1"))
    if hdu.data is None or "CRVAL1" not in header or not step:
        return None
    flux = np.array(hdu.data.reshape(-1, hdu.data.shape[-1])[0], float)  # of several rows the first
    values = header["CRVAL1"] + step * (np.arange(1, len(flux) + 1) - header.get("CRPIX1", 1.0))
    unit = header.get("CUNIT1")
    logarithmic = header.get("DC-FLAG", 0) == 1 or (not unit and header["CRVAL1"] < 10)  # not all surveys say so
    return (10**values if logarithmic else _in_angstrom(values, unit)), flux


def _in_angstrom(values: np.ndarray, unit: str | None) -> np.ndarray:
    return values if not unit else (values * Unit(unit)).to("Angstrom").value

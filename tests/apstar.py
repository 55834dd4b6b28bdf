"""FITS files as the APOGEE survey writes them."""

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from emulator.wavelength import LIGHT_SPEED

# From red to blue, as the survey's files hold them.
DETECTORS = np.stack([np.linspace(red, blue, 4096) for red, blue in ((16955, 16473), (16435, 15857), (15810, 15142))])
LINES = np.linspace(15160, 16940, 90)


def write_apstar(path: Path, flux, error, bits=None, name="2M00000000+0000000", snr=100.0, **header) -> Path:
    """An apStar file: flux, error and bits (8575,) of one visit, or (2 + visits, 8575); without bits an aspcapStar.

    header: further cards of HDU 0, or further columns of the table of an aspcapStar. HDU 4 and on, the sky, the
    tellurics and the LSF, are there and empty.
    """
    flux, error = np.asarray(flux, "float32"), np.asarray(error, "float32")
    first, about = fits.PrimaryHDU(), {"SNR": snr, **header}
    images = [flux, error, np.ones_like(flux) if bits is None else np.asarray(bits, "int16")]
    if bits is not None:
        visits = max(len(np.atleast_2d(flux)) - 2, 1)
        about |= {"OBJID": name, "NVISITS": visits, "TELESCOP": "apo25m"}
        about |= {f"SNRVIS{visit}": snr / 2 + visit for visit in range(1, visits + 1)}
        first.header.update(about)
        images += [np.zeros_like(flux)] * 4
    hdus = fits.HDUList([first])
    for image in images:
        hdus.append(fits.ImageHDU(image))
        hdus[-1].header.update(CRVAL1=4.179, CDELT1=6e-6, CRPIX1=1, CTYPE1="LOG-LINEAR")
    if bits is None:
        hdus.append(fits.table_to_hdu(Table({"APOGEE_ID": [name], **{key: [value] for key, value in about.items()}})))
    hdus.writeto(path)
    return path


def write_apvisit(path: Path, wavelength, flux, error, bits, name="2M00000000+0000000", snr=100.0, **header) -> Path:
    """An apVisit file: wavelength, flux, error and bits (3, pixels), a row a detector; header: more cards of HDU 0."""
    hdus = fits.HDUList([fits.PrimaryHDU()])
    hdus[0].header.update({"OBJID": name, "SNR": snr, "TELESCOP": "apo25m", "SURVEY": "apogee2", **header})
    hdus[0].header["HISTORY"] = "APOGEE Reduction Pipeline"
    types = {"Flux (10^-17 erg/s/cm^2/Ang)": "float32", "Flux Error (10^-17 erg/s/cm^2/Ang)": "float32"}
    types |= {"Flag Mask (bitwise)": "int16", "Wavelength (Ang)": "float64"}
    for values, (unit, kind) in zip((flux, error, bits, wavelength), types.items(), strict=True):
        hdus.append(fits.ImageHDU(np.asarray(values, kind)))
        hdus[-1].header.update(CTYPE1="Pixel", CTYPE2="Chip", BUNIT=unit)
    hdus.writeto(path)
    return path


def spectrum(wavelength):
    """A continuum with absorption lines at LINES, in whatever shape."""
    lines = np.exp(-0.5 * ((wavelength[..., None] - LINES) / 0.35) ** 2).sum(axis=-1)
    return 500 * (wavelength / 16000) ** -2 * (1 - 0.5 * lines)


def write_seen(path, velocity, wavelength=DETECTORS, **header):
    """The visit of a star that recedes at a velocity in km/s, with no noise."""
    flux = spectrum(wavelength / (1 + velocity / LIGHT_SPEED))
    return write_apvisit(path, wavelength, flux, 0.01 * flux, np.zeros(flux.shape), **header)


def overwrite_card(path: Path, key: str, text: str, number: int = 0) -> Path:
    """Write a card of HDU `number` of a file as somebody else's program may: KEY = text, whatever FITS asks for."""
    content = bytearray(path.read_bytes())
    with fits.open(path) as hdus:
        start = hdus[number].fileinfo()["hdrLoc"]
    at = next(at for at in range(start, len(content), 80) if content[at : at + 8].decode().strip() == key)
    content[at : at + 80] = f"{key:8}= {text:>20}".encode("latin-1").ljust(80)
    path.write_bytes(content)
    return path

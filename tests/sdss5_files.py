"""FITS files as SDSS-V's pipeline astra writes them, by its documented layout; and tables of labels from it."""

from pathlib import Path

import numpy as np
from astropy.io import fits

from emulator.apogee import LOG_START, LOG_STEP, PIXELS

BOSS_PIXELS = 4648
TABLES = ("BOSS/APO", "BOSS/LCO", "APOGEE/APO", "APOGEE/LCO")


def write_mwm(path: Path, spectra: dict, name="2M00000000+0000000", sdss_id=42, visits=False, **columns) -> Path:
    """An mwmStar or mwmVisit file; spectra: by table, flux, inverse variance and flags (n, pixels).

    columns: more columns of the tables with spectra, or others for those that they have.
    """
    hdus = [_primary(sdss_id, name)]
    for table in TABLES:
        arrays = spectra.get(table)
        pixels = BOSS_PIXELS if table.startswith("BOSS") else PIXELS
        flux, ivar, flags = np.zeros((3, 0, 0)) if arrays is None else map(np.atleast_2d, arrays)
        own = {"flux": flux, "ivar": ivar, "pixel_flags": flags, "continuum": np.ones_like(flux)}
        if not visits:
            start, step = (3.5523, 1e-4) if pixels == BOSS_PIXELS else (LOG_START, LOG_STEP)
            own["wavelength"] = np.broadcast_to(10 ** (start + step * np.arange(flux.shape[1])), flux.shape)
        hdus.append(_table(table, len(flux), own, _about(table, len(flux), name, sdss_id, visits), columns, pixels))
    fits.HDUList(hdus).writeto(path, checksum=True)
    return path


def write_astra(path: Path, models, name="2M00000000+0000000", sdss_id=42, visits=False, table="APOGEE/APO", **columns):
    """An astraStar or astraVisit file of ASPCAP; models: normalised fluxes (n, 8575), in one of the tables."""
    models = np.atleast_2d(models)
    hdus = [_primary(sdss_id, name)]
    for each in TABLES:
        flux = models if each == table else np.zeros((0, 0))
        own = {"model_flux": flux, "continuum": 2.0 + 0 * flux, "model_flux_nd_h": flux}
        if not visits:
            own["wavelength"] = np.broadcast_to(10 ** (LOG_START + LOG_STEP * np.arange(flux.shape[1])), flux.shape)
        about = _about(each, len(flux), name, sdss_id, visits)
        hdus.append(_table(each, len(flux), own, about, columns, PIXELS))
    fits.HDUList(hdus).writeto(path, checksum=True)
    return path


def _primary(sdss_id: int, name: str) -> fits.PrimaryHDU:
    primary = fits.PrimaryHDU()
    primary.header.update({"V_ASTRA": "0.6.0", "SDSS_ID": sdss_id, "APOGEEID": name, "GAIA3_ID": None})
    return primary


def _about(table: str, count: int, name: str, sdss_id: int, visits: bool) -> dict:
    telescope = "apo25m" if table.endswith("APO") else "lco25m"
    mjds = (
        {"mjd": np.arange(count) + 59800} if visits else {"min_mjd": np.full(count, 59800), "max_mjd": [59900] * count}
    )
    about = {"sdss_id": np.full(count, sdss_id), "telescope": np.full(count, telescope), **mjds}
    if table.startswith("APOGEE"):
        about["obj"] = np.full(count, name)
    return about | {"snr": np.arange(count) + 80.0} | ({"in_stack": np.ones(count, bool)} if visits else {})


def _table(table: str, count: int, arrays: dict, about: dict, more: dict, pixels: int) -> fits.BinTableHDU:
    columns = []
    for name, values in (about | (more if count else {})).items():
        values = np.asarray(values)
        kind = {"i": "K", "f": "E", "b": "L", "U": f"{max(1, values.dtype.itemsize // 4)}A"}[values.dtype.kind]
        columns.append(fits.Column(name=name, format=kind, array=values))
    for name, values in arrays.items():
        width = values.shape[1]
        columns.append(fits.Column(name=name, format=f"{width}E", dim=f"({width})", array=values.astype("float32")))
    hdu = fits.BinTableHDU.from_columns(columns, name=table)
    start, step = (3.5523, 1e-4) if pixels == BOSS_PIXELS else (LOG_START, LOG_STEP)
    hdu.header.update({"OBSRVTRY": table[-3:], "INSTRMNT": table.partition("/")[0], "CRVAL": start, "CDELT": step})
    hdu.header.update({"CTYPE": "LOG-LINEAR", "CUNIT": "Angstrom (Vacuum)", "CRPIX": 1, "NPIXELS": pixels})
    return hdu

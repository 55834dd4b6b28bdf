"""APOGEE, whose spectra the built-in emulator makes."""

import numpy as np

from emulator.instrument import Instrument

# The grid of all apStar and aspcapStar files: vacuum, rest frame (Nidever et al. 2015, AJ 150, 173).
LOG_START, LOG_STEP, PIXELS = 4.179, 6e-6, 8575
_WAVELENGTH = 10 ** (LOG_START + LOG_STEP * np.arange(PIXELS))

APOGEE = Instrument(
    name="APOGEE",
    wavelength=_WAVELENGTH,
    cuts={
        "7214": np.r_[322:3242, 3648:6048, 6412:8306],  # The Payne, Cycle-StarNet, and ASPCAP up to DR12
        "7514": np.r_[246:3274, 3585:6080, 6344:8335],  # ASPCAP from DR13 on
        "8575": np.arange(PIXELS),
    },
    chip_bounds=tuple(_WAVELENGTH[[3430, 6212]].tolist()),  # in the middle of the two gaps between the chips
    resolution=22500.0,
    signal_to_noise=(60.0, 300.0),  # of combined spectra
    # https://www.sdss.org/dr17/algorithms/bitmasks (APOGEE_PIXMASK)
    bits=(
        *("BADPIX", "CRPIX", "SATPIX", "UNFIXABLE", "BADDARK", "BADFLAT", "BADERR", "NOSKY"),
        *("LITTROW_GHOST", "PERSIST_HIGH", "PERSIST_MED", "PERSIST_LOW", "SIG_SKYLINE", "SIG_TELLURIC"),
        *("NOT_ENOUGH_PSF", "POORSNR"),
    ),
    bad_bits=16639 | 1 << 12 | 1 << 13,  # what the survey itself calls bad, and residuals of sky and telluric lines
)


def apogee_wavelength() -> np.ndarray:
    """The (7214,) vacuum wavelengths in Angstrom of the three APOGEE chips, as The Payne and Cycle-StarNet cut them."""
    return APOGEE.cut()

"""What can go wrong in a FITS file, told in one line."""

import re
import zlib

from astropy.utils.exceptions import AstropyUserWarning

# What astropy raises for a file whose bytes are not what they were.
DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    zlib.error,
    AstropyUserWarning,
)


def first_line(error: Exception) -> str:
    """The first sentence of what an error says, or its name where it says nothing."""
    return re.split(r"\n|\. ", str(error).strip())[0].rstrip(".") or type(error).__name__

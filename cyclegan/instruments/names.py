"""Names of stars, as strangers' files tell them."""

import re
from collections.abc import Iterable
from pathlib import Path

from emulator.commands.errors import InputError

LONGEST_NAME = 200  # characters
BYTES = re.compile(r"""^b(['"])(.*)\1$""")


def plain_name(told: object) -> str:
    """A name without blanks around it, nor what Python puts around bytes, as in the Multimodal Universe's tables."""
    name = str(told or "").strip()
    return BYTES.sub(r"\2", name).strip()


def star_name(told: Iterable[object], where: Path | str) -> str:
    """The first of the names that are told which is not blank; InputError where that cannot be one."""
    name = next((text for text in map(plain_name, told) if text), "")
    if not name or not name.isprintable() or len(name) > LONGEST_NAME:
        expected = f"a star's name of at most {LONGEST_NAME} printable characters"
        raise InputError(f"{where}: expected {expected}, got {name[:40]!r}, {len(name)} characters")
    return name


def name_of_file(path: Path) -> str:
    """apStar-dr17-2M00000002+7417074.fits, aspcapStar-r5-v603-2M..., asStar-...: what follows the versions."""
    stem = re.sub(r"\.fits?(\.gz)?$", "", path.name, flags=re.IGNORECASE)
    return re.sub(r"^\w*Star\w*-((dr|[rstvl])\d[\w.]*-)*", "", stem)

"""Reading files of stars that are damaged: what is sound of what an instrument's readers return."""

from pathlib import Path

import numpy as np
import torch

from cyclegan.instruments import galah, galah_table
from cyclegan.instruments.apogee import ApogeeReader, read_star
from cyclegan.instruments.atlas import read_atlas
from cyclegan.instruments.cross_correlation import FASTEST
from cyclegan.instruments.galah_table import GalahTable
from cyclegan.instruments.instrument import COMBINED, VISITS, Stars
from cyclegan.instruments.survey_labels import SurveyLabels
from cyclegan.instruments.velocities import NONE, read_velocities
from emulator.apogee import PIXELS as SURVEY_PIXELS
from emulator.commands.errors import InputError
from emulator.hermes import HERMES
from emulator.labels import LABELS
from faults.soundness import are_finite, are_wavelengths, check_labels, check_stars


def check_star(path: Path) -> None:
    """An apStar or apVisit file, combined and in visits."""
    for rows in (COMBINED, VISITS):
        check_stars(read_star(path, rows))


def check_parts(path: Path) -> None:
    """A file of several stars, combined and in visits."""
    found = [part for rows in (COMBINED, VISITS) for part in _parts(path, rows)]
    problems = [str(part) for part in found if isinstance(part, InputError)]
    assert all(len(problem.splitlines()) == 1 for problem in problems), "a message that is not one line"
    for stars in found:
        if not isinstance(stars, InputError):
            check_stars(stars)
    assert found, "nothing"


def _parts(path: Path, rows: str) -> list[Stars | InputError]:
    try:
        return list(ApogeeReader().read(path, rows, NONE))
    except InputError:
        if rows == COMBINED:
            raise
        return []


def check_aspcap(path: Path) -> None:
    """An aspcapStar file."""
    assert read_star(path).flux.shape == (1, SURVEY_PIXELS), "shapes differ"


def check_survey_labels(path: Path) -> None:
    """A survey's table of labels."""
    table, names = SurveyLabels(path), np.array([f"2M{number:04d}" for number in (*range(30), 9999)])
    about = {"TELESCOPE": "apo25m", "FIELD": "M67", "FILE": "a.fits"}
    found = table.find(names, {key: np.full(len(names), value) for key, value in about.items()})
    check_labels(torch.from_numpy(found), (len(names), len(LABELS)))
    assert set(table.missing) < set(LABELS)


def check_velocities(path: Path) -> None:
    """A user's table of velocities."""
    found = read_velocities(path)
    assert found, "nothing"
    assert all(abs(velocity.value) <= FASTEST for velocity in found.values()), "velocities of no star"


def check_galah(path: Path) -> None:
    """A GALAH file of one arm."""
    star = galah.read_star(path)
    assert star.flux.shape == star.error.shape == star.bits.shape == (1, len(HERMES.wavelength)), "shapes differ"
    assert are_finite(torch.from_numpy(star.flux)), "flux that is not finite"
    assert are_finite(torch.from_numpy(star.error)), "errors that are not finite"
    assert (np.isnan(star.snr) | (star.snr >= 0)).all(), "signal to noise that is none"
    assert star.name[0].isprintable(), "a name that is none"


def check_galah_table(path: Path) -> None:
    """GALAH's table of labels."""
    table, numbers = GalahTable(path), np.array(["170418003701205", "170418003701206", "1"])
    about = {"sobject_id": numbers}
    check_labels(torch.from_numpy(table.find(numbers, about)), (3, len(galah_table.LABELS)))
    check_labels(torch.from_numpy(table.velocities(numbers, about))[:, None], (3, 1))


def check_atlas(path: Path) -> None:
    """An atlas of one star."""
    atlas = read_atlas(path, "sun" if path.suffix == ".npz" else None)
    assert are_wavelengths(atlas.wavelength), "no wavelengths"
    assert atlas.flux.shape == atlas.wavelength.shape == atlas.covered.shape, "shapes differ"
    assert are_finite(atlas.flux), "flux that is not finite"
    assert atlas.ranges(), "nothing that is covered"

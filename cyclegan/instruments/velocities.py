"""Where velocities of stars are found that were seen as they move, and not put to rest: beside files, in theory."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cyclegan.instruments.cross_correlation import FASTEST, Templates, Velocity
from cyclegan.spectra.spectra import Spectra
from cyclegan.spectra.tables import numbers, read_table
from emulator.commands.errors import InputError

UNKNOWN = Velocity(np.nan, np.nan)
OPTIONS = "one by --velocities FILE or --velocity THEORY"  # that tell what a file does not


class Seen(NamedTuple):
    """The spectrum (1, p) of a star as it was seen, at wavelengths (p,), vacuum Angstrom; where, and what it is called.

    about: what else its file says of it, (1,) each, as in `Stars`.
    """

    path: Path
    name: str
    about: Mapping[str, np.ndarray]
    wavelength: np.ndarray
    spectra: Spectra


class Velocities:
    """Velocities of stars by a user's table, by the survey's, and as theory measures them.

    given: by the name of a file or a star, in the frame of the file's wavelengths; survey: what a `LabelTable` says;
    templates: of theory. None where there is none. measured: those that theory told, so far.
    """

    def __init__(
        self,
        given: Mapping[str, Velocity] | None = None,
        survey: Callable[[np.ndarray, Mapping[str, np.ndarray]], np.ndarray] | None = None,
        templates: Templates | None = None,
    ) -> None:
        self.given, self.survey, self.templates = given or {}, survey, templates
        self.measured: list[Velocity] = []

    def of(self, seen: Seen, told: Velocity, correction: float = 0.0) -> Velocity:
        """How fast a star recedes in the frame in which it was seen, unknown where nothing tells.

        The user's table counts first, then what the file itself has `told`; then the survey's table, against the Sun,
        less the barycentric correction; then theory. Raises InputError where theory is asked and has no clear answer.
        """
        survey = np.nan if self.survey is None else float(self.survey(np.array([seen.name]), seen.about)[0])
        given = self.given.get(seen.path.name) or self.given.get(seen.name) or UNKNOWN
        for velocity in (given, told, Velocity(survey - correction, np.nan)):
            if abs(velocity.value) <= FASTEST:
                return velocity
        if self.templates is None:
            return UNKNOWN
        try:
            self.measured.append(self.templates.measure(seen.wavelength, seen.spectra))
        except InputError as problem:
            raise InputError(f"{seen.path}: {problem}") from problem
        return self.measured[-1]


NONE = Velocities()


def read_velocities(path: str | Path) -> dict[str, Velocity]:
    """Velocities by the name of a file or of a star: of a table with `file` or `id`, `velocity`, in km/s, and maybe
    `velocity_err`, in whatever case. Of a path of a file the name counts.

    Raises InputError for other columns, for what is no velocity, and for a name that stands there twice.
    """
    columns = {name.lower(): values for name, values in read_table(path).items()}
    key = "file" if "file" in columns else "id"
    if not {key, "velocity"} <= columns.keys():
        raise InputError(f"{path}: expected columns file or id, and velocity, got {', '.join(columns)}")
    expected = f"{path}: expected a velocity within {FASTEST:g} km/s"
    values = numbers(columns["velocity"], expected)
    errors = numbers(columns["velocity_err"], expected) if "velocity_err" in columns else [np.nan] * len(values)
    found: dict[str, Velocity] = {}
    for name, value, error in zip(columns[key], values, errors, strict=True):
        name = Path(name).name if key == "file" else name
        if not abs(value) <= FASTEST:
            raise InputError(f"{expected}, got {value:g} of {name}")
        if name in found:
            raise InputError(f"{path}: expected each {key} once, got {name} twice")
        found[name] = Velocity(value, error)
    return found

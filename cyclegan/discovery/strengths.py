"""log gf and excitation energy of lines that theory lacks, from how deep they are in stars of many kinds.

A line of a given species, log gf and excitation has a depth in every star that theory can compute. What is lacking in
many stars, of all temperatures, gravities and abundances, hence tells the three. Lines that overlap are fitted
together, to theory's opacity in each star, and through its resolution.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from emulator.added_lines import PARAMETERS, Line, Stars, Window
from emulator.commands.progress import progress
from emulator.lacking import STRONG
from emulator.line_opacity import LEAST_BINDING
from emulator.lines import MOLECULES, SPECIES, Lines

SEEN = 7e-5  # in ln(wavelength), 21 km/s: how far from its centre a line is fitted
TOGETHER = 1.3e-4  # lines that are closer are fitted together
WINGS = 1e-3  # in ln(wavelength): lines that are closer are taken into account where they have been fitted before
PHOTON = 0.77  # eV, of the H band
ROUNDS = 12  # of Levenberg and Marquardt's method, at most
ENOUGH = 1e-3  # relative decrease of chi-square at which it ends
SHIFT = 1e-5  # in ln(wavelength), 3 km/s, 1 sigma: how far a line may lie from where its pixel says
NOISE = 0.003  # of the continuum, 1 sigma: by what the flux that is lacking is wrong, or more if the fit says so
INDEPENDENT = 30  # stars and pixels in a window: a translation is wrong alike in stars and pixels that are alike
FAINT = 1e-3  # of the continuum: a line is sought from this depth on
LEAST, MOST = -12.0, 4.0  # of log gf
FEW = 5  # lines of a species: fewer do not say what others are like
LEAST_SPREAD = 0.3  # eV, of their excitation
USUAL = 0.7  # of the spread of a species' excitation: with a larger error, that is what is known of a line's
TOLD_APART = 9.0  # of chi-square, that another species has to be worse by to be excluded
COMPANION = 0.008  # of the continuum: where so much is left of a star's flux, there may be another line
COMPANIONS = 2  # of a group of lines, at most
WORTH = 0.75  # of chi-square: a companion has to leave less
COMMON = 50  # lines in theory's list, which makes a species one that a companion may be of


class Level(NamedTuple):
    """What is known of the excitation (eV) of a species' lines before a fit: mean and standard deviation."""

    mean: float
    sigma: float


ANY_LEVEL = Level(4.0, 3.0)


@dataclass
class Fitted:
    """A line as a list has it, with 1 sigma errors.

    wavelength: vacuum Angstrom; excitation: eV; correlation: of the errors of log gf and excitation; misfit: of the
    flux, rms over stars and pixels, by all lines fitted together; others: species that describe it nearly as well;
    usual: whether its excitation is hardly more than that of the species' other lines, which theory knows; companion:
    whether it was not found by itself, but is what the lines beside it leave over.
    """

    wavelength: float
    species: str
    log_gf: float
    excitation: float
    wavelength_error: float
    log_gf_error: float
    excitation_error: float
    correlation: float
    misfit: float
    others: list[str]
    usual: bool
    companion: bool


class Group(NamedTuple):
    """J lines that overlap: species, where they were seen, ln(wavelength) (J,), the parameters (J, PARAMETERS) of their
    best fit, its chi-square, and the parameters' covariance; which other species fit nearly as well; and how many of
    them, the first, were found by themselves.
    """

    species: tuple[str, ...] = ()
    seen: tuple[float, ...] = ()
    parameters: np.ndarray = np.zeros((0, PARAMETERS))
    chi_square: float = np.inf
    covariance: np.ndarray = np.zeros((0, 0))
    others: tuple[list[str], ...] = ()
    found: int = 0

    def near(self, middle: float) -> list[Line]:
        """Those of its lines that have an influence at ln(wavelength)."""
        lines = zip(self.species, *self.parameters.T.tolist(), strict=True)
        return [line for line in lines if abs(line[3] - middle) < WINGS]


def candidates(elements: Sequence[str]) -> list[str]:
    """Species that lines of these elements may be of: both stages of each, and of C, N and O the molecules.

    None of those are named that the synthesiser does not know.
    """
    found = []
    for element in elements:
        if element in ("C", "N", "O"):
            found += [name for name in ("CN", "CO", "OH") if element in MOLECULES.atoms[MOLECULES.name.index(name)]]
        found += [f"{element} I", f"{element} II"]
    return [name for name in dict.fromkeys(found) if name in SPECIES]


def known_levels(lines: Lines) -> dict[str, Level]:
    """The excitation that lines of each species have in a list, the strong ones where it has FEW of them.

    Of a species of which it has fewer than FEW lines anything is possible.
    """
    levels = {}
    for name in SPECIES:
        own = lines.species == name
        strong = own & (lines.strength >= STRONG)
        volt = lines.excitation[strong if strong.sum() >= FEW else own]
        usual = Level(float(volt.mean()), max(float(volt.std()), LEAST_SPREAD)) if len(volt) >= FEW else ANY_LEVEL
        levels[name] = usual
    return levels


def fit_lines(
    stars: Stars, lacking: np.ndarray, wavelength: Sequence[float], makers: Sequence[Sequence[str]], lines: Lines
) -> list[Fitted]:
    """Fit N lines at wavelength (vacuum Angstrom, ascending) to the flux (S, P) that S stars lack without them.

    makers: the elements that each may be of; where there are none, it may be of any species that makes many of theory's
    own lines.
    """
    at, levels = np.log(wavelength), known_levels(lines)
    common = [name for name in SPECIES if (lines.species == name).sum() >= COMMON]
    groups = np.split(np.arange(len(at)), np.flatnonzero(np.diff(at) > TOGETHER) + 1)
    depth = lacking.mean(axis=0)[np.abs(stars.pixels[:, None] - at).argmin(axis=0)]
    groups.sort(key=lambda own: -depth[own].max())  # the wings of strong lines lie under others

    found: list[Group] = []
    fitted: list[Fitted] = []
    with progress(what="fitting lines", total=len(at), unit="line") as bar:
        for own in groups:
            middle = float(at[own].mean())
            window = stars.window(at[own], SEEN, [line for other in found for line in other.near(middle)])
            fit = Fit(stars, window, lacking[:, window.pixels], levels)
            group = fit.lines({float(at[i]): candidates(makers[i]) or common for i in own}, common)
            fitted += fit.told(group)
            found.append(group)
            bar.update(len(own))
    return sorted(fitted, key=lambda line: line.wavelength)


class Fit:
    """The fit of lines that overlap to the flux (S, p) that is lacking in a window.

    levels: of each species.
    """

    def __init__(self, stars: Stars, window: Window, lacking: np.ndarray, levels: dict[str, Level]) -> None:
        self.stars, self.window, self.lacking, self.levels = stars, window, lacking, levels
        self.noise = NOISE * np.sqrt(lacking.size / INDEPENDENT)

    def lines(self, choices: dict[float, list[str]], common: list[str]) -> Group:
        """Lines by ln(wavelength), each as that of its species which describes all best, and companions of theirs.

        common: the species that companions may be of.
        """
        group = Group()
        for seen in sorted(choices, key=lambda seen: -self.at(seen, self.lacking).mean()):
            group = self.with_line(group, seen, choices[seen])
        for _ in range(COMPANIONS):
            most = np.quantile(self.left(group), 0.9, axis=0)
            if most.max() < COMPANION:
                break
            more = self.with_line(group, float(self.window.seen[most.argmax()]), common)
            if more.chi_square > WORTH * group.chi_square:
                break
            group = more
        return group._replace(found=len(choices))

    def at(self, seen: float, flux: np.ndarray) -> np.ndarray:
        """Flux (S, p) at the pixel next to ln(wavelength), (S,)."""
        return flux[:, np.abs(self.window.seen - seen).argmin()]

    def left(self, group: Group) -> np.ndarray:
        """The flux (S, p) that is lacking besides these lines."""
        return self.lacking + self.stars.add(self.window, group.species, *group.parameters.T).change

    def with_line(self, group: Group, seen: float, choices: Sequence[str]) -> Group:
        """A group and one more line, of the species that fits best."""
        wanted = max(self.at(seen, self.left(group)).mean(), FAINT)
        made = {}
        for name in choices:
            start = np.vstack([group.parameters, self.start(name, seen, wanted)])
            made[name] = self.solve((*group.species, name), (*group.seen, seen), start)
        best, *others = sorted(made, key=lambda name: made[name].chi_square)
        most = made[best].chi_square + TOLD_APART
        also = [name for name in others if made[name].chi_square < most]
        return made[best]._replace(others=(*group.others, also))

    def start(self, name: str, seen: float, wanted: float) -> np.ndarray:
        """Parameters of a line of some species that is `wanted` deep in the mean star."""
        excitation, log_gf = self.levels[name].mean, -2.0
        for _ in range(3):
            row = np.array([[log_gf], [excitation], [seen]])
            made = -self.at(seen, self.stars.add(self.window, (name,), *row).change).mean()
            log_gf += float(np.clip(np.log10(wanted / max(made, 0.01 * FAINT)), -2.0, 2.0))
        return np.array([log_gf, excitation, seen])

    def solve(self, species: tuple[str, ...], seen: tuple[float, ...], start: np.ndarray) -> Group:
        """The parameters of these species that fit best, by the method of Levenberg and Marquardt.

        What is known beforehand of excitation and wavelength counts as further data.
        """
        levels = np.array([self.levels[name] for name in species])
        most = np.array([min(SPECIES[name].ionisation - PHOTON - LEAST_BINDING, 12.0) for name in species])
        expected = np.stack([np.zeros(len(seen)), levels[:, 0], seen], axis=1).ravel()
        sigma = np.stack([np.full(len(seen), MOST), levels[:, 1], np.full(len(seen), SHIFT)], axis=1).ravel()

        def look(values: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
            added = self.stars.add(self.window, species, *values.reshape(-1, PARAMETERS).T)
            off = (-self.lacking - added.change).ravel() / self.noise
            slopes = added.slopes.reshape(off.size, -1) / self.noise
            away = (expected - values) / sigma
            return off @ off + away @ away, slopes.T @ off + away / sigma, slopes.T @ slopes + np.diag(sigma**-2)

        values, damping = start.ravel(), 1e-3
        chi_square, pull, curvature = look(values)
        for _ in range(ROUNDS):
            scale = np.sqrt(np.diag(curvature))
            matrix = curvature / np.outer(scale, scale) + damping * np.eye(len(values))
            trial = values + np.linalg.solve(matrix, pull / scale) / scale
            rows = trial.reshape(-1, PARAMETERS)
            rows[:, 0] = np.clip(rows[:, 0], LEAST, MOST)
            rows[:, 1] = np.clip(rows[:, 1], 0.0, most)
            tried = look(trial)
            gained, damping = chi_square - tried[0], damping / 10.0 if tried[0] < chi_square else damping * 10.0
            if gained > 0.0:
                values, (chi_square, pull, curvature) = trial, tried
            if 0.0 < gained < ENOUGH * chi_square or damping > 1e3:
                break
        return Group(species, seen, values.reshape(-1, PARAMETERS), float(chi_square), np.linalg.inv(curvature))

    def told(self, group: Group) -> list[Fitted]:
        """The lines of a group as a list has them, fitted once more, with errors as large as what the fit leaves."""
        rms = float(np.sqrt((self.left(group) ** 2).mean()))
        self.noise *= max(1.0, rms / NOISE)
        best = self.solve(group.species, group.seen, group.parameters)
        errors = np.sqrt(np.diag(best.covariance)).reshape(-1, PARAMETERS).tolist()
        lines = []
        for j, (log_gf, excitation, at) in enumerate(best.parameters.tolist()):
            wavelength, (log_gf_error, excitation_error, at_error) = float(np.exp(at)), errors[j]
            both = best.covariance[PARAMETERS * j, PARAMETERS * j + 1]
            lines.append(
                Fitted(
                    wavelength=wavelength,
                    species=best.species[j],
                    log_gf=log_gf,
                    excitation=excitation,
                    wavelength_error=wavelength * at_error,
                    log_gf_error=log_gf_error,
                    excitation_error=excitation_error,
                    correlation=float(both / (log_gf_error * excitation_error)),
                    misfit=rms,
                    others=group.others[j],
                    usual=excitation_error > USUAL * self.levels[best.species[j]].sigma,
                    companion=j >= group.found,
                )
            )
        return lines

"""A line list of what theory lacks, for codes that compute spectra: measured, written, and what could not be told."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cyclegan.discovery.evidence import Map
from cyclegan.discovery.lines import MissingLine
from cyclegan.discovery.strengths import Fitted, fit_lines
from cyclegan.spectra.tables import write_rows
from cyclegan.trained.forward import ForwardModel
from emulator.added_lines import Stars
from emulator.commands.errors import InputError
from emulator.commands.outputs import check_apart, check_own
from emulator.labels import ABUNDANCES, LABELS
from emulator.lines import LINES, Lines
from emulator.list_formats import write_list
from emulator.synthesis import SUPPORTED, WAVELENGTH_RANGE
from emulator.wavelength import nearest_pixels, vacuum_to_air

log = logging.getLogger(__name__)

MOST_STARS = 128  # that lines are fitted to, the first ones: the opacity of each takes 2.4 MB
BESIDE = (".csv", ".json", ".png")  # a list: its table, and how well its lines were measured
UNKNOWN = {"vmic": 1.2, "vmacro": 5.0}  # km/s, of stars of whom an emulator has no such label


def check_outputs(line_list: str | None, inputs: Mapping[str, str | Path | None]) -> None:
    """Raise InputError where a list, or a file beside it, would be written over another's, or over what is read."""
    if line_list is None:
        return
    path = Path(line_list)
    if path.suffix in BESIDE:
        raise InputError(f"config key 'line_list': expected a suffix other than {', '.join(BESIDE)}, got {path}")
    table, *others = (path.with_suffix(suffix) for suffix in BESIDE)
    check_apart([path, table, *others], inputs)
    check_own([path, table, *others], path.exists() and table.exists(), "discover")


def measure(
    lines: Sequence[MissingLine], maps: Sequence[tuple[Map, Map]], model: ForwardModel, labels: Tensor
) -> list[Fitted]:
    """Fit lines to what the maps of some runs, from labels (B, L) to synthetic and observed flux (B, P), lack in stars.

    model: of the first run, whose theory has these labels (N, L); the first MOST_STARS are looked at. Raises
    InputError where the synthesiser cannot make such stars.
    """
    wavelength = model.wavelength.cpu().numpy()
    inside = (wavelength >= WAVELENGTH_RANGE[0]) & (wavelength <= WAVELENGTH_RANGE[1])
    own = [line for line in lines if WAVELENGTH_RANGE[0] <= line.wavelength <= WAVELENGTH_RANGE[1]]
    if len(own) < len(lines):
        log.warning("%d of %d lines lie where the synthesiser has none: not listed", len(lines) - len(own), len(lines))
    if not own:
        return []
    labels = labels[:MOST_STARS]
    stars_labels = synthesiser_labels(model.label_names, labels)
    with torch.no_grad():
        lacking = torch.stack([synth(labels) - observed(labels) for synth, observed in maps]).mean(dim=0)
    known = lines_of_theory(model)
    stars = Stars(stars_labels, wavelength[inside], known)
    makers = [[name for name in (line.element, line.second) if name] for line in own]
    return fit_lines(stars, lacking.cpu().numpy()[:, inside], [line.wavelength for line in own], makers, known)


def lines_of_theory(model: ForwardModel) -> Lines:
    """The line list that theory was made with, less those that are hidden; the synthesiser's where it is not known."""
    lines = model.emulator.lines
    if lines is None:
        log.info("theory's line list is not known: lines are added to the synthesiser's own")
        lines = LINES
    if model.hidden is None:
        return lines
    nearest, _ = nearest_pixels(torch.from_numpy(lines.wavelength), model.wavelength.cpu())
    return lines.chosen(~model.hidden.cpu()[nearest].numpy())


def synthesiser_labels(names: Sequence[str], labels: Tensor) -> np.ndarray:
    """Labels (N, L) of these names in the order of LABELS; elements without one follow Fe, and Fe the Sun."""
    known = dict(zip(names, labels.double().cpu().numpy().T, strict=True))
    if missing := [name for name in ("teff", "logg") if name not in known]:
        raise InputError(f"line_list: expected labels teff and logg, to compute lines with, got no {missing[0]}")
    iron = known.get("fe_h", np.zeros(len(labels)))
    filled = {name: np.full(len(labels), value) for name, value in UNKNOWN.items()} | dict.fromkeys(ABUNDANCES, iron)
    columns = {name: (filled | known)[name] for name in LABELS}
    return np.stack([columns[name].clip(*SUPPORTED[name]) for name in LABELS], axis=1)


def write_line_list(path: Path, form: str, fitted: Sequence[Fitted]) -> None:
    """The list in one of `emulator.list_formats.FORMATS`, and a table of all that is known of its lines beside it."""
    if not fitted:
        log.warning("no line was found: there is no list %s", path)
        return
    wavelength, excitation, log_gf = np.array([[one.wavelength, one.excitation, one.log_gf] for one in fitted]).T
    species, unknown = np.array([one.species for one in fitted]), np.full(len(fitted), np.nan)
    lines = Lines(wavelength, species, excitation, log_gf, unknown)
    write_list(path, lines, form, [remark(one) for one in fitted])
    rows = [
        [air, *(vars(one) | {"others": " or ".join(one.others)}).values()]
        for air, one in zip(vacuum_to_air(wavelength).tolist(), fitted, strict=True)
    ]
    write_rows(path.with_suffix(".csv"), ["air_wavelength", *(column.name for column in fields(Fitted))], rows)
    log.info("%d lines in %s, and all that is known of them beside it", len(fitted), path)


def remark(line: Fitted) -> str:
    """What a list says beside a line: errors of log gf and excitation, their correlation, and what cannot be told."""
    errors = f"log gf +-{line.log_gf_error:.2f}, E +-{line.excitation_error:.2f} eV, r {line.correlation:.2f}"
    usual = [f"E as other {line.species} lines"] if line.usual else []
    return "; ".join([errors, *usual, *(f"or {name}" for name in line.others)])

"""The emulator that makes a run's theory, and which of its lines are hidden."""

import logging
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from cyclegan.domains.domains import check_domains, make_domains
from cyclegan.domains.from_file import HDF5Domain
from cyclegan.domains.hidden import Feature, draw_hidden, hidden_pixels, strong_features, write_features
from cyclegan.domains.population import Population, make_population
from cyclegan.domains.schema import DomainsConfig
from cyclegan.domains.survey import Survey
from cyclegan.domains.uniform import Learned
from cyclegan.pairing.anchors import read_anchors
from cyclegan.pairing.known_labels import read_known
from cyclegan.spectra.files import SpectraFile
from cyclegan.spectra.spectra import FEWEST
from cyclegan.trained.run_folder import HIDDEN
from cyclegan.training.schema import TrainConfig
from emulator.commands.errors import InputError
from emulator.labels import LABELS
from emulator.payne import Payne
from emulator.train import load_config, train_payne, untrained
from emulator.wavelength import same_wavelengths

log = logging.getLogger(__name__)

BUILT_IN = Path("models/payne.pt")  # the emulator that is made where it is not there


class Theory(NamedTuple):
    """The emulator of the domains without a file, if any, and what it is to make.

    hidden: by domain, the pixels (P,) whose lines it lacks there; population: which stars it makes; offset (L, L):
    covariance of what may be wrong with the labels of all of them alike, where that is known; observed: the emulator of
    the observed domain, where it is another.
    """

    emulator: Payne | None
    hidden: dict[str, Tensor]
    population: Population
    offset: Tensor | None = None
    observed: Payne | None = None


def is_to_be_made(path: Path) -> bool:
    """Whether an emulator is the built-in one, and not there yet."""
    return not path.exists() and path.resolve() == BUILT_IN.resolve()


def find_or_train_emulator(path: Path, folder: Path) -> Payne:
    """The emulator kept at `path`; where there is none at BUILT_IN, one trained on the built-in grid and kept."""
    if is_to_be_made(path):
        log.info("no emulator at %s: making the grid of spectra and training one, about 5 minutes, once", path)
        train_payne(load_config([f"output={path}"]), folder)
    return Payne.load(path)


def prepare_theory(config: TrainConfig, folder: Path) -> Theory:
    """The theory of a new run, on the pixels of the other domain; hidden features are listed in `folder`.

    Raises InputError for an emulator that cannot be used. Where one has yet to be made, that and what is wrong with the
    files is told first.
    """
    domains = config.domains
    if domains.synth.path is not None and domains.synth.hidden_share > 0:
        raise InputError(
            "config key 'domains.synth.hidden_share': expected 0 beside domains.synth.path, as lines can be hidden from"
            f" an emulator alone, got {domains.synth.hidden_share}"
        )
    for name, side in domains.sides().items():
        if side.path is not None and side.emulator is not None:
            raise InputError(
                f"config key 'domains.{name}.emulator': expected null beside domains.{name}.path, got {side.emulator}"
            )
    population = make_population(domains.population)
    if all(side.path is not None for side in domains.sides().values()):
        return Theory(None, {}, population)
    if isinstance(population, Learned) and domains.obs.path is None:
        raise InputError(
            "config key 'domains.population': expected survey, uniform or table beside an emulated observed domain, got"
            " learned"
        )
    paths = domains.emulators()
    if any(is_to_be_made(Path(path)) for path in paths.values()):
        check_beforehand(domains, population)
    emulators = {path: find_or_train_emulator(Path(path), folder) for path in dict.fromkeys(paths.values())}
    emulator, *others = emulators.values()
    for other in others:
        check_alike(emulator, other)
    unknown = [name for name in emulator.label_names if name not in LABELS]
    if isinstance(population, Survey) and unknown:
        text = "%s: labels %s are none of a survey's (%s): drawn uniformly over the emulator's range"
        log.warning(text, next(iter(emulators)), ", ".join(unknown), ", ".join(LABELS))
    emulator, *others = (_on_pixels(one, domains).rounded() for one in emulators.values())
    hidden = {}
    if domains.synth.path is None and domains.synth.hidden_share > 0:
        seed = config.seed if domains.hidden_seed is None else domains.hidden_seed
        features = hide_features(emulator, domains.synth.hidden_share, seed)
        write_features(features, folder / HIDDEN)
        hidden["synth"] = hidden_pixels(features, len(emulator.wavelength))
    return Theory(emulator, hidden, population.settled(emulator), observed=others[0] if others else None)


def check_alike(synth: Payne, obs: Payne) -> None:
    """Raise InputError where two emulators do not make the same stars on the same pixels."""
    what = "domains.synth.emulator and domains.obs.emulator"
    if synth.label_names != obs.label_names:
        got = f"{', '.join(synth.label_names)} and {', '.join(obs.label_names)}"
        raise InputError(f"{what}: expected the same labels, got {got}")
    if not same_wavelengths(synth.wavelength, obs.wavelength):
        raise InputError(
            f"{what}: expected the same wavelengths, got {len(synth.wavelength)} and {len(obs.wavelength)} pixels,"
            f" {synth.wavelength[0]:.3f} to {synth.wavelength[-1]:.3f} A and {obs.wavelength[0]:.3f} to"
            f" {obs.wavelength[-1]:.3f} A"
        )
    for name, *ends in zip(synth.label_names, *(p for one in (synth, obs) for p in _range(one)), strict=True):
        if ends[:2] != ends[2:]:
            got = "{:g} to {:g} and {:g} to {:g}".format(*ends)
            raise InputError(f"{what}: expected the same range of '{name}', as grids of one seed have it, got {got}")


def _range(emulator: Payne) -> tuple[list[float], list[float]]:
    return emulator.label_low.tolist(), emulator.label_high.tolist()


def check_beforehand(domains: DomainsConfig, population: Population) -> None:
    """Raise InputError for files, tables and keys that cannot be used beside the built-in emulator, without making it.

    A Payne that is not trained stands in for it: it has all that is asked of an emulator before it makes spectra.
    """
    emulator = _on_pixels(untrained(load_config()), domains)
    settled = population.settled(emulator)
    logging.disable(logging.WARNING)  # what is told of files is told when they are read for good
    try:
        made = make_domains(domains, emulator, settled, hidden={})
    finally:
        logging.disable(logging.NOTSET)
    check_domains(made, FEWEST["train"])
    if domains.anchors is not None:
        read_anchors(domains.anchors, made)
    if isinstance(population, Learned) and population.known is not None and isinstance(made.obs, HDF5Domain):
        read_known(population.known, emulator.label_names, made.obs.train_rows)


def _on_pixels(emulator: Payne, domains: DomainsConfig) -> Payne:
    """An emulator on the pixels of the file beside it, or on its own, in either case less those that are skipped."""
    for side in domains.sides().values():
        if side.path is not None:
            with SpectraFile(side.path, domains.skip_pixels, domains.wavelength) as file:
                return emulator.on(file.wavelength)
    if domains.skip_pixels > (most := len(emulator.wavelength) - 2):
        raise InputError(f"config key 'domains.skip_pixels': expected at most {most}, got {domains.skip_pixels}")
    return emulator.on(emulator.wavelength[domains.skip_pixels :])


def hide_features(emulator: Payne, share: float, seed: int) -> list[Feature]:
    """`share` of each element's strong features, drawn by seed."""
    return draw_hidden(strong_features(emulator), share, torch.Generator().manual_seed(seed))

"""Which stars a run is trained on, where that has to be found, and what is told of it."""

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from cyclegan.domains.domains import Domain, Domains
from cyclegan.domains.emulated import EmulatedDomain
from cyclegan.domains.from_file import HDF5Domain
from cyclegan.domains.population import Drawn
from cyclegan.domains.uniform import Learned
from cyclegan.figures.axes import DPI
from cyclegan.figures.labels import plot_label_distributions
from cyclegan.pairing.anchors import read_anchors
from cyclegan.pairing.known_labels import calibrated, known_of_anchors, read_known
from cyclegan.pairing.offset import describe_offset, offset_covariance
from cyclegan.pairing.search import search
from cyclegan.spectra.tables import STAR_COLUMNS, write_rows
from cyclegan.training.schema import TrainConfig
from cyclegan.training.theory import Theory
from emulator.commands.side_outputs import as_picture, save_picture
from emulator.labels import UNITS

log = logging.getLogger(__name__)

SMOOTHING = 0.1  # of the population found, in units of its spread
LONELY, POPULATIONS = "without_counterpart.csv", "populations.png"


def learn_population(config: TrainConfig, theory: Theory, domains: Domains, folder: Path) -> tuple[Theory, Tensor]:
    """The theory with the population that observed stars are found to be, which the synthetic domain has from now on.

    Also which observed stars have a counterpart in theory, (M,) bool. Writes populations.png. Raises InputError for
    known labels that cannot be used, and where no observed star lies within the emulator's range.
    """
    synth, obs, population = domains.synth, domains.obs, theory.population
    assert isinstance(synth, EmulatedDomain)
    assert isinstance(obs, HDF5Domain)
    assert isinstance(population, Learned)
    names = synth.emulator.label_names
    known, anchors = None, config.domains.anchors
    if population.known is not None:
        known = read_known(population.known, names, obs.train_rows)
    elif anchors is not None:
        read_anchors(anchors, domains)  # what is wrong with them is told before anything is sought
        known = known_of_anchors(anchors, synth.emulator, obs.train_rows)
    found = search(synth, obs, config.seed)
    labels, scatter, error = found.labels, torch.zeros(len(names)), torch.full((len(names),), torch.inf)
    if known is not None:
        labels, scatter, error = calibrated(found, known)
    offset = offset_covariance(found, error)
    met = ~found.lonely
    # What is known may lead beyond theory's range, where the emulator has no stars to draw.
    low, high = synth.emulator.label_low.cpu(), synth.emulator.label_high.cpu()
    synth.population = Drawn(labels[met].clamp(low, high), SMOOTHING, scatter)
    told = "  ".join(
        f"{name} {labels[met, i].mean():.4g} ± {labels[met, i].std():.2g} {UNITS.get(name, '')}".rstrip()
        for i, name in enumerate(names)
    )
    log.info("observed stars are found to be: %s", told)
    log.info("%.0f %% of theory's range is used", 100 * found.share)
    if found.lonely.any():
        log.warning("%d of %d observed stars have no counterpart in theory", int(found.lonely.sum()), len(met))
    log.info("%s", describe_offset(names, offset))
    write_populations(folder, names, {"any star": found.wide, "found": labels[met]}, obs.drawn_labels(0))
    return theory._replace(population=synth.population, offset=offset), met


def write_populations(
    folder: Path, names: tuple[str, ...], sets: Mapping[str, Tensor], observed: Mapping[str, Tensor]
) -> None:
    """Write populations.png of sets of stars' labels (n, L), with the observed ones' (m,) by name, where known."""
    shown = {name: labels.numpy() for name, labels in sets.items()}
    if set(names) <= set(observed):
        shown["observed"] = torch.stack([observed[name] for name in names], dim=1).cpu().numpy()
    with as_picture(POPULATIONS):
        save_picture(plot_label_distributions(names, shown), folder / POPULATIONS, DPI)


def write_lonely(met: Tensor | None, obs: Domain, folder: Path) -> None:
    """Write the names of the observed training stars that have no counterpart, if there are any, to LONELY."""
    if met is None or met.all() or not isinstance(obs, HDF5Domain):
        return
    rows = (~met).nonzero()[:, 0].tolist()
    write_rows(folder / LONELY, STAR_COLUMNS, [["train", obs.train_names[row]] for row in rows])

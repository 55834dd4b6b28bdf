"""Every reader of a stranger's file, and what is sound of what it returns."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from omegaconf import OmegaConf
from skies import PIXELS, make_sky, toy_wavelength, write_domain
from torch import Tensor

from cyclegan.discovery.known_lines import read_known_lines
from cyclegan.domains.domains import Domains
from cyclegan.domains.emulated import EmulatedDomain
from cyclegan.domains.exposure import Observation
from cyclegan.domains.from_file import HDF5Domain
from cyclegan.domains.hidden import hidden_pixels, read_features
from cyclegan.domains.label_table import Table
from cyclegan.domains.population import make_population
from cyclegan.domains.uniform import Uniform
from cyclegan.evaluation.rescore import compare_scores, logged_scores
from cyclegan.pairing.anchors import read_anchors
from cyclegan.pairing.known_labels import known_of_anchors, read_known
from cyclegan.spectra.continuum_files import read_continuum, read_continuum_pixels
from cyclegan.spectra.description import describe
from cyclegan.spectra.files import SpectraFile
from cyclegan.spectra.spectra import exact
from cyclegan.trained.familiarity import Familiarity, features
from cyclegan.trained.loading import load
from cyclegan.trained.run_folder import METRICS, SCORED, read_history
from cyclegan.trained.sources import LabelSource
from cyclegan.trained.translated import DIRECTIONS
from cyclegan.training.schema import TrainConfig, check_together
from cyclegan.translator.networks import make_networks
from emulator.commands.config import read_config, validate
from emulator.commands.schema import check_plain
from emulator.flux import FLUX_RANGE
from emulator.grid import read_grid
from emulator.labels import SENTINEL
from emulator.line_lists import POSSIBLE, read_lines
from emulator.lines import SPECIES
from emulator.payne import Payne
from emulator.published import read_published
from emulator.wavelength_files import read_wavelength
from faults.good_inputs import NAMES, good_emulator
from faults.soundness import (
    are_finite,
    are_wavelengths,
    check_emulator,
    check_known,
    check_labels,
    check_spectra,
)
from faults.star_readers import (
    check_aspcap,
    check_atlas,
    check_galah,
    check_galah_table,
    check_parts,
    check_star,
    check_survey_labels,
    check_velocities,
)


@dataclass(frozen=True)
class Reader:
    """How files, damaged ones of the good ones of these names, are read; unsound results raise AssertionError."""

    name: str
    files: tuple[str, ...]
    read: Callable[[Path], None]


def _spectra(path: Path) -> None:
    with SpectraFile(path) as file:
        assert are_wavelengths(file.wavelength), "no wavelengths"
        for subset, count in file.subsets.items():
            check_spectra(file.read(subset), (count, len(file.wavelength)))
            if (labels := file.labels(subset)) is not None:
                check_labels(labels, (count, len(file.label_names)))
            if (names := file.identities(subset)) is not None:
                assert len(names) == count, "names that are not one for each star"
                assert not any("\0" in name or len(name) > 1000 for name in names), "names that are none"
            assert isinstance(file.mostly_masked(subset), str | None)
        continuum = read_continuum(file.file, file.wavelength.numpy(), file.places())
        if continuum is not None:
            assert are_finite(continuum.normalize(exact(torch.ones(1, len(file.wavelength)))).flux)


def _described(path: Path) -> None:
    with SpectraFile(path, normalised=False, worst_error=math.inf) as file:
        assert all(isinstance(problem, str) and len(problem.splitlines()) == 1 for problem in describe(file))


def _domain(path: Path) -> None:
    domain = HDF5Domain(path)
    for subset in domain.subsets:
        check_spectra(domain.matched(subset), (domain.count(subset), len(domain.wavelength)))
        for values in domain.known_labels(subset).values():
            check_labels(values, (domain.count(subset),))
    assert domain.seen("train").all(), "stars without a usable pixel"


def _grid(path: Path) -> None:
    grid = read_grid(path)
    assert grid.spectra.shape == (len(grid.labels), len(grid.wavelength)), "shapes differ"
    assert grid.labels.shape[1] == len(set(grid.label_names)), "names that are not one for each label"
    assert are_wavelengths(grid.wavelength), "no wavelengths"
    assert ((grid.spectra >= FLUX_RANGE[0]) & (grid.spectra <= FLUX_RANGE[1])).all(), "flux that is none"
    assert are_finite(grid.labels.astype("float32")), "labels that single precision does not hold"
    assert (grid.labels > SENTINEL).all(), "labels that stand for none"


def _wavelength(path: Path) -> None:
    for medium in ("vacuum", "air"):
        assert are_wavelengths(read_wavelength(path, medium)), f"no wavelengths, {medium}"


def _emulator(path: Path) -> None:
    check_emulator(Payne.load(path))


def _published(path: Path) -> None:
    check_emulator(read_published(path, NAMES, toy_wavelength().numpy()))


def _run(path: Path) -> None:
    model = load(path, "cpu")
    pixels = len(model.wavelength)
    assert are_wavelengths(model.wavelength), "no wavelengths"
    ones = torch.full((2, pixels), 0.9)
    for flux in (model.synth_to_obs(ones), model.obs_to_synth(ones)):
        assert flux.shape == ones.shape, "shapes differ"
        assert are_finite(flux), "translations that are not finite"
    if model.errors:
        for direction in DIRECTIONS:
            error = model.uncertainty(direction, ones, ones / 100)
            assert (error.isfinite() & (error >= 0)).all(), "errors that are none"
    for name in ("synth", "obs"):
        if (known := Familiarity.from_record(model.record, name, model.device)) is not None:
            seen = model.seen(DIRECTIONS[name == "obs"], exact(ones))
            assert are_finite(known.distance(features(model.translator, name, seen))), "distances that are not finite"
    if model.map_error is not None:
        shared, split = model.encode_obs(ones)
        each = model.translator.generator_o.each(shared, split)
        assert are_finite(model.map_error.roots(each, shared)), "errors of the map that are not finite"
    if model.label_names:
        forward = model.forward_model
        middle = (forward.emulator.label_low + forward.emulator.label_high)[None] / 2
        assert are_finite(forward.synthetic(middle), forward.observed(middle)), "spectra that are not finite"
        stars = forward.population.sample(forward.emulator, 5, torch.Generator().manual_seed(0))
        forward.emulator.check_labels(stars)
    for control in model.controls.values():
        assert are_finite(*control.values()), "controls that are not finite"


def _configuration(path: Path) -> None:
    config = read_config(path)
    check_plain(OmegaConf.to_container(config), str(path))
    found = validate(config, TrainConfig)
    check_together(found)
    make_networks(found.networks)
    make_population(found.domains.population)
    values = _values(OmegaConf.to_container(OmegaConf.structured(found)))
    assert all(math.isfinite(value) for value in values if isinstance(value, float)), "numbers that are not finite"


def _values(tree: object) -> list[object]:
    parts = tree.values() if isinstance(tree, Mapping) else tree if isinstance(tree, list) else None
    return [tree] if parts is None else [value for part in parts for value in _values(part)]


def _metrics(path: Path) -> None:
    for steps, values in read_history(path).values():
        assert steps.shape == values.shape, "shapes differ"
        assert steps.dtype == values.dtype == np.float64, "no numbers"
        assert (np.isfinite(steps) & (steps >= 0)).all(), "steps that are none"
    compare_scores(logged_scores(path.parent, 61), {"z_synth": 0.4}, exact=True)


def _scores(path: Path) -> None:
    for scores in logged_scores(path.parent, 60).values():
        assert all(isinstance(value, float) for value in scores.values())
    compare_scores(logged_scores(path.parent, 60), {"x_synth_obs": 1.05}, exact=False)


def _table(path: Path) -> None:
    drawn = Table(str(path)).settled(good_emulator())
    stars = drawn.sample(good_emulator(), 20, torch.Generator().manual_seed(0))
    good_emulator().check_labels(stars)


class _Theory:
    """What a table of labels to translate needs of a model."""

    def __init__(self) -> None:
        self.emulator = good_emulator()
        self.forward_model, self.label_names = self, self.emulator.label_names

    def synthesize(self, labels: Tensor) -> Tensor:
        """Flux (B, P) of labels (B, L)."""
        return self.emulator(labels)


def _labels_to_translate(path: Path) -> None:
    source = LabelSource(str(path), _Theory())
    good_emulator().check_labels(source.labels)
    (count,) = source.subsets.values()
    assert source.labels.shape == (count, len(NAMES)), "shapes differ"
    check_spectra(source.read("test", slice(0, 3)), (min(3, count), PIXELS))


def _known(path: Path) -> None:
    check_known(read_known(path, NAMES, torch.arange(40)))


@cache
def _domains() -> Domains:
    theory, sky = EmulatedDomain(good_emulator(), Uniform(), 20, 20, None, Observation()), make_sky(stars=60)
    with TemporaryDirectory() as folder:
        path = write_domain(Path(folder) / "obs.h5", sky.obs, sky.val_obs, toy_wavelength())
        return Domains(theory, HDF5Domain(path), matched=False)


def _anchors(path: Path) -> None:
    domains = _domains()
    partners = read_anchors(path, domains)
    for side in (partners.synth, partners.obs):
        check_spectra(side, (len(partners.synth.flux), PIXELS))
    check_known(known_of_anchors(path, good_emulator(), domains.obs.train_rows))


def _continuum_pixels(path: Path) -> None:
    wavelength = toy_wavelength().numpy()
    found = read_continuum_pixels(path, wavelength)
    assert found.shape == wavelength.shape, "shapes differ"
    assert found.dtype == bool, f"pixels of {found.dtype}"


def _line_list(path: Path) -> None:
    lines = read_lines(path)
    assert (np.diff(lines.wavelength) >= 0).all(), "lines that do not ascend"
    for name, (low, high) in POSSIBLE.items():
        values = getattr(lines, name)
        assert len(values) == len(lines.species) > 0, "shapes differ"
        # Shares of isotopes come off log gf, and refraction on wavelengths.
        assert ((values >= low - 9) & (values <= 1.001 * high)).all(), f"no {name}"
    assert set(lines.species.tolist()) <= set(SPECIES), "unknown species"


def _known_lines(path: Path) -> None:
    for line in read_known_lines(path):
        assert 0 < line.wavelength < math.inf, "a line that is none"
        assert 0 <= line.width < math.inf, "a width that is none"
        assert all(line.elements), "an element without a name"


def _hidden(path: Path) -> None:
    found = read_features(path)
    for feature in found:
        assert 0 <= feature.start < feature.stop, "pixels that are none"
        assert 0 < feature.wavelength < math.inf, "a line that is none"
        assert math.isfinite(feature.response), "a response that is none"
    hidden_pixels(found, PIXELS)


READERS = (
    Reader("spectra", ("spectra.h5", "synth.h5", "exact.h5"), _spectra),
    Reader("spectra described", ("spectra.h5", "synth.h5", "exact.h5"), _described),
    Reader("spectra to train on", ("spectra.h5", "synth.h5", "exact.h5"), _domain),
    Reader("grid", ("grid.h5", "grid.h5", "spectra.h5"), _grid),
    Reader("wavelengths", ("wavelength.npy", "wavelength.npz", "wavelength.txt", "wavelength.h5"), _wavelength),
    Reader("emulator", ("emulator.pt",), _emulator),
    Reader("published emulator", ("published.npz", "published.pt"), _published),
    Reader("checkpoint", ("last.ckpt",), _run),
    Reader("configuration of a run", ("config.yaml",), _configuration),
    Reader("metrics of a run", (METRICS,), _metrics),
    Reader("scores of a run", (SCORED,), _scores),
    Reader("table of labels", ("labels.csv", "labels.csv", "grid.h5"), _table),
    Reader("labels to translate", ("labels.csv",), _labels_to_translate),
    Reader("known labels", ("known.csv", "known.csv", "spectra.h5"), _known),
    Reader("anchors", ("anchors.csv",), _anchors),
    Reader("continuum pixels", ("continuum.npy", "continuum.npz", "continuum.txt"), _continuum_pixels),
    Reader("line list", ("moog.txt", "vald.txt"), _line_list),
    Reader("apStar", ("apStar.fits", "packed.fits.gz"), check_star),
    Reader("apVisit", ("apVisit.fits",), check_star),
    Reader("mwm and astra", ("mwmStar.fits", "mwmVisit.fits", "astraStar.fits"), check_parts),
    Reader("Parquet", ("spectra.parquet",), check_parts),
    Reader("aspcapStar", ("aspcapStar.fits",), check_aspcap),
    Reader("allStar", ("allStar.fits",), check_survey_labels),
    Reader("labels of a survey", ("astraAllStar.fits", "labels.parquet", "own_labels.csv"), check_survey_labels),
    Reader("velocities", ("velocities.csv",), check_velocities),
    Reader("GALAH", ("1704180037012051.fits",), check_galah),
    Reader("GALAH's table", ("galah.fits",), check_galah_table),
    Reader("atlas", ("atlas.npz", "atlas.fits", "atlas_image.fits"), check_atlas),
    Reader("known lines", ("known_lines.csv",), _known_lines),
    Reader("hidden lines", ("hidden.csv",), _hidden),
)

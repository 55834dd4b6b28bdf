"""cyclegan/domains/domains.py: an emulated domain against a file, on its pixels, of its stars where these are known."""

import json

import h5py
import pytest
import torch
from hydra import compose, initialize_config_dir
from processes import search_quickly
from skies import toy_wavelength

from cyclegan.domains.domains import make_domains
from cyclegan.domains.population import Drawn
from cyclegan.domains.survey import Survey
from cyclegan.fitting.forward import TRANSLATOR, SpectrumModel
from cyclegan.scores.scores import NEED_MATCHED
from cyclegan.spectra.continuum import Continuum
from cyclegan.spectra.continuum_files import write_continuum
from cyclegan.spectra.spectra import Spectra
from cyclegan.spectra.writer import written_spectra
from cyclegan.trained.loading import load
from cyclegan.training.schema import TrainConfig
from emulator.commands.config import config_folder, validate
from emulator.commands.errors import InputError
from emulator.labels import LABELS

SOME = slice(20, 180)  # pixels of the emulator that the telescope has, in both chips
STARS = {"train": 60, "val": 12, "test": 10}


@torch.no_grad()
def write_survey(path, payne, names=None, spoil=lambda subset, labels: None):
    """Stars as the emulator makes them, with noise, on some of its pixels, under labels of `names`."""
    random = torch.Generator().manual_seed(5)
    with written_spectra(
        path, "a test", toy_wavelength()[SOME], payne.label_names if names is None else names
    ) as writer:
        for subset, n in STARS.items():
            labels = Survey().sample(payne, n, random)
            flux = payne(labels)[:, SOME]
            flux = flux + 0.01 * torch.randn(flux.shape, generator=random)
            spoil(subset, labels)
            columns = {} if names == [] else {"labels": labels[:, : len(names or payne.label_names)]}
            spectra = Spectra(flux, torch.full_like(flux, 0.01), torch.ones_like(flux, dtype=torch.bool))
            writer.append(subset, spectra, **columns)
    return path


def domains(path, payne, skip=0, matched=True):
    with initialize_config_dir(config_folder(), version_base="1.3"):
        overrides = ["+experiment=payne2data", f"domains.obs.path={path}", f"domains.skip_pixels={skip}"]
        overrides.append(f"domains.matched={matched}")
        config = validate(compose("train", overrides), TrainConfig)
    return make_domains(config.domains, payne.on(toy_wavelength()[SOME][skip:]), Survey(), hidden={})


def test_an_emulator_on_some_of_its_pixels_is_the_same_there(payne):
    labels = Survey().sample(payne, 5, torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(payne.on(toy_wavelength()[SOME])(labels), payne(labels)[:, SOME])
    shifted = toy_wavelength()[SOME].clone()
    shifted[7] += 0.05
    with pytest.raises(
        InputError, match=r"expected the spectra's wavelengths among its own 203 pixels, .* got .* pixel 7"
    ):
        payne.on(shifted)


def test_stars_are_matched_by_their_labels_where_these_are_whole_and_in_range(payne, tmp_path):
    def spoil(subset, labels):
        if subset == "val":
            labels[2, 4], labels[5, 0] = torch.nan, 9000.0

    path = write_survey(tmp_path / "survey.h5", payne, spoil=spoil)
    synth, obs, matched = domains(path, payne)
    assert matched
    whole = domains(write_survey(tmp_path / "whole.h5", payne), payne)
    kept = [i for i in range(12) if i not in (2, 5)]
    assert torch.equal(synth.matched("val").flux, whole.synth.matched("val").flux[kept])
    assert torch.equal(obs.matched("val").flux, whole.obs.matched("val").flux[kept])
    # The same stars: their difference is the noise.
    residual = (obs.matched("val").flux - synth.matched("val").flux) / 0.01
    assert residual.std().item() == pytest.approx(1, abs=0.08)
    assert len(synth.matched("test").flux) == len(obs.matched("test").flux) == 10


def test_labels_that_are_not_to_be_trusted_match_no_star(payne, tmp_path):
    path = write_survey(tmp_path / "survey.h5", payne)
    assert not domains(path, payne, matched=False).matched


def test_without_labels_of_the_stars_to_score_no_star_is_matched(payne, tmp_path, caplog):
    path = write_survey(tmp_path / "survey.h5", payne)
    with h5py.File(path, "r+") as file:
        del file["labels test"]
    assert not domains(path, payne).matched
    assert "no 'labels test'" in caplog.text


@pytest.mark.parametrize("names", [[], ["teff", "logg"]])
def test_without_the_emulators_labels_no_star_is_matched(payne, tmp_path, names, caplog):
    assert not domains(write_survey(tmp_path / "survey.h5", payne, names), payne).matched
    assert "no stars are matched" in caplog.text


@pytest.mark.parametrize(("within", "matched"), [(0, False), (3, False), (4, True)])
def test_labels_out_of_range_leave_stars_unmatched_where_too_few_are_left_to_score(payne, tmp_path, within, matched):
    path = write_survey(tmp_path / "hot.h5", payne, spoil=lambda subset, labels: labels[within:].add_(20000))
    synth, obs, are = domains(path, payne)
    assert are == matched
    assert len(obs.matched("val").flux) == (within if matched else 12)
    if not matched:
        assert len(synth.matched("val").flux) >= 4


@pytest.mark.parametrize(("names", "matched"), [(None, True), ([], False)])
def test_a_survey_trains_and_is_scored_by_what_its_stars_allow(start, payne, payne_file, tmp_path, names, matched):
    path, continuum = write_survey(tmp_path / "survey.h5", payne, names), None
    if matched:
        continuum = Continuum(toy_wavelength()[SOME][4:].numpy(), degree=1)
        with h5py.File(path, "r+") as file:
            write_continuum(Continuum(toy_wavelength()[SOME].numpy(), degree=1), file)
    (tmp_path / "known.csv").write_text("obs,teff,teff_err\n0,5000,100\n7,5200,100\n")
    command = start(
        tmp_path,
        "+experiment=payne2data",
        f"domains.population.known={'known.csv' if matched else 'null'}",
        f"domains.emulator={payne_file}",
        "domains.obs.path=survey.h5",
        "domains.skip_pixels=4",
        "logger.wandb=false",
        before=search_quickly,
    ).wait()
    assert command.code == 0, command.err
    scores = json.loads((command.run / "scores.json").read_text())
    assert {name in scores for name in NEED_MATCHED} == {matched}
    assert ("gap_synth_obs" in scores) == matched
    assert {"z_synth", "z_obs", "z_split"} <= scores.keys()
    log = (command.run / "train.log").read_text()
    assert ("no star is known in both domains" in log) != matched
    assert (command.run / "stars.png").exists() == matched
    # By default the population is learned: it is drawn, told of, and kept with the run.
    assert (command.run / "populations.png").read_bytes().startswith(b"\x89PNG")
    assert "observed stars are found to be: teff" in log
    assert "what would help" in log
    record = load(command.run, "cpu").record
    assert isinstance(record.population_of_theory(), Drawn)
    assert record.offset.shape == (len(LABELS), len(LABELS))
    assert (command.run / "best.ckpt").exists()
    # A run that is gone on with keeps the population that it has.
    again = start(tmp_path, f"resume={command.run}", tiny=()).wait()
    assert again.code == 0, again.err
    assert (command.run / "train.log").read_text().count("observed stars are found to be") == 1
    assert torch.equal(load(command.run, "cpu").record.population["labels"], record.population["labels"])

    # What is made of labels later is normalised as in training.
    model, labels = load(command.run, "cpu"), Survey().sample(payne, 5, torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = payne(labels)[:, SOME][:, 4:]
        if continuum is not None:
            expected = continuum.normalize_exact(expected)
        torch.testing.assert_close(model.synthesize(labels), expected, rtol=0, atol=1e-5)
        fitted = SpectrumModel(model.forward_model, TRANSLATOR)
        parameters = torch.nn.functional.pad((labels - fitted.middle) / fitted.width, (0, sum(fitted.sizes[1:])))
        torch.testing.assert_close(fitted(parameters), model.from_labels(labels), rtol=0, atol=1e-4)


def test_the_emulators_spectra_are_normalised_as_the_files_were(payne, tmp_path):
    path = write_survey(tmp_path / "survey.h5", payne)
    before = domains(path, payne, skip=4).synth.matched("val")
    continuum = Continuum(toy_wavelength()[SOME].numpy(), degree=1)
    with h5py.File(path, "r+") as file:
        write_continuum(continuum, file)
    after = domains(path, payne, skip=4).synth.matched("val")
    expected = Continuum(toy_wavelength()[SOME][4:].numpy(), degree=1).normalize(before).flux
    assert not torch.allclose(before.flux, after.flux, atol=1e-3)
    torch.testing.assert_close(after.flux, expected)

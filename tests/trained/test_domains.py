"""cyclegan/trained/domains.py: the domains of a finished run are found again, or what does not fit is told."""

import shutil

import h5py
import pytest
import torch

from cyclegan.trained.domains import find_domains
from cyclegan.trained.loading import load
from cyclegan.trained.run_folder import read_scores
from emulator.commands.errors import InputError
from emulator.payne import Payne


@pytest.fixture(scope="module")
def between_files(files_run):
    return load(files_run, "cpu")


def test_emulated_stars_are_those_of_the_training_without_its_file(trained, payne):
    synth, obs, matched = find_domains(trained, None, None)
    assert matched
    labels = obs.matched_labels("val")
    hidden = trained.hidden["synth"]
    with torch.no_grad():
        expected = torch.where(hidden, 1.0, payne(labels))
    torch.testing.assert_close(synth.matched("val").flux, expected)
    torch.testing.assert_close(obs.truth("val"), payne(labels).detach())


def test_the_observed_domain_has_its_own_emulator_again(start, payne, payne_file, tmp_path):
    other = Payne.from_contents(payne.contents(), "other")
    other.output.bias.data -= 0.02
    other.save(tmp_path / "other.pt")
    overrides = [f"domains.emulator={payne_file}", f"domains.obs.emulator={tmp_path}/other.pt", "logger.wandb=false"]
    command = start(tmp_path, "+experiment=payne2payne", "networks.split=2", *overrides).wait()
    assert command.code == 0, command.err
    (tmp_path / "other.pt").unlink()
    model = load(command.run, "cpu")
    synth, obs, _ = find_domains(model, None, None)
    labels = obs.matched_labels("val")
    assert torch.equal(labels, synth.matched_labels("val"))
    with torch.no_grad():
        torch.testing.assert_close(obs.truth("val"), other(labels))
        torch.testing.assert_close(model.forward_model.complete().synthetic(labels), payne(labels))
    scores = read_scores(command.run / "scores.json")
    assert scores["gap_synth_obs"] > scores["floor_synth_obs"]


def test_files_are_where_they_were_or_where_they_are_said_to_be(between_files, domain_files, sky, tmp_path):
    synth, obs, _ = find_domains(between_files, None, None)
    assert torch.equal(synth.matched("val").flux, sky.val_synth.flux)
    assert obs.origin == str(domain_files[1])
    moved = shutil.copy(domain_files[1], tmp_path / "moved.h5")
    _, obs, _ = find_domains(between_files, None, str(moved))
    assert obs.origin == str(moved)
    assert torch.equal(obs.matched("val").flux, sky.val_obs.flux)
    assert between_files.record.domains.obs.path == str(domain_files[1])  # the record stays as it is


def test_a_file_that_is_gone_is_told_with_the_key_that_says_where_it_is(between_files):
    with pytest.raises(InputError, match=r"gone\.h5: expected the file of spectra .* synth=FILE says where it is now"):
        find_domains(between_files, "gone.h5", None)


def test_a_file_cannot_stand_in_for_an_emulator(trained, domain_files):
    with pytest.raises(InputError, match="'obs': expected none, as the run emulates that domain"):
        find_domains(trained, None, str(domain_files[1]))


def test_a_file_of_other_wavelengths_is_told(between_files, domain_files, tmp_path):
    moved = shutil.copy(domain_files[1], tmp_path / "moved.h5")
    with h5py.File(moved, "r+") as file:
        file["wavelength"][:] += 0.5
    with pytest.raises(InputError, match=r"moved\.h5: expected the 203 wavelengths of the checkpoint"):
        find_domains(between_files, None, str(moved))

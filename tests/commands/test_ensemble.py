"""ensemble=N: one run, one checkpoint that behaves as one model, and an error for every translated pixel."""

import json
import signal
from functools import partial

import h5py
import numpy as np
import pytest
import torch
from processes import signal_at
from transfers import contents, run_transfer

from cyclegan.spectra.spectra import exact
from cyclegan.trained.loading import load
from emulator.commands.errors import InputError


@pytest.fixture(scope="module")
def commands(start, payne_file, tmp_path_factory):
    """A finished ensemble of two; the same one killed and taken up again; and what is refused."""
    folder = tmp_path_factory.mktemp("ensemble")
    arguments = (
        "+experiment=payne2payne",
        "ensemble=2",
        f"domains.emulator={payne_file}",
        "logger.wandb=false",
        "hydra.run.dir=run",
    )
    for name in ("whole", "killed", "conv"):
        (folder / name).mkdir()
    whole = start(folder / "whole", *arguments)
    killed = start(folder / "killed", *arguments, before=partial(signal_at, "training_step", 12, signal.SIGKILL))
    done = {"whole": whole.wait(), "killed": killed.wait()}
    other = start(folder / "killed", "resume=run", "ensemble=3", tiny=()).wait()
    again = start(folder / "killed", "resume=run", tiny=()).wait()
    conv = start(folder / "conv", *arguments, "networks=conv", "networks.channels=[4,8]", tiny=CONV).wait()
    return folder, done | {"other": other, "again": again, "conv": conv}


CONV = (
    "domains.stars=96",
    "domains.matched_stars=40",
    "trainer.epochs=1",
    "trainer.steps=2",
    "trainer.accelerator=cpu",
)


@pytest.fixture(scope="module")
def run(commands):
    folder, done = commands
    assert done["whole"].code == 0, done["whole"].err
    return folder / "whole" / "run"


def test_what_a_killed_ensemble_ends_with_is_what_it_would_have(commands, run):
    folder, done = commands
    assert done["killed"].code == -signal.SIGKILL
    assert done["again"].code == 0, done["again"].err
    whole, again = (torch.load(path / "last.ckpt", weights_only=True) for path in (run, folder / "killed" / "run"))
    for name, weight in whole["state_dict"].items():
        assert torch.equal(weight, again["state_dict"][name]), name


def test_another_number_of_members_and_networks_without_axes_are_refused_in_a_line(commands):
    _, done = commands
    for name, words in (("other", "config key 'ensemble'"), ("conv", "config key 'ensemble': expected 1")):
        assert done[name].code == 2
        assert words in done[name].err.splitlines()[-1]
    assert not (commands[0] / "conv" / "run").exists()


def test_it_behaves_as_one_model(run):
    model = load(run, "cpu")
    labels = model.record.population_of_theory().sample(model.emulator, 6, torch.Generator().manual_seed(0))
    flux = model.synthesize(labels)
    seen, split = model.seen("synth_to_obs", exact(flux)), model.mean_split().expand(6, -1)
    members = model.translator.each()
    assert len(members) == 2
    each = [member.generator_o(member.encode_synth(seen.flux), split) for member in members]
    expected = model.translator.space_o.restore(torch.stack(each).mean(dim=0))
    torch.testing.assert_close(model.synth_to_obs(flux), expected)
    scores = json.loads((run / "scores.json").read_text())
    assert scores["x_synth_obs"] < scores["gap_synth_obs"]


def test_transfer_writes_an_error_for_every_pixel(run, trained, synth_file, obs_file, tmp_path):
    run_transfer(checkpoint=run, input=synth_file, output=tmp_path / "mean.h5")
    run_transfer(checkpoint=run, input=synth_file, output=tmp_path / "own.h5", split=obs_file)
    run_transfer(checkpoint=run, input=obs_file, output=tmp_path / "back.h5", direction="obs_to_synth")
    model = load(run, "cpu")
    mean, own, back = (contents(tmp_path / f"{name}.h5")["spectra_err test"] for name in ("mean", "own", "back"))
    for error in (mean, own, back):
        assert np.isfinite(error).all()
        assert (error > 0).all()
    assert (
        mean >= 0.999 * model.uncertainty("synth_to_obs", h5_flux(synth_file), split=model.mean_split()).numpy()
    ).all()
    np.testing.assert_allclose(mean, model.uncertainty("synth_to_obs", h5_flux(synth_file)).numpy(), rtol=1e-4)
    with h5py.File(obs_file) as file:
        given = [torch.from_numpy(file[f"{name} test"][:]) for name in ("spectra", "spectra_err", "mask")]
    np.testing.assert_allclose(back, model.uncertainty("obs_to_synth", *given).numpy(), rtol=1e-3)
    noiseless = model.uncertainty("obs_to_synth", given[0], mask=given[2]).numpy()
    assert (back >= noiseless).mean() > 0.99
    with h5py.File(tmp_path / "back.h5") as file:
        assert "calibrated by matched stars" in file.attrs["error"]


def h5_flux(path):
    with h5py.File(path) as file:
        return torch.from_numpy(file["spectra test"][:])


def test_a_single_translator_knows_no_errors(trained):
    with pytest.raises(InputError, match="expected a finished run of ensemble=N"):
        trained.uncertainty("synth_to_obs", torch.ones(2, len(trained.wavelength)))


def test_scores_fits_and_lines_come_from_it_as_from_any_run(start, run, obs_file, tmp_path):
    for module, arguments in (
        ("evaluate", ()),
        ("fit", (f"input={obs_file}", "subset=test", "device=cpu")),
        ("discover", ("stars=4",)),
    ):
        (tmp_path / module).mkdir()
        given = (f"checkpoint={run}", f"output={tmp_path / module / 'found'}", *arguments)
        command = start(tmp_path / module, *given, module=f"cyclegan.{module}").wait()
        assert command.code == 0, command.err
    found = json.loads((tmp_path / "discover" / "found" / "discovery.json").read_text())
    assert found["runs"] == 2

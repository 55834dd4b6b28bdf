"""A checkpoint stands alone: what comes back is what was trained."""

import csv
import json

import pytest
import torch

from cyclegan.checkpoint import find_checkpoint, load_trained
from cyclegan.domains import make_domains
from cyclegan.scores import SCORES, matched_scores
from emulator.command import InputError


def rescored(trained):
    synth, obs, matched = make_domains(trained.config.domains, trained.emulator, trained.hidden)
    return matched_scores(trained.translator, synth.matched("val"), obs.matched("val"), matched)


def logged(run):
    scores = json.loads((run / "scores.json").read_text())
    return {name: scores[name] for name in SCORES}


def test_an_emulated_run_is_scored_again_without_its_emulators_file(payne2payne_run):
    trained = load_trained(payne2payne_run)
    assert trained.step == 16
    assert logged(payne2payne_run).items() <= rescored(trained).items()
    assert not any(parameter.requires_grad for parameter in trained.translator.parameters())


def test_a_run_on_files_is_scored_again(files_run):
    trained = load_trained(files_run / "last.ckpt")
    assert trained.emulator is None
    assert logged(files_run).items() <= rescored(trained).items()


def test_the_best_checkpoint_is_another_one(payne2payne_run):
    assert load_trained(payne2payne_run / "best.ckpt").step in (8, 16)


def last_latents(trained):
    """Latents of the synthetic and the observed training stars of the second and last epoch (index 1)."""
    config, translator = trained.config, trained.translator
    synth, obs, _ = make_domains(config.domains, trained.emulator, trained.hidden)
    seed = config.seed * 10**6 + 1 * 10  # as SpectraData draws them
    z_s = translator.encode_synth(translator.space_s.project(synth.draw(seed)).flux)
    return z_s, *translator.encoder_o(translator.space_o.project(obs.draw(seed + 5)).flux)


def test_split_latents_of_training_stars_come_along(payne2payne_run):
    trained = load_trained(payne2payne_run)
    *_, expected = last_latents(trained)
    torch.testing.assert_close(trained.split, expected, rtol=1e-4, atol=1e-5)
    assert trained.split.shape == (96, 2)


def test_latents_have_standard_axes(payne2payne_run):
    z_s, z_o, split = last_latents(load_trained(payne2payne_run))
    for latents in (torch.cat([z_s, z_o]), split):
        torch.testing.assert_close(torch.cov(latents.T), torch.eye(latents.shape[1]), rtol=0, atol=1e-3)
    with (payne2payne_run / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["z_shared"]]
    for name, score in logged(payne2payne_run).items():
        assert float(rows[-1][name]) == pytest.approx(score, rel=1e-3), name


def test_a_checkpoint_of_before_there_were_axes_has_its_own(tmp_path, payne2payne_run):
    checkpoint = torch.load(payne2payne_run / "last.ckpt", weights_only=True)
    del checkpoint["record"]["axes"]
    torch.save(checkpoint, tmp_path / "old.ckpt")
    old, new = load_trained(tmp_path / "old.ckpt"), load_trained(payne2payne_run)
    spectra = torch.randn(5, len(old.translator.encoder_s.scale))
    latents = [trained.translator.encode_synth(spectra) for trained in (old, new)]
    assert (latents[0] - latents[1]).abs().max() > 0.1
    restored = [trained.translator.generate_synth(z) for trained, z in zip((old, new), latents, strict=True)]
    torch.testing.assert_close(*restored, rtol=1e-3, atol=1e-3)


def test_what_is_no_checkpoint_is_told(tmp_path, payne2payne_run):
    with pytest.raises(InputError, match=r"expected a checkpoint or a run's folder with last\.ckpt, found none"):
        find_checkpoint(tmp_path)
    other = tmp_path / "other.ckpt"
    for contents in (b"not a checkpoint", (payne2payne_run / "last.ckpt").read_bytes()[:5000]):
        other.write_bytes(contents)
        with pytest.raises(InputError, match="does not load"):
            load_trained(other)
    torch.save({"state_dict": {}}, other)
    with pytest.raises(InputError, match="does not load"):
        load_trained(other)


def test_networks_of_another_version_are_told(tmp_path, payne2payne_run):
    checkpoint = torch.load(payne2payne_run / "last.ckpt", weights_only=True)
    del checkpoint["state_dict"]["translator.encoder_s.scale"]
    torch.save(checkpoint, tmp_path / "old.ckpt")
    with pytest.raises(InputError, match="this version's networks"):
        load_trained(tmp_path / "old.ckpt")


def test_pixel_networks_come_back(tmp_path, domain_files, start):
    synth, obs = domain_files
    command = start(
        tmp_path,
        "domains=files",
        "networks=conv",
        "networks.channels=[2,3]",
        "networks.shared=1",
        "domains.skip_pixels=0",
        f"domains.synth.path={synth}",
        f"domains.obs.path={obs}",
        "trainer.epochs=1",
        "trainer.steps=2",
        "logger.wandb=false",
    ).wait()
    assert command.code == 0, command.err
    trained = load_trained(command.run)
    assert logged(command.run).items() <= rescored(trained).items()

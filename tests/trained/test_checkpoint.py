"""cyclegan/trained/checkpoint.py and run_folder.py: a checkpoint stands alone, what comes back is what was trained."""

import csv
import json
import resource

import pytest
import torch
from processes import TINY_CONV

from cyclegan.domains.domains import make_domains
from cyclegan.domains.survey import Survey
from cyclegan.scores.scores import SCORES, matched_scores
from cyclegan.trained.loading import load
from cyclegan.trained.run_folder import find_checkpoint
from emulator.commands.errors import InputError


def domains_of(model):
    return make_domains(model.record.domains, model.emulator, Survey(), model.hidden)


def rescored(model):
    synth, obs, matched = domains_of(model)
    return matched_scores(model.translator, synth.matched("val"), obs.matched("val"), matched)


def logged(run):
    scores = json.loads((run / "scores.json").read_text())
    return {name: scores[name] for name in SCORES}


def test_an_emulated_run_is_scored_again_without_its_emulators_file(payne2payne_run):
    model = load(payne2payne_run, "cpu")
    assert model.step == 16
    assert logged(payne2payne_run).items() <= rescored(model).items()
    assert not any(parameter.requires_grad for parameter in model.translator.parameters())
    assert not model.translator.training


def test_a_run_on_files_is_scored_again(files_run):
    model = load(files_run / "last.ckpt", "cpu")
    assert model.emulator is None
    assert logged(files_run).items() <= rescored(model).items()


def test_the_best_checkpoint_is_another_one(payne2payne_run):
    assert load(payne2payne_run / "best.ckpt", "cpu").step in (8, 16)


def last_latents(model):
    """Latents of the synthetic and the observed training stars of the second and last epoch (index 1)."""
    translator = model.translator
    synth, obs, _ = domains_of(model)
    seed = model.record.config["seed"] * 10**6 + 1 * 10  # as SpectraData draws them
    z_s = translator.encode_synth(translator.space_s.project(synth.draw(seed)).flux)
    return z_s, *translator.encoder_o(translator.space_o.project(obs.draw(seed + 5)).flux)


def test_split_latents_of_training_stars_come_along(trained):
    *_, expected = last_latents(trained)
    torch.testing.assert_close(trained.split_sample, expected, rtol=1e-4, atol=1e-5)
    assert trained.split_sample.shape == (96, 2)


def test_latents_have_standard_axes(payne2payne_run, trained):
    z_s, z_o, split = last_latents(trained)
    for latents in (torch.cat([z_s, z_o]), split):
        torch.testing.assert_close(torch.cov(latents.T), torch.eye(latents.shape[1]), rtol=0, atol=1e-3)
    with (payne2payne_run / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["z_shared"]]
    for name, score in logged(payne2payne_run).items():
        assert float(rows[-1][name]) == pytest.approx(score, rel=1e-3), name


def test_a_checkpoint_of_before_there_are_axes_has_its_own(tmp_path, payne2payne_run, trained):
    checkpoint = torch.load(payne2payne_run / "last.ckpt", weights_only=True)
    checkpoint["record"]["axes"] = {}  # as before the first validation
    torch.save(checkpoint, tmp_path / "early.ckpt")
    early = load(tmp_path / "early.ckpt", "cpu")
    spectra = torch.randn(5, len(early.translator.encoder_s.scale))
    latents = [model.translator.encode_synth(spectra) for model in (early, trained)]
    assert (latents[0] - latents[1]).abs().max() > 0.1
    restored = [model.translator.generate_synth(z) for model, z in zip((early, trained), latents, strict=True)]
    torch.testing.assert_close(*restored, rtol=1e-3, atol=1e-3)


def test_before_the_first_validation_no_split_latents_are_known(tmp_path, payne2payne_run, forty_stars):
    checkpoint = torch.load(payne2payne_run / "last.ckpt", weights_only=True)
    checkpoint["record"]["split"] = None
    torch.save(checkpoint, tmp_path / "early.ckpt")
    early = load(tmp_path / "early.ckpt", "cpu")
    assert early.split_sample.shape == (0, 2)
    with pytest.raises(InputError, match="expected split latents of training stars, got a run not yet validated"):
        early.synth_to_obs(forty_stars.flux)
    assert early.synth_to_obs(forty_stars.flux, split=torch.zeros(1, 2)).isfinite().all()


def test_what_is_no_checkpoint_is_told(tmp_path, payne2payne_run):
    with pytest.raises(
        InputError, match=r"expected a checkpoint or a run's folder with last\.ckpt or model\.safetensors, found none"
    ):
        find_checkpoint(tmp_path)
    other = tmp_path / "other.ckpt"
    for contents in (b"not a checkpoint", (payne2payne_run / "last.ckpt").read_bytes()[:5000]):
        other.write_bytes(contents)
        with pytest.raises(InputError, match="does not load"):
            load(other, "cpu")
    torch.save({"state_dict": {}}, other)
    with pytest.raises(InputError, match="does not load"):
        load(other, "cpu")


def test_networks_of_another_version_are_told(tmp_path, payne2payne_run):
    checkpoint = torch.load(payne2payne_run / "last.ckpt", weights_only=True)
    del checkpoint["state_dict"]["translator.encoder_s.scale"]
    torch.save(checkpoint, tmp_path / "old.ckpt")
    with pytest.raises(InputError, match="this version's networks"):
        load(tmp_path / "old.ckpt", "cpu")


def test_pixel_networks_come_back(tmp_path, domain_files, start):
    synth, obs = domain_files
    command = start(
        tmp_path,
        "domains=files",
        "networks.channels=[2,3]",
        "networks.shared=1",
        "domains.skip_pixels=0",
        f"domains.synth.path={synth}",
        f"domains.obs.path={obs}",
        "trainer.epochs=1",
        "trainer.steps=2",
        "logger.wandb=false",
        tiny=TINY_CONV,
    ).wait()
    assert command.code == 0, command.err
    again = rescored(load(command.run, "cpu"))
    # To the last digit on some processors; on others convolutions round differently in another process.
    assert logged(command.run) == pytest.approx({name: again[name] for name in SCORES}, rel=1e-7)


def test_a_variable_in_its_configuration_is_not_looked_up(tmp_path, files_run, monkeypatch):
    monkeypatch.setenv("SECRET", "swordfish")
    checkpoint = torch.load(files_run / "last.ckpt", weights_only=True)
    checkpoint["record"]["config"]["domains"]["obs"]["path"] = "${oc.env:SECRET}.h5"
    torch.save(checkpoint, tmp_path / "a.ckpt")
    with pytest.raises(InputError, match=r"a\.ckpt: config key 'domains\.obs\.path': expected a value, got an inter"):
        load(tmp_path / "a.ckpt", "cpu")


@pytest.mark.parametrize(
    "claim", [{"networks": {"width": 12_000}}, {"ensemble": 10**9}, {"networks": {"shared": 10**9}}]
)
def test_networks_larger_than_their_weights_take_no_memory(claim, files_run, tmp_path):
    contents = torch.load(files_run / "last.ckpt", weights_only=True)
    config = contents["record"]["config"]
    for name, value in claim.items():
        config[name] = config[name] | value if isinstance(value, dict) else value
    torch.save(contents, tmp_path / "last.ckpt")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match="expected a checkpoint of this version's networks, got another's"):
        load(tmp_path, "cpu")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB, of 2 GB and more


def test_weights_that_are_not_finite_are_refused(files_run, tmp_path):
    contents = torch.load(files_run / "last.ckpt", weights_only=True)
    name = next(name for name in contents["state_dict"] if name.startswith("translator.") and "weight" in name)
    contents["state_dict"][name].view(-1)[0] = torch.nan
    torch.save(contents, tmp_path / "last.ckpt")
    with pytest.raises(InputError, match="expected finite weights, got NaN or infinite ones in"):
        load(tmp_path, "cpu")


@pytest.mark.parametrize(("name", "value"), [("global_step", "2"), ("state_dict", {"a": 1}), ("pairing", [])])
def test_a_checkpoint_of_other_types_is_refused(files_run, tmp_path, name, value):
    contents = torch.load(files_run / "last.ckpt", weights_only=True)
    torch.save(contents | {name: value}, tmp_path / "last.ckpt")
    with pytest.raises(InputError, match=r"last.ckpt: expected a checkpoint .* got other types of values in it"):
        load(tmp_path, "cpu")

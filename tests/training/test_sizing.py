"""cyclegan/training/sizing.py: what a configuration leaves open follows from the stars."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from hydra import compose, initialize_config_dir

from cyclegan.domains import from_file
from cyclegan.domains.domains import Domains, Stars
from cyclegan.domains.from_file import HDF5Domain
from cyclegan.training.schema import TrainConfig
from cyclegan.training.sizing import different_stars, settled, without_auto
from emulator.commands.config import config_folder, validate


@pytest.fixture
def config():
    with initialize_config_dir(config_folder(), version_base="1.3"):
        return validate(compose("train", ["domains=files", "domains.synth.path=x", "domains.obs.path=x"]), TrainConfig)


def settle(config, sky, synth=400, obs=400, fixed=True):
    stars = Stars(sky.synth.rows(slice(synth)), sky.obs.rows(slice(obs)))
    sides = [SimpleNamespace(fixed=fixed) for _ in range(2)]
    return settled(config, Domains(*sides, matched=True), stars)


def test_nothing_is_left_open(config, sky):
    found = settle(config, sky)
    assert all(isinstance(found.networks[name], int) for name in ("components", "shared", "split"))
    assert found.networks["shared"] == 3  # the labels of the toy sky
    assert found.trainer.steps == 13  # 40 by the square root of a tenth
    assert found.trainer.learning_rate == 4e-3
    assert found.trainer.weight_decay == pytest.approx(2.5)


def test_the_poorer_domain_decides(config, sky):
    few = settle(config, sky, synth=400, obs=100)
    assert (few.trainer.steps, few.trainer.weight_decay) == (6, pytest.approx(10.0))


def test_stars_that_are_new_in_every_epoch_count_in_each(config, sky):
    found = settle(config, sky, fixed=False)
    assert (found.trainer.steps, found.trainer.weight_decay) == (40, pytest.approx(1000 / 6000))


def test_stars_drawn_from_a_file_are_no_more_than_it_has(domain_files, monkeypatch):
    monkeypatch.setattr(from_file, "AT_ONCE", 90)
    domain = HDF5Domain(domain_files[0])
    assert [different_stars(domain, 90, epochs) for epochs in (1, 2, 15)] == [90, 180, 400]
    held = SimpleNamespace(fixed=True)
    assert different_stars(held, 90, 15) == 90


def test_conv_networks_learn_slower_and_longer(config, sky):
    conv = {"_target_": "cyclegan.translator.convolutional.Convolutional", "shared": 8, "split": 1, "channels": [4, 8]}
    found = settle(replace(config, networks=conv), sky, fixed=False)
    assert (found.trainer.steps, found.trainer.learning_rate) == (150, 1e-3)


def test_what_is_set_stays(config, sky):
    networks = config.networks | {"shared": 5, "components": 9}
    trainer = replace(config.trainer, steps=7, learning_rate=1e-4, weight_decay=0.0)
    fixed = replace(config, networks=networks, trainer=trainer)
    found = settle(fixed, sky)
    assert {name: found.networks[name] for name in ("shared", "components")} == {"shared": 5, "components": 9}
    assert (found.trainer.steps, found.trainer.learning_rate, found.trainer.weight_decay) == (7, 1e-4, 0.0)


def test_components_have_room_for_the_latents_that_are_set(config, sky):
    found = settle(replace(config, networks=config.networks | {"shared": 40, "split": 2}), sky)
    assert found.networks["components"] >= 42


def test_sizes_that_are_not_known_yet_are_the_least():
    assert without_auto({"shared": "auto", "width": 9}) == {"shared": 1, "width": 9}


def test_what_so_many_stars_allow_is_told_before_training(config, sky, caplog):
    settle(config, sky, synth=400, obs=60)
    (told,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told.startswith("60 training stars are few: of a mean shift's x_synth_obs, 50 left 0.84 in theory2data")
    caplog.clear()
    settle(config, sky, fixed=False)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]

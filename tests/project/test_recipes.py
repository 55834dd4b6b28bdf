"""CONTRIBUTING.md: its recipes for a new loss term and new networks, followed with toys."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from processes import TINY
from torch import Tensor, nn

from cyclegan.losses import terms
from cyclegan.spectra.spaces import Pixels
from cyclegan.spectra.spectra import Spectra, masked_mean, typical_weight
from cyclegan.trained.loading import load
from cyclegan.training.run import train
from cyclegan.training.schema import TrainConfig
from cyclegan.translator.networks import Networks, any_width
from emulator.commands.config import config_folder, validate
from emulator.commands.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Straight(Networks):
    """One linear layer each way, on pixels; gain: of what they start with."""

    gain: float = field(metadata={"above": 0.0})

    def spaces(self, synth: Spectra, obs: Spectra) -> tuple[Pixels, Pixels]:
        return Pixels(masked_mean(synth), typical_weight(obs)), Pixels(masked_mean(obs), typical_weight(obs))

    def empty_space(self, pixels: int) -> Pixels:
        return Pixels(torch.empty(pixels), torch.empty(pixels))

    def encoder(self, scale: Tensor, split: int) -> nn.Module:
        return StraightEncoder(len(scale), self.shared, split, self.gain)

    def generator(self, scale: Tensor, split: int) -> nn.Module:
        return StraightGenerator(len(scale), self.shared, split)

    def discriminator(self, scale: Tensor, latents: int) -> nn.Module:
        return StraightDiscriminator(len(scale) + latents)


class StraightEncoder(nn.Module):
    def __init__(self, pixels: int, shared: int, split: int, gain: float) -> None:
        super().__init__()
        self.shared, self.split = any_width(pixels, shared), any_width(pixels, split)
        nn.init.constant_(self.shared.weight, gain / pixels)

    def forward(self, flux: Tensor) -> tuple[Tensor, Tensor]:
        return self.shared(flux), self.split(flux)


class StraightGenerator(nn.Module):
    def __init__(self, pixels: int, shared: int, split: int) -> None:
        super().__init__()
        self.layer, self.split = any_width(shared, pixels), any_width(split, pixels)

    def forward(self, shared: Tensor, split: Tensor) -> Tensor:
        return self.layer(shared) + self.split(split)


class StraightDiscriminator(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs, 1)

    def forward(self, flux: Tensor, latents: Tensor) -> Tensor:
        return self.layer(torch.cat([flux, latents], dim=1))


@pytest.fixture
def small_latents():
    """A term of the loss as a contributor writes one; it is gone again after the test."""
    before = dict(terms.TERMS)

    @terms.term()
    def small_latents(moment: terms.Moment) -> terms.Parts:
        return {"small_latents": moment.crossing.z_s.square().mean()}

    yield small_latents
    terms.TERMS.clear()
    terms.TERMS.update(before)


def configured(*overrides: str) -> TrainConfig:
    with initialize_config_dir(config_folder(), version_base="1.3"):
        return validate(compose("train", [*overrides, "logger.wandb=false"]), TrainConfig)


def trained(folder: Path, *overrides: str) -> dict[str, object]:
    folder.mkdir()
    train(configured(*overrides), folder)
    return json.loads((folder / "scores.json").read_text())


@pytest.fixture
def files(domain_files):
    """Overrides that name two files of spectra."""
    synth, obs = domain_files
    return ["domains=files", "domains.skip_pixels=0", f"domains.synth.path={synth}", f"domains.obs.path={obs}"]


def test_a_term_of_ones_own_is_weighed_logged_and_felt(small_latents, files, tmp_path):
    trained(tmp_path / "with", *TINY, *files, "+losses.small_latents=100")
    trained(tmp_path / "without", *TINY, *files)
    header = (tmp_path / "with" / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"train/small_latents", "gradient/small_latents"} <= set(header)
    assert "train/small_latents" not in (tmp_path / "without" / "metrics.csv").read_text()
    weights = [
        torch.load(tmp_path / name / "last.ckpt", weights_only=True)["state_dict"] for name in ("with", "without")
    ]
    with_term, without = (one["translator.encoder_s.shared_linear.weight"].square().sum() for one in weights)
    assert with_term < without


def test_a_term_that_nobody_wrote_is_unknown(files, tmp_path):
    with pytest.raises(InputError, match=r"unknown config key 'losses.small_latents': 'losses' has adversarial"):
        trained(tmp_path / "run", *TINY, *files, "+losses.small_latents=1")


def straight(*more: str) -> list[str]:
    sizes = [size for size in TINY if not size.startswith("networks.")]
    kind = ["~networks", "+networks.shared=4", "+networks.split=1", *more]
    return [*sizes, *kind, f"+networks._target_={__name__}.Straight"]


def test_networks_of_ones_own_are_trained_and_loaded(files, tmp_path):
    scores = trained(tmp_path / "run", *straight("+networks.gain=0.5"), *files)
    assert scores["x_synth_obs"] > 0
    model = load(tmp_path / "run")
    assert isinstance(model.translator.encoder_s, StraightEncoder)
    flux = torch.ones(3, len(model.wavelength))
    assert model.synth_to_obs(flux).shape == flux.shape


def test_keys_of_networks_of_ones_own_are_checked(files, tmp_path):
    with pytest.raises(InputError, match=r"config key 'networks.gain': expected more than 0.0, got -1"):
        trained(tmp_path / "run", *straight("+networks.gain=-1"), *files)


def test_recipes_name_files_that_there_are():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"`((?:cyclegan|emulator|conf|tests|docs)/[\w/.]+)`", text))
    assert len(named) > 10
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []

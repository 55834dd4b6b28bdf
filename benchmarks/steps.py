"""One step of a training on one batch that lies ready: both updates, as `CycleGAN.training_step` makes them."""

from collections.abc import Sequence

import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from torch import Tensor, nn

from cyclegan.domains.domains import Domains, Stars
from cyclegan.domains.survey import Survey
from cyclegan.pairing.batch import TrainingBatch
from cyclegan.spectra.spaces import projected_on
from cyclegan.spectra.spectra import Spectra
from cyclegan.training.build import build
from cyclegan.training.data import SpectraData
from cyclegan.training.module import CycleGAN
from cyclegan.training.schema import TrainConfig
from cyclegan.training.theory import Theory
from emulator.commands.config import config_folder, validate

DENSE = ("networks.shared=20", "networks.split=1", "networks.components=96")  # those that payne2payne finds
CONV = ("networks=conv", "losses.pairs=0", "losses.independence=0", "losses.latent_cycle=0")  # as Cycle-StarNet


class NoiseDomain:
    """Spectra (stars, pixels) of noise, always the same: what they hold does not change what a step costs."""

    fixed, origin = True, "noise"

    def __init__(self, seed: int, stars: int = 4000, pixels: int = 300) -> None:
        self.wavelength = torch.linspace(15000.0, 15000.0 + pixels / 3, pixels, dtype=torch.float64)
        flux = 1 + 0.1 * torch.randn(stars, pixels, generator=torch.Generator().manual_seed(seed))
        self.spectra = Spectra(flux, torch.full_like(flux, 0.01), torch.ones_like(flux, dtype=torch.bool))

    def draw(self, seed: int) -> Spectra:
        return self.spectra

    def matched(self, subset: str) -> Spectra:
        return self.spectra.rows(slice(4))

    def count(self, subset: str) -> int:
        return len((self.spectra if subset == "train" else self.matched(subset)).flux)


def config_of(settings: Sequence[str]) -> TrainConfig:
    """The training command's configuration of two files, which are never read."""
    GlobalHydra.instance().clear()
    own = ["domains=files", "domains.synth.path=x", "domains.obs.path=x"]
    own += ["trainer.learning_rate=1e-3", "trainer.weight_decay=0.25"]
    with initialize_config_dir(config_folder(), version_base="1.3"):
        return validate(compose("train", [*own, *settings]), TrainConfig)


def built(config: TrainConfig, domains: Domains) -> tuple[CycleGAN, SpectraData]:
    """The module and the data of a training on two domains."""
    stars = Stars(*(domain.draw(0) for domain in domains[:2]))
    return build(config, domains, Theory(None, {}, Survey()), stars)


def noise_domains(stars: int = 4000, pixels: int = 300) -> Domains:
    """Two domains of noise."""
    return Domains(NoiseDomain(1, stars, pixels), NoiseDomain(2, stars, pixels), matched=True)


class Step:
    """A module's two updates on its first stars; each call makes both."""

    def __init__(self, config: TrainConfig, domains: Domains, device: torch.device) -> None:
        module, data = built(config, domains)
        self.module, self.number = module.to(device), 0
        t, rows = module.translator, slice(config.trainer.batch_size)
        stars = zip((t.space_s, t.space_o), data.stars(epoch=0), strict=True)
        self.batch = TrainingBatch(*(projected_on(space, side.rows(rows)) for space, side in stars), None)
        self.optimizers = module.configure_optimizers()

    def __call__(self) -> None:
        self.module.updates.make([self.batch], 0, self.number % self.module.schedule.steps, self._update)
        self.number += 1

    def _update(self, network: nn.Module, loss: Tensor) -> None:
        optimizer = self.optimizers[0 if network is self.module.discriminators else 1]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

"""One step of a training on one batch that lies ready: both updates, as `CycleGAN.training_step` makes them."""

from collections.abc import Sequence

import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from cyclegan.domains.domains import Domains, Stars
from cyclegan.domains.survey import Survey
from cyclegan.losses.adversarial import exhibits, judgements
from cyclegan.losses.terms import Moment, total, weighted_terms
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
        self.module, self.weights, self.steps = module.to(device), config.losses, 1000
        t, rows = module.translator, slice(config.trainer.batch_size)
        stars = zip((t.space_s, t.space_o), data.stars(epoch=0), strict=True)
        self.batch = TrainingBatch(*(projected_on(space, side.rows(rows)) for space, side in stars), None)
        self.optimizers = module.configure_optimizers()
        self.number = 0

    def __call__(self) -> None:
        t, discriminators, batch = self.module.translator, self.module.discriminators, self.batch
        judges_optimizer, translator_optimizer = self.optimizers
        crossing = t.cross(batch.synth.flux, batch.obs.flux)
        shown = exhibits(t, batch, crossing, self.number)
        judges_optimizer.zero_grad()
        torch.stack([one.loss() for one in judgements(discriminators, shown).values()]).sum().backward()
        judges_optimizer.step()
        moment = Moment(batch, crossing, t, discriminators, shown, self.number / self.steps)
        terms = weighted_terms(self.weights, moment)
        translator_optimizer.zero_grad()
        total(terms).backward()
        translator_optimizer.step()
        self.number += 1

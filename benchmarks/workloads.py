"""The parts of the project whose cost decides how long anything takes, each at its usual size, ready to be called."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor

from benchmarks.steps import CONV, DENSE, Step, config_of, noise_domains
from cyclegan.fitting.fitter import Fitter
from cyclegan.fitting.forward import TRANSLATOR, SpectrumModel
from cyclegan.pairing.transport import transport_pairs
from cyclegan.spectra.files import SpectraFile
from cyclegan.spectra.spaces import Components, projected_on
from cyclegan.spectra.spectra import Spectra, exact
from cyclegan.trained.forward import ForwardModel
from cyclegan.trained.model import BATCH, TrainedModel
from cyclegan.trained.translated import SYNTH_TO_OBS
from cyclegan.translator.networks import make_networks
from cyclegan.translator.translator import build_translator
from emulator.apogee import apogee_wavelength
from emulator.commands.config import config_folder
from emulator.labels import ELEMENTS
from emulator.module import PayneModule
from emulator.payne import Payne
from emulator.synthesis import synthesize
from tests.handmade import make_checkpoint

CPU = torch.device("cpu")
NAMES = ("teff", "logg", "fe_h", "alpha_fe")
AT_ONCE = 1000  # spectra that are written
Work = Callable[[], object]


@dataclass(frozen=True)
class Workload:
    """make(folder) gives what is to be timed. products: whether it is products of matrices, whose operations count."""

    make: Callable[[Path], Work]
    products: bool


def dense_step(batch: int) -> Work:
    """Both updates of the dense networks of payne2payne."""
    config = config_of([*DENSE, "trainer.steps=100", f"trainer.batch_size={batch}"])
    return Step(config, noise_domains(max(batch, 300)), CPU)


def conv_step(_: Path) -> Work:
    """Both updates of convolutional networks, 8 + 8 spectra of APOGEE."""
    config = config_of([*CONV, "trainer.steps=100", "trainer.batch_size=8"])
    return Step(config, noise_domains(64, 7214), CPU)


def usual_payne(labels: int = 19, width: int = 300) -> Payne:
    """An emulator of the built-in one's size that has learnt nothing."""
    names = NAMES if labels == len(NAMES) else tuple(f"label {number}" for number in range(labels))
    low, high = torch.tensor([4200.0, 4.0, -1.0, -0.2]), torch.tensor([6800.0, 5.0, 0.5, 0.4])
    if labels != len(NAMES):
        low, high = -torch.ones(labels), torch.ones(labels)
    payne = Payne(names, low, high, torch.from_numpy(apogee_wavelength()), width).requires_grad_(False)
    payne.output.bias.fill_(0.9)
    return payne


def payne_step(payne: Payne, device: torch.device) -> Work:
    """An update of an emulator's training: 128 spectra in 256 components."""
    pixels, K = len(payne.wavelength), 256
    space = torch.zeros(pixels), torch.zeros(K, pixels)
    module = PayneModule(payne.requires_grad_(True), *space, steps=10**6, learning_rate=1e-3).to(device)
    module.log = lambda *_: None  # no trainer is there to log for
    made = module.configure_optimizers()
    optimizer, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    low, high = payne.label_low, payne.label_high
    labels = low + (high - low) * torch.rand(128, len(low), device=device)
    batch = labels, torch.randn(128, K, device=device)

    def step() -> None:
        loss = module.training_step(batch, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()

    return step


def emulation(_: Path) -> Work:
    """250 spectra of the emulator."""
    payne, labels = usual_payne(), torch.rand(250, 19) - 0.5
    return torch.inference_mode()(lambda: payne(labels))


def synthesis(_: Path) -> Work:
    """A spectrum of the Sun from lines."""
    sun, wavelength = np.array([5777.0, 4.44, 1.0, 3.0, *np.zeros(len(ELEMENTS))]), apogee_wavelength()
    return lambda: synthesize(sun, wavelength)


def pairing(stars: int) -> Work:
    """Partners for so many stars among as many, in 96 components."""
    synth, obs = (torch.randn(stars, 96, generator=torch.Generator().manual_seed(one)) for one in (1, 2))
    return lambda: transport_pairs(synth, obs, 1.0, torch.Generator().manual_seed(3))


def noise_components(pixels: int, K: int = 96) -> Components:
    """A space of components of noise."""
    basis = torch.linalg.qr(torch.randn(pixels, K, generator=torch.Generator().manual_seed(0))).Q
    return Components(torch.full((pixels,), 0.9), torch.full((pixels,), 100.0), basis.contiguous())


def projection(stars: int, pixels: int, masked: float) -> Work:
    """Spectra to coordinates, a share of whose pixels is masked."""
    space, draws = noise_components(pixels), torch.Generator().manual_seed(1)
    flux = 0.9 + 0.05 * torch.rand(stars, pixels, generator=draws)
    usable = torch.rand(stars, pixels, generator=draws) >= masked
    spectra = Spectra(flux, torch.full_like(flux, 0.01), usable)
    return torch.inference_mode()(lambda: projected_on(space, spectra))


@torch.no_grad()
def usual_model(labels: int = 4) -> TrainedModel:
    """A model of four labels on APOGEE's pixels, of networks of the usual size that have learnt nothing."""
    torch.manual_seed(0)
    payne, K = usual_payne(labels), 96
    low, high, pixels = payne.label_low, payne.label_high, len(payne.wavelength)
    weight = torch.full((pixels,), 100.0)
    flux = payne(low + (high - low) * torch.rand(500, labels))
    basis = torch.linalg.svd((flux - flux.mean(dim=0)) * weight, full_matrices=False).Vh[:K].T.contiguous()
    spaces = tuple(Components(flux.mean(dim=0) + shift, weight, basis) for shift in (0.0, 0.01))
    usual = OmegaConf.to_container(OmegaConf.load(f"{config_folder()}/networks/dense.yaml"))
    networks = make_networks(usual | {"shared": 6, "split": 1, "components": K})
    translator = build_translator(networks, spaces, torch.ones(K))
    checkpoint = make_checkpoint(translator, networks, payne.wavelength, torch.randn(99, 1), payne)
    return TrainedModel(checkpoint, "a benchmark")


def transfer(_: Path) -> Work:
    """A batch of spectra through a trained translator, from flux to flux."""
    model = usual_model()
    batch = exact(0.9 + 0.05 * torch.rand(BATCH, len(model.wavelength)))
    split = model.mean_split().expand(BATCH, -1)
    return torch.inference_mode()(lambda: model.translate(SYNTH_TO_OBS, batch, split))


def observed(model: ForwardModel, count: int) -> Spectra:
    """Stars as a model has them observed, with noise."""
    low, high = model.emulator.label_low, model.emulator.label_high
    draws = torch.Generator().manual_seed(2)
    labels = low + (high - low) * (0.1 + 0.8 * torch.rand(count, len(low), generator=draws))
    with torch.no_grad():
        clean = model.observed(labels)
    error = torch.full_like(clean, 0.01)
    noise = torch.randn(clean.shape, generator=draws)
    return Spectra(clean + error * noise, error, torch.ones_like(clean, dtype=torch.bool))


def fitting(_: Path) -> Work:
    """Four labels of 128 stars, from one start."""
    model = usual_model().forward_model
    fitter, stars = Fitter(SpectrumModel(model, TRANSLATOR), 1, 0), observed(model, 128)
    return lambda: fitter(stars)


def write_stars(path: Path, counts: dict[str, int], pixels: int, seed: int = 0) -> Path:
    """A file of spectra that depend on three labels, and noise, in the layout that training and transfer read."""
    draws = np.random.default_rng(seed)
    lines = 0.05 * np.random.default_rng(0).standard_normal((3, pixels), "float32")
    with h5py.File(path, "w") as file:
        file["wavelength"] = 15000.0 + np.arange(pixels) / 4
        for subset, count in counts.items():
            flux = file.create_dataset(f"spectra {subset}", (count, pixels), "float32")
            error = file.create_dataset(f"spectra_err {subset}", (count, pixels), "float32")
            for first in range(0, count, AT_ONCE):
                rows = slice(first, min(first + AT_ONCE, count))
                stars = rows.stop - first
                noise = 0.01 * draws.standard_normal((stars, pixels), "float32")
                flux[rows] = 0.9 + (draws.random((stars, 3), "float32") - 0.5) @ lines + noise
                error[rows] = 0.01 + 0.001 * draws.random((stars, pixels), "float32")
    return path


def reading(folder: Path) -> Work:
    """500 spectra of an HDF5 file, checked."""
    path = write_stars(folder / "stars.h5", {"test": 500}, 7214)

    def read() -> Tensor:
        with SpectraFile(path) as file:
            return file.read("test").flux

    return read


WORKLOADS = {
    "dense step, batch 256": Workload(lambda _: dense_step(256), products=True),
    "dense step, batch 1024": Workload(lambda _: dense_step(1024), products=True),
    "conv step, batch 8": Workload(conv_step, products=True),
    "emulator step": Workload(lambda _: payne_step(usual_payne(), CPU), products=True),
    "emulator, 250 spectra": Workload(emulation, products=True),
    "synthesiser, a spectrum": Workload(synthesis, products=False),
    "pairing, 1000 stars": Workload(lambda _: pairing(1000), products=False),
    "projection, 1000 spectra": Workload(lambda _: projection(1000, 7214, 0.0), products=True),
    "projection, 1000 spectra, 2 % masked": Workload(lambda _: projection(1000, 7214, 0.02), products=True),
    "transfer, 256 spectra": Workload(transfer, products=True),
    "fits, 128 stars": Workload(fitting, products=True),
    "reading, 500 spectra": Workload(reading, products=False),
}

"""A small sky: an emulator whose lines are known, two domains with a known gap, and files of them."""

from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import torch

from cyclegan.spectra.spectra import Spectra
from emulator.labels import ABUNDANCES, LABELS
from emulator.payne import Payne

PIXELS = 203  # an odd number, in two chips
LINE_WIDTH = 1.2  # pixels


def line_pixels() -> dict[str, list[int]]:
    """Where the toy emulator's lines are: six for each of two elements, one for each of the others."""
    names = ["fe_h"] * 6 + ["si_h"] * 6 + [name for name in ABUNDANCES if name not in ("fe_h", "si_h")]
    lines = {}
    for number, name in enumerate(names):
        lines.setdefault(name, []).append(6 + 8 * number - (number % 2))
    return lines


def toy_wavelength() -> torch.Tensor:
    pixels = np.r_[0:100, 150 : 150 + PIXELS - 100]
    return torch.from_numpy(10 ** (4.18 + 6e-6 * pixels))


def linear_payne(response: torch.Tensor, wavelength: torch.Tensor, names: tuple[str, ...] = LABELS) -> Payne:
    """A Payne whose flux is exactly 0.9 + response (P, L) @ labels scaled to [-0.5, 0.5].

    Large biases keep every unit of both hidden layers on the straight side of its LeakyReLU.
    """
    ranges = dict.fromkeys(ABUNDANCES, (-1.5, 1.0))
    ranges |= {"teff": (4200.0, 6800.0), "logg": (0.5, 5.0), "vmic": (0.5, 2.5), "vmacro": (1.0, 12.0)}
    low, high = torch.tensor([ranges[name] for name in names]).T
    payne, units = Payne(names, low, high, wavelength, width=len(names)), len(names)
    with torch.no_grad():
        for layer, bias in ((payne.hidden[0], 4.0), (payne.hidden[2], 0.0)):
            layer.weight.copy_(torch.eye(units))
            layer.bias.fill_(bias)
        payne.output.weight.copy_(response)
        payne.output.bias.copy_(0.9 - 4.0 * response.sum(dim=1))
    return payne.eval()


class Sky(NamedTuple):
    """Training stars (n, P) of two domains, unpaired, and matched ones; the gap and what only observed stars have."""

    synth: Spectra
    obs: Spectra
    val_synth: Spectra
    val_obs: Spectra
    truth: torch.Tensor
    own: torch.Tensor
    own_spectrum: torch.Tensor


def make_sky(stars: int, pixels: int = PIXELS, seed: int = 0, matched: int = 60, noise: float = 0.006) -> Sky:
    """Flux linear in three labels; observed stars have other lines by a fifth, a shift, and a factor of their own."""
    random = torch.Generator().manual_seed(seed)
    lines = torch.randn(3, pixels, generator=random) * torch.tensor([[0.05], [0.04], [0.03]])
    true_lines = lines * (1 + 0.2 * torch.randn(3, pixels, generator=random))
    gap, own_spectrum = (0.01 * torch.randn(pixels, generator=random) for _ in range(2))

    def draw(n: int) -> torch.Tensor:
        return torch.rand(n, 3, generator=random) * 2 - 1

    def theory(labels: torch.Tensor) -> Spectra:
        flux = 0.9 + labels @ lines
        return Spectra(flux, torch.full_like(flux, 0.005), torch.ones_like(flux, dtype=torch.bool))

    def observed(labels: torch.Tensor) -> tuple[Spectra, torch.Tensor, torch.Tensor]:
        own = torch.randn(len(labels), generator=random)
        truth = 0.9 + labels @ true_lines + gap + own[:, None] * own_spectrum
        flux = truth + noise * torch.randn(truth.shape, generator=random)
        return Spectra(flux, torch.full_like(flux, noise), torch.ones_like(flux, dtype=torch.bool)), truth, own

    labels = draw(matched)
    obs, _, own = observed(draw(stars))
    val_obs, truth, _ = observed(labels)
    return Sky(theory(draw(stars)), obs, theory(labels), val_obs, truth, own, own_spectrum)


class SkyDomain:
    """One side of a sky as a domain; remembers the seeds that it was asked to draw with."""

    def __init__(self, train: Spectra, matched: Spectra, wavelength: torch.Tensor | None = None) -> None:
        self.train, self.stars = train, matched
        self.wavelength = toy_wavelength() if wavelength is None else wavelength
        self.fixed, self.seeds = False, []

    def draw(self, seed: int) -> Spectra:
        self.seeds.append(seed)
        return self.train

    def matched(self, subset: str) -> Spectra:
        return self.stars

    def count(self, subset: str) -> int:
        return len((self.train if subset == "train" else self.stars).flux)

    def truth(self, subset: str) -> None:
        return None


def write_domain(path: Path, train: Spectra, matched: Spectra, wavelength: torch.Tensor) -> Path:
    with h5py.File(path, "w") as file:
        file["wavelength"] = wavelength.numpy()
        for subset, spectra in (("train", train), ("val", matched), ("test", matched)):
            file[f"spectra {subset}"] = spectra.flux.numpy()
            file[f"spectra_err {subset}"] = spectra.error.numpy()
    return path

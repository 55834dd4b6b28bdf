"""A toy sky to fit: theory is linear in its labels, and the translator is exact."""

import torch
from handmade import make_checkpoint
from skies import LINE_WIDTH, linear_payne, toy_wavelength

from cyclegan.fitting.fitter import Fitted, Fitter
from cyclegan.fitting.forward import TRANSLATOR, SpectrumModel
from cyclegan.spectra.spaces import Components
from cyclegan.spectra.spectra import Spectra
from cyclegan.trained.model import TrainedModel
from cyclegan.translator.dense import Dense
from cyclegan.translator.translator import build_translator

NAMES = ("teff", "logg", "fe_h")
NOISE = 0.005
STARS = 150


class Toy:
    """Theory is linear in three labels; the translator is exact: a gap, in part like a change of labels."""

    def __init__(self) -> None:
        random = torch.Generator().manual_seed(5)
        wavelength = toy_wavelength()
        pixels, K = len(wavelength), len(NAMES)
        ripple = torch.linspace(0, 9, pixels)[:, None] * torch.tensor([1.0, 1.7, 2.3])
        profile = torch.exp(-0.5 * (torch.arange(-6, 7) / LINE_WIDTH) ** 2)[None, None]
        bumps = torch.nn.functional.conv1d(torch.randn(K + 1, 1, pixels + 12, generator=random), profile)[:, 0].T
        lines = 0.1 * torch.sin(ripple) + 0.02 * bumps[:, :K]
        self.lines = lines
        payne = linear_payne(lines, wavelength, NAMES).requires_grad_(False)
        self.gap = lines @ torch.tensor([0.1, -0.05, 0.08]) + 0.004 * bumps[:, K]
        weight = torch.full((pixels,), 1 / NOISE)
        basis = torch.linalg.qr(lines).Q
        mean = torch.full((pixels,), 0.9)
        spaces = Components(mean, weight, basis), Components(mean + self.gap, weight, basis)
        networks = Dense(shared=K, split=0, components=K, width=4)
        translator = build_translator(networks, spaces, torch.ones(K))
        checkpoint = make_checkpoint(translator, networks, wavelength, torch.empty(9, 0), payne)
        self.model = TrainedModel(checkpoint, "the toy")
        self.forward = self.model.forward_model
        self.labels = payne.label_low + (payne.label_high - payne.label_low) * (
            0.15 + 0.7 * torch.rand(STARS, K, generator=random)
        )
        clean = payne(self.labels) + self.gap
        error = NOISE * (0.5 + torch.rand(STARS, pixels, generator=random))
        flux = clean + error * torch.randn(STARS, pixels, generator=random)
        self.spectra = Spectra(flux, error, torch.ones_like(flux, dtype=torch.bool))

    def fit(self, through=TRANSLATOR, spectra=None, starts=2, **terms) -> Fitted:
        fitter = Fitter(SpectrumModel(self.forward, through, **terms), starts, 0)
        return fitter(self.spectra if spectra is None else spectra)

    def pulls(self, fitted: Fitted) -> torch.Tensor:
        """How far off fitted labels are, in units of their errors."""
        return ((fitted.labels - self.labels) / fitted.error).double()

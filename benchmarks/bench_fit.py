"""pytest -s benchmarks/bench_fit.py: stars a second that are fitted at once, beside scipy's one after another.

7214 pixels, four labels, one split latent, a translator with networks of the usual size that have learnt nothing.
"""

import time

import pytest
import scipy.optimize
import torch
from handmade import make_checkpoint
from omegaconf import OmegaConf

from cyclegan.fitting.fitter import Fitter
from cyclegan.fitting.forward import TRANSLATOR, SpectrumModel
from cyclegan.spectra.spaces import Components
from cyclegan.spectra.spectra import Spectra
from cyclegan.trained.model import TrainedModel
from cyclegan.translator.networks import make_networks
from cyclegan.translator.translator import build_translator
from emulator.apogee import apogee_wavelength
from emulator.commands.config import config_folder
from emulator.payne import Payne

NAMES, STARS, ALONE = ("teff", "logg", "fe_h", "alpha_fe"), 1024, 5


@pytest.fixture
def model():
    torch.manual_seed(0)
    wavelength = torch.from_numpy(apogee_wavelength())
    pixels, K = len(wavelength), 96
    low, high = torch.tensor([4200.0, 4.0, -1.0, -0.2]), torch.tensor([6800.0, 5.0, 0.5, 0.4])
    payne = Payne(NAMES, low, high, wavelength).requires_grad_(False)
    payne.output.bias.fill_(0.9)
    weight = torch.full((pixels,), 100.0)
    with torch.no_grad():
        flux = payne(low + (high - low) * torch.rand(500, 4))
    basis = torch.linalg.svd((flux - flux.mean(dim=0)) * weight, full_matrices=False).Vh[:K].T.contiguous()
    spaces = tuple(Components(flux.mean(dim=0) + shift, weight, basis) for shift in (0.0, 0.01))
    usual = OmegaConf.to_container(OmegaConf.load(f"{config_folder()}/networks/dense.yaml"))
    networks = make_networks(usual | {"shared": 6, "split": 1, "components": K})
    translator = build_translator(networks, spaces, torch.ones(K))
    checkpoint = make_checkpoint(translator, networks, wavelength, torch.randn(99, 1), payne)
    return TrainedModel(checkpoint, "a benchmark").forward_model


def test_rates(model):
    low, high = model.emulator.label_low, model.emulator.label_high
    labels = low + (high - low) * (0.1 + 0.8 * torch.rand(STARS, 4))
    with torch.no_grad():
        clean = model.observed(labels)
    error = torch.full_like(clean, 0.01)
    spectra = Spectra(clean + error * torch.randn_like(clean), error, torch.ones_like(clean, dtype=torch.bool))
    what = SpectrumModel(model, TRANSLATOR)
    for starts in (1, 3):
        fitter = Fitter(what, starts, 0)
        fitter(spectra.rows(slice(64)))
        began = time.perf_counter()
        converged = sum(int(fitter(piece).converged.sum()) for piece in spectra.chunks(512))
        rate = STARS / (time.perf_counter() - began)
        print(f"\n{torch.get_num_threads()} threads, {starts} starts: {rate:.0f} stars a second, {converged} converged")

    began = time.perf_counter()
    with torch.no_grad():
        for star in range(ALONE):

            def residuals(x, star=star):
                flux = what(torch.from_numpy(x).float()[None])[0]
                prior = what.prior(torch.from_numpy(x).float()[None])[0]
                return torch.cat([(flux - spectra.flux[star]) / error[star], prior]).double().numpy()

            bounds = what.low.double().numpy(), what.high.double().numpy()
            scipy.optimize.least_squares(residuals, torch.zeros(5).double().numpy(), bounds=bounds, diff_step=1e-3)
    alone = ALONE / (time.perf_counter() - began)
    print(f"scipy, one start: {alone:.1f} stars a second")

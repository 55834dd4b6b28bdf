"""pytest -s benchmarks/bench_fit.py: stars a second that are fitted at once, beside scipy's one after another.

7214 pixels, four labels, one split latent, a translator with networks of the usual size that have learnt nothing.
"""

import time

import pytest
import scipy.optimize
import torch

from benchmarks.workloads import observed, usual_model
from cyclegan.fitting.fitter import Fitter
from cyclegan.fitting.forward import TRANSLATOR, SpectrumModel

STARS, ALONE = 1024, 5


@pytest.fixture
def model():
    return usual_model().forward_model


def test_rates(model):
    spectra = observed(model, STARS)
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
                return torch.cat([(flux - spectra.flux[star]) / spectra.error[star], prior]).double().numpy()

            bounds = what.low.double().numpy(), what.high.double().numpy()
            scipy.optimize.least_squares(residuals, torch.zeros(5).double().numpy(), bounds=bounds, diff_step=1e-3)
    alone = ALONE / (time.perf_counter() - began)
    print(f"scipy, one start: {alone:.1f} stars a second")

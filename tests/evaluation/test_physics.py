"""cyclegan/evaluation/physics.py: what tells physics from paint, on translators known to do the one or the other."""

import math

import pytest
import torch
from toy_fits import Toy

from cyclegan.evaluation.physics import correlation, cycle_under_noise, label_rows
from cyclegan.spectra.spectra import ERROR_FLOOR, Spectra
from cyclegan.trained.forward import ForwardModel


class Honest:
    """Adds a known gap there, and takes it off on the way back."""

    def synth_to_obs(self, flux, mask=None):
        return flux + 0.03

    def obs_to_synth(self, flux):
        return flux - 0.03


class Smuggler(Honest):
    """Shows one and the same star, and hides which it was in a thousandth of the flux."""

    def synth_to_obs(self, flux, mask=None):
        return 0.9 + 1e-3 * flux

    def obs_to_synth(self, flux):
        return 1e3 * (flux - 0.9)


@pytest.fixture(scope="module")
def toy():
    return Toy()


def test_what_is_hidden_in_small_amplitudes_is_lost_to_noise():
    flux = 0.9 + 0.05 * torch.randn(50, 203, generator=torch.Generator().manual_seed(0))
    stars = Spectra(flux, torch.full_like(flux, ERROR_FLOOR), torch.ones_like(flux, dtype=torch.bool))
    honest, smuggler = (cycle_under_noise(model, stars) for model in (Honest(), Smuggler()))
    assert honest["0"] == pytest.approx(0, abs=1e-6)
    assert honest["0.1"] == pytest.approx(0.01, rel=0.05)  # the noise itself
    assert honest["1"] == pytest.approx(1, rel=0.05)
    assert smuggler["0"] < 1e-3
    assert smuggler["0.1"] == pytest.approx(1e6 * 0.01, rel=0.05)


def test_a_correlation_is_pearsons():
    a, b = torch.randn(2, 4, 30, 2, generator=torch.Generator().manual_seed(0))
    expected = [torch.corrcoef(torch.stack([a[..., i].flatten(), b[..., i].flatten()]))[0, 1] for i in range(2)]
    torch.testing.assert_close(correlation(a, b).float(), torch.stack(expected))


def test_a_shift_keeps_every_derivative(toy):
    """The toy's translation adds a gap: all derivatives survive it, and the labels that the gap looks like do not."""
    rows = label_rows(toy.forward, observed_emulated=True)
    assert [row["label"] for row in rows] == list(toy.forward.label_names)
    payne = toy.forward.emulator
    mistaken = torch.linalg.lstsq(toy.lines, toy.gap[:, None]).solution[:, 0] * (payne.label_high - payne.label_low)
    for row, bias in zip(rows, mistaken.tolist(), strict=True):
        assert row["fidelity"] == pytest.approx(1, abs=1e-3)
        assert row["theory"] == pytest.approx(1, abs=1e-3)
        assert row["bias"] == pytest.approx(bias, rel=0.1)
        assert row["scatter"] < 0.1 * row["spread"]


def test_without_an_observed_emulator_no_derivative_is_compared(toy):
    """Labels are then fitted back through the translator, which the toy's is the exact inverse of."""
    for row in label_rows(toy.forward, observed_emulated=False):
        assert math.isnan(row["fidelity"])
        assert math.isnan(row["theory"])
        assert abs(row["bias"]) < 0.01 * row["spread"]


class Painter(ForwardModel):
    """A translation that turns one label's lines round."""

    def observed(self, labels, split=None):
        payne = self.emulator
        middle = (payne.label_low[1] + payne.label_high[1]) / 2
        turned = labels.clone()
        turned[:, 1] = 2 * middle - labels[:, 1]
        return payne(turned)


def test_paint_is_told(toy):
    """It has their derivatives against it."""
    f = toy.forward
    painter = Painter(f.emulator, f.population, f.translator, f.hidden, f.continuum, f.split_sample, f.where)
    rows = label_rows(painter, observed_emulated=True)
    assert [round(row["fidelity"]) for row in rows] == [1, -1, 1]
    assert rows[1]["scatter"] > rows[1]["spread"]

"""cyclegan/pairing/selection.py: the synthetic stars that look observed, of a set that holds others."""

import numpy as np
import pytest
import torch
from torch import nn

from cyclegan.pairing.selection import as_observed, density_ratio, most_observed
from cyclegan.spectra.spaces import Components
from cyclegan.spectra.spectra import Spectra
from cyclegan.translator.dense import Dense
from cyclegan.translator.translator import build_translator


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_ratio_of_two_gaussians_is_the_closed_form():
    """N(1, 0.5) over N(0, 1) in the first of two variables, the same in the second."""
    synth, obs = draw(40_000, 2), draw(40_000, 2, seed=1) * torch.tensor([0.5, 1.0]) + torch.tensor([1.0, 0.0])
    found = density_ratio(synth, synth, obs)
    x = synth[:, 0].numpy()
    exact = 2 * np.exp(0.5 * x**2 - 0.5 * ((x - 1) / 0.5) ** 2)
    assert found.mean() == pytest.approx(1)
    assert np.corrcoef(found, exact)[0, 1] > 0.999
    assert np.abs(found - exact / exact.mean()).mean() < 0.03


def test_stars_are_drawn_as_the_observed_ones_are_distributed():
    synth = 6 * (torch.rand(20_000, 3, generator=torch.Generator().manual_seed(0)) - 0.5)
    obs = 0.5 * draw(2000, 3, seed=1) + torch.tensor([1.0, -0.5, 0.0])
    rows = as_observed(synth, synth, obs, 2000, torch.Generator().manual_seed(2))
    chosen = synth[rows]
    assert len(rows) == 2000
    assert (chosen.mean(dim=0) - obs.mean(dim=0)).abs().max() < 0.06
    assert (chosen.std(dim=0) / obs.std(dim=0) - 1).abs().max() < 0.1


class Brightest(nn.Module):
    """Finds most real what has the largest first coordinate; remembers what it was shown."""

    def forward(self, coordinates, latents):
        self.coordinates, self.latents = coordinates, latents
        return coordinates[:, :1]


def test_the_most_observed_are_those_that_the_discriminator_ranks_first():
    coordinates, judge = draw(50, 4), Brightest()
    spaces = [Components(torch.zeros(9), torch.ones(9), torch.linalg.qr(draw(9, 4, seed=5)).Q) for _ in "so"]
    networks = Dense(shared=3, split=1, components=4, width=8)
    translator = build_translator(networks, tuple(spaces), torch.ones(4))  # starts as the identity
    exact = Spectra(coordinates, torch.full((50, 1), 1e-3), torch.ones(50, 4, dtype=torch.bool))
    generator = torch.Generator().manual_seed(0)
    rows = most_observed(translator, judge, exact, exact.rows(slice(20)), 10, generator)
    assert set(rows.tolist()) == set(coordinates[:, 0].topk(10).indices.tolist())
    # It is asked about what it learns from: translations with noise, and latents that are read from them.
    clean = translator.generator_o(translator.encode_synth(coordinates), judge.latents[:, 3:])
    off = (judge.coordinates - clean)[:, :3].abs().max()
    assert 1e-4 < off < 1e-2
    torch.testing.assert_close(judge.latents[:, :3], translator.encode_synth(coordinates))

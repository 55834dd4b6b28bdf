"""emulator/derivatives.py: derivatives of many stars at once, against those of one at a time."""

import pytest
import torch

from cyclegan.domains.survey import Survey
from emulator.derivatives import CHUNK, PASSES, jacobian, responses

X = torch.linspace(0, 1, 40, dtype=torch.float64)


def decay(parameters):
    """A non-linear curve, (B, 3) -> (B, 40)."""
    height, rate, level = parameters.T[:, :, None]
    return height * torch.exp(-rate * X) + level


def waves(parameters):
    """More parameters than go through at a time, (B, n) -> (B, 40)."""
    return torch.sin(parameters @ torch.linspace(1, 3, parameters.shape[1]).double()[:, None] + X)


@pytest.mark.parametrize(("function", "count"), [(decay, 3), (waves, 2 * PASSES + 1)])
def test_derivatives_are_each_stars_own(function, count):
    p = 0.2 + torch.rand(4, count, generator=torch.Generator().manual_seed(0)).double()
    value, slopes = jacobian(function, p)
    assert slopes.shape == (count, 4, 40)
    torch.testing.assert_close(value, function(p))
    for star in range(4):
        expected = torch.autograd.functional.jacobian(lambda q: function(q[None])[0], p[star])
        torch.testing.assert_close(slopes[:, star].T, expected)


def test_some_columns_are_those_of_the_whole():
    p = 0.2 + torch.rand(4, 3, generator=torch.Generator().manual_seed(0)).double()
    whole, some = jacobian(decay, p)[1], jacobian(decay, p, [2, 0])[1]
    assert torch.equal(some, whole[[2, 0]])


def test_responses_are_the_emulators_own_for_each_star(payne):
    """It is linear: its response to a label is a column of its output layer, over the label's range."""
    columns = [payne.label_names.index(name) for name in ("si_h", "teff")]
    stars = 2 * CHUNK + 3
    found = responses(payne, Survey().sample(payne, stars, torch.Generator().manual_seed(0)), columns)
    expected = payne.output.weight[:, columns] / (payne.label_high - payne.label_low)[columns]
    assert not found.requires_grad
    torch.testing.assert_close(found, expected.detach().expand(stars, -1, -1), rtol=1e-4, atol=1e-6)

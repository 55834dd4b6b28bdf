"""cyclegan/scores/signals.py: the sliced Wasserstein distance against its closed forms."""

import pytest
import torch

from cyclegan.scores.signals import sliced_wasserstein


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed))


def test_the_sliced_distance_of_a_permuted_copy_is_zero():
    a = draw(50, 6)
    assert sliced_wasserstein(a, a[torch.randperm(50, generator=seeded())], 32, seeded(1)).item() == 0


def test_the_sliced_distance_of_a_shift_is_its_closed_form():
    a = draw(200, 1)
    assert sliced_wasserstein(a, a + 3, 8, seeded(1)).item() == pytest.approx(9, rel=1e-5)
    # In K dimensions a shift d leaves |d|^2 / K on the average direction.
    shift = torch.tensor([1.0, 2.0, -2.0, 0.0])
    a = draw(200, 4)
    assert sliced_wasserstein(a, a + shift, 20000, seeded(1)).item() == pytest.approx(9 / 4, rel=0.02)


def test_the_sliced_distance_of_a_stretch_is_its_closed_form():
    a = draw(500, 1)
    expected = a.square().mean().item()  # sorting a and 2 a pairs them, (2 a - a)^2
    assert sliced_wasserstein(a, 2 * a, 8, seeded(1)).item() == pytest.approx(expected, rel=1e-5)


def test_the_sliced_distance_pulls_one_set_onto_the_other():
    a, b = draw(50, 2).requires_grad_(), draw(50, 2, seed=1) + 2
    sliced_wasserstein(a, b, 64, seeded()).backward()
    assert (-a.grad.mean(dim=0) > 0).all()

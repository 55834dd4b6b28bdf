"""cyclegan/linear/assignment.py: a map from stars that are nearest as they are."""

import torch

from cyclegan.linear.assignment import ASSIGNED, assignment_maps


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_alike_stars_of_two_sets_are_assigned_to_each_other():
    stars, gap = 30 * draw(3000, 3), torch.tensor([5.0, -5.0, 0.0])
    maps = assignment_maps(stars[:1500], stars[1500:] + gap, 1)
    torch.testing.assert_close(maps.forward, torch.eye(3), atol=0.1, rtol=0)
    torch.testing.assert_close(maps.forward_shift, gap, atol=2.5, rtol=0)


def test_of_large_sets_some_stars_are_assigned():
    stars = 30 * draw(3 * ASSIGNED, 2)
    maps = assignment_maps(stars, stars[:50], 1)
    torch.testing.assert_close(maps.forward, assignment_maps(stars[::3], stars[:50], 1).forward)

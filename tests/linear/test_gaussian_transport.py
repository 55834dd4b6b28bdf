"""cyclegan/linear/gaussian_transport.py: covariances are made each other's, by as much as they are known."""

import pytest
import torch

from cyclegan.linear.gaussian_transport import gaussian_transport

SPREADS = torch.tensor([30.0, 10.0, 3.0, 1.0])


def draw(stars, seed):
    return torch.randn(stars, 4, generator=torch.Generator().manual_seed(seed)) * SPREADS


@pytest.fixture
def instrument():
    """A symmetric positive map, as of a broadening: what transport can find without pairs."""
    turn = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(9))).Q
    return (turn * torch.tensor([0.7, 0.9, 1.1, 1.3])) @ turn.T


def test_a_symmetric_map_is_found_from_unpaired_stars(instrument):
    found = gaussian_transport(draw(20_000, 0), draw(20_000, 1) @ instrument)
    assert found.trust > 0.95
    stars = draw(1000, 2)
    off = (stars @ found.maps.forward - stars @ instrument) / SPREADS
    assert off.square().mean().sqrt() < 0.03


def test_one_map_undoes_the_other(instrument):
    maps = gaussian_transport(draw(300, 0), draw(200, 1) @ instrument).maps
    torch.testing.assert_close(maps.forward @ maps.back, torch.eye(4), atol=1e-4, rtol=0)
    assert not maps.forward_shift.any()
    assert not maps.back_shift.any()


def test_covariances_that_are_known_are_reached(instrument):
    synth, obs = draw(20_000, 0), draw(20_000, 1) @ instrument
    moved = synth @ gaussian_transport(synth, obs).maps.forward
    torch.testing.assert_close(torch.cov(moved.T), torch.cov(obs.T), rtol=0.05, atol=1.0)


def test_what_chance_makes_of_one_population_is_not_believed():
    trusts = [gaussian_transport(draw(40, seed), draw(40, seed + 100)).trust for seed in range(20)]
    assert sum(trusts) / len(trusts) < 0.25


@pytest.mark.parametrize("stars", [20, 50, 200])
def test_few_stars_move_each_other_little_where_nothing_differs(stars):
    for seed in range(5):
        maps = gaussian_transport(draw(stars, seed), draw(stars, seed + 100)).maps
        away = (draw(1000, 7) @ (maps.forward - torch.eye(4)) / SPREADS).square().mean()
        assert away < 8 / stars


def test_more_stars_are_believed_more(instrument):
    trusts = [gaussian_transport(draw(n, 3), draw(n, 4) @ instrument).trust for n in (30, 300, 3000)]
    assert trusts == sorted(trusts)


def test_more_coordinates_than_stars_are_left_where_they_are():
    wide = [torch.randn(12, 40, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    maps = gaussian_transport(*wide).maps
    assert maps.forward.abs().max() < 5
    torch.testing.assert_close(maps.forward @ maps.back, torch.eye(40), atol=1e-4, rtol=0)
    outside = torch.linalg.svd(torch.cat([side - side.mean(dim=0) for side in wide])).Vh[23:]
    torch.testing.assert_close(outside @ maps.forward, outside, atol=1e-4, rtol=0)

"""cyclegan/linear/maps.py: regressions on partners, and what controls make of spectra."""

import torch

from cyclegan.linear.maps import LinearMaps, controls, ridge_maps, translations
from cyclegan.spectra.spaces import Components, Pixels
from cyclegan.spectra.spectra import exact


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_map_of_true_pairs_is_found_both_ways():
    synth, matrix, shift = 20 * draw(2000, 4), torch.eye(4) + 0.2 * draw(4, 4, seed=1), draw(4, seed=2)
    maps = ridge_maps(synth, synth @ matrix + shift)
    torch.testing.assert_close(maps.forward, matrix, atol=1e-3, rtol=0)
    torch.testing.assert_close(maps.forward_shift, shift, atol=1e-2, rtol=0)
    torch.testing.assert_close(
        (synth @ maps.forward + maps.forward_shift) @ maps.back + maps.back_shift, synth, atol=0.05, rtol=0
    )


def test_directions_without_stars_are_not_believed():
    synth = draw(50, 3) * torch.tensor([30.0, 30.0, 0.01])
    assert ridge_maps(synth, 2 * synth).forward[2].abs().max() < 1e-3


def test_controls_are_what_they_say():
    basis = torch.linalg.qr(draw(12, 3, seed=3)).Q
    space_s = Components(torch.full((12,), 0.9), torch.full((12,), 100.0), basis)
    space_o = Components(torch.full((12,), 0.8), torch.full((12,), 100.0), basis)
    synth, obs = exact(0.9 + 0.01 * draw(5, 12, seed=4)), exact(0.8 + 0.01 * draw(5, 12, seed=5))
    maps = LinearMaps(2 * torch.eye(3), torch.ones(3), torch.eye(3) / 2, torch.zeros(3))
    shift = torch.linspace(-0.1, 0.1, 12)
    made = translations(controls(shift, {"transport": maps}), (space_s, space_o), synth, obs)
    torch.testing.assert_close(made["shift"][0], synth.flux + shift)
    torch.testing.assert_close(made["shift"][1], obs.flux - shift)
    seen = ((synth.flux - 0.9) * 100) @ basis
    torch.testing.assert_close(made["transport"][0], 0.8 + (2 * seen + 1) @ basis.T / 100)
    back = ((obs.flux - 0.8) * 100) @ basis
    torch.testing.assert_close(made["transport"][1], 0.9 + back / 2 @ basis.T / 100)


def test_pixel_by_pixel_there_is_the_mean_shift_alone():
    space = Pixels(torch.ones(12), torch.ones(12))
    maps = LinearMaps(torch.eye(12), torch.zeros(12), torch.eye(12), torch.zeros(12))
    stars = exact(draw(5, 12))
    assert set(translations(controls(torch.zeros(12), {"ridge": maps}), (space, space), stars, stars)) == {"shift"}

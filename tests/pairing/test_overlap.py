"""cyclegan/pairing/overlap.py: what two sets share, where the answer is known in closed form."""

import pytest
import torch

from cyclegan.pairing.overlap import effective_share, far_off, find_overlap


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(stars, spread, seed):
    return torch.randn(stars, 3, generator=seeded(seed)) * spread


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_draws_of_the_same_stars_have_room_for_one_another(seed):
    share = effective_share(normal(2000, 1.0, seed), normal(2000, 1.0, seed + 10), seeded())
    assert share == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("spread", [0.4, 0.6, 0.8])
def test_the_share_of_a_normal_distribution_within_a_wider_one(spread):
    """1 / E_p[p / q] = (spread sqrt(2 - spread^2))^3 for normal p and q of spreads `spread` and 1, in three
    dimensions; the distance of neighbours makes sparse distributions look wider than they are."""
    found = [effective_share(normal(3000, 1.0, s), normal(3000, spread, s + 10), seeded(s)) for s in range(3)]
    expected = (spread * (2 - spread**2) ** 0.5) ** 3
    assert sum(found) / 3 == pytest.approx(expected, rel=0.35)


@pytest.mark.parametrize("count", [300, 3000])
def test_the_share_does_not_depend_on_how_many_stars_were_observed(count):
    share = effective_share(normal(3000, 1.0, 1), normal(count, 0.5, 2), seeded())
    assert share == pytest.approx((0.5 * 1.75**0.5) ** 3, rel=0.5)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_neither_set_holds_the_other(seed):
    """A fifth of the observed stars and a tenth of the synthetic ones lie where the other set has none."""
    synth, obs = normal(1000, 1.0, seed), normal(1000, 1.0, seed + 10)
    synth[:100] += torch.tensor([0.0, 30.0, 0.0])
    obs[:200] += torch.tensor([30.0, 0.0, 0.0])
    gap = torch.tensor([0.3, -0.2, 0.1])
    found = find_overlap(synth, obs + gap, seeded())
    assert not found.synth[:100].any()
    assert not found.obs[:200].any()
    assert found.synth[100:].float().mean() > 0.99
    assert found.obs[200:].float().mean() > 0.99
    assert found.share == pytest.approx(1, abs=0.25)


def test_no_star_is_far_off_where_all_are_of_one_distribution():
    distance = torch.randn(20000, 10, generator=seeded()).square().sum(dim=1)
    assert far_off(distance).float().mean() < 0.001
    distance[:2000] *= 100
    assert far_off(distance)[:2000].all()
    assert far_off(distance)[2000:].float().mean() < 0.001

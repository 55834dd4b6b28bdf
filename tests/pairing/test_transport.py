"""cyclegan/pairing/transport.py: pairs against known partners and exact assignments."""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from cyclegan.pairing.transport import gap_metric, random_pairs, transport_pairs


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed))


def test_every_star_is_paired_at_random_about_equally_often():
    pairs = random_pairs(30, 70, seeded())
    assert torch.bincount(pairs.obs, minlength=70).tolist() == [1] * 70
    assert set(torch.bincount(pairs.synth, minlength=30).tolist()) == {2, 3}


def test_a_shuffled_copy_is_sorted_out():
    synth, order = draw(60, 4), torch.randperm(60, generator=seeded(1))
    pairs = transport_pairs(synth, synth[order], share=1.0, generator=seeded(2))
    assert torch.equal(order[pairs.obs], pairs.synth)
    assert torch.equal(pairs.synth.sort().values, torch.arange(60))


def test_an_assignment_costs_no_more_than_any_swap():
    synth, obs = draw(40, 3), draw(40, 3, seed=1)
    pairs = transport_pairs(synth, obs, share=1.0, generator=seeded())
    cost = torch.cdist(synth[pairs.synth], obs[pairs.obs]).square()
    kept = cost.diagonal()
    assert (kept[:, None] + kept <= cost + cost.T + 1e-5).all()


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_exchanging_neighbours_comes_close_to_the_least_distance(share):
    """More stars than are assigned at once, alike in the directions in which they vary most."""
    spread = 8.0 / torch.arange(1, 17)
    synth, obs = draw(1100, 16) * spread, draw(1100, 16, seed=1) * spread
    pairs = transport_pairs(synth, obs, share, seeded(2))
    assert len(pairs.synth.unique()) == 1100 if share == 1 else len(pairs.synth.unique()) < 1100
    assert len(pairs.obs.unique()) == 1100
    first = slice(round(share * 1100))  # the first set, of the stars that were chosen for it
    cost = torch.cdist(synth, obs[pairs.obs[first]]).square().numpy()
    least = cost[linear_sum_assignment(cost)].sum()
    found = (synth[pairs.synth[first]] - obs[pairs.obs[first]]).square().sum().item()
    assert least <= found * (1 + 1e-5)
    assert found < 1.01 * least


def test_in_small_sets_every_star_still_has_one_partner():
    synth, obs = draw(90, 3), draw(90, 3, seed=1)
    small, whole = (transport_pairs(synth, obs, 1.0, seeded(), most) for most in (30, None))
    assert torch.equal(small.synth.sort().values, torch.arange(90))
    assert torch.equal(small.obs.sort().values, torch.arange(90))
    distances = [(synth[pairs.synth] - obs[pairs.obs]).square().sum().item() for pairs in (whole, small)]
    assert distances[0] < 0.9 * distances[1]


@pytest.mark.parametrize(("stars_s", "stars_o"), [(50, 120), (120, 50), (600, 300), (3, 200)])
def test_every_star_is_used_where_the_sizes_differ(stars_s, stars_o):
    pairs = transport_pairs(draw(stars_s, 2), draw(stars_o, 2, seed=1), 1.0, seeded())
    assert set(pairs.synth.tolist()) == set(range(stars_s))
    assert set(pairs.obs.tolist()) == set(range(stars_o))


def test_partial_transport_leaves_outliers_unpaired():
    obs = draw(80, 3)
    outliers = 50 + draw(20, 3, seed=1)
    synth = torch.cat([obs + 0.01 * draw(80, 3, seed=2), outliers])
    # Sets hold all 100 synthetic stars, and observed ones in the share that has partners.
    whole = transport_pairs(synth, torch.cat([obs, obs[:20]]), share=1.0, generator=seeded())
    partial = transport_pairs(synth, torch.cat([obs, obs[:20]]), share=0.6, generator=seeded())
    assert (whole.synth >= 80).sum() == 20
    assert len(partial.synth) == 120  # two sets, so that every observed star has a partner
    assert set(partial.obs.tolist()) == set(range(100))
    assert (partial.synth < 80).all()


def test_pairs_are_drawn_by_seed():
    synth, obs = draw(600, 3), draw(600, 3, seed=1)
    first, again, other = (transport_pairs(synth, obs, 1.0, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.obs, again.obs)
    assert not torch.equal(first.obs[first.synth.argsort()], other.obs[other.synth.argsort()])


def test_the_metric_of_a_gap_whitens_it():
    mixing = torch.linalg.qr(draw(5, 5))[0] * torch.tensor([3.0, 2.0, 1.0, 0.5, 0.0])
    gap = draw(4000, 5, seed=1) @ mixing.T + 7.0
    metric = gap_metric(gap)
    covariance = np.cov(gap.numpy().T) + 0.01 * np.eye(5)
    np.testing.assert_allclose((metric.T @ metric).numpy(), np.linalg.inv(covariance), rtol=2e-3, atol=1e-3)
    torch.testing.assert_close(metric, metric.T, rtol=1e-4, atol=1e-5)


def test_the_metric_of_the_gap_finds_more_true_partners():
    """A gap in three of twelve directions hides who is alike; once it is known, the other nine tell."""
    stars, right = 300, {}
    synth = draw(stars, 12)
    gap = torch.cat([3 * draw(stars, 3, seed=1), 0.2 * draw(stars, 9, seed=2)], dim=1)
    obs, metric = synth + gap, torch.eye(12)
    for metric_of in ("space", "gap"):
        pairs = transport_pairs(synth @ metric, obs @ metric, 1.0, seeded())
        right[metric_of] = (pairs.synth == pairs.obs).float().mean().item()
        metric = gap_metric(obs[pairs.obs] - synth[pairs.synth])
    assert right["space"] < 0.5
    assert right["gap"] > right["space"] + 0.3

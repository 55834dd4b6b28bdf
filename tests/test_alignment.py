"""cyclegan/alignment.py: pairs against known partners, distances against closed forms."""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from cyclegan.alignment import (
    dependence,
    draw_waves,
    gap_metric,
    independent,
    only_observed,
    random_pairs,
    sliced_wasserstein,
    transport_pairs,
    unmix,
)


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


def covariance_of_waves(a, b, waves_a, waves_b):
    """The same as `dependence`, one pair of waves at a time."""
    a, b, found = a.numpy(), b.numpy(), []
    for s in waves_a.T.numpy():
        for t in waves_b.T.numpy():
            for f in (np.cos, np.sin):
                for g in (np.cos, np.sin):
                    found.append(np.cov(f(a @ s), g(b @ t), bias=True)[0, 1] ** 2)
    return np.mean(found)


def test_dependence_is_the_squared_covariance_of_waves():
    a, b = draw(300, 2).double(), draw(300, 1, seed=1).double()
    waves = draw_waves(2, 7, seeded(2)).double(), draw_waves(1, 3, seeded(3)).double()
    for other in (b, b + a[:, :1] ** 2):
        assert dependence(a, other, *waves).item() == pytest.approx(covariance_of_waves(a, other, *waves), rel=1e-9)


def test_dependence_sees_what_correlation_does_not():
    a, b = draw(4000, 2), draw(4000, 1, seed=1)
    waves = draw_waves(2, 512, seeded(2)), draw_waves(1, 64, seeded(3))
    ring = (a[:, :1].square() - 1) / 2**0.5
    assert abs(torch.corrcoef(torch.cat([a, ring], dim=1).T)[0, 2]) < 0.1
    assert dependence(a, ring, *waves) > 50 * dependence(a, b, *waves)  # what chance leaves of it


def mixed(seed, angle=0.5):
    """Labels (N, 3) and something of stars' own (N, 1); shared and split latents that are both, turned by `angle`.

    Uniform variables and an exponential one: though mixed, they are uncorrelated.
    """
    random = seeded(seed)
    labels = 12**0.5 * (torch.rand(4000, 3, generator=random) - 0.5)
    own = -torch.rand(4000, 1, generator=random).log() - 1
    turn = torch.tensor(angle)
    shared = torch.cat([labels[:, :1] * turn.cos() + own * turn.sin(), labels[:, 1:]], dim=1)
    return labels, own, shared, own * turn.cos() - labels[:, :1] * turn.sin()


def correlation(a, b):
    return torch.corrcoef(torch.stack([a[:, 0], b[:, 0]]))[0, 1].abs().item()


def sought(stars, reference):
    return (stars - stars.mean(dim=0)) @ independent(stars, reference, seeded(9))


@pytest.mark.parametrize("seed", range(3))
def test_what_is_independent_of_the_labels_is_found_though_it_was_mixed_with_them(seed):
    labels, own, shared, split = mixed(seed)
    latents = torch.cat([shared, split], dim=1)
    found = sought(latents, split)
    resting, _ = unmix(latents, found)
    assert correlation(split, own) < 0.9
    assert correlation(found, own) > 0.99
    assert found.std().item() == pytest.approx(1, rel=1e-3)
    assert correlation(resting, own) < 0.1
    assert correlation(resting, labels) > 0.98


def bent(seed):
    """Labels, a star's own and spectra (4000, 40) that hold both, each bent as well: its square, and products."""
    labels, own, *_ = mixed(seed)
    label_bent = torch.cat([labels.square(), labels * labels.roll(1, dims=1)], dim=1)
    own_bent = torch.cat([own.square(), own * labels], dim=1)
    random = seeded(seed + 20)
    size = torch.tensor([10.0, 8, 6, 7, *[1.0] * 6, *[0.6] * 4])
    signal = torch.cat([labels, own, label_bent, own_bent], dim=1)
    signal = (signal - signal.mean(dim=0)) / signal.std(dim=0) * size
    spectra = signal @ torch.linalg.qr(torch.randn(40, 40, generator=random)).Q[:14]
    return labels, own, spectra + 0.05 * torch.randn(4000, 40, generator=random)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_found_among_components_that_are_itself_bent(seed):
    """Its square, and what it does to each label's lines, are in the spectra too, and depend on it whatever is done."""
    labels, own, spectra = bent(seed)
    start = 0.8 * own + 0.6 * labels[:, :1]
    assert correlation(start, own) < 0.85
    assert correlation(sought(spectra, start), own) > 0.97


def test_searches_that_go_astray_are_outvoted(monkeypatch):
    """From a poor start some waves lead to a label, each to another."""
    labels, own, spectra = bent(0)
    start = 0.6 * own / own.std() + 0.8 * labels[:, :1] / labels[:, 0].std()

    def found(waves):
        return correlation(spectra @ independent(spectra, start, seeded(waves)), own)

    assert found(0) > 0.75
    monkeypatch.setattr("cyclegan.alignment.SEARCHES", 1)
    assert min(found(waves) for waves in range(3, 6)) < 0.5


def test_what_is_known_of_it_calls_it_back_where_a_label_has_taken_its_place():
    _, own, shared, split = mixed(0, angle=1.3)
    latents, reference = torch.cat([shared, split], dim=1), own + 0.5 * draw(4000, 1)
    assert correlation(split, own) < 0.3
    assert correlation(unmix(latents, reference)[1], own) > 0.95
    assert correlation(sought(latents, reference), own) > 0.95


def test_latents_at_their_mean_differ_by_what_was_taken_off():
    _, _, shared, split = mixed(1)
    latents = torch.cat([shared, split], dim=1)
    resting, found = unmix(latents, split)
    off = latents - resting - latents.mean(dim=0) + resting.mean(dim=0)
    torch.testing.assert_close(off, found @ torch.linalg.lstsq(found, off).solution, atol=1e-3, rtol=0)


def test_latents_that_are_independent_already_are_left_nearly_as_they_are():
    """Gaussian ones, of which no rotation is better than another but by chance."""
    latents = draw(4000, 5)
    found = sought(latents, latents[:, 3:])
    nearest = found @ torch.linalg.lstsq(found, latents[:, 3:]).solution
    assert (nearest - latents[:, 3:]).square().mean() < 0.04  # a correlation of 0.98
    resting, _ = unmix(latents, found)
    assert (resting[:, :3] - latents[:, :3]).square().mean() < 0.03


def test_fewer_variables_than_the_split_latent_has_may_be_known():
    _, own, shared, split = mixed(0)
    latents = torch.cat([shared, split, draw(4000, 1, seed=5)], dim=1)
    found = sought(latents, split)
    assert found.shape == (4000, 1)
    assert correlation(found, own) > 0.99
    assert correlation(unmix(latents, found)[0][:, 4:], latents[:, 4:]) > 0.98


@pytest.mark.parametrize("own", [20, 24])
def test_a_star_may_have_more_of_its_own_than_components_that_are_looked_at(own):
    found = independent(draw(300, 30), draw(300, own, seed=1), seeded())
    assert found.shape == (30, own)
    assert torch.linalg.matrix_rank(found) == own


def test_a_dead_latent_does_not_stand_in_the_way():
    latents = torch.cat([draw(500, 2), torch.ones(500, 1), draw(500, 1, seed=1)], dim=1)
    found = sought(latents, latents[:, 3:])
    resting, _ = unmix(latents, found)
    assert found.isfinite().all()
    assert resting.isfinite().all()
    assert torch.allclose(resting[:, 2], torch.ones(500), atol=1e-3)


def test_a_label_is_told_from_what_only_observed_stars_vary_in():
    """Partners share the label's lines, by a fifth weaker, and know nothing of the star's own; a tenth is mistaken."""
    label, own = draw(2000, 1), draw(2000, 1, seed=1)
    lines, width = draw(1, 30, seed=2), draw(1, 30, seed=3)
    obs = label @ lines + own @ width + 0.1 * draw(2000, 30, seed=4)
    synth = 0.8 * (label + 0.1 * own) @ lines
    assert only_observed(torch.cat([label, own], dim=1), obs, synth).tolist() == [False, True]

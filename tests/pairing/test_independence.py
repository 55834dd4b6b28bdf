"""cyclegan/pairing/independence.py: what is independent of all else is found, and split latents start as it."""

import numpy as np
import pytest
import torch
from translators import make_translator

from cyclegan.pairing.independence import dependence, draw_waves, independent, only_observed, start_split, unmix
from cyclegan.pairing.transport import transport_pairs


@pytest.fixture
def few_searches(monkeypatch):
    """From a fair start none goes astray."""
    monkeypatch.setattr("cyclegan.pairing.independence.SEARCHES", 3)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed))


def covariance_of_waves(a, b, waves_a, waves_b):
    """The same as `dependence`, one pair of waves at a time."""
    a, b, found = a.numpy(), b.numpy(), []
    for s in waves_a.T.numpy():
        for t in waves_b.T.numpy():
            for f in (np.cos, np.sin):
                for g in (np.cos, np.sin):
                    found.append(np.cov(f(a @ s), g(b @ t), bias=True)[0, 1] ** 2)
    return np.mean(found)


def mixed(seed, angle=0.5, stars=2000):
    """Labels (N, 3) and something of stars' own (N, 1); shared and split latents that are both, turned by `angle`.

    Uniform variables and an exponential one: though mixed, they are uncorrelated.
    """
    random = seeded(seed)
    labels = 12**0.5 * (torch.rand(stars, 3, generator=random) - 0.5)
    own = -torch.rand(stars, 1, generator=random).log() - 1
    turn = torch.tensor(angle)
    shared = torch.cat([labels[:, :1] * turn.cos() + own * turn.sin(), labels[:, 1:]], dim=1)
    return labels, own, shared, own * turn.cos() - labels[:, :1] * turn.sin()


def correlation(a, b):
    return torch.corrcoef(torch.stack([a[:, 0], b[:, 0]]))[0, 1].abs().item()


def sought(stars, reference):
    return (stars - stars.mean(dim=0)) @ independent(stars, reference, seeded(9))


def bent(seed, stars=2000):
    """Labels, a star's own and spectra (stars, 40) that hold both, each bent as well: its square, and products."""
    labels, own, *_ = mixed(seed, stars=stars)
    label_bent = torch.cat([labels.square(), labels * labels.roll(1, dims=1)], dim=1)
    own_bent = torch.cat([own.square(), own * labels], dim=1)
    random = seeded(seed + 20)
    size = torch.tensor([10.0, 8, 6, 7, *[1.0] * 6, *[0.6] * 4])
    signal = torch.cat([labels, own, label_bent, own_bent], dim=1)
    signal = (signal - signal.mean(dim=0)) / signal.std(dim=0) * size
    spectra = signal @ torch.linalg.qr(torch.randn(40, 40, generator=random)).Q[:14]
    return labels, own, spectra + 0.05 * torch.randn(stars, 40, generator=random)


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


@pytest.mark.usefixtures("few_searches")
@pytest.mark.parametrize("seed", range(2))
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


@pytest.mark.parametrize("seed", range(2))
def test_it_is_found_among_components_that_are_itself_bent(seed):
    """Its square, and what it does to each label's lines, are in the spectra too, and depend on it whatever is done."""
    labels, own, spectra = bent(seed)
    start = 0.8 * own + 0.6 * labels[:, :1]
    assert correlation(start, own) < 0.85
    assert correlation(sought(spectra, start), own) > 0.97


def test_searches_that_go_astray_are_outvoted(monkeypatch):
    """From a poor start some waves lead to a label, each to another."""
    labels, own, spectra = bent(0, 4000)
    start = 0.6 * own / own.std() + 0.8 * labels[:, :1] / labels[:, 0].std()

    def found(waves):
        return correlation(spectra @ independent(spectra, start, seeded(waves)), own)

    assert found(0) > 0.75
    monkeypatch.setattr("cyclegan.pairing.independence.SEARCHES", 1)
    assert min(found(waves) for waves in range(3, 6)) < 0.5


@pytest.mark.usefixtures("few_searches")
def test_what_is_known_of_it_calls_it_back_where_a_label_has_taken_its_place():
    _, own, shared, split = mixed(0, angle=1.3)
    latents, reference = torch.cat([shared, split], dim=1), own + 0.5 * draw(2000, 1)
    assert correlation(split, own) < 0.3
    assert correlation(unmix(latents, reference)[1], own) > 0.95
    assert correlation(sought(latents, reference), own) > 0.95


def test_latents_at_their_mean_differ_by_what_was_taken_off():
    _, _, shared, split = mixed(1)
    latents = torch.cat([shared, split], dim=1)
    resting, found = unmix(latents, split)
    off = latents - resting - latents.mean(dim=0) + resting.mean(dim=0)
    torch.testing.assert_close(off, found @ torch.linalg.lstsq(found, off).solution, atol=1e-3, rtol=0)


@pytest.mark.usefixtures("few_searches")
def test_latents_that_are_independent_already_are_left_nearly_as_they_are():
    """Gaussian ones, of which no rotation is better than another but by chance."""
    latents = draw(2000, 5)
    found = sought(latents, latents[:, 3:])
    nearest = found @ torch.linalg.lstsq(found, latents[:, 3:]).solution
    assert (nearest - latents[:, 3:]).square().mean() < 0.04  # a correlation of 0.98
    resting, _ = unmix(latents, found)
    assert (resting[:, :3] - latents[:, :3]).square().mean() < 0.03


@pytest.mark.usefixtures("few_searches")
def test_fewer_variables_than_the_split_latent_has_may_be_known():
    _, own, shared, split = mixed(0)
    latents = torch.cat([shared, split, draw(2000, 1, seed=5)], dim=1)
    found = sought(latents, split)
    assert found.shape == (2000, 1)
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


@pytest.mark.parametrize("wrong", [0, 100])
def test_the_split_latent_starts_as_what_only_observed_stars_have(sky, wrong):
    """Also where a quarter of the pairs is wrong, whose labels differ by more than anything else does."""
    translator, x_s, x_o, _ = make_translator(sky)
    pairs = transport_pairs(x_s, x_o, 1.0, torch.Generator().manual_seed(0))
    synth, obs = pairs.synth.clone(), pairs.obs
    synth[:wrong] = synth[:wrong].roll(1)
    start_split(translator, x_s[synth], x_o[obs])
    _, split = translator.encoder_o(x_o)
    assert torch.corrcoef(torch.stack([split[:, 0], sky.own]))[0, 1].abs() > 0.9
    assert split.std().item() == pytest.approx(1, abs=0.3)

    # A unit of it adds its own spectrum, off what labels do.
    shared = torch.zeros(1, 3)
    unit = (translator.generator_o(shared, torch.ones(1, 1)) - translator.generator_o(shared, torch.zeros(1, 1)))[0]
    unit = translator.space_o.restore(unit[None]) - translator.space_o.mean
    assert torch.nn.functional.cosine_similarity(unit, sky.own_spectrum[None]).abs() > 0.9


def test_the_split_latent_starts_the_same_whatever_memory_held_before(sky):
    weights = set()
    for seed in range(10):
        translator, x_s, x_o, _ = make_translator(sky)
        dirt = [torch.full((n,), seed, dtype=torch.int32) for n in (8, 10, 12, 16) for _ in range(20)]
        del dirt
        start_split(translator, x_s, x_o)
        weights.add(translator.encoder_o.split_linear.weight.detach().numpy().tobytes())
    assert len(weights) == 1


@pytest.mark.parametrize("split", [0, 2])
def test_the_start_of_split_latents_is_for_any_width(sky, split):
    translator, x_s, x_o, _ = make_translator(sky, split=split)
    start_split(translator, x_s, x_o)
    assert translator.encoder_o(x_o)[1].shape == (400, split)
    assert all(parameter.isfinite().all() for parameter in translator.parameters())


def test_few_pairs_start_the_split_latent_no_wilder_than_many(sky):
    weights = []
    for stars in (10, 400):  # ten features, latents and their products, would fit ten stars exactly
        translator, x_s, x_o, _ = make_translator(sky)
        start_split(translator, x_s[:stars], x_o[:stars])
        weights.append(translator.encoder_o.split_linear.weight.abs().max())
    assert weights[0] < 10 * weights[1]

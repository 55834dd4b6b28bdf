"""cyclegan/trained/map_error.py: the covariance of what translations get wrong is that of stars that are known."""

import pytest
import torch

from cyclegan.trained.map_error import LIKE, NEIGHBOURS, MapError

K, STARS, MEMBERS = 5, 4000, 4


@pytest.fixture(scope="module")
def known():
    """Members that differ by half of what they are all wrong by, and along other axes; and the true covariance."""
    draws = torch.Generator().manual_seed(0)
    mixing = torch.randn(K, K, generator=draws)
    other = torch.randn(K, K, generator=draws)
    deviation = torch.randn(STARS, K, generator=draws) @ mixing
    each = 0.5 * torch.randn(MEMBERS, STARS, K, generator=draws) @ other
    shared = torch.randn(STARS, 3, generator=draws)
    return each, shared, deviation, mixing.T @ mixing, draws


def test_the_covariance_is_that_of_known_stars_without_their_noise(known):
    each, shared, deviation, true, draws = known
    noise = torch.full((STARS, 1), 0.7)
    found = MapError.of(each, shared, deviation + 0.7 * torch.randn(deviation.shape, generator=draws), noise, 1.0)
    roots = found.roots(each[:, :500], shared[:500])
    assert roots.shape == (500, MEMBERS + K + NEIGHBOURS, K)
    mean = (roots.transpose(1, 2) @ roots).mean(dim=0) - LIKE * 0.7**2 * torch.eye(K)  # neighbours keep their noise
    torch.testing.assert_close(mean, true, rtol=0.1, atol=0.1 * true.diagonal().mean().item())


def test_a_star_on_which_members_differ_more_is_less_sure(known):
    each, shared, deviation, *_ = known
    found = MapError.of(each, shared, deviation, torch.zeros(STARS, 1), 1.0)
    calm, wild = (found.roots(scale * each[:, :50], shared[:50]).square().sum() for scale in (1, 3))
    assert wild > 2 * calm


def test_a_star_among_others_that_are_wrong_is_less_sure(known):
    each, shared, deviation, *_ = known
    worse = torch.where(shared[:, :1] > 1, 3 * deviation, deviation)
    found = MapError.of(each, shared, worse, torch.zeros(STARS, 1), 1.0)
    at = torch.tensor([[-2.0, 0, 0], [2.0, 0, 0]])
    calm, wild = found.roots(0 * each[:, :2], at).square().sum(dim=(1, 2))
    assert wild > 2 * calm


def test_where_no_star_is_known_errors_are_so_many_times_the_scatter(known):
    each, shared, *_ = known
    found = MapError.of(each, shared, None, torch.zeros(STARS, 1), 3.0)
    scatter = torch.einsum("rnk,rnl->kl", *(each - each.mean(dim=0),) * 2) / (MEMBERS - 1) / STARS
    torch.testing.assert_close(found.usual.T @ found.usual, 9 * scatter, rtol=1e-3, atol=1e-4)
    again = MapError.from_plain(found.to_plain(), torch.device("cpu"))
    stars = each[:, :3], shared[:3]
    assert torch.equal(again.roots(*stars), found.roots(*stars))

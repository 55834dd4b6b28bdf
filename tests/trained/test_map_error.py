"""cyclegan/trained/map_error.py: the covariance of what translations get wrong is that of stars that are known."""

import pytest
import torch

from cyclegan.trained.map_error import MapError

K, STARS, MEMBERS = 5, 4000, 4


@pytest.fixture(scope="module")
def known():
    """Members that differ by half of what they are all wrong by, and along other axes; and the true covariance."""
    draws = torch.Generator().manual_seed(0)
    mixing = torch.randn(K, K, generator=draws)
    other = torch.randn(K, K, generator=draws)
    deviation = torch.randn(STARS, K, generator=draws) @ mixing
    each = 0.5 * torch.randn(MEMBERS, STARS, K, generator=draws) @ other
    return each, deviation, mixing.T @ mixing, draws


def test_the_covariance_is_that_of_known_stars_without_their_noise(known):
    each, deviation, true, draws = known
    noise = torch.full((STARS, 1), 0.7)
    found = MapError.of(each, deviation + 0.7 * torch.randn(deviation.shape, generator=draws), noise, 1.0)
    roots = found.roots(each[:, :500])
    assert roots.shape == (500, MEMBERS + K, K)
    mean = (roots.transpose(1, 2) @ roots).mean(dim=0)
    torch.testing.assert_close(mean, true, rtol=0.1, atol=0.1 * true.diagonal().mean().item())


def test_a_star_on_which_members_differ_more_is_less_sure(known):
    each, deviation, *_ = known
    found = MapError.of(each, deviation, torch.zeros(STARS, 1), 1.0)
    calm, wild = (found.roots(scale * each[:, :50]).square().sum() for scale in (1, 3))
    assert wild > 2 * calm


def test_where_no_star_is_known_errors_are_so_many_times_the_scatter(known):
    each, *_ = known
    found = MapError.of(each, None, torch.zeros(STARS, 1), 3.0)
    scatter = torch.einsum("rnk,rnl->kl", *(each - each.mean(dim=0),) * 2) / (MEMBERS - 1) / STARS
    torch.testing.assert_close(found.usual.T @ found.usual, 9 * scatter, rtol=1e-3, atol=1e-4)
    again = MapError.from_plain(found.to_plain(), torch.device("cpu"))
    assert torch.equal(again.roots(each[:, :3]), found.roots(each[:, :3]))

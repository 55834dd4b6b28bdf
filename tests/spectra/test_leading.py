"""cyclegan/spectra/leading.py: against the singular value decomposition, of weak directions beside strong ones too."""

import pytest
import torch

from cyclegan.spectra.leading import leading_directions


def rows(sizes, count=700, pixels=500):
    """Rows (count, pixels) that are so large along random directions, with noise of 1e-4 beside."""
    random = torch.Generator().manual_seed(3)
    left, right = (
        torch.linalg.qr(torch.randn(n, len(sizes), dtype=torch.double, generator=random)).Q for n in (count, pixels)
    )
    noise = torch.randn(count, pixels, dtype=torch.double, generator=random) / count**0.5
    return ((left * sizes) @ right.T + 1e-4 * noise).float()


@pytest.mark.parametrize("count", [1, 20, 40])
def test_they_are_the_leading_singular_vectors_though_one_is_a_thousandth_of_another(count):
    data = rows(torch.logspace(0, -3, 60, dtype=torch.double))
    found = leading_directions(data, count).double()
    expected = torch.linalg.svd(data.double(), full_matrices=False).Vh[:count].T
    torch.testing.assert_close(found.T @ found, torch.eye(count, dtype=torch.double), rtol=0, atol=3e-6)
    torch.testing.assert_close(
        (found * expected).sum(dim=0).abs(), torch.ones(count, dtype=torch.double), atol=1e-4, rtol=0
    )


def test_as_many_as_there_are_rows_or_columns_can_be_had():
    for count, pixels in ((7, 40), (40, 7)):
        data = rows(torch.ones(5, dtype=torch.double), count, pixels)
        found = leading_directions(data, 7)
        torch.testing.assert_close(found.T @ found, torch.eye(7), rtol=0, atol=3e-6)
        torch.testing.assert_close(data @ found @ found.T, data, rtol=0, atol=1e-6)


def test_the_same_rows_give_the_same_and_nobody_elses_chance_is_touched():
    data, before = rows(torch.ones(3, dtype=torch.double)), torch.random.get_rng_state()
    assert torch.equal(leading_directions(data, 5), leading_directions(data.clone(), 5))
    assert torch.equal(torch.random.get_rng_state(), before)

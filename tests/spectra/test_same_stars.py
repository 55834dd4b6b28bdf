"""cyclegan/spectra/same_stars.py: how far labels of the same rows are from labels in random order."""

import pytest
import torch

from cyclegan.spectra.same_stars import FEWEST_KNOWN, OTHER_STARS, Rows, match_rows, rank_difference

OTHERWISE = " (or so)"


def labels(stars=300, seed=0):
    """teff, logg and fe_h (stars, 3), and errors of two pipelines in them, 1 sigma."""
    random = torch.Generator().manual_seed(seed)
    spread = torch.tensor([500.0, 1.0, 0.25])
    return spread * torch.randn(stars, 3, generator=random), torch.tensor([100.0, 0.15, 0.1]), random


def measured(truth, error, random):
    return truth + error * torch.randn(truth.shape, generator=random)


def doubt(one, other):
    first, second = (
        Rows(where, len(values), None, dict(zip(("teff", "logg", "fe_h"), values.T, strict=True)))
        for where, values in (("a", one), ("b", other))
    )
    return match_rows("val", first, second, OTHERWISE).doubt


def test_the_same_order_differs_by_nothing_and_a_random_one_by_one():
    truth, _, random = labels()
    teff = truth[:, 0]
    assert rank_difference(teff, teff / 5777 - 3) == 0
    assert rank_difference(teff, -teff) > 1
    shuffled = teff[torch.randperm(300, generator=random)]
    assert rank_difference(teff, shuffled) == pytest.approx(1, abs=0.15)


def test_pipelines_are_told_from_a_shift_by_one_row_and_from_rows_in_random_order():
    for seed in range(20):
        truth, error, random = labels(60, seed)
        one, other = measured(truth, error, random), measured(truth, error, random) + torch.tensor([200.0, 0.3, 0.2])
        assert doubt(one, other) is None
        assert doubt(one, other.roll(1, dims=0)) is not None
        assert doubt(one, other[torch.randperm(60, generator=random)]) is not None


def test_stars_that_are_nearly_alike_are_not_doubted():
    """Errors are as large as the spread in two labels of three."""
    truth, _, random = labels()
    error = torch.tensor([300.0, 0.6, 0.07])
    assert doubt(measured(truth, error, random), measured(truth, error, random)) is None


def test_unknown_labels_and_those_that_do_not_vary_say_nothing():
    truth, error, random = labels()
    one, other = measured(truth, error, random), measured(truth, error, random).flip(0)
    assert doubt(one, other) is not None
    one[: 301 - FEWEST_KNOWN], other[:, 2] = torch.nan, -9999.0
    assert doubt(one, other) is None
    assert rank_difference(torch.ones(50), torch.rand(50)) is None
    assert rank_difference(*torch.rand(2, FEWEST_KNOWN)) is not None


def test_labels_of_which_the_files_share_none_say_nothing():
    values = torch.arange(50.0)
    one, other = Rows("a", 50, None, {"teff": values}), Rows("b", 50, ["x"] * 50, {"logg": values.flip(0)})
    assert match_rows("val", one, other, OTHERWISE) == (None, None, None)


def test_the_doubt_names_labels_and_numbers():
    values = torch.arange(50.0)
    one, other = (Rows(where, 50, None, {"teff": v}) for where, v in (("a", values), ("b", values.flip(0))))
    found = rank_difference(values, values.flip(0))
    assert match_rows("test", one, other, OTHERWISE).doubt == (
        "rows of 'test' look like other stars in a and b: expected the ranks of teff to differ by less than"
        f" {OTHER_STARS:.2f} of what a random order gives, got {found:.2f} (or so)"
    )

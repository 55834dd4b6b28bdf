"""cyclegan/fitting/comparison.py: fitted labels beside true ones."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toy_fits import NAMES, STARS, Toy

from cyclegan.fitting.comparison import compare_labels, describe_fits, map_covariance, true_labels, widened
from cyclegan.fitting.fitter import Fitted
from emulator.commands.errors import InputError


def test_the_maps_own_errors_are_learnt_from_known_stars():
    """Labels that are off by more than noise: half of the stars tell by how much, the others' pulls are right again."""
    spread = torch.tensor([[60.0, 0.02, 0.0], [0.0, 0.1, 0.0], [0.0, 0.0, 0.05]])
    random = torch.Generator().manual_seed(2)
    toy = Toy()
    truth = toy.labels + torch.randn(STARS, 3, generator=random) @ spread
    fitted = toy.fit()
    halves = [(Fitted(*(values[rows] for values in fitted)), truth[rows]) for rows in (slice(0, 75), slice(75, None))]
    own = map_covariance(*halves[0])
    np.testing.assert_allclose(own.diagonal().sqrt().numpy(), spread.square().sum(dim=0).sqrt().numpy(), rtol=0.3)
    before, after = (compare_labels(one, halves[1][1], NAMES) for one in (halves[1][0], widened(halves[1][0], own)))
    assert all(before[name]["pull"] > 2 for name in NAMES)
    assert all(abs(after[name]["pull"] - 1) < 3 / 75**0.5 for name in NAMES)  # each half is good to 1 / sqrt(150)
    with pytest.raises(InputError, match="more than 3"):
        map_covariance(Fitted(*(values[:3] for values in fitted)), truth[:3])


def test_labels_are_compared_star_by_star_as_numpy_does():
    toy = Toy()
    fitted = toy.fit()
    truth = toy.labels.clone()
    truth[3, 1] = math.nan  # not known
    fitted.converged[5] = False
    found = describe_fits(fitted, truth, NAMES)
    assert found["stars"] == STARS
    assert found["converged"] == pytest.approx((STARS - 1) / STARS)
    assert found["at_bound"] == 0
    assert found["chi2_per_pixel"] == pytest.approx((fitted.chi2 / fitted.pixels).median().item())
    assert found["labels"] == compare_labels(fitted, truth, NAMES)
    for i, name in enumerate(NAMES):
        good = np.delete(np.arange(STARS), [3, 5] if i == 1 else [5])
        off = (fitted.labels - truth)[good, i].double().numpy()
        error = fitted.error[good, i].double().numpy()
        row = found["labels"][name]
        assert row["stars"] == len(good)
        assert row["bias"] == pytest.approx(off.mean(), rel=1e-6)
        assert row["scatter"] == pytest.approx(off.std(ddof=1), rel=1e-6)
        assert row["bias_error"] == pytest.approx(off.std(ddof=1) / len(good) ** 0.5, rel=1e-6)
        assert row["pull"] == pytest.approx((off / error).std(ddof=1), rel=1e-5)
    assert describe_fits(fitted, None, NAMES)["labels"] is None


def test_true_labels_are_the_files_own_by_name():
    file = SimpleNamespace(label_names=("snr", "fe_h", "teff"), labels={"val": torch.rand(4, 3), "test": None}.get)
    found = true_labels(file, "val", NAMES)
    assert torch.equal(found[:, [0, 2]], file.labels("val")[:, [2, 1]])
    assert found[:, 1].isnan().all()
    assert true_labels(file, "test", NAMES) is None
    assert true_labels(file, "val", ("age",)) is None

"""cyclegan/fitting/least_squares.py: least squares for many stars at once, against scipy's for one at a time."""

import numpy as np
import pytest
import scipy.optimize
import torch

from cyclegan.fitting.least_squares import DECREASE, least_squares
from emulator.derivatives import jacobian

X = torch.linspace(0, 1, 40, dtype=torch.float64)
LOW, HIGH = torch.tensor([0.1, 0.2, -1.0]).double(), torch.tensor([3.0, 9.0, 1.0]).double()


def decay(parameters):
    """A non-linear curve, (B, 3) -> (B, 40)."""
    height, rate, level = parameters.T[:, :, None]
    return height * torch.exp(-rate * X) + level


@pytest.fixture(scope="module")
def data():
    random = torch.Generator().manual_seed(1)
    truth = LOW + (HIGH - LOW) * (0.2 + 0.6 * torch.rand(30, 3, generator=random, dtype=torch.float64))
    truth[::5, 2] = 1.4  # beyond a bound
    return truth, decay(truth) + 0.01 * torch.randn(30, 40, generator=random, dtype=torch.float64)


def fit(residuals, start, low, high):
    """The same with the derivatives of residuals."""

    def derivatives(parameters, rows):
        values, slopes = jacobian(lambda some: residuals(some, rows), parameters)
        return values, slopes.transpose(0, 1)

    return least_squares(residuals, derivatives, start, low, high)


def solve(data, start):
    return fit(lambda p, rows: (decay(p) - data[rows]) / 0.01, start.expand(len(data), -1).clone(), LOW, HIGH)


def test_it_ends_where_scipy_does_within_bounds_too(data):
    _, flux = data
    start = (LOW + HIGH) / 2
    found = solve(flux, start)
    assert found.converged.all()
    assert found.at_bound[::5, 2].all()
    assert not found.at_bound[1::5].any()
    for star in range(len(flux)):
        expected = scipy.optimize.least_squares(
            lambda p, star=star: ((decay(torch.from_numpy(p)[None])[0] - flux[star]) / 0.01).numpy(),
            start.numpy(),
            bounds=(LOW.numpy(), HIGH.numpy()),
            xtol=1e-12,
            ftol=1e-12,
        )
        assert found.chi2[star].item() == pytest.approx(2 * expected.cost, rel=1e-5, abs=0.02)
        sigma = np.sqrt(np.diag(np.linalg.inv(expected.jac.T @ expected.jac)))
        np.testing.assert_allclose(found.parameters[star].numpy(), expected.x, rtol=0, atol=0.1 * sigma.max())
        own = found.curvature[star].inverse().diagonal().sqrt().numpy()
        if star % 5:
            np.testing.assert_allclose(own, sigma, rtol=0.01)


def test_derivatives_are_taken_at_every_other_step(data):
    _, flux = data
    tried, taken = [], []

    def residuals(parameters, rows):
        tried.append(len(rows))
        return (decay(parameters) - flux[rows]) / 0.01

    def derivatives(parameters, rows):
        taken.append(len(rows))
        values, slopes = jacobian(lambda some: (decay(some) - flux[rows]) / 0.01, parameters)
        return values, slopes.transpose(0, 1)

    start = ((LOW + HIGH) / 2).expand(len(flux), -1).clone()
    assert least_squares(residuals, derivatives, start, LOW, HIGH).converged.all()
    assert len(flux) < sum(taken) <= sum(tried) / 2


def test_a_star_does_not_depend_on_its_neighbours(data):
    _, flux = data
    start = (LOW + HIGH) / 2
    alone = solve(flux[7:8], start)
    torch.testing.assert_close(alone.parameters[0], solve(flux, start).parameters[7])


def test_a_star_without_numbers_has_not_converged_and_hurts_no_other(data):
    _, flux = data
    spoilt = flux.clone()
    spoilt[3] = torch.nan
    found = solve(spoilt, (LOW + HIGH) / 2)
    assert found.converged.sum() == len(flux) - 1
    assert not found.converged[3]
    assert found.curvature[3].isnan().all()


def test_a_kink_is_an_end():
    """|p| has no derivative at its minimum, and none elsewhere that vanishes."""
    far = torch.tensor([[0.7], [-0.3]], dtype=torch.float64)
    edge = torch.tensor([2.0], dtype=torch.float64)
    found = fit(lambda p, rows: (p - 1).abs() * 3 + p * 2, far, -edge, edge)
    assert found.converged.all()
    assert found.chi2.max() < 4 + 5 * DECREASE  # 3 |p - 1| + 2 p: 2 at p = 1

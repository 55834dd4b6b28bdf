"""cyclegan/spectra/chips.py: where chips begin and end, and polynomials along them."""

import numpy as np
import pytest
import torch
from numpy.polynomial import chebyshev
from skies import PIXELS, toy_wavelength

from cyclegan.spectra.chips import chip_polynomials, chip_slices, polynomials_of_all_chips

TOY = toy_wavelength().numpy()


def test_chips_lie_between_the_gaps_of_a_grid():
    assert chip_slices(TOY) == [slice(0, 100), slice(100, PIXELS)]
    assert chip_slices(np.arange(10.0)) == [slice(0, 10)]
    assert chip_slices(np.r_[0:5, 20:25, 40:50].astype(float)) == [slice(0, 5), slice(5, 10), slice(10, 20)]


@pytest.mark.parametrize(
    ("starts", "expected"),
    [
        ([40, 150], [slice(0, 40), slice(40, 150), slice(150, PIXELS)]),
        (np.array([0, 40]), [slice(0, 40), slice(40, PIXELS)]),  # the first chip may be told too
        ([40, 40, PIXELS], [slice(0, 40), slice(40, PIXELS)]),  # chips that a cut left no pixel of
        ([], [slice(0, PIXELS)]),
    ],
)
def test_chips_begin_where_they_are_said_to_whatever_the_gaps(starts, expected):
    assert chip_slices(TOY, starts) == expected


@pytest.mark.parametrize("degree", [0, 2, 5])
def test_polynomials_are_chebyshevs_from_end_to_end_of_a_chip(degree):
    wavelength = np.sort(np.random.default_rng(0).uniform(15000.0, 15100.0, 60))
    found = chip_polynomials(wavelength, degree)
    assert found.shape == (60, degree + 1)
    x = 2 * (wavelength - wavelength[0]) / (wavelength[-1] - wavelength[0]) - 1
    for number in range(degree + 1):
        np.testing.assert_allclose(found[:, number], chebyshev.chebval(x, np.eye(degree + 1)[number]), atol=1e-10)


def test_polynomials_are_close_to_orthogonal_along_a_chip():
    values = chip_polynomials(np.linspace(15000.0, 15100.0, 2000), 4)
    products = values.T @ values / len(values)
    size = np.sqrt(np.diag(products))
    cosines = products / np.outer(size, size) - np.eye(5)
    assert np.abs(cosines).max() < 0.5  # of 1 and 2 x^2 - 1; of x and x^3 it would be 0.92
    assert np.abs(cosines[::2, 1::2]).max() < 1e-10
    powers = np.linspace(15000.0, 15100.0, 2000)[:, None] ** np.arange(5)
    assert np.linalg.cond(values) < 3 < 1e9 < np.linalg.cond(powers / powers.max(axis=0))


def test_a_chip_of_one_pixel_has_finite_polynomials():
    assert chip_polynomials(np.array([15000.0]), 3).tolist() == [[1.0, 0.0, -1.0, 0.0]]  # at x = 0
    alone = torch.cat([toy_wavelength(), torch.tensor([16000.0], dtype=torch.float64)])
    found = polynomials_of_all_chips(alone, 1)
    assert found.shape == (6, PIXELS + 1)
    assert found[4:].isfinite().all()
    assert found[4, -1] == 1
    assert (found[4:, :-1] == 0).all()


def test_polynomials_of_a_chip_are_nothing_on_all_others():
    found = polynomials_of_all_chips(toy_wavelength(), 2)
    assert found.dtype == torch.float32
    assert found.shape == (6, PIXELS)
    for number, chip in enumerate((slice(0, 100), slice(100, PIXELS))):
        own = found[3 * number : 3 * number + 3]
        np.testing.assert_allclose(own[:, chip].T, chip_polynomials(TOY[chip], 2), atol=1e-6)
        elsewhere = torch.ones(PIXELS, dtype=torch.bool)
        elsewhere[chip] = False
        assert (own[:, elsewhere] == 0).all()

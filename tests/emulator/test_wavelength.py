"""emulator/wavelength.py: air and vacuum, pixels, which wavelengths are the same."""

import numpy as np
import pytest
import torch
from skies import PIXELS, toy_wavelength

from emulator.apogee import APOGEE
from emulator.wavelength import (
    LIGHT_SPEED,
    SAME_WAVELENGTH,
    air_to_vacuum,
    chip_starts,
    nearest_pixels,
    pixels_within,
    same_wavelengths,
    unlike_pixel,
    vacuum_to_air,
    velocity_step,
    with_gaps,
)

GRID = np.linspace(15168.0, 16937.0, 50)


def test_air_is_shorter_by_what_is_known():
    # Balmer alpha of the NIST tables: 6562.79 A in air, 6564.61 A in vacuum (means of the fine structure).
    assert air_to_vacuum(6562.79) == pytest.approx(6564.60, abs=0.01)
    # 4.23 A at 15500 A, 82 km/s: the reason why files must say their medium.
    assert 15500 - vacuum_to_air(15500.0) == pytest.approx(4.234, abs=0.001)


def test_there_and_back_is_the_same():
    np.testing.assert_allclose(air_to_vacuum(vacuum_to_air(GRID)), GRID, rtol=0, atol=1e-9)


def test_below_2000_angstrom_wavelengths_are_in_vacuum_by_convention():
    short = np.array([1e-3, 648.2, 1320.35, 1999.9])  # among them where the formula of refraction has its poles
    for converted in (air_to_vacuum(short), vacuum_to_air(short)):
        np.testing.assert_array_equal(converted, short)
    assert (np.diff(air_to_vacuum(np.linspace(1000.0, 3000.0, 2001))) > 0).all()


def test_chips_begin_where_the_wavelength_jumps():
    assert chip_starts(toy_wavelength().numpy()).tolist() == [100]
    assert chip_starts(np.arange(10.0)).tolist() == []
    assert chip_starts(np.r_[0:5, 20:25, 40:50].astype(float)).tolist() == [5, 10]


def test_a_drawn_line_does_not_cross_the_gap():
    drawn = with_gaps(np.arange(PIXELS), toy_wavelength().numpy())
    assert np.flatnonzero(np.isnan(drawn)).tolist() == [100]
    assert drawn[~np.isnan(drawn)].tolist() == list(range(PIXELS))


def test_a_pixel_is_as_wide_in_velocity_as_the_step_of_the_logarithm():
    step = LIGHT_SPEED * 6e-6 * np.log(10)  # 4.14 km/s
    assert velocity_step(APOGEE.wavelength) == pytest.approx(step, rel=1e-9)
    assert velocity_step(torch.from_numpy(APOGEE.wavelength)) == pytest.approx(step, rel=1e-9)
    assert velocity_step(toy_wavelength()) == pytest.approx(step, rel=1e-9)  # the gap between its chips is no pixel


@pytest.mark.parametrize("grid", [APOGEE.wavelength, torch.from_numpy(APOGEE.wavelength)], ids=["array", "tensor"])
def test_a_velocity_comes_to_the_nearest_whole_number_of_pixels_and_one_at_least(grid):
    step = velocity_step(grid)
    for pixels in (1, 2, 25):
        assert pixels_within((pixels - 0.49) * step, grid) == pixels
        assert pixels_within((pixels + 0.49) * step, grid) == pixels
    assert pixels_within(0.0, grid) == pixels_within(0.1, grid) == 1


@pytest.mark.parametrize("pixel", [0, 57, PIXELS - 1])
@pytest.mark.parametrize("side", [-1, 1])
def test_wavelengths_are_the_same_to_a_part_in_ten_million(pixel, side):
    assert SAME_WAVELENGTH == 1e-7
    grid = toy_wavelength()
    for share, same in ((0.99, True), (1.01, False)):
        other = grid.clone()
        other[pixel] *= 1 + side * share * 1e-7
        assert same_wavelengths(grid, other) == same_wavelengths(other, grid) == same
        place, there = nearest_pixels(other, grid)
        assert place.tolist() == list(range(PIXELS))
        assert there.tolist() == [same or i != pixel for i in range(PIXELS)]


def test_grids_of_other_lengths_are_not_the_same():
    grid = toy_wavelength()
    assert same_wavelengths(grid, grid.clone())
    assert not same_wavelengths(grid, grid[:-1])
    assert not same_wavelengths(grid[1:], grid)


def test_the_pixel_at_which_grids_differ_most_is_told():
    grid = toy_wavelength()
    other = grid.clone()
    other[20] += 0.01
    other[150] -= 0.02
    assert unlike_pixel(grid, other) == unlike_pixel(other, grid) == 150
    other[20] += 0.02
    assert unlike_pixel(grid, other) == 20

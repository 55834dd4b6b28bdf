"""Files of stars that several of these tests read."""

import pytest
from apogee_stars import star
from apstar import write_apstar


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Thirty stars of one visit each: enough for a star in each subset. To be read, not changed."""
    path = tmp_path_factory.mktemp("stars")
    for seed in range(30):
        write_apstar(path / f"apStar-dr17-2M{seed:08d}+0000000.fits", *star(seed), name=f"2M{seed:08d}+0000000")
    return path

"""Damaged files: 500 of the cases that tests/faults/fuzz.py makes, for every reader; more are run by hand."""

import pytest
from faults.fuzz import fuzz, shared_out
from faults.good_inputs import write_good_inputs
from faults.readers import READERS

CASES, SEED = 500, 1


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return write_good_inputs(tmp_path_factory.mktemp("fuzzed"))


@pytest.mark.parametrize(("reader", "cases"), shared_out(CASES, READERS), ids=[reader.name for reader in READERS])
def test_a_damaged_file_is_refused_in_one_line_or_sound(good, reader, cases):
    for name in set(reader.files):
        reader.read(good / name)  # the good ones are good
    tally = fuzz(reader, range(SEED, SEED + cases), good)
    assert tally.faults == []
    assert tally.refused + tally.accepted == cases

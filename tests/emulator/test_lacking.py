"""emulator/lacking.py: which lines are left out of a list, and which are not."""

import numpy as np
import pytest

from emulator.lacking import STRONG, maker, take_out
from emulator.lines import LINES


@pytest.fixture(scope="module")
def parted():
    return take_out(LINES, 0.3, seed=1)


def test_a_share_of_each_makers_strong_lines_is_taken_out(parted):
    _, taken = parted
    assert (taken.strength >= STRONG).all()
    makers, gone = ([maker(species) for species in lines.species] for lines in (LINES, taken))
    for name in set(makers):
        strong = sum(own == name for own, s in zip(makers, LINES.strength, strict=True) if s >= STRONG)
        assert gone.count(name) == round(0.3 * strong), name


def test_what_is_left_and_what_is_taken_out_make_the_list(parted):
    together = parted[0].merged(parted[1])
    np.testing.assert_array_equal(np.sort(together.log_gf), np.sort(LINES.log_gf))
    np.testing.assert_array_equal(together.wavelength, LINES.wavelength)


def test_a_seed_draws_the_same_lines_whatever_others_there_are(parted):
    _, taken = parted
    _, again = take_out(LINES, 0.3, seed=1)
    assert taken.fingerprint() == again.fingerprint()
    assert taken.fingerprint() != take_out(LINES, 0.3, seed=2)[1].fingerprint()
    iron = LINES.chosen(np.char.startswith(LINES.species, "Fe"))
    _, alone = take_out(iron, 0.3, seed=1)
    assert alone.fingerprint() == taken.chosen(np.char.startswith(taken.species, "Fe")).fingerprint()


def test_both_stages_of_an_element_are_its_lines_and_a_molecule_is_its_own():
    assert [maker(species) for species in ("Fe I", "Fe II", "CN")] == ["Fe", "Fe", "CN"]

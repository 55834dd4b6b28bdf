"""emulator/parts.py: parts that are missing are told with the reason, and others' files stay."""

import pytest

from emulator.commands.errors import InputError
from emulator.commands.parts import Part
from emulator.parts import as_one_of_all, made_parts


def test_a_part_that_fails_among_all_leaves_its_reason_and_alone_it_is_told(tmp_path):
    output = tmp_path / "out.h5"
    with as_one_of_all(Part(2, 3), output, all_are_made=True):
        raise InputError("it is damaged")
    others = Part(1, 3).path(output)
    others.write_bytes(b"what somebody else wrote")
    with (
        pytest.raises(InputError, match="a file that a command over parts wrote"),
        as_one_of_all(Part(1, 3), output, True),
    ):
        pass
    assert others.read_bytes() == b"what somebody else wrote"
    with pytest.raises(InputError, match=r"out.h5: expected 3 parts, got 0; part 1/3: it was not made"):
        made_parts(output, 3, "word")
    with pytest.raises(InputError, match="it is damaged"), as_one_of_all(Part(2, 3), output, all_are_made=False):
        raise InputError("it is damaged")

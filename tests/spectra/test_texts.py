"""cyclegan/spectra/texts.py: names of stars, however they were stored; what is no name is told with its row."""

import h5py
import numpy as np
import pytest

from cyclegan.spectra.texts import read_names
from emulator.commands.errors import InputError

UTF8 = "M\u00e9nard".encode()


def stored(tmp_path, values, **options):
    file = h5py.File(tmp_path / "stars.h5", "w")
    return file.create_dataset("id val", data=values, **options)


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["Sun", " Arcturus ", ""], ["Sun", "Arcturus", ""]),
        (np.array([b"Sun   ", UTF8], "S12"), ["Sun", "M\u00e9nard"]),  # as FITS pads them
        (np.array([UTF8], object), ["M\u00e9nard"]),
        (np.array([7, 12]), ["7", "12"]),
        (["=1+1", "\x1b[31m"], ["=1+1", "\x1b[31m"]),
    ],
)
def test_names_come_without_blanks_around_them(tmp_path, values, names):
    dataset = stored(tmp_path, values)
    assert read_names(dataset) == names
    assert read_names(dataset, slice(1, 9)) == names[1:]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.array([b"Sun", b"a\0b"], "S3"), r"none of them NUL, got 'a\\x00b', 3 characters, in row 1"),
        (
            ["Sun", "x" * 1001],
            "of at most 1000 characters and none of them NUL, got 'x{40}', 1001 characters, in row 1",
        ),
        (np.array([b"Sun", b"M\xe9nard"], "S8"), r"expected names in UTF-8 in 'id val', got others \('utf-8' codec"),
        (np.array([b"Sun", b"M\xe9nard"], object), r"expected names in UTF-8 in 'id val', got others"),
    ],
)
def test_what_is_no_name_is_told_with_its_row(tmp_path, value, words):
    with pytest.raises(InputError, match=words):
        read_names(stored(tmp_path, value))

"""cyclegan/spectra/tables.py: tables of stars, and what is wrong with them told with row and column."""

import pytest

from cyclegan.spectra.tables import check_names, numbers, read_table
from emulator.commands.errors import InputError


def test_columns_come_by_their_names(tmp_path):
    path = tmp_path / "stars.csv"
    path.write_text("\ufeffid, teff\nSun,5772\n\n# a comment, with a comma\nArcturus,4286\n", encoding="utf-8")
    columns = read_table(path)
    assert columns == {"id": ("Sun", "Arcturus"), "teff": ("5772", "4286")}
    assert numbers(columns["teff"], "") == [5772.0, 4286.0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("teff,logg\n1,2\n3\n", "expected 2 values in row 1, got 1"),
        ("teff,logg\n", "expected a row for each star, got none"),
        ("", "expected a header of names"),
        ("teff,logg,teff\n1,2,3\n", "expected each column once, got twice teff"),
        (None, "No such file"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, text, words):
    if text is not None:
        (tmp_path / "stars.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        read_table(tmp_path / "stars.csv")


def test_names_that_are_missing_or_unknown_are_told():
    check_names(["b", "a"], ["a", "b"], "here")
    with pytest.raises(InputError, match="here: expected columns a, b, got no b; unknown c"):
        check_names(["a", "c"], ["a", "b"], "here", "columns")


def test_what_is_no_number_is_told_with_its_row():
    with pytest.raises(InputError, match="a number in row 1, got 'hot'"):
        numbers(["1", "hot"], "expected a number")

"""cyclegan/spectra/tables.py: tables of stars, and what is wrong with them told with row and column."""

import pytest

from cyclegan.spectra.tables import check_names, numbers, read_rows, read_table, write_rows
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


STRANGE = (
    "=1+1",
    "+cmd",
    "-x",
    "@sum",
    "'quoted",
    "''",
    "'=2",
    "#hash",
    "a,b",
    'say "x"',
    "-0.5",
    "1e5",
    "Sun",
    "a\x1b[1m",
)


def test_texts_that_a_spreadsheet_would_run_are_quoted_and_come_back_as_they_were(tmp_path):
    path = tmp_path / "stars.csv"
    write_rows(path, ["id", "=label", "value"], [(name, "x", -0.5) for name in STRANGE])
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[:3] == ["id,'=label,value", "'=1+1,x,-0.5", "'+cmd,x,-0.5"]
    assert not any(line.startswith(("=", "+", "@", "-x", "#")) for line in lines)
    # Numbers stay numbers, be they given as texts.
    assert lines[11].startswith("-0.5,")
    assert read_table(path) == {"id": STRANGE, "=label": ("x",) * len(STRANGE), "value": ("-0.5",) * len(STRANGE)}


@pytest.mark.parametrize(
    "text",
    [
        ",id,teff\n0,Sun,5772\n7,Arcturus,4286\n",  # as pandas writes its index, whatever it was sorted by
        "Unnamed: 0,id,teff\n0,Sun,5772\n1,Arcturus,4286\n",  # and what it makes of that
        "id,teff,,\nSun,5772,,\nArcturus,4286,,\n,,,\n",  # as spreadsheets do
        "id,teff\nSun,5772,\nArcturus,4286,,\n",
        "id,teff,\nSun,5772\nArcturus,4286\n",
        " id , teff\r\n Sun ,5772\r\n\tArcturus, 4286 \r\n",
    ],
)
def test_columns_that_hold_nothing_are_left_out(tmp_path, text):
    (tmp_path / "stars.csv").write_text(text)
    assert read_table(tmp_path / "stars.csv") == {"id": ("Sun", "Arcturus"), "teff": ("5772", "4286")}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"id,teff,\nSun,5772,G2\n", "expected a name for column 3, got none above 'G2'"),
        (b"id,teff\nSun,5772,G2\n", "expected 2 values in row 0, got 3"),
        (b"id,teff\nM\xe9nard,5772\n", "as text in UTF-8, got something else ('utf-8' codec can't decode byte 0xe9"),
        (b"id,teff\nSun\0,5772\n", "as text in UTF-8, got something else (a NUL in it)"),
        ("id,teff\nSun,5772\n".encode("utf-16"), "as text in UTF-8, got something else"),
        (b"id,teff\n" + b"x" * 200_000 + b",1\n", "as text in UTF-8, got something else (field larger than"),
        (b"id,teff\n" + b"x" * 1001 + b",1\n", "expected texts of at most 1000 characters, got one of 1001: 'xxxx"),
        (b"# only a comment\n,,\n", "expected a header of names and a row a star, as text in UTF-8, got an empty one"),
    ],
)
def test_what_is_no_table_is_told(tmp_path, content, words):
    (tmp_path / "stars.csv").write_bytes(content)
    with pytest.raises(InputError) as raised:
        read_table(tmp_path / "stars.csv")
    assert words in str(raised.value)


@pytest.mark.parametrize("text", ["5", "-1", "1.0", "1e0", "", "9" * 900])
def test_rows_that_are_not_there_are_told(text):
    assert read_rows(["0", " 4 "], 5, "obs", "known.csv") == [0, 4]
    with pytest.raises(InputError, match=r"known\.csv: expected in column 'obs' a row of the 5 training"):
        read_rows(["0", text], 5, "obs", "known.csv")

"""cyclegan/instruments/binary_tables.py: tables of FITS files, beside how astropy reads them."""

import gzip

import numpy as np
import pytest
from apstar import overwrite_card
from astropy.io import fits

from cyclegan.instruments.binary_tables import Header, first_cards, opened_tables
from emulator.commands.errors import InputError

FORMS = {"L": bool, "B": "u1", "I": "i2", "J": "i4", "K": "i8", "E": "f4", "D": "f8", "3E": "f4", "2J": "i4"}


@pytest.fixture
def path(tmp_path):
    """A table with a column of each form, one of texts, one of bits, one whose length varies, and one that is empty."""
    random = np.random.default_rng(0)
    columns = [
        fits.Column(name=f"Col_{form}", format=form, array=random.integers(0, 2, (4, int(form[:-1] or 1))).astype(kind))
        for form, kind in FORMS.items()
    ]
    columns += [
        fits.Column(name="text", format="5A", array=["a", "bc ", "", "hello"]),
        fits.Column(name="bits", format="11X", array=np.ones((4, 11), bool)),
        fits.Column(name="empty", format="0E", array=np.zeros((4, 0))),
        fits.Column(name="varies", format="PE()", array=np.array([np.ones(n) for n in range(1, 5)], object)),
        fits.Column(name="scaled", format="J", bzero=2**31, array=np.arange(4, dtype="uint32")),
        fits.Column(name="last", format="D", array=np.arange(4.0)),
    ]
    first = fits.PrimaryHDU(np.ones((3, 5)))
    first.header.update({"V_ASTRA": "0.6.0", "SMALL": 1.5e-7, "YES": True, "O": "it's", "COUNT": -3, "NONE": None})
    table = fits.BinTableHDU.from_columns(columns, name="APOGEE/APO")
    fits.HDUList([first, fits.ImageHDU(np.ones(7)), table]).writeto(tmp_path / "a.fits")
    return tmp_path / "a.fits"


@pytest.mark.parametrize("packed", [False, True])
def test_tables_are_what_astropy_reads(path, packed):
    with fits.open(path) as hdus:
        expected = hdus[2].data.copy()
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    with opened_tables(path, "expected FITS") as (header, (table,)):
        assert table.header.get("EXTNAME") == "APOGEE/APO"
        assert table.count == 4
        rows = table.read(slice(1, 10))
        for name in expected.names[: len(FORMS)]:
            theirs = expected[name][1:]
            own = rows[name.lower()]
            np.testing.assert_array_equal(own == b"T" if name == "Col_L" else own, theirs)
        assert rows["text"].tolist() == [b"bc", b"", b"hello"]
        assert rows["last"].tolist() == [1, 2, 3]
        assert not {"empty", "scaled"} & set(table.columns)
        values = [header.get(key) for key in ("V_ASTRA", "SMALL", "YES", "O", "COUNT", "NONE", "NOWHERE")]
    assert values == ["0.6.0", 1.5e-7, True, "it's", -3, None, None]


def test_rows_are_made_once_for_all_files_of_the_same_columns(tmp_path):
    found = []
    for number, names in enumerate([("flux", "snr"), ("flux", "snr"), ("snr", "flux")]):
        columns = [fits.Column(name=name, format="E", array=np.array([number + len(name)])) for name in names]
        fits.BinTableHDU.from_columns(columns).writeto(tmp_path / f"{number}.fits")
        with opened_tables(tmp_path / f"{number}.fits", "expected FITS") as (_, (table,)):
            found.append((table.row, [table.read(slice(0, 1))[name].item() for name in ("flux", "snr")]))
    (first, own), (same, others), (swapped, last) = found
    assert first is same
    assert swapped.names == ("snr", "flux")
    assert (own, others, last) == ([4, 3], [5, 4], [6, 5])


def test_who_wrote_a_file_is_told_by_its_first_cards_alone(path, tmp_path):
    assert first_cards(path).get("V_ASTRA") == "0.6.0"
    (tmp_path / "packed").write_bytes(gzip.compress(path.read_bytes()))
    assert first_cards(tmp_path / "packed").get("V_ASTRA") == "0.6.0"
    for content in (b"", b"text", b"\x1f\x8b", b"\x1f\x8bnot packed", gzip.compress(b"other")[:-9]):
        (tmp_path / "other").write_bytes(content)
        assert first_cards(tmp_path / "other").texts == {}
    assert first_cards(tmp_path / "nowhere").texts == {}


@pytest.mark.parametrize("text", ["", "NaN", "'unclosed", "1.5.2", "1E", "T F", "--1", "٣"])
def test_a_card_without_a_value_says_nothing(text):
    assert Header(f"{'KEY':8}= {text}".encode("latin-1", "replace").ljust(80)).get("KEY") is None


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("TFORM1", "'Z'", "a column of the form Z"),
        ("TFORM1", "'900D'", "columns wider than the rows"),
        ("TFIELDS", "900", "a column of the form None"),
        ("NAXIS2", "9000", "truncated"),
    ],
)
def test_tables_that_cannot_be_are_refused(path, key, value, words):
    overwrite_card(path, key, value, 2)
    with pytest.raises(InputError, match=words), opened_tables(path, "expected FITS") as (_, (table,)):
        table.read(slice(0, 1))


def test_no_file_is_told(tmp_path):
    with pytest.raises(InputError, match="expected FITS, found none"), opened_tables(tmp_path / "no", "expected FITS"):
        pass

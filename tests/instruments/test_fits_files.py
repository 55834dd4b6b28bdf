"""cyclegan/instruments/fits_files.py: headers that claim what is not there are refused before room is made for it."""

import bz2
import gzip

import numpy as np
import pytest
from apogee_stars import converted, star
from apstar import overwrite_card, write_apstar
from astropy.io import fits
from astropy.table import Table
from reference import REFERENCE

from cyclegan.instruments import fits_files
from cyclegan.instruments.fits_files import opened_fits
from emulator.commands.errors import InputError


def refusal(path) -> str:
    with pytest.raises(InputError) as raised, opened_fits(path, f"{path}: expected a FITS file") as hdus:
        [hdu.data for hdu in hdus]
    assert str(raised.value).startswith(f"{path}: expected a FITS file, got ")
    return str(raised.value)


@pytest.fixture
def good(tmp_path):
    return write_apstar(tmp_path / "star.fits", *star(0, rows=4))


@pytest.mark.parametrize(
    ("number", "key", "text", "words"),
    [
        (0, "NAXIS", 10**12, "NAXIS = 1000000000000"),  # which astropy counts through
        (1, "NAXIS2", 10**12, "axes of 8575, 1000000000000"),
        (1, "NAXIS2", 400, "truncated: HDU 1 claims 13720000 bytes"),
        (1, "NAXIS2", -4, "axes of 8575, -4"),
        (1, "NAXIS2", "4.5", "NAXIS2 = 4.5"),
        (1, "NAXIS2", "'many'", "NAXIS2 = 'many'"),
        (2, "PCOUNT", 10**12, "a header with axes"),
        (1, "GCOUNT", "T", "GCOUNT = T"),
    ],
)
def test_images_that_claim_more_than_there_is_are_refused(good, number, key, text, words):
    assert words in refusal(overwrite_card(good, key, str(text), number))


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("TFIELDS", "1000000000000", "TFIELDS = 1000000000000"),
        ("TFORM1", "'100000000A'", "columns wider than the rows"),
        ("NAXIS1", "8", "columns wider than the rows"),
        ("NAXIS2", "1000", "truncated: HDU 1 claims 16000 bytes"),
    ],
)
def test_tables_that_claim_more_than_there_is_are_refused(tmp_path, key, text, words):
    path = tmp_path / "table.fits"
    Table({"wave": np.arange(9.0), "flux": np.arange(9.0)}).write(path)
    assert words in refusal(overwrite_card(path, key, text, 1))


def test_a_size_that_is_told_twice_is_refused_where_it_differs(good):
    overwrite_card(good, "CTYPE1", "x", 1)
    content = good.read_bytes().replace(b"CTYPE1  =                    x", b"NAXIS2  =                    5")
    good.write_bytes(content)
    assert "NAXIS2 = 5" in refusal(good)


def test_headers_without_an_end_and_files_that_are_not_fits_are_refused(tmp_path, good, monkeypatch):
    content = good.read_bytes()
    for name, other, words in (
        ("end.fits", content[:2880].replace(b"END ", b"FIN "), "a header has no end"),
        ("bzip2.fits", bz2.compress(content), "does not begin with SIMPLE"),
        ("empty.fits", b"", "does not begin with SIMPLE"),
        ("zero.fits", bytes(9000), "does not begin with SIMPLE"),
    ):
        (tmp_path / name).write_bytes(other)
        assert words in refusal(tmp_path / name)
    monkeypatch.setattr(fits_files, "LONGEST_HEADERS", 2880)
    assert "a header has no end" in refusal(good)


def test_what_unpacks_to_more_than_a_star_has_is_refused(tmp_path, good, monkeypatch):
    path, size = tmp_path / "star.fits.gz", good.stat().st_size
    path.write_bytes(gzip.compress(good.read_bytes()))
    monkeypatch.setattr(fits_files, "MOST_UNPACKED", size)
    with opened_fits(path, "expected FITS") as hdus:
        assert hdus[1].data.shape == (4, 8575)
    path.write_bytes(gzip.compress(good.read_bytes() + bytes(2880)))
    assert "when it is unpacked: unpack it by gunzip first" in refusal(path)


def test_a_last_block_that_is_not_filled_up_or_has_blanks_behind_it_is_all_right(tmp_path):
    path = tmp_path / "image.fits"
    fits.PrimaryHDU(np.arange(5.0)).writeto(path)
    content = path.read_bytes()
    for end in (content[: 2880 + 40], content + bytes(5000), content + b" " * 100):
        path.write_bytes(end)
        with opened_fits(path, "expected FITS") as hdus:
            assert hdus[0].data.tolist() == [0, 1, 2, 3, 4]


def test_a_star_that_claims_a_million_million_axes_ends_at_once_in_one_line(tmp_path, capsys):
    hanging = REFERENCE.parent / "cases" / "apStar-hang.fits"
    if not hanging.exists():
        pytest.skip(f"A FILE THAT HANGS NOT TESTED: there is no {hanging}")
    with pytest.raises(InputError, match="1 refused and no other"):
        converted(hanging, tmp_path / "o.h5")
    assert "NAXIS = 1000000000000" in capsys.readouterr().err

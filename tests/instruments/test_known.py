"""cyclegan/instruments/known.py and cyclegan/convert.py: what a file is of, its content tells, and not its name."""

import numpy as np
import pytest
from apogee_stars import star
from apstar import write_apstar, write_apvisit
from astropy.io import fits
from instruments.test_invented import TOYS, WAVELENGTH

from cyclegan.convert import main as convert
from cyclegan.instruments.apogee import ApogeeReader
from cyclegan.instruments.conversion import convert_spectra
from cyclegan.instruments.known import READERS, reader_of, reader_of_wavelengths
from cyclegan.instruments.options import parse, parser
from cyclegan.spectra.files import SpectraFile
from emulator.apogee import APOGEE
from emulator.commands.errors import InputError

BOTH = (READERS[0], *TOYS)
ALL = ("--val", "0", "--test", "0")


def converted(*arguments):
    given = [str(argument) for argument in arguments]
    return convert_spectra(BOTH, parse(parser(BOTH, "cyclegan.convert", ""), given))


@pytest.fixture
def files(tmp_path):
    """A file of each instrument under the other's name."""
    write_apstar(tmp_path / "apogee.toy", *star(1), name="2M1")
    np.savez(tmp_path / "toy.npz", flux=np.full((2, 300), 30.0, "float32"), bits=np.zeros((2, 300), "int32"))
    (tmp_path / "toy.npz").rename(tmp_path / "toy.fits")
    return tmp_path / "apogee.toy", tmp_path / "toy.fits"


def test_a_file_is_of_the_instrument_that_its_content_tells(files, tmp_path):
    apogee, toy = files
    assert [reader.instrument.name for path in files if (reader := reader_of(path, BOTH))] == ["APOGEE", "Toy"]
    for path, attribute, rows in ((apogee, "apogee_rows", "combined"), (toy, "toy_rows", "mean")):
        converted(path, tmp_path / "out.h5", *ALL)
        with SpectraFile(tmp_path / "out.h5") as file:
            assert file.file.attrs[attribute] == rows
        (tmp_path / "out.h5").unlink()


@pytest.mark.parametrize("strict", [(), ("--strict",)])
@pytest.mark.parametrize("first", [0, 1])
def test_files_of_two_instruments_are_refused_in_one_line(files, tmp_path, capsys, first, strict):
    one, other = files[first], files[1 - first]
    names = ("APOGEE", "Toy")
    expected = (
        f"^IN: expected files of one instrument, got {other} of {names[1 - first]} beside files of {names[first]}$"
    )
    with pytest.raises(InputError, match=expected):
        converted(one, other, tmp_path / "out.h5", *ALL, *strict)
    assert capsys.readouterr().err == ""
    assert not (tmp_path / "out.h5").exists()


def test_a_damaged_file_before_the_good_ones_is_refused_as_any_other(files, tmp_path, capsys):
    (tmp_path / "bad.fits").write_text("nothing")
    report = converted(tmp_path / "bad.fits", files[0], tmp_path / "out.h5", *ALL)
    assert (report.refused, sum(report.spectra.values())) == (1, 1)
    assert capsys.readouterr().err.startswith(f"refused: {tmp_path / 'bad.fits'}: expected a FITS file, got a damaged")


def test_a_file_of_no_known_kind_is_refused_with_what_is_there(tmp_path, capsys):
    image = tmp_path / "image.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.ones((3, 4)))]).writeto(image)
    (tmp_path / "text.dat").write_text("nothing")
    known = f"expected {ApogeeReader.files} or toy files"
    with pytest.raises(InputError, match="expected at least one usable spectrum, got 3 refused and no other"):
        converted(image, tmp_path / "text.dat", tmp_path / "nowhere", tmp_path / "out.h5")
    assert capsys.readouterr().err.splitlines() == [
        f"refused: {image}: {known}, got FITS with other HDUs: PrimaryHDU of nothing, ImageHDU of 4 x 3",
        f"refused: {tmp_path / 'text.dat'}: {known}, got a damaged or other one (one that does not begin with SIMPLE)",
        f"refused: {tmp_path / 'nowhere'}: {known}, found none",
    ]
    with pytest.raises(InputError, match=f"^{image}: {known}, got FITS with other HDUs"):
        converted(image, tmp_path / "out.h5", "--strict")


def test_files_of_one_instrument_of_all_kinds_are_recognised(tmp_path):
    flux, error, bits = star(1)
    visit = np.ones((3, 300))
    wavelength = np.linspace(15200, 16900, 900).reshape(3, 300)
    for path in (
        write_apstar(tmp_path / "a.fits", flux, error, bits),
        write_apstar(tmp_path / "b.fits", flux, error),
        write_apvisit(tmp_path / "c.fits", wavelength, visit, visit, visit, VRAD=0.0),
    ):
        assert reader_of(path, BOTH) is READERS[0]


def test_wavelengths_are_those_of_the_instrument_that_covers_most_of_them():
    apogee, toy = BOTH
    assert reader_of_wavelengths(APOGEE.wavelength[::9], BOTH) is apogee
    assert reader_of_wavelengths(np.linspace(4980, 5120, 100), BOTH) is toy
    assert reader_of_wavelengths(np.r_[WAVELENGTH[-3:], APOGEE.wavelength[:9]], BOTH) is apogee


def test_the_command_converts_as_the_one_for_apogee_does(folder, tmp_path, capsys):
    convert([str(folder), str(tmp_path / "obs.h5"), *ALL, "--pixels", "7514"])
    assert "train                         30        30" in capsys.readouterr().out
    with SpectraFile(tmp_path / "obs.h5") as file:
        assert (file.subsets["train"], len(file.wavelength)) == (30, 7514)
    with pytest.raises(SystemExit) as left:
        convert([str(folder), str(tmp_path / "new.h5"), "--pixels", "7"])
    assert left.value.code == 2
    assert capsys.readouterr().err == "error: --pixels: expected 7214 or 7514 or 8575, of APOGEE, got '7'\n"

"""cyclegan/instruments/galah.py: HERMES' four arms into one spectrum in vacuum and at rest, and what is refused."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from galah import GRIDS, write_star
from specutils import SpectrumList

from cyclegan.convert import main as convert
from cyclegan.instruments.galah import GalahReader, read_star
from cyclegan.instruments.known import READERS, reader_of
from cyclegan.instruments.velocities import Velocities
from cyclegan.spectra.files import SpectraFile
from emulator.commands.errors import InputError
from emulator.hermes import ARMS, HERMES
from emulator.wavelength import air_to_vacuum, velocity_step

NUMBER = 170418003701205
# Vacuum, air: H beta and H alpha (NIST), which lie 1.4 and 1.8 Angstrom apart.
HYDROGEN = {"beta": (4862.69, 4861.33), "alpha": (6564.61, 6562.80)}
ALL = ("--val", "0", "--test", "0")


def lines(wavelength):
    """A slope of counts with a line in each arm, at vacuum wavelengths."""
    depths = sum(np.exp(-0.5 * ((wavelength - at) / 0.4) ** 2) for at in (4862.69, 5750.0, 6564.61, 7800.0))
    return (500 + 0.02 * (wavelength - 6000)) * (1 - 0.5 * depths)


def test_a_star_is_read_from_all_its_arms_in_vacuum_and_at_rest(tmp_path):
    for velocity in (0.0, 180.0, -240.0):
        folder = tmp_path / str(velocity)
        folder.mkdir()
        paths = write_star(folder, NUMBER, lines, velocity=velocity)
        star = read_star(paths[2])
        covered = star.error[0] > 0
        assert covered.mean() > 0.97
        expected = lines(HERMES.wavelength)
        # The lines are three pixels wide, and a new pixel averages over its width.
        assert np.abs(star.flux[0] / expected - 1)[covered].max() < 0.005
        for vacuum, _ in HYDROGEN.values():
            near = np.flatnonzero(np.abs(HERMES.wavelength - vacuum) < 1)
            assert HERMES.wavelength[near[star.flux[0, near].argmin()]] == pytest.approx(vacuum, abs=0.03)
        errors = star.error[0, covered] / expected[covered]
        assert 0.01 < errors.min() < errors.max() < 0.021  # of the average of two pixels, or of less
        assert (star.name.tolist(), star.visit.tolist(), star.snr.tolist()) == ([f"2M{NUMBER}"], [0], [50.0])
        assert star.about["sobject_id"].tolist() == [str(NUMBER)]
        assert not star.bits.any()


def test_wavelengths_and_flux_are_those_that_specutils_reads(tmp_path):
    for path, (blue, red) in zip(write_star(tmp_path, NUMBER, lines, velocity=0.0, release="DR3"), ARMS, strict=True):
        (seen, *_) = SpectrumList.read(path, format="GALAH")
        vacuum = air_to_vacuum(seen.spectral_axis.to_value("Angstrom"))
        star = read_star(path, told(0.0))
        there = (HERMES.wavelength > vacuum[0]) & (HERMES.wavelength < vacuum[-1]) & (star.error[0] > 0)
        expected = np.interp(HERMES.wavelength[there], vacuum, seen.flux.value)
        np.testing.assert_allclose(star.flux[0, there], expected, rtol=0.005)
        assert air_to_vacuum(np.array([blue]))[0] - 0.1 < HERMES.wavelength[there][0] < vacuum[0] + 1
        assert HERMES.wavelength[there][-1] < air_to_vacuum(np.array([red]))[0]


def told(velocity):
    """A table that knows one velocity."""
    return Velocities(survey=lambda names, about: np.full(len(names), velocity))


def test_an_arm_that_is_not_there_is_masked_and_files_of_a_star_are_read_once(tmp_path):
    first = write_star(tmp_path, NUMBER, lines, arms=(2, 3))
    second = write_star(tmp_path, NUMBER + 1, lines)
    assert GalahReader().one_each([*first, *second[1:]]) == [first[0], second[1]]
    star = read_star(first[0])
    for number, (blue, red) in enumerate(ARMS, 1):
        inside = (HERMES.wavelength > blue + 3) & (HERMES.wavelength < red - 3)
        assert (star.error[0, inside] > 0).all() == (number in (2, 3))
        assert (star.error[0, inside] > 0).any() == (number in (2, 3))
    convert([*map(str, [*second, *first]), str(tmp_path / "obs.h5"), *ALL])
    with SpectraFile(tmp_path / "obs.h5") as file:
        assert file.identities("train") == [f"2M{NUMBER + 1}", f"2M{NUMBER}"]
        assert file.file.attrs["hermes_rows"] == "combined"
        np.testing.assert_allclose(file.wavelength, HERMES.cut("clear"))
        flux, _, mask = file.read("train")
        middle = (HERMES.cut("clear") > 5500) & (HERMES.cut("clear") < 7000)  # the green arm and the red one
        assert mask.double().mean(dim=1).tolist() == pytest.approx([1, middle.mean()], abs=0.02)
        assert (flux[mask].median() - 1).abs() < 0.001


def test_the_instrument_is_what_the_survey_says():
    assert velocity_step(HERMES.wavelength) == pytest.approx(2.76, abs=0.01)
    for (start, step), (blue, red) in zip(GRIDS, ARMS, strict=True):
        assert start == pytest.approx(blue, abs=2)
        assert start + 4096 * step == pytest.approx(red, abs=2)
    clear = HERMES.cut("clear")
    assert not ((clear > 7400) & (clear < 7682)).any()  # vacuum: the survey leaves out what lies below 7680 in air
    assert (np.diff(HERMES.wavelength) > 100).sum() == (np.diff(clear) > 100).sum() == 3


@pytest.mark.parametrize("card", [{"RVCOM_OK": 0}, {"RVCOM": "None"}, {"RVCOM": -9999.0}])
def test_a_velocity_comes_from_the_header_or_the_table(tmp_path, card):
    (path, *_) = write_star(tmp_path, NUMBER, lines, velocity=50.0, **card)
    table = "or the table of --labels, or one by --velocities FILE or --velocity THEORY"
    expected = f"expected a velocity within 1000 km/s in RVCOM of HDU 0, {table}, got none"
    with pytest.raises(InputError, match=f"^{path}: {expected}$"):
        read_star(path)
    for unknown in (np.nan, -9999.0):
        with pytest.raises(InputError, match=expected):
            read_star(path, told(unknown))
    found = read_star(path, told(50.0))
    assert np.abs(found.flux[0] / lines(HERMES.wavelength) - 1)[found.error[0] > 0].max() < 0.005
    good = write_star(tmp_path, NUMBER + 1, lines, velocity=50.0)
    np.testing.assert_array_equal(read_star(good[0], told(-70.0)).flux, found.flux)


def test_dr3_has_its_velocity_and_labels_from_the_table(tmp_path):
    paths = write_star(tmp_path, NUMBER, lines, release="DR3", velocity=-30.0)
    table = {"sobject_id": [NUMBER], "rv_galah": [-30.0], "teff": [5777.0], "fe_h": [0.1], "mg_fe": [0.2]}
    Table(table).write(tmp_path / "allstar.fits")
    convert([str(paths[0]), str(tmp_path / "obs.h5"), *ALL, "--labels", str(tmp_path / "allstar.fits")])
    with SpectraFile(tmp_path / "obs.h5") as file:
        assert file.identities("train") == [str(NUMBER)]
        labels = dict(zip(file.label_names, file.labels("train")[0].tolist(), strict=True))
        assert (labels["teff"], labels["mg_h"]) == (5777.0, pytest.approx(0.3))
        assert np.isnan(labels["logg"])


def spoil(path, how):
    """One of the survey's files, spoilt."""
    with fits.open(path) as hdus:
        hdus = fits.HDUList([hdu.copy() for hdu in hdus])
    if how == "no errors":
        del hdus["relative_error"]
    if how == "shorter errors":
        hdus["relative_error"].data = hdus["relative_error"].data[:-1]
    if how == "elsewhere":
        hdus[0].header["CRVAL1"] = 5200.0
    if how == "an image":
        hdus[0].data = np.ones((4, 4096), "float32")
    hdus.writeto(path, overwrite=True)
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-5000])


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("no errors", "got HDU 0 of shape (4096,), and NORMALIZED, SKY"),
        ("shorter errors", "got HDU 0 of shape (4096,), and NORMALIZED, RELATIVE_ERROR"),
        ("elsewhere", "got 4096 pixels from 5200 in steps of 0.045948 Angstrom"),
        ("an image", "got HDU 0 of shape (4, 4096)"),
        ("cut", "truncated"),
    ],
)
def test_another_layout_is_refused_and_not_recognised(tmp_path, how, words):
    (path, *_) = write_star(tmp_path, NUMBER, lines)
    assert reader_of(path, READERS).instrument is HERMES
    spoil(path, how)
    assert reader_of(path, READERS) is None
    with pytest.raises(InputError) as caught:
        read_star(path)
    assert str(caught.value).startswith(f"{path}: expected a GALAH file of one arm")
    assert words in str(caught.value)


def test_what_is_not_of_the_survey_is_told(tmp_path, capsys):
    high = write_star(tmp_path, NUMBER, lines, SLITMASK="IN")
    with pytest.raises(InputError, match="expected a spectrum of R 28 000, got one through the slit mask, of R 50 000"):
        read_star(high[0])
    named = high[0].rename(tmp_path / "star.fits")
    with pytest.raises(InputError, match="expected the survey's name, sobject_id and arm, as 1704180037012051"):
        read_star(named)
    (good, *_) = write_star(tmp_path, NUMBER + 1, lines)
    for option, value, words in (
        ("--bits", "1", "--bits: expected 0, for want of a mask, of HERMES, got 1"),
        ("--rows", "visits", "--rows: expected combined, of HERMES, got 'visits'"),
        ("--pixels", "7214", "--pixels: expected clear or all, of HERMES, got '7214'"),
    ):
        with pytest.raises(SystemExit):
            convert([str(good), str(tmp_path / "obs.h5"), *ALL, option, value])
        assert capsys.readouterr().err == f"error: {words}\n"

"""cyclegan/instruments/apvisit.py: visits as the observer saw them, to their star's rest frame."""

import numpy as np
import pytest
from apogee_stars import converted, star
from apstar import DETECTORS, overwrite_card, spectrum, write_apstar, write_apvisit, write_seen
from astropy.io import fits
from astropy.nddata import VarianceUncertainty
from astropy.table import Table
from reference import REFERENCE
from specutils import Spectrum
from specutils.manipulation import FluxConservingResampler

from cyclegan.instruments.apogee import read_star
from cyclegan.instruments.survey_labels import SurveyLabels
from cyclegan.instruments.velocities import Velocities
from cyclegan.spectra.files import SpectraFile
from emulator.apogee import APOGEE
from emulator.commands.errors import InputError
from emulator.wavelength import LIGHT_SPEED

INSIDE = np.flatnonzero(
    np.any([(APOGEE.wavelength > row[-1] + 16) & (APOGEE.wavelength < row[0] - 16) for row in DETECTORS], axis=0)
)


@pytest.mark.parametrize("velocity", [-250.0, 0.0, 67.4])
@pytest.mark.parametrize("rows", ["combined", "visits"])
def test_lines_come_to_where_they_belong(tmp_path, velocity, rows):
    # By its name it is another file: what counts is what is in it.
    found = read_star(write_seen(tmp_path / "apStar-x.fits", velocity, VRAD=velocity), rows)
    expected = spectrum(APOGEE.wavelength[INSIDE])
    assert np.abs(found.flux[0, INSIDE] / expected - 1).max() < 0.04
    assert np.median(np.abs(found.flux[0, INSIDE] / expected - 1)) < 1e-4
    assert (found.error[0, INSIDE] > 0).all()
    assert not found.bits.any()
    assert (found.name.tolist(), found.visit.tolist(), found.snr.tolist()) == (["2M00000000+0000000"], [1], [100.0])
    gap = (APOGEE.wavelength > 15830) & (APOGEE.wavelength < 15840)
    assert not found.flux[0, gap].any()
    assert not found.error[0, gap].any()


def test_flux_and_errors_are_those_of_specutils(tmp_path):
    rng = np.random.default_rng(3)
    flux = rng.uniform(400, 600, DETECTORS.shape)
    error = rng.uniform(5, 10, flux.shape)
    path = write_apvisit(tmp_path / "a.fits", DETECTORS, flux, error, 0 * flux, VRAD=30.0)
    found, seen = read_star(path), Spectrum.read(path, format="APOGEE apVisit")
    rest = Spectrum(
        flux=seen.flux[::-1],
        spectral_axis=seen.spectral_axis[::-1] / (1 + 30 / LIGHT_SPEED),
        uncertainty=VarianceUncertainty(seen.uncertainty.array[::-1] ** 2),
    )
    pixels = INSIDE[(APOGEE.wavelength[INSIDE] > 16000) & (APOGEE.wavelength[INSIDE] < 16050)]
    expected = FluxConservingResampler()(rest, APOGEE.wavelength[pixels] * seen.spectral_axis.unit)
    # The ends of a stretch have other edges than the same pixels within a grid.
    pixels, inner = pixels[1:-1], slice(1, -1)
    np.testing.assert_allclose(found.flux[0, pixels], expected.flux.value[inner], rtol=1e-6)
    sigma = expected.uncertainty.represent_as(VarianceUncertainty).array ** 0.5
    np.testing.assert_allclose(found.error[0, pixels], sigma[inner], rtol=1e-6)


def test_detectors_may_come_from_blue_to_red_and_without_dithering(tmp_path):
    seen = read_star(write_seen(tmp_path / "a.fits", 20.0, VRAD=20.0))
    turned = read_star(write_seen(tmp_path / "b.fits", 20.0, DETECTORS[::-1, ::-1], VRAD=20.0))
    for one, other in zip(seen[:3], turned[:3], strict=True):
        np.testing.assert_array_equal(one, other)
    coarse = read_star(write_seen(tmp_path / "c.fits", 20.0, DETECTORS[:, ::2], VRAD=20.0))
    np.testing.assert_allclose(coarse.flux[0, INSIDE], seen.flux[0, INSIDE], rtol=0.1)


def test_a_pixel_has_the_bits_of_all_that_it_takes_from_and_no_flux_where_one_has_none(tmp_path):
    flux = spectrum(DETECTORS)
    error, bits = 0.01 * flux, np.zeros(flux.shape, "int16")
    places = DETECTORS[1, 500:3700:200]
    for bit, pixel in enumerate(range(500, 3700, 200)):
        bits[1, pixel] = np.array(1 << bit).astype("int16")
    bits[1, 700] |= 1 << 9
    flux[2, 1000], error[2, 2000], error[2, 3000] = np.nan, 0, np.nan
    found = read_star(write_apvisit(tmp_path / "a.fits", DETECTORS, flux, error, bits, VRAD=0.0))
    expected = np.zeros(len(APOGEE.wavelength), int)
    for bit, place in enumerate(places):
        near = np.flatnonzero(
            np.abs(APOGEE.wavelength - place) < 0.5 * (0.1412 + APOGEE.wavelength * 6e-6 * np.log(10))
        )
        assert len(near) in (1, 2)
        expected[near] |= 1 << bit | (1 << 9 if bit == 1 else 0)
    np.testing.assert_array_equal(found.bits[0], expected)
    unsound = INSIDE[found.error[0, INSIDE] == 0]
    for place in DETECTORS[2, [1000, 2000, 3000]]:
        assert np.abs(APOGEE.wavelength[unsound] - place).min() < 0.2
    assert 3 <= len(unsound) <= 6
    assert np.isfinite(found.flux).all()


def test_without_a_doppler_shift_it_follows_from_the_heliocentric_velocity(tmp_path):
    told = read_star(write_seen(tmp_path / "a.fits", -40.0, VRAD=-40.0, VHELIO=1.0, BC=1.0))
    follows = read_star(write_seen(tmp_path / "b.fits", -40.0, VHELIO=-28.0, BC=12.0))
    np.testing.assert_array_equal(told.flux, follows.flux)


def by_table(path):
    return Velocities(survey=SurveyLabels(path).velocities)


@pytest.mark.parametrize(
    "told",
    [{}, {"VHELIO": "NaN"}, {"VRAD": 7.0, "VHELIO": 7.0, "VRADERR": 999999.0}, {"VRAD": -9999.0}],
)
def test_a_velocity_that_no_header_tells_is_that_of_the_star_in_a_table(folder, tmp_path, told):
    expected = read_star(write_seen(tmp_path / "told.fits", -40.0, VRAD=-40.0))
    path = write_seen(tmp_path / "seen.fits", -40.0, BC=12.0, name="2M1", **told)
    columns = {"APOGEE_ID": ["2M1", "2M2"], "VHELIO_AVG": [-28.0, np.nan], "TEFF": [5000.0, 4000.0]}
    Table(columns).write(tmp_path / "allStar.fits")
    np.testing.assert_allclose(read_star(path, velocities=by_table(tmp_path / "allStar.fits")).flux, expected.flux)
    (tmp_path / "table.csv").write_text("id,v_rad,teff\n2M1,-28.0,5000\n2M2,,4000\n")
    np.testing.assert_allclose(read_star(path, velocities=by_table(tmp_path / "table.csv")).flux, expected.flux)
    (tmp_path / "none.csv").write_text("id,teff\n2M1,5000\n")
    for name, table in (("2M1", "none.csv"), ("2M2", "table.csv"), ("2M3", "table.csv")):
        path = write_seen(tmp_path / f"{name}.fits", -40.0, BC=12.0, name=name, **told)
        with pytest.raises(
            InputError,
            match="or BC and one in the table of --labels, or one by --velocities FILE or --velocity THEORY, got",
        ):
            read_star(path, velocities=by_table(tmp_path / table))
    report = converted(folder, tmp_path / "seen.fits", tmp_path / "obs.h5", "--labels", tmp_path / "table.csv")
    assert (report.refused, sum(report.spectra.values())) == (0, 31)


@pytest.mark.parametrize(
    ("header", "got"),
    [
        ({}, "none"),
        ({"VHELIO": 10.0}, "VHELIO 10"),
        ({"VRAD": 0.0, "VRADERR": 999999.0}, "VRAD 0, VRADERR 999999"),
        ({"VRAD": -9999.0, "BC": 3.0}, "VRAD -9999, BC 3"),
        ({"VRAD": "NaN"}, "none"),
    ],
)
def test_without_a_velocity_a_visit_is_refused(folder, tmp_path, capsys, header, got):
    path = write_seen(tmp_path / "a.fits", 0.0, **header)
    if header.get("VRAD") == "NaN":
        overwrite_card(path, "VRAD", "NaN")
    report = converted(folder, path, tmp_path / "obs.h5")
    assert (report.refused, sum(report.spectra.values())) == (1, 30)
    expected = (
        "expected a velocity within 1000 km/s in HDU 0, VRAD, or VHELIO and BC, or BC and one in the table of --labels,"
        " or one by --velocities FILE or --velocity THEORY"
    )
    assert capsys.readouterr().err.strip() == f"refused: {path}: {expected}, got {got}"


def spoiled(path, index, values):
    """A good file with other values in one HDU."""
    with fits.open(write_seen(path, 0.0, VRAD=0.0), mode="update") as hdus:
        hdus[index].data = values(hdus[index].data)
    return path


@pytest.mark.parametrize(
    ("index", "values", "words"),
    [
        (4, lambda wavelength: wavelength / 3, "expected spectra that cover some of 15100.8 to"),
        (4, lambda wavelength: wavelength * np.nan, "expected finite wavelengths in HDU 4"),
        (4, lambda wavelength: wavelength * 0 + 16000, "expected finite wavelengths in HDU 4"),
        (4, lambda wavelength: -wavelength, "expected finite wavelengths in HDU 4"),
        (1, lambda flux: flux[:2], "got shapes (2, 4096), (3, 4096)"),
        (3, lambda bits: bits.astype("float32"), "flux, error, bits and wavelength of 3 detectors"),
        (3, lambda bits: bits[0], "got shapes (3, 4096), (3, 4096), (4096,)"),
    ],
)
def test_another_layout_is_refused(tmp_path, index, values, words):
    path = spoiled(tmp_path / "a.fits", index, values)
    with pytest.raises(InputError, match=r"a\.fits: expected") as caught:
        read_star(path)
    assert words in str(caught.value)


def test_all_kinds_of_files_go_into_one(tmp_path):
    paths = [
        write_apstar(tmp_path / "apVisit-1.fits", *star(1, rows=4), name="2M1"),
        write_apstar(tmp_path / "apVisit-2.fits", *star(2)[:2], name="2M2"),
        write_seen(tmp_path / "aspcapStar-3.fits", 30.0, VRAD=30.0, name="2M3"),
    ]
    report = converted(*paths, tmp_path / "o.h5", "--val", 0, "--test", 0, "--strict")
    assert report.stars["train"] == {"2M1", "2M2", "2M3"}
    with SpectraFile(tmp_path / "o.h5") as file:
        assert file.file["visit train"][()].tolist() == [0, 0, 1]


@pytest.mark.reference
def test_visits_of_the_survey_itself_have_their_lines_where_a_star_at_rest_has_them(tmp_path):
    files = REFERENCE / "fits"
    if not files.exists():
        pytest.skip(f"REAL VISITS NOT TESTED: there is no {files}")
    names = ("apStar-dr17-2M17335483-2753043", "apVisit-r13-9518-57729-104", "apVisit-r13-5095-55844-128")
    paths = [files / f"{name}.fits" for name in names]
    report = converted(*paths, tmp_path / "o.h5", "--val", 0, "--test", 0, "--strict")
    assert (report.spectra["train"], report.refused) == (3, 0)
    with SpectraFile(tmp_path / "o.h5") as file:
        assert file.identities("train") == ["2M17335483-2753043", "2M00242666+5341178", "2M01183798+8403419"]
        spectra = file.read("train")
    assert (spectra.mask.double().mean(dim=1) > 0.75).all()
    flux = np.where(spectra.mask, spectra.flux, 1.0) - 1
    # Unmoved, the lines would lie 67 km/s, 16 pixels, to the blue; the wrong way round, twice that.
    lags = np.arange(-40, 41)
    likeness = [np.corrcoef(flux[1, 50:2850], np.roll(flux[0], lag)[50:2850])[0, 1] for lag in lags]
    assert lags[int(np.argmax(likeness))] == 0
    assert max(likeness) > 0.6

"""cyclegan/instruments/velocities.py: stars that were not at rest are put there by what tells their velocity."""

import h5py
import numpy as np
import pytest
import torch
from apogee_stars import converted
from apstar import DETECTORS, spectrum, write_apvisit, write_seen
from astropy.io import fits
from galah import write_star
from reference import REFERENCE

from cyclegan.convert import main as convert
from cyclegan.instruments.apogee import read_star
from cyclegan.instruments.cross_correlation import Templates, Velocity
from cyclegan.instruments.galah import HERMES
from cyclegan.instruments.galah import read_star as read_galah
from cyclegan.instruments.velocities import Velocities, read_velocities
from cyclegan.spectra.files import SpectraFile
from emulator.apogee import APOGEE
from emulator.commands.errors import InputError

PIXELS = APOGEE.cut("7214")


@pytest.fixture(scope="module")
def theory(tmp_path_factory):
    """Two synthetic spectra: of stars with the lines of the visits, and with others."""
    path = tmp_path_factory.mktemp("theory") / "theory.h5"
    level = 500 * (PIXELS / 16000) ** -2
    flux = np.stack([spectrum(PIXELS + 7.3) / (500 * ((PIXELS + 7.3) / 16000) ** -2), spectrum(PIXELS) / level])
    with h5py.File(path, "w") as file:
        file["wavelength"], file["spectra train"] = PIXELS, flux.astype("float32")
    return path


def write_noise(path, **header):
    """A visit with nothing but noise."""
    flux = 500 + 10 * np.random.default_rng(0).standard_normal(DETECTORS.shape)
    return write_apvisit(path, DETECTORS, flux, np.full(flux.shape, 10.0), 0 * flux, **header)


def columns(path):
    with h5py.File(path) as file:
        return {name: file[f"{name} train"][()] for name in ("id", "velocity", "velocity_err")}


ALL_TO_TRAIN = ("--val", 0, "--test", 0)


def test_theory_measures_what_no_header_tells(folder, theory, tmp_path, capsys):
    seen = [write_seen(tmp_path / f"{v}.fits", v, name=f"2M{v}") for v in (-212.3, 0.0, 80.1)]
    told = write_seen(tmp_path / "told.fits", 80.1, name="2Mtold", VRAD=80.1, VRADERR=0.2)
    noise = write_noise(tmp_path / "noise.fits")
    report = converted(folder, *seen, told, noise, tmp_path / "o.h5", "--velocity", theory, *ALL_TO_TRAIN)
    assert report.spectra["train"] == 34
    refused = capsys.readouterr().err
    assert refused.startswith(f"refused: {noise}: expected a velocity within 1000 km/s that is better than all others")
    assert refused.count("\n") == report.refused == 1
    assert "velocities measured: 3, with errors of 0.0" in report.table()
    found = columns(tmp_path / "o.h5")
    by_name = {name.decode(): row for row, name in enumerate(found["id"])}
    for velocity in (-212.3, 0.0, 80.1):
        value, error = (found[name][by_name[f"2M{velocity}"]] for name in ("velocity", "velocity_err"))
        assert 0 < error < 0.1
        assert value == pytest.approx(velocity, abs=5 * error)
    row = by_name["2Mtold"]
    assert (found["velocity"][row], found["velocity_err"][row]) == (80.1, 0.2)
    at_rest = [row for name, row in by_name.items() if "+" in name]
    assert len(at_rest) == 30
    assert np.isnan([found[name][at_rest] for name in ("velocity", "velocity_err")]).all()
    with SpectraFile(tmp_path / "o.h5") as file:
        flux = file.read("train").flux
    assert (flux[by_name["2M80.1"]] - flux[row]).abs().max() < 0.005
    with pytest.raises(InputError, match=f"{noise}: expected a velocity"):
        converted(folder, noise, tmp_path / "p.h5", "--velocity", theory, "--strict")


def test_a_table_tells_them_by_file_or_by_star_before_the_header_and_theory(folder, theory, tmp_path):
    paths = [write_seen(tmp_path / f"{n}.fits", 50.0, name=f"2M{n}", VRAD=9.0) for n in range(2)]
    expected = read_star(write_seen(tmp_path / "told.fits", 50.0, VRAD=50.0)).flux
    (tmp_path / "by_file.csv").write_text("file,velocity,velocity_err\n0.fits,50,0.3\nother.fits,7,1\n")
    (tmp_path / "by_star.csv").write_text("id,velocity\n2M1,50\n")
    by_file, by_star = (read_velocities(tmp_path / f"by_{name}.csv") for name in ("file", "star"))
    (tmp_path / "by_path.csv").write_text("File,Velocity,VELOCITY_ERR\nnight/0.fits,50,0.3\n/other.fits,7,1\n")
    assert read_velocities(tmp_path / "by_path.csv") == by_file
    np.testing.assert_array_equal(read_star(paths[0], velocities=Velocities(by_file)).flux, expected)
    np.testing.assert_array_equal(read_star(paths[1], velocities=Velocities(by_star)).flux, expected)
    found = read_star(paths[1], velocities=Velocities(by_file, templates=Templates.read(theory, PIXELS)))
    assert found.velocity[0, 0] == 9.0
    table = tmp_path / "by_file.csv"
    converted(folder, *paths, tmp_path / "o.h5", "--velocities", table, *ALL_TO_TRAIN)
    found = columns(tmp_path / "o.h5")
    assert {name: tuple(pair) for name, *pair in zip(*found.values(), strict=True) if not np.isnan(pair[0])} == {
        b"2M0": (50.0, 0.3),
        b"2M1": (9.0, pytest.approx(np.nan, nan_ok=True)),
    }


def test_without_these_options_no_columns_are_written(folder, tmp_path):
    converted(folder, write_seen(tmp_path / "a.fits", 5.0, VRAD=5.0), tmp_path / "o.h5", *ALL_TO_TRAIN)
    with h5py.File(tmp_path / "o.h5") as file:
        assert not [name for name in file if "velocity" in name]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("star,velocity\na,1\n", "expected columns file or id, and velocity, got star, velocity"),
        ("file,speed\na,1\n", "expected columns file or id, and velocity, got file, speed"),
        ("file,velocity\na,fast\n", "expected a velocity within 1000 km/s in row 0, got 'fast'"),
        ("file,velocity\na,-9999\n", "expected a velocity within 1000 km/s, got -9999 of a"),
        ("file,velocity\na,nan\n", "expected a velocity within 1000 km/s, got nan of a"),
        ("id,velocity\na,1\nb,2\na,3\n", "expected each id once, got a twice"),
    ],
)
def test_a_table_that_is_none_is_refused_in_a_line(tmp_path, capsys, folder, theory, text, words):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(SystemExit, match="2"):
        convert([str(folder), str(tmp_path / "o.h5"), "--velocities", str(path)])
    assert capsys.readouterr().err == f"error: {path}: {words}\n"
    with pytest.raises(InputError, match="--velocity: expected files of an instrument beside it, got HDF5"):
        converted(theory, tmp_path / "o.h5", "--velocity", theory)
    assert not (tmp_path / "o.h5").exists()


def test_galah_has_its_velocities_from_them_too(tmp_path):
    def lines(wavelength):
        places = np.random.default_rng(4).uniform(4720, 7880, 600)
        near = np.abs(wavelength[:, None] - places) / (4e-5 * places)
        return 1e3 * (1 - 0.4 * np.exp(-0.5 * near**2)).prod(axis=1)

    (path, *_) = write_star(tmp_path, 170418003701205, lines, velocity=44.4, RVCOM="None")
    templates = Templates(HERMES.wavelength, torch.from_numpy(lines(HERMES.wavelength)[None]))
    measured = read_galah(path, Velocities(templates=templates))
    value, error = measured.velocity[0]
    assert value == pytest.approx(44.4, abs=0.1)
    assert 0 < error < 0.1
    given = read_galah(path, Velocities({path.name: Velocity(44.4, 0.1)}))
    np.testing.assert_allclose(measured.flux, given.flux, atol=2)


@pytest.mark.reference
def test_visits_of_the_survey_itself_have_the_velocities_that_it_found(tmp_path):
    files = REFERENCE / "fits"
    if not files.exists():
        pytest.skip(f"REAL VELOCITIES NOT TESTED: there is no {files}")
    # The coadd of another star, at rest, is theory here.
    converted(files / "apStar-dr17-2M17335483-2753043.fits", tmp_path / "t.h5", *ALL_TO_TRAIN)
    with SpectraFile(tmp_path / "t.h5") as file:
        spectra = file.read("train")
        templates = Templates(file.wavelength.numpy(), spectra.flux.where(spectra.mask, 1.0))
    for name, expected in (("apVisit-r13-9518-57729-104", -67.472), ("apVisit-r13-5095-55844-128", -44.421)):
        path = tmp_path / f"{name}.fits"
        path.write_bytes((files / f"{name}.fits").read_bytes())
        with fits.open(path, mode="update") as hdus:
            del hdus[0].header["VRAD"], hdus[0].header["VHELIO"]
        value, error = read_star(path, velocities=Velocities(templates=templates)).velocity[0]
        assert value == pytest.approx(expected, abs=3 * error + 0.5)

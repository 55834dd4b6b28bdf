"""cyclegan/instruments/apogee.py and cyclegan/apogee.py: the survey's files, good ones, bad ones and real ones."""

import gzip
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from apogee_stars import PIXELS, converted, star
from apstar import overwrite_card, write_apstar
from astropy.io import fits
from astropy.table import Table
from reference import REFERENCE
from scipy.optimize import least_squares

from cyclegan import apogee
from cyclegan.instruments.apogee import read_star
from cyclegan.spectra.files import SpectraFile
from emulator.apogee import APOGEE
from emulator.commands.errors import InputError


def test_the_first_row_is_the_combined_one_and_the_third_the_first_visit(tmp_path):
    flux, error, bits = star(1, rows=5)
    bits[0, 5], bits[3, 7] = 1, 4096
    path = write_apstar(tmp_path / "apStar-r5-2M00000000+0000000.fits", flux, error, bits)
    combined, visits = read_star(path), read_star(path, "visits")
    np.testing.assert_array_equal(combined.flux, flux[:1].astype("float32"))
    np.testing.assert_array_equal(combined.bits, bits[:1])
    np.testing.assert_array_equal(visits.flux, flux[2:].astype("float32"))
    np.testing.assert_array_equal(visits.bits, bits[2:])
    assert set(combined.name) == set(visits.name) == {"2M00000000+0000000"}


@pytest.mark.parametrize("shape", [(PIXELS,), (1, PIXELS), (2, PIXELS)])
@pytest.mark.parametrize("rows", ["combined", "visits"])
def test_a_lone_visit_is_read_in_whatever_shape_it_comes(tmp_path, shape, rows):
    one = star(1)
    arrays = [np.zeros(shape) for _ in one]
    for array, values in zip(arrays, one, strict=True):
        np.atleast_2d(array)[0] = values
    found = read_star(write_apstar(tmp_path / "star.fits", *arrays, snr=90.0), rows)
    np.testing.assert_array_equal(found.flux, one[0][None].astype("float32"))
    np.testing.assert_array_equal(found.error, one[1][None].astype("float32"))
    assert (found.bits.shape, found.visit.tolist()) == ((1, PIXELS), [int(rows == "visits")])
    assert found.snr.tolist() == [46.0 if rows == "visits" else 90.0]
    fits.setval(tmp_path / "star.fits", "SNRVIS1", value=0.0)
    assert read_star(tmp_path / "star.fits", rows).snr.tolist() == [90.0]


@pytest.mark.parametrize("empty", ["zero", "nan", "no error"])
def test_a_row_without_a_usable_pixel_is_no_visit(tmp_path, empty):
    flux, error, bits = star(1, rows=5)
    values = {"zero": (0, 0), "nan": (np.nan, np.nan), "no error": (flux[3], 0)}
    flux[3], error[3] = values[empty]
    found = read_star(write_apstar(tmp_path / "star.fits", flux, error, bits), "visits")
    assert found.visit.tolist() == [1, 3]
    assert found.snr.tolist() == [51.0, 53.0]
    np.testing.assert_array_equal(found.flux, flux[[2, 4]].astype("float32"))
    flux[2:] = 0
    path = write_apstar(tmp_path / "none.fits", flux, error, bits)
    assert len(read_star(path).flux) == 1
    with pytest.raises(InputError, match="expected visits with usable pixels, got none: masked throughout"):
        read_star(path, "visits")


def test_aspcapstar_has_no_bits_and_names_its_star_in_a_table_or_its_file(tmp_path):
    flux, error, _ = star(2)
    named = write_apstar(tmp_path / "aspcapStar-dr17-x.fits", flux, error, name="2M12345678-1234567", snr=77.0)
    found = read_star(named)
    assert (found.name.tolist(), found.snr.tolist(), found.bits.any()) == (["2M12345678-1234567"], [77.0], False)
    with fits.open(named) as hdus:
        for name in ("r5-v603", "r8-l31c.2", "r12", "dr17"):
            hdus[:4].writeto(path := tmp_path / f"aspcapStar-{name}-2M17193684-2748495.fits")
            assert read_star(path).name.tolist() == ["2M17193684-2748495"]
    with pytest.raises(InputError, match="expected an apStar file, which holds visits"):
        read_star(named, "visits")


@pytest.mark.parametrize("text", ["NaN", "-9999.0", "1E30", "T", "'bright'", "Infinity", "(1.0, 2.0)", None])
def test_a_signal_to_noise_that_is_none_is_unknown_and_costs_nothing_else(folder, tmp_path, text):
    path = write_apstar(tmp_path / "star.fits", *star(99), name="dim")
    overwrite_card(path, "SNR", text) if text else fits.delval(path, "SNR")
    report = converted(folder, path, tmp_path / "obs.h5", "--val", 0, "--test", 0)
    assert (report.refused, report.spectra["train"]) == (0, 31)
    with h5py.File(tmp_path / "obs.h5") as file:
        known = dict(zip(file["id train"].asstr()[()], file["snr train"][()].tolist(), strict=True))
    assert np.isnan(known.pop("dim"))
    assert set(known.values()) == {100.0}


@pytest.mark.parametrize(
    ("key", "text", "number"),
    [("OBJID", "NaN", 0), ("CRVAL1", "NaN", 1), ("CRVAL1", "'4.179'", 1), ("CDELT1", "T", 1), ("BITPIX", "12", 1)],
)
def test_another_card_that_cannot_be_costs_that_file(folder, tmp_path, key, text, number):
    path = overwrite_card(write_apstar(tmp_path / "star.fits", *star(99)), key, text, number)
    report = converted(folder, path, tmp_path / "obs.h5")
    assert (report.refused, sum(report.spectra.values())) == (1, 30)


@pytest.mark.parametrize("error", [RuntimeError("a"), RecursionError("b"), AssertionError("c"), ZeroDivisionError("d")])
def test_whatever_a_parser_raises_costs_that_file(folder, tmp_path, monkeypatch, error, capsys):
    path = write_apstar(tmp_path / "star.fits", *star(99))
    opened = fits.open

    def parse(file, **options):
        if file.name == str(path):
            raise error
        return opened(file, **options)

    monkeypatch.setattr(fits, "open", parse)
    assert converted(folder, path, tmp_path / "obs.h5").refused == 1
    assert f"{path}: expected a FITS file, got a damaged or other one ({error})" in capsys.readouterr().err


def test_names_are_data(folder, tmp_path, capsys):
    names = {"blank": "  ", "long": "x" * 201, "padded": " 2M1 ", "twice": "2M00000003+0000000", "bell": "2M\a[31m"}
    for number, (file, name) in enumerate(names.items()):
        write_named(tmp_path / f"{file}.fits", star(90 + number), name)
    report = converted(folder, *(tmp_path / f"{file}.fits" for file in names), tmp_path / "obs.h5")
    stars = set().union(*report.stars.values())
    assert {"blank", "2M1"} < stars
    # A star of two files has two spectra in one subset.
    assert (sum(report.spectra.values()), len(stars), report.refused) == (33, 32, 2)
    told = capsys.readouterr().err
    assert "long.fits: expected a star's name of at most 200 printable characters, got 'xxxx" in told
    assert "bell.fits: expected a star's name of at most 200 printable characters, got '2M\\x07[31m'" in told


def write_named(path, arrays, name):
    """An aspcapStar, whose name is in a table, which FITS lets hold any bytes."""
    write_apstar(path, *arrays[:2], name=name.replace("\a", "_") or " ")
    path.write_bytes(path.read_bytes().replace(b"2M_[31m", b"2M\x07[31m"))


BAD = {
    "no.fits": ("not FITS", lambda path: path.write_text("hello")),
    "empty.fits": ("empty", lambda path: path.write_bytes(b"")),
    "cut.fits": ("truncated", None),
    "cut_late.fits": ("truncated", None),
    "table.fits": ("BinTableHDU", lambda path: Table({"loglam": [3.6], "flux": [1.0]}).write(path)),
    "sdss.fits": ("4000 from 3.5 in steps of 0.0001", None),
    "pixels.fits": ("got 8000", lambda path: write_apstar(path, np.ones(8000), np.ones(8000), np.ones(8000))),
    "two.fits": ("1 spectrum, or 2 combined ones", lambda path: write_apstar(path, *star(0, rows=2))),
    "masked.fits": ("masked throughout", None),
    "nan.fits": ("masked throughout", None),
    "visits_of_three.fits": ("shapes", None),
    "damaged.fits.gz": ("damaged", None),
}


def write_bad(path):
    good = path.with_name("good.fits")
    if not good.exists():
        write_apstar(good, *star(0))
    flux, error, bits = star(0)
    if path.name.startswith("cut"):
        path.write_bytes(good.read_bytes()[: 60000 if path.name == "cut.fits" else -5000])
    elif path.name == "sdss.fits":
        header = fits.Header({"CRVAL1": 3.5, "CDELT1": 1e-4})
        images = [fits.ImageHDU(np.ones(4000, "float32"), header) for _ in range(3)]
        fits.HDUList([fits.PrimaryHDU(), *images]).writeto(path)
    elif path.name == "masked.fits":
        write_apstar(path, flux, error, bits | 1)
    elif path.name == "nan.fits":
        write_apstar(path, flux * np.nan, error, bits)
    elif path.name == "visits_of_three.fits":
        write_apstar(path, np.ones((5, PIXELS)), np.ones((4, PIXELS)), np.ones((5, PIXELS)))
    elif path.name == "damaged.fits.gz":
        packed = gzip.compress(good.read_bytes(), mtime=0)
        path.write_bytes(packed[:20] + b"\xff" * 64 + packed[84:])  # in the tables that all of it is unpacked with
    else:
        BAD[path.name][1](path)
    good.unlink()
    return path


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_named_and_skipped_and_fatal_if_strict(folder, tmp_path, capsys, name):
    bad = write_bad(tmp_path / name)
    report = converted(folder, bad, tmp_path / "obs.h5")
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"refused: {bad}")
    assert name in ("no.fits", "empty.fits") or BAD[name][0] in line
    assert (report.refused, sum(report.spectra.values())) == (1, 30)
    with pytest.raises(InputError, match=name):
        converted(folder, bad, tmp_path / "strict.h5", "--strict")
    with pytest.raises(InputError, match="got 1 refused and no other"):
        converted(bad, tmp_path / "strict.h5")
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix == ".h5") == ["obs.h5"]


def test_the_command_itself(folder, tmp_path, capsys):
    bad = write_bad(tmp_path / "no.fits")

    def command(*arguments):
        line = [sys.executable, "-m", "cyclegan.apogee", *map(str, arguments)]
        return subprocess.run(line, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)

    good = command(folder, bad, tmp_path / "obs.h5")
    assert good.returncode == 0, good.stderr
    assert good.stderr.startswith(f"refused: {bad}: expected a FITS file")
    assert "train" in good.stdout
    assert good.stdout.splitlines()[-1].split() == ["usable", "in", "the", "end", "100.00%"]
    with pytest.raises(SystemExit) as end:
        apogee.main([str(folder), str(bad), str(tmp_path / "strict.h5"), "--strict"])
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: {bad}")
    assert len(told.strip().splitlines()) == 1
    assert not (tmp_path / "strict.h5").exists()


def real(name, flux, error, path):
    """Real flux and error (rows, 7214) as an apStar file; of several visits, the coadds are their mean."""
    rows = np.full((len(flux), PIXELS), 0.0), np.full((len(flux), PIXELS), 1e10)
    for row, values in zip(rows, (flux, error), strict=True):
        row[:, APOGEE.cuts["7214"]] = values
    if len(flux) > 1:
        rows = [np.concatenate([row.mean(axis=0, keepdims=True).repeat(2, axis=0), row]) for row in rows]
    else:
        rows = [row[0] for row in rows]
    return write_apstar(path, *rows, np.zeros(rows[0].shape), name=name)


@pytest.fixture
def reference():
    if not REFERENCE.exists():
        pytest.skip(f"REAL SPECTRA NOT TESTED: there is no {REFERENCE}")
    return REFERENCE


@pytest.mark.reference
@pytest.mark.parametrize("rows", ["combined", "visits"])
def test_files_of_the_survey_itself(reference, tmp_path, rows):
    names, visits = ("2M17335483-2753043", "2M19485057+5005279"), (3, 1)
    paths = [reference / "fits" / f"apStar-dr17-{name}.fits" for name in names]
    report = converted(*paths, tmp_path / "o.h5", "--val", 0, "--test", 0, "--rows", rows, "--strict")
    assert report.stars["train"] == set(names)
    with SpectraFile(tmp_path / "o.h5") as file:
        count = dict(zip(*np.unique(file.identities("train"), return_counts=True), strict=True))
        assert [count[name] for name in names] == ([1, 1] if rows == "combined" else list(visits))
        spectra = file.read("train")
        assert (spectra.mask.double().mean(dim=1) > 0.75).all()
        assert abs(float(spectra.flux[spectra.mask].median()) - 0.97) < 0.03
        # The lone visit's ratio is that of its star.
        assert file.file["snr train"][-1] == pytest.approx(137.49, abs=0.01)


@pytest.mark.reference
def test_a_real_star_has_its_continuum_at_one_and_its_lines_where_they_belong(reference, tmp_path):
    with np.load(reference / "apogee_2M13012770+5754582.npz") as star:
        path = real("2M13012770+5754582", star["spectrum"][None], star["spec_err"][None], tmp_path / "a.fits")
    converted(path, tmp_path / "o.h5", "--val", 0, "--test", 0)
    with SpectraFile(tmp_path / "o.h5") as file:
        flux, error, mask = (tensor[0].numpy() for tensor in file.read("train"))
    with np.load(reference / "continuum_pixels.npz") as pixels:
        calm = pixels["pixels_cannon"] & mask
    assert 0.9 < mask.mean() < 1
    assert abs(np.median(flux[calm]) - 1) < 0.01
    # Normalised spectra of other APOGEE dwarfs, as a net gives them for five labels: those that fit this star best.
    with np.load(reference / "apogee_normalized_nn.npz") as net:
        net = dict(net)

    def model(labels):
        hidden = 1 / (1 + np.exp(-(net["w_array_0"] @ labels + net["b_array_0"])))
        return (net["w_array_1"] * hidden).sum(axis=1) + net["b_array_1"]

    best = least_squares(lambda labels: ((model(labels) - flux) / error)[mask], np.zeros(5), bounds=(-0.6, 0.6))
    residual = (flux - model(best.x))[mask]
    assert np.corrcoef(flux[mask], model(best.x)[mask])[0, 1] > 0.95
    assert abs(residual.mean()) < 0.01
    assert residual.std() < 0.02


@pytest.mark.reference
def test_visits_of_a_real_star_have_one_continuum(reference, tmp_path):
    with np.load(reference / "apogee_visits_2M06133561+2433362.npz") as star:
        path = real("2M06133561+2433362", star["spectra"], star["spec_errs"], tmp_path / "a.fits")
    converted(path, tmp_path / "o.h5", "--rows", "visits", "--val", 0, "--test", 0)
    with SpectraFile(tmp_path / "o.h5") as file:
        flux, error, mask = (tensor.numpy() for tensor in file.read("train"))
    assert len(flux) == 3
    # The star is a double-lined binary, so that its lines move from visit to visit. Stretches of 200 pixels hold both.
    usable = mask.all(axis=0)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        difference = np.where(usable, flux[one] - flux[other], 0.0)[:7200].reshape(36, 200).sum(axis=1)
        mean = difference / usable[:7200].reshape(36, 200).sum(axis=1)
        assert abs(np.median(mean)) < 0.005
        assert mean.std() < 0.01
    # Where none of them has a line, noise is all that is left of their differences.
    calm = usable & (np.abs(flux - 1) < 3 * error).all(axis=0)
    assert calm.sum() > 1000
    pull = (flux[1] - flux[2])[calm] / np.hypot(error[1], error[2])[calm]
    assert 0.5 < (pull**2).mean() < 1.5

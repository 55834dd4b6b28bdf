"""cyclegan/instruments/parquet_spectra.py: a row a spectrum, as the Multimodal Universe has them."""

import h5py
import numpy as np
import pyarrow
import pytest
from apogee_stars import converted, of_all_subsets, star
from apstar import write_apstar
from parquet_files import PUBLISHED, write_parquet
from pyarrow import parquet

from cyclegan.convert import main
from cyclegan.instruments.parquet_spectra import read_parquet
from emulator.apogee import APOGEE, PIXELS
from emulator.commands.errors import InputError
from emulator.labels import LABELS

CUT = APOGEE.cuts["7514"]


def stars(count):
    """Flux, error and bits (count, 8575) of stars of one visit each."""
    return [np.stack(values) for values in zip(*(star(seed) for seed in range(count)), strict=True)]


def read(path):
    """All spectra of a file as one, and what is said of the others."""
    found = list(read_parquet(path))
    good = [part for part in found if not isinstance(part, InputError)]
    values = (np.concatenate(part) if isinstance(part[0], np.ndarray) else None for part in zip(*good, strict=True))
    return good[0]._make(values), [str(part) for part in found if isinstance(part, InputError)]


@pytest.mark.parametrize("flat", [False, True])
def test_spectra_are_on_the_surveys_pixels(tmp_path, flat):
    flux, error, bits = stars(5)
    bits[:, 1000] = 1 << 12
    path = write_parquet(tmp_path / "any name", flux, error, bits, group=2, flat=flat, snr=np.arange(5) + 60.0)
    found, problems = read(path)
    assert problems == []
    for own, given in ((found.flux, flux), (found.bits, bits)):
        np.testing.assert_array_equal(own[:, CUT], given[:, CUT].astype("float32"))
    np.testing.assert_allclose(found.error[:, CUT], error[:, CUT], rtol=1e-6)
    outside = np.setdiff1d(np.arange(PIXELS), CUT)
    assert not found.error[:, outside].any()
    assert found.name.tolist() == [f"2M{number:08d}+0000000" for number in range(5)]
    assert found.snr.tolist() == [60, 61, 62, 63, 64]
    assert not found.visit.any()


def test_they_are_the_same_in_the_end_as_their_apstar_files(tmp_path):
    """Converted, a table says what the files say that it was made from, and so it is for a star in each subset."""
    flux, error, bits = stars(30)
    names = [f"2M{seed:08d}+0000000" for seed in range(30)]
    for name, *values in zip(names, flux, error, bits, strict=True):
        write_apstar(tmp_path / f"{name}.fits", *values, name=name)
    teff = np.where(np.arange(30) == 3, np.nan, 4000.0 + np.arange(30))
    write_parquet(tmp_path / "a.parquet", flux, error, bits, teff=teff, LogG=np.full(30, 2.5))
    converted(*tmp_path.glob("*.fits"), tmp_path / "files.h5")
    report = converted(tmp_path / "a.parquet", tmp_path / "table.h5")
    assert report.table().endswith("labels for 30 of 30 stars")
    for name in ("spectra", "spectra_err"):
        own, expected = (of_all_subsets(tmp_path / f"{which}.h5", name) for which in ("table", "files"))
        np.testing.assert_allclose(own, expected, rtol=1e-3)  # errors are rounded, which changes what is clipped
    np.testing.assert_array_equal(*(of_all_subsets(tmp_path / f"{which}.h5", "mask") for which in ("table", "files")))
    labels = dict(zip(LABELS, of_all_subsets(tmp_path / "table.h5", "labels").T, strict=True))
    np.testing.assert_array_equal(labels["teff"], teff.astype("float32"))
    assert (labels["logg"] == 2.5).all()
    assert np.isnan(labels["fe_h"]).all()
    with h5py.File(tmp_path / "table.h5") as file:
        assert tuple(file.attrs["label_names"]) == LABELS


def test_a_mask_may_say_which_pixels_are_bad(tmp_path):
    flux, error, bits = stars(2)
    bad = np.zeros((2, len(CUT)), bool)
    bad[1, 70:80] = True
    path = write_parquet(tmp_path / "a", flux, error, bits, pix_bitmask=[row.tolist() for row in bad])
    found, _ = read(path)
    assert np.flatnonzero(found.error[1, CUT] == 0).tolist() == list(range(70, 80))
    assert (found.error[0, CUT] > 0).all()
    assert not found.bits.any()


def test_what_is_no_number_masks_its_pixel(tmp_path):
    flux, error, bits = stars(1)
    ivar = (1 / error[:, CUT] ** 2).tolist()
    ivar[0][5:8] = [float("nan"), -1.0, None]
    flags = np.zeros(len(CUT)).tolist()
    flags[9:11] = [-1.0, 1e18]
    found, _ = read(write_parquet(tmp_path / "a", flux, error, bits, ivar=ivar, pix_bitmask=[flags]))
    assert np.flatnonzero(found.error[0, CUT] == 0).tolist() == [5, 6, 7, 9, 10]


def test_rows_that_are_none_are_told_and_left_out(tmp_path):
    flux, error, bits = stars(7)
    wavelength = [PUBLISHED[CUT].tolist() for _ in range(7)]
    wavelength[1] = wavelength[1][:-1]
    wavelength[2] = (1.0001 * PUBLISHED[CUT]).tolist()
    wavelength[3] = wavelength[3][::-1]
    wavelength[4] = None
    names = [f"2M{number}" for number in range(6)] + ["x" * 300]
    at_rest = [1, None, 1, 1, 1, 0, 1]
    path = write_parquet(
        tmp_path / "a", flux, error, bits, **{"lambda": wavelength}, object_id=names, restframe=at_rest
    )
    found, problems = read(path)
    assert found.name.tolist() == ["2M0"]
    np.testing.assert_array_equal(found.flux[0, CUT], flux[0, CUT].astype("float32"))
    expected = {
        1: "expected as many numbers in each list, got 7514 of flux, 7514 of ivar, 7513 of lambda",
        2: "expected ascending wavelengths of log10 = 4.179 + 6e-06 i",
        3: "expected ascending wavelengths",
        4: "expected as many numbers in each list, got 7514 of flux, 7514 of ivar, 0 of lambda",
        5: "expected a spectrum in the rest frame, got restframe false",
        6: "expected a star's name of at most 200",
    }
    assert len(problems) == len(expected)
    for problem, (row, words) in zip(problems, expected.items(), strict=True):
        assert problem.startswith(f"{path}, row {row}: {words}")


@pytest.mark.parametrize("name", ["apogee_id", "SDSS4_APOGEE_ID", "Obj", "id", "name", "source"])
def test_names_are_found_by_the_usual_words(tmp_path, name):
    path = write_parquet(tmp_path / "stars.parquet", *stars(2))
    columns = parquet.read_table(path).drop_columns(["object_id"]).append_column(name, pyarrow.array(["2M1", "2M2"]))
    parquet.write_table(columns, path)
    found, _ = read(path)
    assert found.name.tolist() == (["stars-0", "stars-1"] if name == "source" else ["2M1", "2M2"])


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"teff": [4000.0]}, "expected columns flux, ivar, lambda, got no flux, ivar, lambda among teff"),
        ({"flux": [[1.0]], "ivar": [[1.0]]}, "got no lambda among flux, ivar"),
        (
            {name: pyarrow.array([], pyarrow.list_(pyarrow.float32())) for name in ("flux", "ivar", "lambda")},
            "got none",
        ),
        ({"flux": [1.0], "ivar": [1.0], "lambda": [1.0]}, "got a damaged or other one"),
        ({"flux": [["a"]], "ivar": [["b"]], "lambda": [["c"]]}, "got a damaged or other one"),
    ],
)
def test_other_tables_are_told(tmp_path, table, words):
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table(table), path)
    with pytest.raises(InputError) as caught:
        list(read_parquet(path))
    assert words in str(caught.value)


def test_bad_rows_are_counted_and_strictly_end_all(tmp_path, capsys):
    flux, error, bits = stars(3)
    lists = [row.tolist() for row in flux[:, CUT]]
    path = write_parquet(tmp_path / "a.parquet", flux, error, bits, flux=[lists[0], lists[1][:-5], lists[2]])
    arguments = [str(path), str(tmp_path / "o.h5"), "--val", "0", "--test", "0"]
    main(arguments)
    told = capsys.readouterr()
    assert "train                          2" in told.out
    assert "refused                        1" in told.out
    assert "a.parquet, row 1: expected as many" in told.err
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--strict"])
    assert ended.value.code == 2


def test_labels_are_in_all_files_or_in_none(tmp_path):
    flux, error, bits = stars(2)
    write_parquet(tmp_path / "b.parquet", flux, error, bits, teff=[4000.0, 5000.0])
    write_apstar(tmp_path / "a.fits", *star(5), name="2M5")
    with pytest.raises(InputError, match=r"expected labels in all files or in none, got some in .*b.parquet after"):
        converted(tmp_path / "a.fits", tmp_path / "b.parquet", tmp_path / "o.h5", "--val", 0, "--test", 0)
    converted(tmp_path / "b.parquet", tmp_path / "a.fits", tmp_path / "o.h5", "--val", 0, "--test", 0)
    np.testing.assert_array_equal(of_all_subsets(tmp_path / "o.h5", "labels")[:, 0], [4000, 5000, np.nan])


def test_velocities_and_arrays_are_no_labels(tmp_path):
    """V_RAD, and PARAM, which stands for labels in FITS alone."""
    path = write_parquet(tmp_path / "a", *stars(2), V_RAD=[1.0, 2.0], PARAM=[[1.0] * 7] * 2)
    found, _ = read(path)
    assert found.labels is None
    found, _ = read(write_parquet(tmp_path / "b", *stars(2), V_RAD=[1.0, 2.0], PARAM=[[1.0] * 7] * 2, logg=[1, 2]))
    assert np.isfinite(found.labels).sum(axis=1).tolist() == [1, 1]

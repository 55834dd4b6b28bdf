"""cyclegan/instruments/survey_labels.py: labels from a survey's table, joined to its stars."""

import h5py
import numpy as np
import pyarrow
import pytest
from apogee_stars import of_all_subsets, star
from apstar import overwrite_card, write_apstar
from astropy.io import fits
from astropy.table import Table
from pyarrow import parquet

from cyclegan.apogee import main
from cyclegan.instruments.apogee import read_star
from cyclegan.instruments.survey_labels import SurveyLabels
from emulator.commands.errors import InputError
from emulator.labels import LABELS


def found_in(table, stars):
    """The labels of a file's spectra in a table."""
    return table.find(stars.name, stars.about)


def all_star(path, release="DR17", n=30):
    """An allStar table: DR17 has X_FE and named turbulences, DR12 X_H and PARAM. Star 3 is there three times."""
    number = np.r_[np.arange(n), 3, 3]
    order = np.random.default_rng(0).permutation(len(number))
    columns = {
        "APOGEE_ID": np.array([f"2M{i:08d}+0000000" for i in number]),
        "FIELD": np.array(["M67"] * n + ["M13", "M92"]),
        "SNR": np.r_[np.full(n, 50.0), 40.0, 90.0],
        "TEFF": np.r_[4000.0 + number[:n], 1.0, 2.0],
        "LOGG": np.where(number == 5, np.nan, 2.5),
        "FE_H": 0.01 * number,
    }
    columns |= {"TELESCOPE": np.full(len(number), "apo25m")}
    if release == "DR17":
        columns |= {"VMICRO": np.full(len(number), 1.5), "VMACRO": np.where(number == 6, -9999.0, 4.0)}
        columns |= {"MG_FE": np.where(number == 7, -9999.99, 0.2)}
    else:
        columns |= {
            "PARAM": np.where(number == 8, -9999.0, np.log10(1.5))[:, None] * np.ones(7),
            "MG_H": 0.3 + 0 * number,
        }
    Table({key: values[order] for key, values in columns.items()}).write(path)
    return path


@pytest.mark.parametrize("release", ["DR12", "DR17"])
def test_labels_are_joined(folder, tmp_path, capsys, release):
    other = write_apstar(tmp_path / "unknown.fits", *star(99), name="VESTA")
    main(
        [
            str(folder),
            str(other),
            str(tmp_path / "obs.h5"),
            "--labels",
            str(all_star(tmp_path / "allStar.fits", release)),
        ]
    )
    printed = capsys.readouterr().out
    missing = [f"{x.lower()}_h" for x in ("C", "N", "O", "Na", "Al", "Si", "S", "K", "Ca", "Ti", "Cr", "Mn", "Ni")]
    missing = ", ".join((["vmacro"] if release == "DR12" else []) + missing)
    assert f"labels for 30 of 31 stars, no column for {missing}" in printed
    with h5py.File(tmp_path / "obs.h5") as file:
        assert tuple(file.attrs["label_names"]) == LABELS
    found = dict(zip(LABELS, of_all_subsets(tmp_path / "obs.h5", "labels").T, strict=True))
    number = np.arange(30.0)
    expected = 4000 + number
    expected[3] = 2.0  # no row tells its field: the one of the best SNR
    assert found["teff"].tolist() == [*expected.tolist(), pytest.approx(np.nan, nan_ok=True)]
    np.testing.assert_allclose(found["fe_h"][:30], 0.01 * number, rtol=1e-6)
    gone = {name: np.flatnonzero(np.isnan(found[name])).tolist() for name in ("logg", "vmic", "vmacro", "mg_h")}
    if release == "DR17":
        assert gone == {"logg": [5, 30], "vmic": [30], "vmacro": [6, 30], "mg_h": [7, 30]}
        np.testing.assert_allclose(np.delete(found["mg_h"], [7, 30]), 0.2 + 0.01 * np.delete(number, 7), rtol=1e-6)
    else:
        assert gone == {"logg": [5, 30], "vmic": [8, 30], "vmacro": list(range(31)), "mg_h": [30]}
        np.testing.assert_allclose(found["mg_h"][:30], 0.3, rtol=1e-6)
    np.testing.assert_allclose(np.delete(found["vmic"], [8, 30]), 1.5, rtol=1e-6)


@pytest.mark.parametrize("value", [np.inf, -np.inf, -999.0, 1e300])
def test_what_is_no_label_is_unknown(tmp_path, value):
    table = Table.read(all_star(tmp_path / "allStar.fits", "DR12"))
    for name in ("TEFF", "FE_H"):
        table[name][table["APOGEE_ID"] == "2M00000004+0000000"] = value
    table["PARAM"][table["APOGEE_ID"] == "2M00000004+0000000"] = value
    table.write(tmp_path / "spoilt.fits")
    found = read_star(write_apstar(tmp_path / "star.fits", *star(0), name="2M00000004+0000000"))
    labels = dict(zip(LABELS, found_in(SurveyLabels(tmp_path / "spoilt.fits"), found)[0].tolist(), strict=True))
    assert [np.isnan(labels[name]) for name in ("teff", "fe_h")] == [True, True]
    assert np.isnan(labels["vmic"]) or value == -999
    assert labels["logg"] == 2.5


def test_of_several_rows_that_of_the_same_field_counts(tmp_path):
    labels = SurveyLabels(all_star(tmp_path / "allStar.fits"))
    found = []
    for field in ("M67", "M13", "M92", "M5"):
        path = write_apstar(tmp_path / f"{field}.fits", *star(0), name="2M00000003+0000000", FIELD=field)
        found.append(found_in(labels, read_star(path))[0, 0])
    assert found == [4003.0, 1.0, 2.0, 2.0]


def test_columns_count_in_whatever_case(tmp_path):
    table = Table.read(all_star(tmp_path / "allStar.fits"))
    for name in table.colnames:
        table.rename_column(name, name.lower() if name != "FIELD" else "Field")
    table.write(tmp_path / "lower.fits")
    found = read_star(write_apstar(tmp_path / "star.fits", *star(0), name="2M00000003+0000000", FIELD="M13"))
    expected = SurveyLabels(tmp_path / "allStar.fits")
    labels = SurveyLabels(tmp_path / "lower.fits")
    assert labels.missing == expected.missing
    np.testing.assert_array_equal(found_in(labels, found), found_in(expected, found))
    assert found_in(labels, found)[0, 0] == 1.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"TEFF": ["hot"]}, "expected a table of labels in FITS, CSV or Parquet, got a damaged or other one"),
        (
            {"VMICRO": None, "PARAM": [1.0]},
            "expected a table of labels in FITS, CSV or Parquet, got a damaged or other one",
        ),
        ({"TEFF": [[1.0, 2.0]]}, "expected a table of labels in FITS, CSV or Parquet, got a damaged or other one"),
        ({"APOGEE_ID": None}, "expected columns APOGEE_ID, TEFF, LOGG, FE_H, ..., got FE_H"),
    ],
)
def test_columns_of_other_kinds_are_told(tmp_path, changes, words):
    columns = {"APOGEE_ID": ["2M00000003+0000000"], "TEFF": [4000.0], "VMICRO": [1.0], "FE_H": [0.0]} | changes
    path, found = (
        tmp_path / "allStar.fits",
        read_star(write_apstar(tmp_path / "a.fits", *star(0), name="2M00000003+0000000")),
    )
    Table({name: values for name, values in columns.items() if values}).write(path)
    with pytest.raises(InputError, match=words):
        found_in(SurveyLabels(path), found)


def test_a_table_that_claims_more_than_there_is_is_refused(tmp_path):
    path = overwrite_card(all_star(tmp_path / "allStar.fits"), "NAXIS2", "1000000", 1)
    with pytest.raises(
        InputError, match="expected a table of labels in FITS, CSV or Parquet, got a damaged or other one"
    ):
        SurveyLabels(path)


@pytest.mark.filterwarnings("error")
def test_a_table_with_names_that_astropy_warns_of_is_read_without_a_word(tmp_path):
    path = overwrite_card(all_star(tmp_path / "allStar.fits"), "TTYPE2", "'%s%s'", 1)
    found = read_star(write_apstar(tmp_path / "a.fits", *star(0), name="2M00000004+0000000"))
    assert found_in(SurveyLabels(path), found)[0, 0] == 4004.0


ASTRA = {
    "sdss_id": [42, 43, 44],
    "sdss4_apogee_id": ["2M00000001+0000000", "", "2M00000003+0000000"],
    "obj": ["2M00000001+0000000", "2M00000002+0000000", "other"],
    "teff": [4000.0, 5000.0, 6000.0],
    "logg": [2.5, np.nan, 4.5],
    "v_micro": [1.0, 1.1, 1.2],
    "v_sini": [9.0, 9.0, 9.0],
    "m_h_atm": [-0.9, -0.9, -0.9],
    "fe_h": [-0.1, 0.0, 0.1],
    "mg_h": [0.2, 0.3, -9999.0],
}


def write_table(path, columns):
    """A table in the form that its name tells, of astra in FITS, whose first HDU is of BOSS and has no rows."""
    if path.suffix == ".parquet":
        parquet.write_table(pyarrow.table(columns), path)
    elif path.suffix == ".csv":
        rows = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
        path.write_text("\n".join([",".join(columns), *rows]))
    else:
        table = fits.table_to_hdu(Table(columns))
        boss = fits.BinTableHDU(table.data[:0], header=fits.Header({"INSTRMNT": "BOSS"}))
        table.header["INSTRMNT"] = "APOGEE"
        fits.HDUList([fits.PrimaryHDU(), boss, table]).writeto(path)
    return path


@pytest.mark.parametrize("kind", ["fits", "csv", "parquet"])
def test_tables_of_all_kinds_and_by_all_names_are_read(tmp_path, kind):
    path = write_table(tmp_path / f"a.{kind}", ASTRA)
    table = SurveyLabels(path.rename(tmp_path / "a name that tells nothing"))
    assert set(table.missing) == set(LABELS) - {"teff", "logg", "vmic", "fe_h", "mg_h"}
    names = np.array(["2M00000001+0000000", "2M00000002+0000000", "2M00000003+0000000", "nobody", "nobody"])
    found = table.find(names, {"SDSS_ID": np.array(["", "", "", "44", "45"])})
    found = dict(zip(LABELS, found.T, strict=True))
    unknown = np.nan
    expected = {"teff": [4000, 5000, 6000, 6000, unknown], "vmic": [1, 1.1, 1.2, 1.2, unknown]}
    expected |= {"mg_h": [0.2, 0.3, unknown, unknown, unknown], "logg": [2.5, unknown, 4.5, 4.5, unknown]}
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-6)
    assert np.isnan(found["vmacro"]).all()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("name", ["id", "Name", "STAR", "object_id", "APOGEE_ID"])
def test_a_table_of_ones_own_has_whatever_name_is_usual(tmp_path, kind, name):
    columns = {name: ["b'2M1'", " 2M2"], "TEFF": [4000, 5000], "MG_FE": [0.1, 0.2], "Fe_H": [-0.5, 0.5], "x": ["?", ""]}
    found = SurveyLabels(write_table(tmp_path / f"a.{kind}", columns)).find(np.array(["2M1", "2M2"]), {})
    labels = dict(zip(LABELS, found.T, strict=True))
    np.testing.assert_allclose(labels["mg_h"], [-0.4, 0.7], rtol=1e-6)
    assert labels["teff"].tolist() == [4000, 5000]


def test_of_several_rows_in_a_text_that_of_the_same_field_counts_then_the_best(tmp_path):
    columns = {"id": ["a", "a", "a"], "teff": [1, 2, 3], "snr": ["9", "7", "8"], "FIELD": ["x", "y", "y"]}
    table = SurveyLabels(write_table(tmp_path / "a.csv", columns))
    assert table.find(np.array(["a", "a"]), {"FIELD": np.array(["y", "z"])})[:, 0].tolist() == [3, 1]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"id": ["a"], "teff": ["hot"]}, "expected a number for 'TEFF' in row 0, got 'hot'"),
        ({"id": ["a"], "teff": [1], "TEFF": [2]}, "expected each column once, in whatever case, got teff, TEFF"),
        ({"teff": [1]}, "expected columns APOGEE_ID, TEFF, LOGG, FE_H, ..., got TEFF"),
        ({"id": ["a"], "mass": [1]}, "expected columns APOGEE_ID, TEFF, LOGG, FE_H, ..., got ID, MASS"),
    ],
)
def test_what_is_wrong_with_a_text_is_told(tmp_path, columns, words):
    with pytest.raises(InputError) as caught:
        SurveyLabels(write_table(tmp_path / "a.csv", columns))
    assert words in str(caught.value)


@pytest.mark.parametrize("empty", ["", "nan", "NULL", "--", "None"])
def test_cells_without_a_number_are_unknown(tmp_path, empty):
    table = SurveyLabels(write_table(tmp_path / "a.csv", {"id": ["a", "b"], "teff": [empty, 4000]}))
    np.testing.assert_array_equal(table.find(np.array(["a", "b"]), {})[:, 0], [np.nan, 4000])


def test_a_name_longer_than_any_in_the_table_is_not_found(tmp_path):
    table = SurveyLabels(write_table(tmp_path / "a.csv", {"id": ["ab"], "teff": [4000]}))
    assert np.isnan(table.find(np.array(["ab" * 100]), {})).all()


@pytest.mark.parametrize("content", [b"\0\1\2", b"PAR1 and no more", b"", b"SIMPLE  = no"])
def test_other_files_are_told(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(InputError, match=r"a: expected a (table of labels|header of names|row for each)"):
        SurveyLabels(tmp_path / "a")


def test_of_several_rows_that_of_the_same_location_counts(tmp_path):
    """DR12 to DR16: apStar files tell LOCID, the number of their field, and so does allStar as LOCATION_ID."""
    columns = {"APOGEE_ID": ["2M1", "2M1"], "LOCATION_ID": np.array([4424, 4495], "int16"), "TEFF": [1.0, 2.0]}
    Table(columns | {"SNR": [90.0, 50.0]}).write(tmp_path / "allStar.fits")
    found = read_star(write_apstar(tmp_path / "a.fits", *star(0), name="2M1", LOCID=4495))
    assert found_in(SurveyLabels(tmp_path / "allStar.fits"), found)[0, 0] == 2.0

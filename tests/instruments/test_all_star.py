"""cyclegan/instruments/all_star.py: labels from the survey's table, joined to its stars."""

import h5py
import numpy as np
import pytest
from apogee_stars import of_all_subsets, star
from apstar import overwrite_card, write_apstar
from astropy.table import Table

from cyclegan.apogee import main
from cyclegan.instruments.all_star import AllStar
from cyclegan.instruments.apogee import read_star
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
    labels = dict(zip(LABELS, found_in(AllStar(tmp_path / "spoilt.fits"), found)[0].tolist(), strict=True))
    assert [np.isnan(labels[name]) for name in ("teff", "fe_h")] == [True, True]
    assert np.isnan(labels["vmic"]) or value == -999
    assert labels["logg"] == 2.5


def test_of_several_rows_that_of_the_same_field_counts(tmp_path):
    labels = AllStar(all_star(tmp_path / "allStar.fits"))
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
    expected = AllStar(tmp_path / "allStar.fits")
    labels = AllStar(tmp_path / "lower.fits")
    assert labels.missing == expected.missing
    np.testing.assert_array_equal(found_in(labels, found), found_in(expected, found))
    assert found_in(labels, found)[0, 0] == 1.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"TEFF": ["hot"]}, "expected an allStar table in FITS, got a damaged or other one"),
        ({"VMICRO": None, "PARAM": [1.0]}, "expected an allStar table in FITS, got a damaged or other one"),
        ({"TEFF": [[1.0, 2.0]]}, "expected an allStar table in FITS, got a damaged or other one"),
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
        found_in(AllStar(path), found)


def test_a_table_that_claims_more_than_there_is_is_refused(tmp_path):
    path = overwrite_card(all_star(tmp_path / "allStar.fits"), "NAXIS2", "1000000", 1)
    with pytest.raises(InputError, match="expected an allStar table in FITS, got a damaged or other one"):
        AllStar(path)


@pytest.mark.filterwarnings("error")
def test_a_table_with_names_that_astropy_warns_of_is_read_without_a_word(tmp_path):
    path = overwrite_card(all_star(tmp_path / "allStar.fits"), "TTYPE2", "'%s%s'", 1)
    found = read_star(write_apstar(tmp_path / "a.fits", *star(0), name="2M00000004+0000000"))
    assert found_in(AllStar(path), found)[0, 0] == 4004.0

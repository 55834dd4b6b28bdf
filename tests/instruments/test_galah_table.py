"""cyclegan/instruments/galah_table.py: labels and velocities from the survey's tables of DR3 and DR4."""

import numpy as np
import pyarrow
import pytest
from astropy.table import Table
from pyarrow import parquet

from cyclegan.instruments.galah_table import ELEMENTS, LABELS, GalahTable
from emulator.commands.errors import InputError

NUMBERS = 170418003701205 + np.arange(6)[::-1]
DR3 = {"vbroad": 8.0, "rv_galah": 12.5, "li_fe": 0.4}
DR4 = {"vsini": 8.0, "rv_comp_1": 12.5, "nn_li_fe": 0.4}


def write(path, more, upper=False, **changes):
    """A table of six stars, the temperature of each being its number; changes: other columns."""
    columns = {"sobject_id": NUMBERS, "teff": 5000.0 + NUMBERS % 10, "logg": np.full(6, 4.0), "vmic": np.full(6, 1.2)}
    columns |= {"fe_h": np.full(6, -0.2), "mg_fe": np.full(6, 0.3)}
    columns |= {name: np.full(6, value) for name, value in more.items()}
    columns |= {"flag_sp": np.r_[0, 0, 8, 0, 0, 0], "flag_mg_fe": np.r_[0, 1, 0, 0, 0, 0]}
    columns = {name: values for name, values in {**columns, **changes}.items() if values is not None}
    columns = {name.upper() if upper else name: values for name, values in columns.items()}
    if path.suffix == ".parquet":
        parquet.write_table(pyarrow.table(columns), path)
    else:
        Table(columns).write(path)
    return GalahTable(path)


def asked(*numbers):
    return np.array(["a"] * len(numbers)), {"sobject_id": np.array([str(number) for number in numbers])}


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("name", ["table.fits", "table.csv", "table.parquet"])
@pytest.mark.parametrize("release", [DR3, DR4])
def test_labels_of_both_releases_are_found_by_sobject_id(tmp_path, release, name, upper):
    table = write(tmp_path / name, release, upper)
    order = [3, 0, 5]
    found = table.find(*asked(*NUMBERS[order], 1))
    labels = dict(zip(LABELS, found.T.tolist(), strict=True))
    assert labels["teff"][:3] == (5000.0 + NUMBERS[order] % 10).tolist()
    expected = {"logg": 4.0, "vmic": 1.2, "vbroad": 8.0, "fe_h": -0.2, "mg_h": 0.1, "li_h": 0.2}
    for name, value in expected.items():
        assert labels[name][:3] == pytest.approx([value] * 3)
    assert np.isnan(found[3]).all()
    assert set(table.missing) == set(LABELS) - set(expected) - {"teff"}
    assert table.velocities(*asked(NUMBERS[2], 1))[0] == 12.5
    assert np.isnan(table.velocities(*asked(1))).all()


@pytest.mark.parametrize("name", ["table.fits", "table.csv", "table.parquet"])
def test_what_the_survey_flags_is_unknown_but_its_velocity(tmp_path, name):
    table = write(tmp_path / name, DR3)
    names = {name: at for at, name in enumerate(LABELS)}
    fine, magnesium, star = table.find(*asked(*NUMBERS[:3]))
    assert np.isfinite([fine[names["mg_h"]], fine[names["teff"]]]).all()
    assert np.isnan(magnesium[names["mg_h"]])
    assert np.isfinite([magnesium[names["teff"]], magnesium[names["li_h"]]]).all()
    assert np.isnan(star).all()
    assert table.velocities(*asked(*NUMBERS[:3])).tolist() == [12.5] * 3


@pytest.mark.parametrize("value", [np.nan, np.inf, -9999.0])
def test_what_is_no_number_is_unknown(tmp_path, value):
    table = write(tmp_path / "table.fits", {**DR3, "rv_galah": value}, fe_h=np.full(6, value))
    labels = dict(zip(LABELS, table.find(*asked(NUMBERS[0]))[0].tolist(), strict=True))
    assert np.isnan([labels["fe_h"], labels["mg_h"]]).all()
    assert np.isfinite(labels["teff"])
    assert np.isnan(table.velocities(*asked(NUMBERS[0]))).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sobject_id": None}, "expected rows, and columns sobject_id, teff, logg, fe_h, ..., got FE_H, FLAG_MG_FE"),
        (
            {"sobject_id": ["a"] * 6},
            "expected a table of GALAH's stars in FITS, CSV or Parquet, got a damaged or other one",
        ),
        (dict.fromkeys(("teff", "logg", "vmic", "fe_h", "vbroad")), "expected rows, and columns sobject_id, teff"),
    ],
)
def test_another_table_is_told(tmp_path, changes, words):
    with pytest.raises(InputError) as caught:
        write(tmp_path / "table.fits", DR3, **changes)
    assert words in str(caught.value)


def test_a_column_of_another_kind_is_told(tmp_path):
    table = write(tmp_path / "table.fits", DR3, teff=["hot"] * 6)
    with pytest.raises(
        InputError, match="expected a table of GALAH's stars in FITS, CSV or Parquet, got a damaged or other one"
    ):
        table.find(*asked(NUMBERS[0]))


def test_all_elements_of_the_survey_have_a_label():
    assert len(ELEMENTS) == 31
    assert len(set(LABELS)) == len(LABELS) == 36

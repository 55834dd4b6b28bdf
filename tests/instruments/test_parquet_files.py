"""cyclegan/instruments/parquet_files.py: what Parquet files claim, and pyarrow, which reads them."""

import sys

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from cyclegan.convert import main
from cyclegan.instruments import parquet_files
from cyclegan.instruments.parquet_files import columns_of, is_parquet, opened_parquet, read_numbers, read_texts
from emulator.commands.errors import InputError


def written(path, **columns):
    parquet.write_table(pyarrow.table(columns), path)
    return path


def test_columns_are_read_whole(tmp_path):
    fields = pyarrow.StructArray.from_arrays([pyarrow.array([1.5, None]), pyarrow.array(["x", "y"])], ["A", "b"])
    path = written(
        tmp_path / "a",
        Teff=[4000, None],
        text=["1e3", "2"],
        kind=pyarrow.array(["u", None]).dictionary_encode(),
        raw=[b"2M1", b"2M2"],
        star=fields,
        **{"with.dot": [1.0, 2.0]},
    )
    with opened_parquet(path, "expected Parquet") as file:
        columns = columns_of(file)
        assert list(columns) == ["teff", "text", "kind", "raw", "star_a", "star_b", "with_dot"]
        for name, values in {"teff": [4000, np.nan], "text": [1000, 2], "star_a": [1.5, np.nan]}.items():
            np.testing.assert_array_equal(read_numbers(file, columns[name]), values)
        for name, texts in {"kind": ["u", ""], "raw": ["2M1", "2M2"], "star_b": ["x", "y"]}.items():
            assert read_texts(file, columns[name]).tolist() == texts
        assert read_numbers(file, columns["with_dot"]).tolist() == [1, 2]


def test_a_file_that_claims_far_more_than_it_holds_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_files, "MOST_UNPACKED", 2**20)
    count = 2**17 + 1  # numbers that are all the same take no room in a file, but in memory
    column = pyarrow.DictionaryArray.from_arrays(pyarrow.array(np.zeros(count, "int8")), pyarrow.array([1.0]))
    path = written(tmp_path / "bomb", teff=column)
    assert path.stat().st_size < 2**20 / 10
    with pytest.raises(InputError, match=f"{count} rows in a file of"), opened_parquet(path, "expected Parquet"):
        pass
    lists = pyarrow.ListArray.from_arrays(pyarrow.array([0, count], "int32"), column)
    path = written(tmp_path / "list", flux=lists.cast(pyarrow.list_(pyarrow.float64())))
    with pytest.raises(InputError, match=f"a column of {count} values"), opened_parquet(path, "expected Parquet"):
        pass


@pytest.mark.parametrize("content", [b"PAR1", b"PAR1PAR1", b"PAR1" + bytes(100) + b"PAR1"])
def test_what_only_begins_as_parquet_is_refused(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    assert is_parquet(tmp_path / "a")
    with pytest.raises(InputError, match="expected Parquet, got a damaged or other one"):
        opened_parquet(tmp_path / "a", "expected Parquet").__enter__()


def test_no_file_is_told(tmp_path):
    assert not is_parquet(tmp_path / "no")
    with pytest.raises(InputError, match="expected Parquet, found none"):
        opened_parquet(tmp_path / "no", "expected Parquet").__enter__()


def test_without_pyarrow_the_command_that_installs_it_is_told(tmp_path, monkeypatch, capsys):
    path = written(tmp_path / "a.parquet", flux=[[1.0]])
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(SystemExit) as ended:
        main([str(path), str(tmp_path / "o.h5"), "--strict"])
    assert ended.value.code == 2
    told = f"error: {path}: expected pyarrow, which reads Parquet, found none: pip install pyarrow\n"
    assert capsys.readouterr().err.endswith(told)

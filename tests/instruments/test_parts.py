"""cyclegan/instruments/parts.py: conversions in parts are those of one process; a part that fails is made alone."""

import h5py
import numpy as np
import pytest
from apogee_stars import star
from apstar import write_apstar
from transfers import contents

from cyclegan.apogee import main
from emulator.commands.parts import Part


@pytest.fixture
def one_process(monkeypatch):
    monkeypatch.setattr("cyclegan.instruments.parts.PROCESSES", 1)


def same(one, other):
    """Whether two conversions are alike: to the bit in what names stars, within rounding in what is computed."""
    first, second = contents(one), contents(other)
    assert first.keys() == second.keys()
    for name, values in first.items():
        if values.dtype == "float32" and values.ndim == 2:
            np.testing.assert_allclose(values, second[name], rtol=2e-6, atol=2e-7)
        else:
            np.testing.assert_array_equal(values, second[name])
    with h5py.File(one) as a, h5py.File(other) as b:
        assert a.attrs.keys() == b.attrs.keys()
        assert all(np.array_equal(a.attrs[key], b.attrs[key]) for key in a.attrs)
    return first


def test_joined_parts_are_what_one_process_converts_and_so_is_their_report(folder, tmp_path, capsys, one_process):
    options = ("--val", "0.3", "--test", "0.2", "--seed", "3")
    main([str(folder), str(tmp_path / "whole.h5"), *options])
    told = capsys.readouterr().out
    for part in Part.each(4):  # as on several machines
        main([str(folder), str(tmp_path / "joined.h5"), *options, "--part", str(part)])
    capsys.readouterr()
    main([str(folder), str(tmp_path / "joined.h5"), *options, "--parts", "4"])
    assert capsys.readouterr().out == told
    assert (
        sum(
            len(values)
            for name, values in same(tmp_path / "whole.h5", tmp_path / "joined.h5").items()
            if name.startswith("id ")
        )
        == 30
    )
    assert not (tmp_path / "joined.h5.parts").exists()


def test_a_file_in_the_layout_is_converted_in_parts_of_its_rows(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("cyclegan.instruments.pieces.BATCH", 8)
    monkeypatch.setattr("cyclegan.instruments.parts.PROCESSES", 1)
    main([str(folder), str(tmp_path / "all.h5"), "--val", "0.3", "--test", "0.2"])
    main([str(tmp_path / "all.h5"), str(tmp_path / "whole.h5"), "--degree", "2"])
    main([str(tmp_path / "all.h5"), str(tmp_path / "joined.h5"), "--degree", "2", "--parts", "3"])
    same(tmp_path / "whole.h5", tmp_path / "joined.h5")


def test_a_part_that_fails_is_made_alone(tmp_path, capsys, one_process):
    for number in range(4):
        write_apstar(tmp_path / f"apStar-r12-2M{number}.fits", *star(number), name=f"2M{number}")
    bad = tmp_path / "apStar-r12-2M2.fits"
    good = bad.read_bytes()
    bad.write_bytes(good[:3000])
    command = [str(tmp_path), str(tmp_path / "out.h5"), "--val", "0", "--test", "0", "--strict", "--parts", "4"]
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"error: {tmp_path / 'out.h5'}: expected 4 parts, got 3; part 3/4: ")
    assert "2M2.fits" in line
    assert not (tmp_path / "out.h5").exists()
    main([word for word in command if word != "--strict"])  # a part without spectra is one, too
    told = capsys.readouterr()
    assert "refused                        1" in told.out
    assert contents(tmp_path / "out.h5")["id train"].tolist() == [b"2M0", b"2M1", b"2M3"]
    bad.write_bytes(good)
    main(command)
    assert contents(tmp_path / "out.h5")["id train"].tolist() == [b"2M0", b"2M1", b"2M2", b"2M3"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--part", "5/4"], "--part: expected a part as 3/16"),
        (["--part", "1/31"], "part 1/31: expected at most 30 parts, one for each of the files"),
        (["--parts", "0"], "--parts: expected 1 to 9999, got 0"),
        (["--parts", "2", "--part", "1/2"], "expected one of them, got both"),
    ],
)
def test_a_part_out_of_range_is_told_in_one_line(options, words, folder, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main([str(folder), str(tmp_path / "out.h5"), *options])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert list(tmp_path.iterdir()) == []

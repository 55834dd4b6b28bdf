"""cyclegan/instruments/input_files.py: which files a folder holds, through links and in whatever case."""

import os
import shutil

import pytest
from apogee_stars import converted, star
from apstar import write_apstar

from cyclegan.instruments.apogee import ApogeeReader, read_star
from cyclegan.instruments.input_files import find_files
from emulator.commands.errors import InputError

READERS = (ApogeeReader(),)


def test_linked_folders_are_searched_and_loops_of_links_end(folder, tmp_path):
    spectra = tmp_path / "spectra"
    (spectra / "a").mkdir(parents=True)
    write_apstar(spectra / "a" / "own.fits", *star(99), name="own")
    (spectra / "b").symlink_to(folder, target_is_directory=True)
    (spectra / "a" / "loop").symlink_to(spectra, target_is_directory=True)
    (spectra / "c").symlink_to(spectra / "c")
    report = converted(spectra, tmp_path / "obs.h5")
    assert sum(report.spectra.values()) == 31
    assert report.passed_over == {
        "reached before": [str(spectra / "a" / "loop")],
        "other files": [str(spectra / "c")],
    }


def test_a_file_that_is_reached_twice_counts_once(tmp_path):
    one = write_apstar(tmp_path / "one.fits", *star(1))
    os.link(one, tmp_path / "hard.fits")
    (tmp_path / "soft.fits").symlink_to(one)
    found = find_files([str(one), str(tmp_path), str(one), str(tmp_path)], READERS)
    assert found.paths == [one]
    assert len(found.passed_over["reached before"]) == 5


def test_names_count_in_whatever_case_and_with_whatever_ending(tmp_path):
    names = ["a.FITS", "b.fit", "c.fits.gz", "d.FITS.GZ", "e.Fit.Gz", "sub/f.fits"]
    (tmp_path / "sub").mkdir()
    for name in [*names, "fits", "a.fits.txt", "index.html"]:
        (tmp_path / name).touch()
    found = find_files([str(tmp_path)], READERS)
    assert found.paths == [tmp_path / name for name in names]
    assert found.passed_over == {"other files": [str(tmp_path / n) for n in ("a.fits.txt", "fits", "index.html")]}


def test_what_macos_adds_to_disks_of_other_systems_is_passed_over_and_counted(tmp_path):
    for name in ("a.fits", "._a.fits", "._index.html", "._.fits"):
        (tmp_path / name).touch()
    found = find_files([str(tmp_path)], READERS)
    assert found.paths == [tmp_path / "a.fits"]
    added = [str(tmp_path / name) for name in ("._.fits", "._a.fits", "._index.html")]
    assert found.passed_over == {"resource forks of macOS": added}


def test_a_star_in_a_file_of_such_a_name_is_named_by_it(tmp_path):
    path = write_apstar(tmp_path / "apStar-dr17-2M00000001+0000001.FITS", *star(1), name=" ")
    assert read_star(path).name.tolist() == ["2M00000001+0000001"]


def test_what_is_passed_over_is_counted_and_the_first_of_it_named(folder, tmp_path, monkeypatch):
    spectra = tmp_path / "spectra"
    shutil.copytree(folder, spectra)
    for name in ("notes.txt", "other\x1b[31m.csv", "readme", "zip.zip"):
        (spectra / name).touch()
    (spectra / "locked").mkdir()
    scan = os.scandir

    def locked(path):  # permissions do not keep a superuser out
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", locked)
    table = converted(spectra, tmp_path / "obs.h5").table()
    notes, other, readme = (spectra / name for name in ("notes.txt", "other\\x1b[31m.csv", "readme"))
    assert f"\nother files                    4  {notes}, {other}, {readme}, ...\n" in table
    assert f"\nunreadable folders             1  {spectra / 'locked'}\n" in table


def test_a_folder_without_any_says_what_it_has_instead(tmp_path):
    (tmp_path / "a.txt").touch()
    with pytest.raises(InputError, match="files in this folder, found none, 1 other files"):
        find_files([str(tmp_path)], READERS)

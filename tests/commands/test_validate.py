"""python -m cyclegan.validate: what files hold is told as it is, and so is why two cannot be trained on together."""

import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from skies import PIXELS, toy_wavelength

from cyclegan.validate import main, validate_files
from emulator.wavelength import air_to_vacuum


@pytest.fixture
def files(domain_files, tmp_path):
    return [Path(shutil.copy(path, tmp_path)) for path in domain_files]


MOSTLY_BAD = np.random.default_rng(0).random((60, PIXELS)) < 0.05


def changed(path, name, values):
    with h5py.File(path, "r+") as file:
        if name in file:
            del file[name]
        if values is not None:
            file[name] = values


def test_two_good_files_can_be_trained(files, capsys):
    assert validate_files(files, None) == []
    told = capsys.readouterr().out
    assert "these two can be trained on together" in told
    assert f"{PIXELS} pixels in 2 chips" in told


def test_the_table_holds_what_numpy_says(files, capsys):
    with h5py.File(files[1], "r+") as file:
        file["spectra train"][0, :3] = np.nan
        file["spectra_err train"][1, :5] = 1.0  # too uncertain to say anything
        file["mask train"] = np.ones(file["spectra train"].shape, bool)
        file["mask train"][2, :7] = False
        file.attrs["label_names"] = ["teff"]
        file["labels train"] = np.r_[np.nan, np.linspace(4000, 5000, 399)][:, None]
        flux, error, mask = (file[f"{name} train"][()] for name in ("spectra", "spectra_err", "mask"))
    usable = mask & np.isfinite(flux) & (error < 0.05)
    assert validate_files(files[1:], None) == []
    told = capsys.readouterr().out
    (row,) = re.findall(r"^  train +(.*)$", told, re.MULTILINE)
    cells = re.split(r" {2,}", row)
    assert cells == [
        "400",
        f"{flux[usable].min():.3g} to {flux[usable].max():.3g}",
        f"{flux[usable].mean(dtype=float):.4f}",
        f"{error[usable].mean(dtype=float):.4f}",
        f"{100 * (~usable).mean():.2f} %",
        "3",
    ]
    assert re.search(r"^  teff +4000 to 5000 \(1 unknown\)$", told, re.MULTILINE)


@pytest.mark.parametrize(
    ("medium", "told"),
    [("air", "air, converted to vacuum"), (np.bytes_(b"air"), "air, converted to vacuum"), ("vacuum", "vacuum")],
)
def test_the_medium_is_told_with_what_becomes_of_it(files, medium, told, capsys):
    with h5py.File(files[0], "r+") as file:
        file.attrs["medium"] = medium
        first = file["wavelength"][0]
    assert validate_files(files[:1]) == []
    shown = air_to_vacuum(first) if told.startswith("air") else first
    line = capsys.readouterr().out.splitlines()[1]
    assert re.search(rf" {shown:.2f} to [\d.]+ A in vacuum; medium of the file: {told}$", line)


def test_a_medium_that_is_not_told_is_vacuum(files, capsys):
    assert validate_files(files[:1]) == []
    assert "medium of the file: vacuum, as it does not say\n" in capsys.readouterr().out


def other_wavelengths(path):
    changed(path, "wavelength", toy_wavelength().numpy() + 0.1)


def cut(path, split, stars):
    for name in ("spectra", "spectra_err"):
        with h5py.File(path, "r") as file:
            rows = file[f"{name} {split}"][:stars]
        changed(path, f"{name} {split}", rows)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (other_wavelengths, "expected the same wavelengths in both, got .* and .* A at pixel"),
        (lambda path: cut(path, "val", 59), "expected the same stars in 'val' of both, got 60 in .*, 59"),
        (lambda path: changed(path, "spectra test", None), "expected a dataset 'spectra test', got none"),
        (lambda path: changed(path, "spectra_err val", np.zeros((60, PIXELS))), f"errors above 0 .* got {60 * PIXELS}"),
        (lambda path: changed(path, "spectra val", np.full((60, PIXELS), np.nan)), "usable pixels in 'val', got none"),
        (
            lambda path: changed(path, "mask val", np.zeros((60, PIXELS), bool)),
            "100% masked: is it the wrong way round",
        ),
        (
            lambda path: changed(path, "mask val", MOSTLY_BAD),
            "'mask val', got 9[0-9]% masked: is it the wrong way round",
        ),
        (
            lambda path: changed(path, "mask val", 4096 * MOSTLY_BAD.astype("i4")),
            "got 4096 in row 0, .* bits == 0",
        ),
        (lambda path: changed(path, "mask val", MOSTLY_BAD.astype("f4")), "False or 0 where not, .* got float32"),
        (
            lambda path: changed(path, "spectra val", np.full((60, PIXELS), 5000.0)),
            "normalised .* got a median of 5000",
        ),
        (
            lambda path: changed(path, "spectra val", np.r_[np.ones((3, PIXELS)), np.full((57, PIXELS), np.nan)]),
            "at least 4 spectra with a usable pixel in 'val', got 3",
        ),
        (lambda path: cut(path, "train", 19), "expected at least 20 spectra in 'train', got 19"),
        (lambda path: path.write_bytes(path.read_bytes()[:1000]), "truncated"),
        (lambda path: path.unlink(), "no such file"),
    ],
)
def test_why_two_files_cannot_be_trained_is_told(files, spoil, words, capsys):
    spoil(files[1])
    (problem,) = validate_files(files, None)
    assert re.search(words, problem), problem
    assert str(files[1]) in problem
    assert "can be trained" not in capsys.readouterr().out


def test_too_few_stars_to_score_are_told(files, capsys):
    for path in files:
        cut(path, "val", 3)
    assert validate_files(files) == [f"{path}: expected at least 4 spectra in 'val', got 3" for path in files]
    assert "can be trained" not in capsys.readouterr().out


def test_counts_are_told_though_they_are_integers(files):
    changed(files[0], "spectra val", np.full((60, PIXELS), 5000))
    changed(files[0], "spectra_err val", np.full((60, PIXELS), 70))
    (problem,) = validate_files(files[:1], None)
    assert problem.endswith("expected flux normalised to a continuum of 1 in 'spectra val', got a median of 5000")


@pytest.fixture
def pipelines(files):
    """The files with labels of the same 60 stars by two pipelines, which differ by noise, an offset and a unit."""
    random = np.random.default_rng(0)
    truth = np.c_[random.uniform(4000, 5000, 60), random.uniform(1, 4, 60)]
    for path, scale, offset in ((files[0], [1, 1], [0, 0]), (files[1], [1e-3, 1], [0.15, 0.4])):
        with h5py.File(path, "r+") as file:
            file.attrs["label_names"] = ["teff", "logg"]
            file["labels val"] = (truth + random.normal(0, [70, 0.2], (60, 2))) * scale + offset
    return files


def test_labels_of_the_same_stars_by_two_pipelines_are_accepted_without_a_word(pipelines, capsys):
    assert main([*map(str, pipelines)]) == 0
    told = capsys.readouterr()
    assert "can be trained" in told.out
    assert told.err == ""


def test_labels_of_other_stars_are_a_warning(pipelines, capsys):
    with h5py.File(pipelines[1], "r+") as file:
        file["labels val"][...] = file["labels val"][()][::-1]
    assert main([*map(str, pipelines)]) == 0
    told = capsys.readouterr()
    assert "can be trained" in told.out
    (line,) = told.err.splitlines()
    assert line.startswith(f"warning: rows of 'val' look like other stars in {pipelines[0]} and {pipelines[1]}: ")
    assert re.search(r"the ranks of teff, logg to differ by less than 0.67 .* got (0.[7-9]|1.)\d+ \(or matched", line)
    assert main([*map(str, pipelines), "matched=false"]) == 0
    assert capsys.readouterr().err == ""


def test_where_ids_decide_labels_are_not_asked(pipelines, capsys):
    with h5py.File(pipelines[1], "r+") as file:
        file["labels val"][...] = file["labels val"][()][::-1]
    for path in pipelines:
        changed(path, "id val", IDS)
    assert main([*map(str, pipelines)]) == 0
    assert capsys.readouterr().err == ""


IDS = [f"star {i}" for i in range(60)]


def test_rows_that_stand_in_another_order_are_told_with_their_number(files, capsys):
    changed(files[0], "id val", IDS[::-1])
    changed(files[1], "id val", IDS)
    assert validate_files(files) == []
    told = capsys.readouterr().out
    assert f"'val': 60 stars are matched by id, 60 of them from another row of {files[0]}\n" in told
    assert "these two can be trained on together" in told


def test_ids_of_other_stars_are_a_problem_unless_no_star_is_matched(files, capsys):
    changed(files[0], "id test", [*IDS[:30], *(f"dwarf {i}" for i in range(30))])
    changed(files[1], "id test", IDS)
    expected = f"expected the same stars in 'test' of both, got 30 of 90 ids in both, and no 'star 30' in {files[0]}"
    assert validate_files(files) == [f"{files[0]} and {files[1]}: {expected} (or matched=false)"]
    assert "can be trained" not in capsys.readouterr().out
    assert validate_files(files, matched=False) == []


def test_names_that_are_no_text_are_told(files):
    changed(files[0], "id val", np.full(60, b"\xff"))
    changed(files[1], "id val", IDS)
    (problem,) = validate_files(files)
    assert "expected names in UTF-8 in 'id val'" in problem


def test_the_ancestors_files_need_their_wavelengths(files, tmp_path, capsys):
    for path in files:
        changed(path, "wavelength", None)
    problems = validate_files(files, None)
    assert len(problems) == 2
    assert all("wavelength=FILE" in problem for problem in problems)
    np.savez(tmp_path / "wave.npz", wavelength=toy_wavelength().numpy())
    assert main([*map(str, files), f"wavelength={tmp_path / 'wave.npz'}"]) == 0
    assert "can be trained" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["--what", "x.h5"], ["nowhere.h5"]])
def test_the_command_tells_in_one_line(arguments, capsys):
    try:
        code = main(arguments)
    except SystemExit as end:
        code = end.code
    assert code == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert told.count("\n") == 1

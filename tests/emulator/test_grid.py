"""emulator/grid.py: making the built-in grid, checking any grid at the door, its subsets and its components."""

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

import emulator.grid
from emulator.apogee import apogee_wavelength
from emulator.commands.errors import InputError
from emulator.grid import GridData, RandomBatches, find_or_make_grid, make_grid, read_grid
from emulator.labels import LABELS, sample_grid_labels
from emulator.lines import Lines
from emulator.synthesis import synthesize

FEW_PIXELS = apogee_wavelength()[1000:1020]
STARS = 40


def gentle_spectrum(labels, wavelength, lines=None):
    """A stand-in for the synthesiser: quick, and different for every star."""
    return (1.0 - 1e-5 * labels[0] * (wavelength - 15000.0) / 2000.0 + 0.01 * labels[4]).astype(np.float32)


@pytest.fixture
def in_process(monkeypatch):
    """No start of processes, which takes seconds."""
    monkeypatch.setattr(emulator.grid, "ProcessPoolExecutor", lambda *_: ThreadPoolExecutor(1))


@pytest.fixture
def grid_file(tmp_path):
    """A good grid of the user's own: its own label names, no seed, no format version."""
    random = np.random.default_rng(0)
    with h5py.File(tmp_path / "grid.h5", "w") as file:
        file["spectra"] = random.uniform(0.5, 1.0, (STARS, 12))
        file["labels"] = random.uniform(0.0, 1.0, (STARS, 3))
        file["wavelength"] = np.linspace(5000.0, 5011.0, 12)
        file.attrs["label_names"] = ["age", "mass", "hue"]
        file.attrs["medium"] = "vacuum"
    return tmp_path / "grid.h5"


def test_the_built_in_grid_holds_what_the_synthesiser_says(tmp_path):
    path = tmp_path / "models" / "grid.h5"
    make_grid(path, 20, seed=3, wavelength=FEW_PIXELS, workers=1)
    grid = read_grid(path)
    assert grid.label_names == LABELS
    np.testing.assert_array_equal(grid.labels, sample_grid_labels(20, np.random.default_rng(3)))
    np.testing.assert_array_equal(grid.wavelength, FEW_PIXELS)
    np.testing.assert_allclose(grid.spectra[7], synthesize(grid.labels[7], FEW_PIXELS), atol=1e-6)
    with h5py.File(path) as file:
        assert file["spectra"].dtype == np.float32
        assert (file.attrs["seed"], file.attrs["medium"]) == (3, "vacuum")
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.usefixtures("in_process")
def test_a_synthesis_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def failing(labels, wavelength, lines):
        raise FloatingPointError

    monkeypatch.setattr(emulator.grid, "synthesize", failing)
    with pytest.raises(FloatingPointError):
        make_grid(tmp_path / "grid.h5", 20, 1, FEW_PIXELS, workers=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("in_process")
def test_a_grid_is_kept_while_it_is_what_would_be_made(tmp_path, monkeypatch):
    monkeypatch.setattr(emulator.grid, "synthesize", gentle_spectrum)
    path, made = tmp_path / "grid.h5", []
    monkeypatch.setattr(emulator.grid, "make_grid", lambda *a, **k: made.append(make_grid(*a, **k)))

    def was_made(n=20, seed=1, wavelength=FEW_PIXELS, lines=None):
        made.clear()
        find_or_make_grid(path, n, seed, wavelength, workers=1, lines=lines)
        return bool(made)

    assert was_made()
    assert not was_made()
    assert was_made(seed=2)
    assert was_made(n=21)
    assert was_made(wavelength=FEW_PIXELS[:-1])
    # The stand-in does not look at lines: only what the file says of its list tells them apart.
    own = Lines(np.array([15500.0]), np.array(["Fe I"]), np.array([5.0]), np.array([-1.0]), np.array([-5.0]))
    assert was_made(lines=own)
    assert not was_made(lines=replace(own, strength=np.array([-5.1])))
    assert was_made(lines=replace(own, log_gf=np.array([-1.1])))
    assert was_made()
    monkeypatch.setattr(emulator.grid, "synthesize", lambda *a, **k: 0.9 * gentle_spectrum(*a, **k))
    assert was_made()


@pytest.mark.usefixtures("in_process")
def test_a_grid_of_no_flux_is_neither_kept_nor_taken_up_again(tmp_path, monkeypatch):
    monkeypatch.setattr(emulator.grid, "synthesize", lambda *a, **k: gentle_spectrum(*a, **k) * np.float32(np.nan))
    with pytest.raises(InputError, match=r"grid.h5: star 0, .* expected flux of .* got nan at pixel 0"):
        make_grid(tmp_path / "grid.h5", 20, 1, FEW_PIXELS, workers=1)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(emulator.grid, "synthesize", gentle_spectrum)
    make_grid(tmp_path / "grid.h5", 20, 1, FEW_PIXELS, workers=1)
    replaced("spectra", with_value((4, 7), np.nan))(tmp_path / "grid.h5")
    find_or_make_grid(tmp_path / "grid.h5", 20, 1, FEW_PIXELS, workers=1)
    assert np.isfinite(read_grid(tmp_path / "grid.h5").spectra).all()


def test_other_data_are_never_overwritten(grid_file):
    before = grid_file.read_bytes()
    with pytest.raises(InputError, match=r"grid\.path"):
        find_or_make_grid(grid_file, 20, 1, FEW_PIXELS)
    assert grid_file.read_bytes() == before


def replaced(name, change):
    def damage(path):
        with h5py.File(path, "r+") as file:
            values = file.pop(name)[()]
            if (new := change(values)) is not None:
                file[name] = new

    return damage


def attribute(name, value):
    def damage(path):
        with h5py.File(path, "r+") as file:
            del file.attrs[name]
            if value is not None:
                file.attrs[name] = value

    return damage


def with_value(where, value):
    def change(values):
        values[where] = value
        return values

    return change


def linked(path):
    with h5py.File(path, "r+") as file:
        file.move("spectra", "elsewhere")
        file["spectra"] = h5py.ExternalLink("other.h5", "/spectra")


BAD_GRIDS = {
    "missing": (lambda path: path.unlink(), "no such file"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:3000]), "truncated or other file"),
    "not HDF5": (lambda path: path.write_text("flux"), "truncated or other file"),
    "no spectra": (replaced("spectra", lambda v: None), "got no 'spectra'"),
    "no wavelength": (replaced("wavelength", lambda v: None), "got no 'wavelength'"),
    "one star fewer": (replaced("labels", lambda v: v[:-1]), "expected 40 rows of labels.* got 39"),
    "one pixel fewer": (replaced("wavelength", lambda v: v[:-1]), "expected 12 wavelengths.* got 11"),
    "one label fewer": (replaced("labels", lambda v: v[:, :-1]), "expected 2 different names.* got 3"),
    "flat labels": (replaced("labels", lambda v: v[:, 0]), r"got .*\(40,\)"),
    "text": (replaced("spectra", lambda v: "flux"), "arrays of numbers"),
    "words": (replaced("wavelength", lambda v: ["a"] * 12), "arrays of numbers"),
    "a label that stands for none": (
        replaced("labels", with_value(np.s_[[5, 9], 2], -9999)),
        r"expected 'hue' of each star, or NaN where it is unknown, got -9999 in row 5 \(2 rows in all\)",
    ),
    "an empty name": (attribute("label_names", ["age", "", "hue"]), "names of labels .* an empty one among 3"),
    "flux of no star": (
        replaced("spectra", with_value((4, 7), -9999)),
        "flux of -1 to 100 .* got -9999 at pixel 7 of row 4",
    ),
    "flux in another unit": (replaced("spectra", lambda v: 1e-3 * v), "a continuum of 1, got a median of 0.00"),
    "a link to another file": (linked, "'spectra', a link to another file"),
    "NaN flux": (replaced("spectra", with_value((4, 7), np.nan)), r"finite spectra, got nan at \(4, 7\)"),
    "infinite label": (replaced("labels", with_value((9, 1), np.inf)), r"finite labels, got inf at \(9, 1\)"),
    "NaN wavelength": (replaced("wavelength", with_value(5, np.nan)), r"finite wavelength, got nan"),
    "descending": (replaced("wavelength", lambda v: v[::-1]), "ascending wavelengths.* pixel 0"),
    "negative wavelength": (replaced("wavelength", lambda v: v - 5005), "wavelengths above 0, got -5"),
    "complex numbers": (replaced("labels", lambda v: v + 1j), r"arrays of numbers, got .*'labels' of complex128"),
    "complex flux": (replaced("spectra", lambda v: v + 1j), "arrays of numbers"),
    "a label beyond single precision": (
        replaced("labels", with_value((9, 1), 1e300)),
        r"labels that single precision holds, got 1e\+300",
    ),
    "repeated wavelength": (replaced("wavelength", with_value(5, 5004.0)), "ascending wavelengths.* pixel 4"),
    "a label that never varies": (replaced("labels", with_value(np.s_[:, 1], 0.5)), "one value of 'mass'"),
    "no names": (attribute("label_names", None), "expected 3 different names.* got 0"),
    "a name twice": (attribute("label_names", ["age", "age", "hue"]), "expected 3 different names.* got 2"),
    "no medium": (attribute("medium", None), "expected attribute medium = vacuum, got none"),
    "air": (attribute("medium", "air"), "expected attribute medium = vacuum, got air"),
}


@pytest.mark.parametrize("what", list(BAD_GRIDS))
def test_a_bad_grid_is_refused_in_one_line(grid_file, what):
    damage, message = BAD_GRIDS[what]
    damage(grid_file)
    with pytest.raises(InputError, match=message) as caught:
        read_grid(grid_file)
    assert str(grid_file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_too_few_spectra_are_refused(grid_file):
    for name in ("spectra", "labels"):
        replaced(name, lambda v: v[:19])(grid_file)
    with pytest.raises(InputError, match="at least 20 spectra, got 19"):
        read_grid(grid_file)


def test_the_synthetic_file_of_a_translator_is_a_grid_too(grid_file):
    expected = read_grid(grid_file)
    with h5py.File(grid_file, "r+") as file:
        for name in ("spectra", "labels"):
            file.move(name, f"{name} train")
        del file.attrs["medium"]  # vacuum unless it says otherwise
    found = read_grid(grid_file)
    assert all(np.array_equal(*pair) for pair in zip(found, expected, strict=True))
    with h5py.File(grid_file, "r+") as file:
        del file["labels train"]
    with pytest.raises(InputError, match="got no 'labels train'"):
        read_grid(grid_file)


def test_spectra_with_an_unknown_label_are_left_out_and_counted(grid_file, caplog):
    whole = read_grid(grid_file)
    with h5py.File(grid_file, "r+") as file:
        file["labels"][3, 1] = file["labels"][17] = np.nan
        file["spectra"][17, 5] = np.nan  # nobody's business
    with caplog.at_level(logging.INFO):
        grid = read_grid(grid_file)
    kept = [row for row in range(STARS) if row not in (3, 17)]
    np.testing.assert_array_equal(grid.labels, whole.labels[kept])
    np.testing.assert_array_equal(grid.spectra, whole.spectra[kept])
    assert caplog.messages == [f"{grid_file}: left out 2 of 40 spectra, as a label of theirs is unknown"]
    # A row that is told is that of the file, with those left out counted.
    replaced("spectra", with_value((30, 7), np.nan))(grid_file)
    with pytest.raises(InputError, match=r"finite spectra, got nan at \(30, 7\)"):
        read_grid(grid_file)


def test_too_few_spectra_with_known_labels_are_refused(grid_file):
    replaced("labels", with_value(np.s_[19:, 0], np.nan))(grid_file)
    with pytest.raises(InputError, match="at least 20 spectra, got 19 and 21 with unknown labels"):
        read_grid(grid_file)


def test_names_may_be_bytes(grid_file):
    attribute("label_names", np.array([b"age", b"mass", b"hue"]))(grid_file)
    assert read_grid(grid_file).label_names == ("age", "mass", "hue")


def test_subsets_share_no_star_and_follow_the_seed(grid_file):
    def stars(seed):
        data = GridData(grid_file, components=4, batch_size=8, steps=5, seed=seed)
        return [{tuple(row) for row in subset[0].tolist()} for subset in (data.train, data.validation, data.test)]

    train, validation, test = stars(seed=1)
    assert [len(train), len(validation), len(test)] == [36, 2, 2]
    assert len(train | validation | test) == STARS
    assert stars(seed=1) == [train, validation, test]
    assert stars(seed=2)[2] != test


def test_components_are_orthonormal_and_all_of_them_give_the_flux_back(grid_file):
    data = GridData(grid_file, components=100, batch_size=8, steps=5, seed=1)
    torch.testing.assert_close(data.components @ data.components.T, torch.eye(12), atol=1e-5, rtol=0)
    torch.testing.assert_close(data.mean + data.coefficients @ data.components, data.train[1])


def test_batches_show_every_row_once_before_any_again():
    rows = torch.arange(12)
    batches = list(RandomBatches((rows, -rows), size=4, steps=6, seed=1))
    assert len(batches) == 6
    for half in (batches[:3], batches[3:]):
        assert sorted(torch.cat([first for first, _ in half]).tolist()) == rows.tolist()
    assert all(torch.equal(first, -second) for first, second in batches)
    again = list(RandomBatches((rows, -rows), size=4, steps=6, seed=1))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(batches, again, strict=True))

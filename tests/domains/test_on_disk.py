"""cyclegan/domains/on_disk.py: training stars that stay in their file, of which each draw reads some."""

import os

import h5py
import numpy as np
import pytest
import torch

from cyclegan.domains import from_file, on_disk
from cyclegan.domains.from_file import HDF5Domain
from emulator.commands.errors import InputError

STARS = 300


@pytest.fixture(autouse=True)
def little_memory(monkeypatch):
    """Room for 100 stars."""
    for module in (from_file, on_disk):
        monkeypatch.setattr(module, "AT_ONCE", 100)
    monkeypatch.setattr(on_disk, "TOGETHER", 5)
    monkeypatch.setattr(on_disk, "LARGEST_BLOCK", 12)
    monkeypatch.setattr(from_file, "CHUNK", 64)


@pytest.fixture
def file(tmp_path):
    """300 training spectra of 20 pixels, of which row 7 says nothing; the first pixel and the label are the row."""
    random = np.random.default_rng(0)
    with h5py.File(tmp_path / "stars.h5", "w") as file:
        file["wavelength"] = np.linspace(15000.0, 15019.0, 20)
        file.attrs["label_names"] = ["row"]
        for subset, n in (("train", STARS), ("val", 6), ("test", 6)):
            flux = random.uniform(0.5, 1.0, (n, 20)).astype("float32")
            flux[:, 0] = 0.5 + np.arange(n) / 1000
            file[f"spectra {subset}"], file[f"labels {subset}"] = flux, np.arange(float(n))[:, None]
            file[f"spectra_err {subset}"] = random.uniform(0.006, 0.04, (n, 20)).astype("float32")
        file["spectra train"][7] = np.nan
    return tmp_path / "stars.h5"


def rows_of(spectra):
    return ((spectra.flux[:, 0] - 0.5) * 1000).round().int().tolist()


def test_a_draw_reads_some_stars_with_their_labels_each_seed_others_and_the_same_again(file):
    domain = HDF5Domain(file)
    first = domain.draw(3)
    assert not domain.fixed
    assert len(set(rows_of(first))) == len(first.flux) > 95
    assert domain.drawn_labels(3)["row"].tolist() == rows_of(first)
    assert all(torch.equal(a, b) for a, b in zip(first, HDF5Domain(file).draw(3), strict=True))
    assert rows_of(domain.draw(4)) != rows_of(first)
    assert set().union(*(rows_of(domain.draw(seed)) for seed in range(40))) == set(range(STARS)) - {7}


def test_what_is_told_of_a_file_is_the_same_as_of_one_in_memory(file, monkeypatch, caplog):
    on = HDF5Domain(file)
    told = list(caplog.messages)
    caplog.clear()
    monkeypatch.setattr(from_file, "AT_ONCE", STARS)
    held = HDF5Domain(file)
    assert held.fixed
    assert sorted(told) == sorted(caplog.messages)
    assert any("masked 20 of 6000 pixels in 'train'" in line for line in told)
    assert on.count("train") == held.count("train") == STARS - 1
    assert torch.equal(on.train_rows, held.train_rows)
    assert on.train_names == held.train_names
    whole = held.draw(0)
    for part, pieces in zip(whole, zip(*on.all_training(), strict=True), strict=True):
        assert torch.equal(torch.cat(pieces), part)
    some = torch.tensor([250, 3, 3, 8])
    assert all(torch.equal(a, b) for a, b in zip(on.training(some), held.training(some), strict=True))


def test_stars_that_are_packed_together_are_drawn_together(file):
    with h5py.File(file, "r+") as stars:
        flux = stars["spectra train"][()]
        del stars["spectra train"]
        stars.create_dataset("spectra train", data=flux, chunks=(10, 20), compression="lzf")
    drawn = HDF5Domain(file).draw(0)
    rows = {row for row in range(STARS) if row // 10 in {row // 10 for row in rows_of(drawn)}} - {7}
    assert set(rows_of(drawn)) == rows
    assert len(rows) in (99, 100)


@pytest.mark.parametrize("change", ["shorter", "rewritten"])
def test_a_file_that_changes_while_stars_are_drawn_is_told_in_one_line(file, change):
    domain = HDF5Domain(file)
    domain.draw(0)
    if change == "shorter":
        os.truncate(file, file.stat().st_size // 2)
    else:
        os.utime(file, ns=(0, 0))
    with pytest.raises(InputError, match=r"stars.h5: expected a file that stays as it is while it is read, \d+ bytes"):
        domain.draw(1)


def test_a_file_that_becomes_shorter_in_the_first_pass_is_told_and_not_read_as_zeros(file, monkeypatch):
    with h5py.File(file, "r+") as stars:
        for subset in ("train", "val", "test"):
            del stars[f"spectra_err {subset}"]  # zeros of flux alone would pass for masked pixels
    held = HDF5Domain._pass

    def shrinking(self, *arguments):
        for chunk in held(self, *arguments):
            os.truncate(file, 30_000)
            yield chunk

    monkeypatch.setattr(HDF5Domain, "_pass", shrinking)
    with pytest.raises(InputError, match=r"stays as it is while it is read, .* got 30000 bytes"):
        HDF5Domain(file)

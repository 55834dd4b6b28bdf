"""cyclegan/trained/sources.py: what is taken from files and tables to translate, and what goes along to the output."""

import h5py
import numpy as np
import pytest
import torch
from transfers import contents, run_transfer, write_table

from cyclegan.spectra.continuum import Continuum
from cyclegan.spectra.continuum_files import read_continuum, write_continuum
from cyclegan.spectra.files import SpectraFile


def test_more_pixels_than_the_checkpoints_are_cut(synth_file, payne2payne_run, tmp_path):
    """Three more at the blue end, two in the gap between the chips, one at the red end."""
    old = contents(synth_file)
    grid = old["wavelength"]
    extra = np.r_[
        grid[0] - np.array([0.6, 0.4, 0.2]), (grid[99] + grid[100]) / 2 + np.array([0.0, 0.1]), grid[-1] + 0.2
    ]
    wider = np.sort(np.r_[grid, extra])
    own = np.isin(wider, grid)
    with h5py.File(tmp_path / "wide.h5", "w") as file:
        for name in ("spectra test", "spectra_err test"):
            file[name] = np.full((40, len(wider)), 0.04, "float32")
            values = file[name][()]
            values[:, own] = old[name]
            file[name][:] = values
        file["bits test"] = np.zeros((40, len(wider)), "int16")
        file["snr test"] = np.arange(40)
    np.save(tmp_path / "wide.npy", wider)
    common = {"checkpoint": payne2payne_run}
    run_transfer(input=synth_file, output=tmp_path / "a.h5", **common)
    wide = {"input": tmp_path / "wide.h5", "wavelength": tmp_path / "wide.npy"}
    run_transfer(output=tmp_path / "b.h5", **wide, **common)
    narrow, cut = contents(tmp_path / "a.h5"), contents(tmp_path / "b.h5")
    for name in ("wavelength", "spectra test", "spectra_err test", "mask test", "latent_shared test"):
        assert np.array_equal(cut[name], narrow[name]), name
    assert np.array_equal(cut["snr test"], np.arange(40))
    assert "bits test" not in cut


def test_a_continuum_that_the_pixels_left_do_not_allow_is_not_told(synth_file, payne2payne_run, tmp_path, caplog):
    path = tmp_path / "synth.h5"
    path.write_bytes(synth_file.read_bytes())
    with h5py.File(path, "r+") as file:
        file.attrs["continuum_degree"], file.attrs["continuum_starts"] = 3, [0, 100, 201]  # a chip of two pixels
    run_transfer(checkpoint=payne2payne_run, input=path, output=tmp_path / "out.h5")
    assert "the output does not say how it was normalised" in caplog.text
    with h5py.File(tmp_path / "out.h5") as file:
        assert "continuum_degree" not in file.attrs


@pytest.mark.parametrize("given", [False, True])
def test_the_continuum_is_told_of_the_pixels_that_are_left(given, synth_file, payne2payne_run, tmp_path):
    """Three pixels at the blue end are cut: chips begin, and given pixels lie, three earlier."""
    old = contents(synth_file)
    grid = np.r_[old["wavelength"][0] - np.array([0.6, 0.4, 0.2]), old["wavelength"]]
    pixels = np.arange(len(grid)) % 3 == 0 if given else None
    with h5py.File(tmp_path / "wide.h5", "w") as file:
        file["wavelength"] = grid
        for name in ("spectra test", "spectra_err test"):
            file[name] = np.pad(old[name], ((0, 0), (3, 0)), constant_values=0.04)
        write_continuum(Continuum(grid, 2, pixels), file)
    run_transfer(checkpoint=payne2payne_run, input=tmp_path / "wide.h5", output=tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as file:
        found = read_continuum(file, file["wavelength"][()])
    assert found.degree == 2
    assert found.starts.tolist() == [0, 100]
    assert found.given == given
    assert torch.equal(found.pixels, torch.from_numpy(pixels[3:]) if given else torch.ones(203, dtype=torch.bool))


def test_split_latents_are_drawn_from_training_stars(payne2payne_run, synth_file, trained, tmp_path):
    def drawn(seed):
        path = tmp_path / f"{seed}.h5"
        run_transfer(checkpoint=payne2payne_run, input=synth_file, output=path, split="drawn", seed=seed)
        return contents(path)

    one, other = drawn(1), drawn(2)
    sample = {tuple(row) for row in trained.split_sample.tolist()}
    assert all(tuple(row) in sample for row in one["latent_split test"].tolist())
    assert len(np.unique(one["latent_split test"], axis=0)) > 10
    assert not np.array_equal(one["spectra test"], other["spectra test"])
    split = torch.from_numpy(one["latent_split test"])
    expected = trained.synth_to_obs(contents(synth_file)["spectra test"], split=split)
    assert np.array_equal(one["spectra test"], expected)


def test_split_latents_come_from_observed_stars(payne2payne_run, synth_file, obs_file, trained, tmp_path):
    config = {"checkpoint": payne2payne_run, "split": obs_file}
    run_transfer(input=synth_file, output=tmp_path / "paired.h5", **config)
    _, split = trained.encode_obs(contents(obs_file)["spectra test"])
    assert np.array_equal(contents(tmp_path / "paired.h5")["latent_split test"], split)

    # As many as observed stars no more, one of which cannot be seen: drawn from the others.
    with h5py.File(obs_file, "r") as file, h5py.File(tmp_path / "fewer.h5", "w") as fewer:
        for name in file:
            fewer[name] = file[name][:30] if name.endswith("test") else file[name][()]
        fewer["mask test"][0] = False
    run_transfer(input=synth_file, output=tmp_path / "drawn.h5", **config | {"split": tmp_path / "fewer.h5"})
    drawn = contents(tmp_path / "drawn.h5")["latent_split test"]
    assert {tuple(row) for row in drawn.tolist()} < {tuple(row) for row in split[1:30].tolist()}


@pytest.fixture
def partners(obs_file, tmp_path):
    """Observed stars of which one cannot be seen."""
    path = tmp_path / "obs.h5"
    path.write_bytes(obs_file.read_bytes())
    with h5py.File(path, "r+") as file:
        file["mask test"][6] = False
    return path


def test_a_star_whose_partner_cannot_be_seen_is_masked(payne2payne_run, synth_file, partners, tmp_path):
    run_transfer(checkpoint=payne2payne_run, input=synth_file, output=tmp_path / "out.h5", split=partners)
    found = contents(tmp_path / "out.h5")
    assert np.array_equal(np.flatnonzero(~found["mask test"].any(axis=1)), [6])
    assert np.array_equal(np.flatnonzero(np.isnan(found["spectra test"]).all(axis=1)), [6])


def test_so_is_a_star_of_a_table(payne2payne_run, partners, trained, tmp_path):
    stars = write_table(trained, tmp_path / "labels.csv", rows=40, teff=["5000"] * 40)
    run_transfer(checkpoint=payne2payne_run, labels=stars, output=tmp_path / "out.h5", split=partners)
    found = contents(tmp_path / "out.h5")
    (name,) = [name for name in found if name.startswith("mask")]
    assert np.array_equal(np.flatnonzero(~found[name].any(axis=1)), [6])


def test_a_table_of_labels_becomes_observed_spectra(payne2payne_run, trained, tmp_path):
    path = write_table(trained, tmp_path / "labels.csv")
    run_transfer(checkpoint=payne2payne_run, labels=path, output=tmp_path / "out.h5", batch_size=2)
    middle = (trained.emulator.label_low + trained.emulator.label_high) / 2
    labels = middle.repeat(5, 1)
    labels[:, 0] = 5000 + 100 * torch.arange(5)
    with SpectraFile(tmp_path / "out.h5") as file:
        assert file.label_names == trained.label_names
        assert torch.equal(file.labels("test"), labels)
        assert file.identities("test") == [f"2M{i}" for i in range(5)]
        spectra = file.read("test")
    torch.testing.assert_close(spectra.flux, trained.from_labels(labels), rtol=0, atol=3e-6)
    assert (spectra.error == 0.005).all()
    assert spectra.mask.all()

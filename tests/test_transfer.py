"""Translating files and arrays: what comes out is what the translator makes of each star, whatever the file's shape."""

import math
import os
import resource
import signal
from functools import partial

import h5py
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from cyclegan.checkpoint import Trained, load_trained
from cyclegan.continuum import Continuum
from cyclegan.files import SpectraFile, written_spectra
from cyclegan.spectra import Components, Spectra
from cyclegan.transfer import Transfer, TransferConfig, load, transfer
from cyclegan.translator import build_translator
from emulator.command import InputError, config_folder, validate


def configured(**settings):
    config = OmegaConf.load(f"{config_folder()}/transfer.yaml")
    del config["hydra"], config["defaults"]
    return validate(
        OmegaConf.merge(config, {"device": "cpu"} | {k: str(v) for k, v in settings.items()}), TransferConfig
    )


@pytest.fixture(scope="module")
def model(payne2payne_run):
    return load(payne2payne_run, "cpu")


@pytest.fixture(scope="module")
def bare(payne2payne_run):
    return load_trained(payne2payne_run)


def written(path, spectra, wavelength, split="test", **columns):
    with written_spectra(path, wavelength, ("teff", "snr")) as writer:
        writer.append(split, spectra, **columns)
    return path


@pytest.fixture(scope="module")
def stars(model):
    """Synthetic spectra of 40 stars, as the emulator of the run makes them."""
    generator = torch.Generator().manual_seed(3)
    low, high = model.emulator.label_low, model.emulator.label_high
    labels = low + (high - low) * (0.3 + 0.4 * torch.rand(40, len(low), generator=generator))
    flux = model.synthesize(labels)
    return Spectra(flux, torch.full_like(flux, 0.007), torch.ones_like(flux, dtype=torch.bool))


@pytest.fixture(scope="module")
def synth_file(stars, model, tmp_path_factory):
    columns = {"labels": torch.arange(80.0).view(40, 2), "id": [f"star {i}" for i in range(40)]}
    return written(tmp_path_factory.mktemp("input") / "synth.h5", stars, model.wavelength, **columns)


@pytest.fixture(scope="module")
def obs_file(sky, model, tmp_path_factory):
    path = written(tmp_path_factory.mktemp("input") / "obs.h5", sky.val_obs.rows(slice(40)), model.wavelength)
    with h5py.File(path, "r+") as file:
        for name in ("spectra", "spectra_err", "mask"):
            file[f"{name} train"] = file[f"{name} test"][:25]
    return path


def contents(path):
    with h5py.File(path) as file:
        return {name: dataset[()] for name, dataset in file.items()}


def test_a_known_gap_is_added_by_networks_that_are_the_identity(toy_gap):
    model, x, expected = toy_gap
    torch.testing.assert_close(model.synth_to_obs(x), expected, rtol=0, atol=2e-6)
    torch.testing.assert_close(model.obs_to_synth(expected), x, rtol=0, atol=2e-6)


@pytest.fixture
def toy_gap():
    """Spectra in the span of K components, and networks as they start, with as many latents: only the means differ."""
    pixels, K = 50, 6
    generator = torch.Generator().manual_seed(0)
    mean_s, mean_o = 0.9 + 0.05 * torch.randn(2, pixels, generator=generator)
    weight = 50 + 100 * torch.rand(pixels, generator=generator)
    basis = torch.linalg.qr(torch.randn(pixels, K, generator=generator)).Q
    networks = OmegaConf.create({"kind": "dense", "shared": K, "split": 0, "components": K, "width": 4})
    spaces = (Components(mean_s, weight, basis), Components(mean_o, weight, basis))
    translator = build_translator(networks, spaces, torch.ones(K)).eval().requires_grad_(False)
    config = OmegaConf.create({"domains": {"synth": {"path": "synth.h5"}, "obs": {"path": "obs.h5"}}})
    trained = Trained(
        translator,
        torch.linspace(15000.0, 15010.0, pixels).double(),
        None,
        {},
        None,
        torch.empty(9, 0),
        True,
        config,
        1,
    )
    deviation = torch.randn(700, K, generator=generator) @ basis.T / weight
    return Transfer(trained, "the toy"), mean_s + deviation, mean_o + deviation


def test_masked_pixels_do_not_spoil_a_known_gap(toy_gap):
    model, x, expected = toy_gap
    spoilt, error = x.clone(), torch.full_like(x, 0.01)
    spoilt[:, 3], spoilt[:, 17], spoilt[:, 30] = math.nan, math.inf, 7.0
    error[:, 30] = 0.06
    # Coefficients converge to those of the whole spectrum, here to a tenth of the spoilt pixels' own deviation.
    translated = model.synth_to_obs(spoilt, error)
    assert (translated - expected).abs().max() < 0.1 * (x - x.mean(dim=0)).abs().max()
    masked = error < 0.05
    assert torch.equal(model.synth_to_obs(spoilt, mask=masked), translated)
    assert torch.equal(
        model.synth_to_obs(spoilt.nan_to_num(5.0, posinf=-3.0), mask=masked & spoilt.isfinite()), translated
    )


def test_python_gives_what_the_translator_gives(model, bare, stars, sky):
    mean = bare.split.mean(dim=0).expand(40, -1)
    assert torch.equal(model.synth_to_obs(stars.flux), bare.translator.synth_to_obs(stars, mean))
    obs = sky.val_obs
    assert torch.equal(model.obs_to_synth(obs.flux, obs.error), bare.translator.obs_to_synth(obs))
    z_o, split = bare.translator.encoder_o(bare.translator.space_o.project(obs).flux)
    assert all(map(torch.equal, model.encode_obs(obs.flux), (z_o, split)))
    z_s = bare.translator.encode_synth(bare.translator.space_s.project(stars).flux)
    assert torch.equal(model.encode_synth(stars.flux), z_s)
    given = model.synth_to_obs(stars.flux, split=split[:40])
    assert torch.equal(given, bare.translator.synth_to_obs(stars, split[:40]))
    assert not torch.equal(given, model.synth_to_obs(stars.flux))


def test_arrays_of_any_type_and_byte_order_go_in(model, stars):
    expected = model.synth_to_obs(stars.flux)
    for kind in ("<f4", ">f4", "<f8", ">f8"):
        assert torch.equal(model.synth_to_obs(stars.flux.numpy().astype(kind)), expected)


def test_labels_become_observed_spectra(model, payne, bare):
    labels = {
        name: (low + high) / 2
        for name, low, high in zip(payne.label_names, payne.label_low.tolist(), payne.label_high.tolist(), strict=True)
    }
    labels["fe_h"] = np.array([-0.5, 0.0, 0.2])
    rows = torch.tensor([[np.broadcast_to(v, 3)[i] for v in labels.values()] for i in range(3)], dtype=torch.float32)
    hidden = bare.hidden["synth"]
    assert 0 < hidden.sum() < len(hidden)
    flux = torch.where(hidden, 1.0, payne(rows).detach())
    assert torch.equal(model.synthesize(labels), flux)
    assert torch.equal(model.from_labels(labels), model.synth_to_obs(flux))
    assert torch.equal(model.from_labels(rows), model.from_labels(dict(reversed(labels.items()))))


def test_gradients_by_labels_are_those_of_differences(model):
    middle = (model.emulator.label_low + model.emulator.label_high) / 2
    gradient = torch.func.jacfwd(lambda labels: model.from_labels(labels[None])[0])(middle)
    for column in (0, 4, 7):
        step = torch.zeros_like(middle)
        step[column] = 0.05 * (model.emulator.label_high - model.emulator.label_low)[column]
        difference = (model.from_labels((middle + step)[None]) - model.from_labels((middle - step)[None]))[0]
        expected = difference / (2 * step[column])
        torch.testing.assert_close(gradient[:, column], expected, rtol=0.02, atol=0.02 * float(expected.abs().max()))


def test_python_refuses_what_has_another_shape(model, stars):
    pixels = len(model.wavelength)
    for call, words in (
        (
            lambda: model.synth_to_obs(stars.flux[:, 1:]),
            rf"flux: expected shape \(40, {pixels}\).*\(40, {pixels - 1}\)",
        ),
        (lambda: model.synth_to_obs(stars.flux[0]), rf"flux: expected shape \(stars, {pixels}\), got \({pixels},\)"),
        (lambda: model.synth_to_obs(1.0), "flux: expected shape"),
        (lambda: model.synth_to_obs([["a"] * pixels]), "expected an array of numbers"),
        (lambda: model.synth_to_obs(stars.flux, split=np.zeros((3, 2))), "split: expected shape"),
        (lambda: model.synth_to_obs(stars.flux[:0]), "flux: expected shape"),
        (lambda: model.obs_to_synth(stars.flux, stars.error[:3]), "error: expected shape"),
        (lambda: model.obs_to_synth(stars.flux, mask=stars.mask[:3]), "mask: expected shape"),
        (lambda: model.synth_to_obs(stars.flux, split=torch.zeros(3, 2)), r"split: expected shape \(40, 2\)"),
        (lambda: model.from_labels(torch.zeros(19)), "labels: expected shape"),
        (lambda: model.from_labels({"teff": 5000.0}), "got no logg"),
        (lambda: load(model.where, "tpu"), "device: expected"),
    ):
        with pytest.raises(InputError, match=words):
            call()


@pytest.mark.parametrize("direction", ["synth_to_obs", "obs_to_synth"])
def test_a_file_holds_what_the_translator_gives(direction, payne2payne_run, model, bare, synth_file, tmp_path, stars):
    output = tmp_path / "out.h5"
    transfer(configured(checkpoint=payne2payne_run, input=synth_file, output=output, direction=direction))
    found, given, t = contents(output), contents(synth_file), bare.translator
    if direction == "synth_to_obs":
        shared, split = t.encode_synth(t.space_s.project(stars).flux), bare.split.mean(dim=0).expand(40, -1)
        flux = t.synth_to_obs(stars, split)
    else:
        shared, split = t.encoder_o(t.space_o.project(stars).flux)
        flux = t.obs_to_synth(stars)
    assert np.array_equal(found.pop("spectra test"), flux)
    assert np.array_equal(found.pop("latent_shared test"), shared)
    assert np.array_equal(found.pop("latent_split test"), split)
    given.pop("spectra test")
    assert found.keys() == given.keys() == {"wavelength", "spectra_err test", "mask test", "labels test", "id test"}
    assert all(np.array_equal(found[name], given[name]) for name in found)
    with SpectraFile(output) as file:
        assert file.label_names == ("teff", "snr")
        assert file.identities("test")[7] == "star 7"
        assert dict(file.file.attrs)["direction"] == direction
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.h5"]


@pytest.fixture
def spoilt_file(synth_file, tmp_path):
    """Masked pixels of three kinds in some stars, one star without any usable one, and two splits more."""
    path = tmp_path / "spoilt.h5"
    path.write_bytes(synth_file.read_bytes())
    with h5py.File(path, "r+") as file:
        file["mask test"][2, 20:30] = False
        file["spectra test"][3, 40:50] = math.nan
        file["spectra_err test"][4, 60:70] = 0.3
        file["spectra_err test"][5] = math.inf
        for name in ("spectra", "spectra_err"):
            file[f"{name} train"] = file[f"{name} test"][:7]
            file[f"{name} val"] = file[f"{name} test"][:0]
    return path


def test_a_file_translated_back_says_so(payne2payne_run, synth_file, tmp_path):
    for source, output, direction in (
        (synth_file, tmp_path / "there.h5", "synth_to_obs"),
        (tmp_path / "there.h5", tmp_path / "back.h5", "obs_to_synth"),
    ):
        transfer(configured(checkpoint=payne2payne_run, input=source, output=output, direction=direction))
        with h5py.File(output) as file:
            assert file.attrs["direction"] == direction


def test_masks_are_passed_on_and_masked_pixels_have_no_pull(spoilt_file, payne2payne_run, bare, stars, tmp_path):
    transfer(configured(checkpoint=payne2payne_run, input=spoilt_file, output=tmp_path / "out.h5"))
    found = contents(tmp_path / "out.h5")
    mask = torch.ones(40, stars.flux.shape[1], dtype=torch.bool)
    mask[2, 20:30] = mask[3, 40:50] = mask[4, 60:70] = mask[5] = False
    assert np.array_equal(found["mask test"], mask)
    mask_train = mask[:7].clone()
    mask_train[2] = True
    assert np.array_equal(found["mask train"], mask_train)
    expected = bare.translator.synth_to_obs(stars._replace(mask=mask), bare.split.mean(dim=0).expand(40, -1)).numpy()
    seen = np.arange(40) != 5
    assert np.array_equal(found["spectra test"][seen], expected[seen])
    assert np.isnan(found["spectra test"][5]).all()
    assert np.isnan(found["latent_shared test"][5]).all()
    assert not any(name.endswith(" val") for name in found)
    with SpectraFile(tmp_path / "out.h5") as file:
        assert np.array_equal(file.read("test").mask, mask)


def test_results_do_not_depend_on_the_batches(spoilt_file, payne2payne_run, tmp_path):
    found = {}
    for size in (1, 7, 256):
        config = configured(checkpoint=payne2payne_run, input=spoilt_file, output=tmp_path / "out.h5", batch_size=size)
        transfer(config)
        found[size] = contents(tmp_path / "out.h5")
    for size in (1, 7):
        assert found[size].keys() == found[256].keys()
        for name, values in found[256].items():
            if values.dtype.kind == "f":
                np.testing.assert_allclose(found[size][name], values, rtol=0, atol=3e-6, err_msg=name)
            else:
                assert np.array_equal(found[size][name], values)


def test_more_pixels_than_the_checkpoints_are_cut(synth_file, payne2payne_run, model, tmp_path):
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
    transfer(configured(input=synth_file, output=tmp_path / "a.h5", **common))
    wide = {"input": tmp_path / "wide.h5", "wavelength": tmp_path / "wide.npy"}
    transfer(configured(output=tmp_path / "b.h5", **wide, **common))
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
    transfer(configured(checkpoint=payne2payne_run, input=path, output=tmp_path / "out.h5"))
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
        Continuum(grid, 2, pixels).write(file)
    transfer(configured(checkpoint=payne2payne_run, input=tmp_path / "wide.h5", output=tmp_path / "out.h5"))
    with h5py.File(tmp_path / "out.h5") as file:
        found = Continuum.read(file, file["wavelength"][()])
    assert found.degree == 2
    assert found.starts.tolist() == [0, 100]
    assert found.given == given
    assert torch.equal(found.pixels, torch.from_numpy(pixels[3:]) if given else torch.ones(203, dtype=torch.bool))


def test_split_latents_are_drawn_from_training_stars(payne2payne_run, synth_file, model, tmp_path):
    def drawn(seed):
        path = tmp_path / f"{seed}.h5"
        transfer(configured(checkpoint=payne2payne_run, input=synth_file, output=path, split="drawn", seed=seed))
        return contents(path)

    one, other = drawn(1), drawn(2)
    sample = {tuple(row) for row in model.split_sample.tolist()}
    assert all(tuple(row) in sample for row in one["latent_split test"].tolist())
    assert len(np.unique(one["latent_split test"], axis=0)) > 10
    assert not np.array_equal(one["spectra test"], other["spectra test"])
    split = torch.from_numpy(one["latent_split test"])
    expected = model.synth_to_obs(contents(synth_file)["spectra test"], split=split)
    assert np.array_equal(one["spectra test"], expected)


def test_split_latents_come_from_observed_stars(payne2payne_run, synth_file, obs_file, model, tmp_path):
    config = {"checkpoint": payne2payne_run, "split": obs_file}
    transfer(configured(input=synth_file, output=tmp_path / "paired.h5", **config))
    _, split = model.encode_obs(contents(obs_file)["spectra test"])
    assert np.array_equal(contents(tmp_path / "paired.h5")["latent_split test"], split)

    # As many as observed stars no more, one of which cannot be seen: drawn from the others.
    with h5py.File(obs_file, "r") as file, h5py.File(tmp_path / "fewer.h5", "w") as fewer:
        for name in file:
            fewer[name] = file[name][:30] if name.endswith("test") else file[name][()]
        fewer["mask test"][0] = False
    transfer(configured(input=synth_file, output=tmp_path / "drawn.h5", **config | {"split": tmp_path / "fewer.h5"}))
    drawn = contents(tmp_path / "drawn.h5")["latent_split test"]
    assert {tuple(row) for row in drawn.tolist()} < {tuple(row) for row in split[1:30].tolist()}


def test_a_star_whose_partner_cannot_be_seen_is_masked(payne2payne_run, synth_file, obs_file, tmp_path):
    path = tmp_path / "obs.h5"
    path.write_bytes(obs_file.read_bytes())
    with h5py.File(path, "r+") as file:
        file["mask test"][6] = False
    transfer(configured(checkpoint=payne2payne_run, input=synth_file, output=tmp_path / "out.h5", split=path))
    found = contents(tmp_path / "out.h5")
    assert np.array_equal(np.flatnonzero(~found["mask test"].any(axis=1)), [6])
    assert np.array_equal(np.flatnonzero(np.isnan(found["spectra test"]).all(axis=1)), [6])


def test_so_is_a_star_of_a_table(payne2payne_run, obs_file, model, tmp_path):
    path = tmp_path / "obs.h5"
    path.write_bytes(obs_file.read_bytes())
    with h5py.File(path, "r+") as file:
        file["mask test"][6] = False
    stars = table(model, tmp_path / "labels.csv", rows=40, teff=["5000"] * 40)
    transfer(configured(checkpoint=payne2payne_run, labels=stars, output=tmp_path / "out.h5", split=path))
    found = contents(tmp_path / "out.h5")
    (name,) = [name for name in found if name.startswith("mask")]
    assert np.array_equal(np.flatnonzero(~found[name].any(axis=1)), [6])


def table(model, path, rows=5, **changes):
    """A table of labels in the middle of their ranges, teff rising, the columns backwards."""
    names, low, high = model.label_names, model.emulator.label_low, model.emulator.label_high
    labels = {n: [f"{float(v)!r}"] * rows for n, v in zip(names, (low + high) / 2, strict=True)}
    labels["teff"] = [str(5000 + 100 * i) for i in range(rows)]
    labels = {"id": [f"2M{i}" for i in range(rows)], **dict(reversed(labels.items()))} | changes
    labels = {name: column for name, column in labels.items() if column is not None}
    lines = [",".join(labels), *(",".join(row) for row in zip(*labels.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_table_of_labels_becomes_observed_spectra(payne2payne_run, model, tmp_path):
    path = table(model, tmp_path / "labels.csv")
    transfer(configured(checkpoint=payne2payne_run, labels=path, output=tmp_path / "out.h5", batch_size=2))
    middle = (model.emulator.label_low + model.emulator.label_high) / 2
    labels = middle.repeat(5, 1)
    labels[:, 0] = 5000 + 100 * torch.arange(5)
    with SpectraFile(tmp_path / "out.h5") as file:
        assert file.label_names == model.label_names
        assert torch.equal(file.labels("test"), labels)
        assert file.identities("test") == [f"2M{i}" for i in range(5)]
        spectra = file.read("test")
    torch.testing.assert_close(spectra.flux, model.from_labels(labels), rtol=0, atol=3e-6)
    assert (spectra.error == 0.005).all()
    assert spectra.mask.all()


def swapped(path, name, values):
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = values
    return path


BAD = {
    "no such run": ({"checkpoint": "nowhere"}, ["nowhere", "checkpoint", "none"]),
    "no checkpoint": ({"checkpoint": "other.txt"}, ["other.txt", "does not load"]),
    "no such file": ({"input": "nowhere.h5"}, ["nowhere.h5", "no such file"]),
    "a file of something else": ({"input": "other.txt"}, ["other.txt", "truncated or other"]),
    "a truncated file": ({"input": "cut.h5"}, ["cut.h5", "truncated"]),
    "other wavelengths": ({"input": "moved.h5"}, ["moved.h5", "203 pixels", "nearest to"]),
    "fewer pixels": ({"input": "narrow.h5"}, ["narrow.h5", "203 pixels", "got 200 pixels"]),
    "no spectra": ({"input": "empty.h5"}, ["empty.h5", "expected spectra, got none"]),
    "an error of zero": ({"input": "zero.h5"}, ["zero.h5", "errors above 0", "row 39"]),
    "the input as the output": ({"output": "synth.h5"}, ["'output'", "another file than 'input'"]),
    "the split's file as the output": ({"split": "obs.h5", "output": "./obs.h5"}, ["'output'", "'split'"]),
    "a place that cannot be written": ({"output": "other.txt/out.h5"}, ["other.txt/out.h5", "a place to write"]),
    "a folder for the output": ({"output": "folder"}, ["folder", "got a folder"]),
    "no such split": ({"split": "median"}, ["'split'", "mean, drawn or a file of spectra", "median"]),
    "a split file of another grid": ({"split": "moved.h5"}, ["moved.h5", "203 pixels"]),
    "a split file without usable stars": ({"split": "blind.h5"}, ["blind.h5", "usable spectra"]),
    "a split for theory": ({"split": "drawn", "direction": "obs_to_synth"}, ["'split'", "obs_to_synth"]),
    "nothing to translate": ({"input": None}, ["'input'", "neither"]),
    "two things to translate": ({"labels": "labels.csv"}, ["'input'", "both"]),
    "no device": ({"device": "gpu"}, ["device", "got gpu"]),
}
LABELS = {
    "labels to theory": ({}, {"direction": "obs_to_synth"}, ["'direction'", "labels", "obs_to_synth"]),
    "a missing label": ({"logg": None}, {}, ["labels.csv", "got no logg"]),
    "an unknown label": ({"age": ["1"] * 5}, {}, ["labels.csv", "unknown age"]),
    "a label that is not a number": ({"logg": ["3", "3", "x", "3", "3"]}, {}, ["labels.csv", "'logg' in row 2", "'x'"]),
    "a label that is NaN": ({"logg": ["3", "3", "3", "nan", "3"]}, {}, ["labels.csv", "'logg'", "nan in row 3"]),
    "a label out of range": ({"teff": ["5000"] * 4 + ["9000"]}, {}, ["labels.csv", "'teff'", "9000 in row 4"]),
    "no such table": ({}, {"labels": "nowhere.csv"}, ["nowhere.csv", "No such file"]),
    "an empty table": ({}, {"labels": "empty.csv"}, ["empty.csv", "a row"]),
    "a table without stars": ({}, {"labels": "header.csv"}, ["header.csv", "a row for each star"]),
    "a table with a short row": ({}, {"labels": "short.csv"}, ["short.csv", "20 values in row 0, got 2"]),
    "a table in no encoding": ({}, {"labels": "synth.h5"}, ["synth.h5", "header"]),
    "a run between files": ({}, {"checkpoint": "files_run"}, ["files_run", "emulated", "emulator of it"]),
}


@pytest.fixture
def folder(tmp_path, synth_file, obs_file, model, monkeypatch, files_run):
    """Somewhere to go wrong in, and what was there before."""
    monkeypatch.chdir(tmp_path)
    original = synth_file.read_bytes()
    for name in ("synth", "moved", "narrow", "empty", "zero"):
        (tmp_path / f"{name}.h5").write_bytes(original)
    for name in ("obs", "blind"):
        (tmp_path / f"{name}.h5").write_bytes(obs_file.read_bytes())
    (tmp_path / "cut.h5").write_bytes(original[: len(original) // 2])
    (tmp_path / "other.txt").write_text("stars\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "header.csv").write_text(",".join(model.label_names) + "\n")
    (tmp_path / "short.csv").write_text("id," + ",".join(model.label_names) + "\nme,5000\n")
    (tmp_path / "files_run").symlink_to(files_run)
    grid, found = model.wavelength.numpy(), contents(synth_file)
    swapped(tmp_path / "moved.h5", "wavelength", grid + 0.05)
    swapped(tmp_path / "narrow.h5", "wavelength", grid[3:])
    for name in ("spectra test", "spectra_err test", "mask test"):
        swapped(tmp_path / "narrow.h5", name, found[name][:, 3:])
        swapped(tmp_path / "empty.h5", name, found[name][:0])
    for name in ("labels test", "id test"):
        with h5py.File(tmp_path / "empty.h5", "r+") as file:
            del file[name]
    with h5py.File(tmp_path / "zero.h5", "r+") as file:
        file["spectra_err test"][39, 5] = 0
    with h5py.File(tmp_path / "blind.h5", "r+") as file:
        file["mask test"][:] = False
        for name in ("spectra", "spectra_err", "mask"):  # fewer than there are spectra to translate
            values = file[f"{name} test"][:9]
            del file[f"{name} test"]
            file[f"{name} test"] = values
    return tmp_path


def refused(folder, config):
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    with pytest.raises(InputError) as caught:
        transfer(configured(**{k: v for k, v in config.items() if v is not None}))
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    return str(caught.value)


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_told_in_one_line_and_nothing_is_written(name, folder, payne2payne_run):
    changes, words = BAD[name]
    common = {"checkpoint": payne2payne_run, "input": "synth.h5", "output": "out.h5", "batch_size": 16}
    line = refused(folder, common | changes)
    assert "\n" not in line
    assert all(word in line for word in words), line


@pytest.mark.parametrize("name", LABELS)
def test_bad_labels_are_told_in_one_line_and_nothing_is_written(name, folder, payne2payne_run, model):
    columns, changes, words = LABELS[name]
    table(model, folder / "labels.csv", **columns)
    line = refused(folder, {"checkpoint": payne2payne_run, "labels": "labels.csv", "output": "out.h5"} | changes)
    assert "\n" not in line
    assert all(word in line for word in words), line


def killed_by(number):
    """Make the process send itself a signal at its third batch."""
    original, calls = Transfer.translate, []

    def translate(self, *arguments):
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), number)
        return original(self, *arguments)

    Transfer.translate = translate


def with_little_room():
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))


def test_the_command(start, payne2payne_run, synth_file, tmp_path):
    """It works; one with a mistyped value, or with no room left, is told; one that is stopped leaves nothing."""
    common = f"checkpoint={payne2payne_run}", f"input={synth_file}", "batch_size=8"

    def process(name, *overrides, before=None):
        (tmp_path / name).mkdir()
        return start(tmp_path / name, *common, *overrides, module="cyclegan.transfer", before=before)

    started = {
        "good": process("good", "output=deep/out.h5"),
        "mistyped": process("mistyped", "output=out.h5", "direction=sideways"),
        "unknown": process("unknown", "output=out.h5", "outptu=out.h5"),
        "nowhere": process("nowhere"),
        "full": process("full", "output=out.h5", before=with_little_room),
        "terminated": process("terminated", "output=out.h5", before=partial(killed_by, signal.SIGTERM)),
        "interrupted": process("interrupted", "output=out.h5", before=partial(killed_by, signal.SIGINT)),
    }
    commands = {name: process.wait() for name, process in started.items()}
    codes = {name: command.code for name, command in commands.items()}
    assert codes == dict.fromkeys(("mistyped", "unknown", "nowhere", "full"), 2) | {
        "good": 0,
        "terminated": 143,
        "interrupted": 130,
    }, {name: command.err for name, command in commands.items()}
    left = {name: sorted(path.name for path in command.folder.iterdir()) for name, command in commands.items()}
    assert left.pop("good") == ["deep", "err", "out"]
    assert all(names == ["err", "out"] for names in left.values()), left
    assert (
        contents(tmp_path / "good" / "deep" / "out.h5")["spectra test"].shape
        == contents(synth_file)["spectra test"].shape
    )
    for name, words in {
        "mistyped": ["'direction'", "synth_to_obs, obs_to_synth", "sideways"],
        "unknown": ["outptu"],
        "nowhere": ["'output'", "expected a value"],
        "full": ["out.h5", "room"],
    }.items():
        line = commands[name].err.splitlines()[-1].rpartition("\r")[2]
        assert line.startswith("error: ")
        assert all(word in line for word in words), line
        if name != "full":  # HDF5 may add to stderr that it cannot close a file either that hits such a limit
            assert "Traceback" not in commands[name].err
    assert "40/40" in commands["good"].err


def test_spectra_that_are_not_normalised_are_told_and_nothing_is_written(synth_file, payne2payne_run, tmp_path):
    path, output = tmp_path / "counts.h5", tmp_path / "out.h5"
    path.write_bytes(synth_file.read_bytes())
    with h5py.File(path, "r+") as file:
        for name in ("spectra test", "spectra_err test"):
            values = 5000 * file[name][()]
            del file[name]
            file[name] = values
    with pytest.raises(InputError, match=r"counts.h5: expected flux normalised .* in 'spectra test', got a median of"):
        transfer(configured(checkpoint=payne2payne_run, input=path, output=output))
    assert not output.exists()

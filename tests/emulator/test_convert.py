"""emulator/published.py and emulator/convert.py: other people's networks give the same spectra as ours."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from emulator.apogee import apogee_wavelength
from emulator.commands.config import config_folder, validate
from emulator.commands.errors import InputError
from emulator.convert import ConvertConfig, convert
from emulator.payne import Payne
from emulator.published import PUBLISHED_LABELS, read_published
from emulator.wavelength import vacuum_to_air

LABELS, WIDTH, PIXELS = 3, 5, 11
NAMES = ("teff", "logg", "fe_h")
WAVELENGTH = np.linspace(15000.0, 15010.0, PIXELS)


def published(labels=LABELS, pixels=PIXELS):
    """Arrays as The Payne saves them."""
    random = np.random.default_rng(0)
    shapes = {
        "w_array_0": (WIDTH, labels),
        "w_array_1": (WIDTH, WIDTH),
        "w_array_2": (pixels, WIDTH),
        "b_array_0": (WIDTH,),
        "b_array_1": (WIDTH,),
        "b_array_2": (pixels,),
    }
    arrays = {name: random.normal(0, 0.4, shape).astype("float32") for name, shape in shapes.items()}
    arrays["x_min"] = np.r_[4000.0, 0.5, random.uniform(-2, -1, labels - 2)]
    arrays["x_max"] = np.r_[6500.0, 5.0, random.uniform(0, 1, labels - 2)]
    return arrays


def evaluate(arrays, labels, activation):
    """The Payne's formula in NumPy, float64."""
    f = {"leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z), "sigmoid": lambda z: 1 / (1 + np.exp(-z))}[activation]
    w, b = ([arrays[f"{letter}_array_{n}"].astype("float64") for n in range(3)] for letter in "wb")
    x = (labels - arrays["x_min"]) / (arrays["x_max"] - arrays["x_min"]) - 0.5
    return f(f(x @ w[0].T + b[0]) @ w[1].T + b[1]) @ w[2].T + b[2]


def stars(arrays, n=20):
    share = np.random.default_rng(1).uniform(size=(n, len(arrays["x_min"])))
    labels = arrays["x_min"] + share * (arrays["x_max"] - arrays["x_min"])
    return labels.astype("float32").astype("float64")  # what a network in float32 is given


@pytest.fixture
def npz(tmp_path):
    np.savez(tmp_path / "nn.npz", **published())
    return tmp_path / "nn.npz"


@torch.no_grad()
def assert_same_spectra(payne, arrays, activation="leaky_relu"):
    labels = stars(arrays)
    flux = payne(torch.from_numpy(labels).float()).numpy()
    np.testing.assert_allclose(flux, evaluate(arrays, labels, activation), atol=1e-6)


@pytest.mark.parametrize("activation", ["leaky_relu", "sigmoid"])
def test_an_npz_gives_the_same_spectra_and_so_does_our_file_of_it(npz, tmp_path, activation):
    payne = read_published(npz, NAMES, WAVELENGTH, activation)
    payne.save(tmp_path / "mine.pt")
    for network in (payne, Payne.load(tmp_path / "mine.pt")):
        assert_same_spectra(network, published(), activation)
        assert network.label_names == NAMES
        assert network.activation == activation
        np.testing.assert_array_equal(network.wavelength, WAVELENGTH)
        np.testing.assert_allclose(network.label_high, published()["x_max"], rtol=1e-7)


def test_a_file_of_ours_without_an_activation_is_leaky(npz, tmp_path):
    contents = read_published(npz, NAMES, WAVELENGTH).contents()
    del contents["activation"]
    torch.save(contents, tmp_path / "old.pt")
    assert_same_spectra(Payne.load(tmp_path / "old.pt"), published())


def test_temperatures_in_kilokelvin_become_kelvin(npz):
    arrays = published()
    for name in ("x_min", "x_max"):
        arrays[name][0] /= 1000
    np.savez(npz, **arrays)
    payne = read_published(npz, NAMES, WAVELENGTH, teff_unit="kK")
    assert_same_spectra(payne, published())
    assert payne.label_low[0] == 4000


def test_the_published_net_needs_no_names_and_no_wavelengths(npz):
    np.savez(npz, **published(labels=25, pixels=7214))
    payne = read_published(npz)
    assert payne.label_names == PUBLISHED_LABELS
    assert [PUBLISHED_LABELS.index(name) for name in ("teff", "c_h", "si_h", "fe_h", "c12_c13", "vmacro")] == [
        *(0, 3, 9, 18, 23, 24)
    ]
    np.testing.assert_array_equal(payne.wavelength, apogee_wavelength())


def checkpoint(arrays, numbers=torch.as_tensor):
    """The same network as PyTorch keeps it, with its optimiser beside."""
    network = torch.nn.Sequential(
        *(torch.nn.Linear(LABELS, WIDTH), torch.nn.LeakyReLU(), torch.nn.Linear(WIDTH, WIDTH), torch.nn.LeakyReLU()),
        torch.nn.Linear(WIDTH, PIXELS),
    )
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.zeros(LABELS)).sum().backward()
    optimizer.step()
    for number, layer in enumerate(network[::2]):
        layer.weight.data = torch.from_numpy(arrays[f"w_array_{number}"])
        layer.bias.data = torch.from_numpy(arrays[f"b_array_{number}"])
    ranges = {f"y_{end}": numbers(arrays[f"x_{end}"]) for end in ("min", "max")}
    return {"epoch": 3, "state_dict": network.state_dict(), "optimizer": optimizer.state_dict(), **ranges}


@pytest.mark.parametrize("numbers", [torch.as_tensor, np.asarray], ids=["tensors", "arrays"])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_checkpoint_gives_the_same_spectra(tmp_path, numbers, zipped):
    path = tmp_path / "PAYNE.pth.tar"
    torch.save(checkpoint(published(), numbers), path, _use_new_zipfile_serialization=zipped)
    assert_same_spectra(read_published(path, NAMES, WAVELENGTH), published())


class Code:
    """A pickle that would run a command."""

    def __reduce__(self):
        return (os.system, ("touch ran",))


def changed(**arrays):
    return lambda path: np.savez(path, **{k: v for k, v in (published() | arrays).items() if v is not None})


def cut(path):
    np.savez(path, **published())
    path.write_bytes(path.read_bytes()[:700])


def damaged(path):
    np.savez(path, **published())
    content = bytearray(path.read_bytes())
    content[150:300] = bytes(150)
    path.write_bytes(content)


def zipped_text(path):
    with zipfile.ZipFile(path, "w") as file:
        for name in published():
            file.writestr(f"{name}.npy", "numbers")


def nan_at(name, where):
    array = published()[name].copy()
    array[where] = np.nan
    return changed(**{name: array})


BAD_NPZ = {
    "a missing file": (lambda path: None, ["no such file"]),
    "missing arrays": (changed(x_max=None, b_array_1=None), ["got no b_array_1, x_max in", "w_array_0"]),
    "a pickle": (changed(x_min=np.array([Code(), 1, 2], dtype=object)), ["pickle", "refused"]),
    "text": (changed(x_min=np.array(["a", "b", "c"])), ["numbers in x_min", "<U1"]),
    "a transposed layer": (changed(w_array_2=published()["w_array_2"].T), ["w_array_2 (P, H)", "w_array_2 (5, 11)"]),
    "a range of other length": (changed(x_min=np.zeros(4)), ["x_max (L,)", "x_min (4,)"]),
    "a scalar": (changed(w_array_0=np.float64(1)), ["w_array_0 ()"]),
    "an empty layer": (changed(w_array_0=np.zeros((0, 3))), ["w_array_0 (0, 3)"]),
    "a net for each pixel": (changed(w_array_0=np.zeros((11, 5, 3))), ["one network for all pixels", "(11, 5, 3)"]),
    "a NaN weight": (nan_at("w_array_1", (2, 3)), ["w_array_1", "nan at (2, 3)"]),
    "a NaN range": (nan_at("x_max", 1), ["x_max", "nan at (1,)"]),
    "a range of nothing": (changed(x_max=published()["x_min"]), ["x_min below x_max", "label 0"]),
    "Teff in other units": (changed(x_min=np.array([4.0, 0, -1]), x_max=np.array([6.5, 5, 0])), ["in K", "4 to 6.5"]),
    "a weight that no network has": (changed(b_array_2=np.full(11, 1e30)), ["an emulator of flux, at most 100"]),
    "a weight beyond single precision": (changed(b_array_2=np.full(11, 1e300)), ["finite numbers in output.bias"]),
    "a truncated file": (cut, ["truncated or other file"]),
    "a damaged file": (damaged, ["truncated or other file"]),
    "a file of something else": (lambda path: path.write_text("flux\n"), ["truncated or other file"]),
    "an empty file": (lambda path: path.write_text(""), ["truncated or other file"]),
    "a zip of something else": (zipped_text, ["w_array_0 ()"]),
    "a bare array": (lambda path: np.save(path.open("wb"), np.ones(3)), ["truncated or other file"]),
}


@pytest.mark.parametrize("what", BAD_NPZ)
def test_a_bad_npz_is_told_in_one_line(tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    spoil, words = BAD_NPZ[what]
    spoil(tmp_path / "nn.npz")
    with pytest.raises(InputError) as caught:
        read_published(tmp_path / "nn.npz", NAMES, WAVELENGTH)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in ["nn.npz", "expected", *words]), message
    assert not (tmp_path / "ran").exists()


def test_numbers_may_lie_in_the_other_order_of_bytes(npz):
    expected = read_published(npz, NAMES, WAVELENGTH)
    np.savez(npz, **{name: array.astype(array.dtype.newbyteorder(">")) for name, array in published().items()})
    assert_same_spectra(read_published(npz, NAMES, WAVELENGTH), published())
    assert read_published(npz, NAMES, WAVELENGTH).state_dict().keys() == expected.state_dict().keys()


def without(*names):
    return {name: value for name, value in checkpoint(published()).items() if name not in names}


BAD_CHECKPOINTS = {
    "a missing file": (None, ["no such file"]),
    "code": (without() | {"network": Code()}, ["run code: refused"]),
    "objects": (without() | {"y_min": np.array([Code()], dtype=object)}, ["PyTorch checkpoint of tensors"]),
    "no ranges": (without("y_min"), ["x_min and x_max", "y_max"]),
    "no layers": (without("state_dict"), ["three layers"]),
    "another network": (
        without() | {"state_dict": torch.nn.Conv1d(1, 2, 3).state_dict()},
        ["three layers", "state_dict.weight"],
    ),
    "a list": ([1, 2], ["three layers", "got none"]),
}


@pytest.mark.parametrize("what", BAD_CHECKPOINTS)
def test_a_bad_checkpoint_is_told_in_one_line(tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    contents, words = BAD_CHECKPOINTS[what]
    if contents is not None:
        torch.save(contents, "PAYNE.pth.tar")
    with pytest.raises(InputError) as caught:
        read_published(tmp_path / "PAYNE.pth.tar", NAMES, WAVELENGTH)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in ["PAYNE.pth.tar", "expected", *words]), message
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_that_holds_itself_is_refused(tmp_path):
    endless = {"layer": torch.ones(3)}
    endless["more"] = endless
    torch.save(endless, tmp_path / "nn.pt")
    with pytest.raises(InputError, match=r"nn\.pt: expected tensors by their names, got something else"):
        read_published(tmp_path / "nn.pt", NAMES, WAVELENGTH)


@pytest.mark.parametrize("content", [b"", b"not a network", "truncated"])
def test_a_damaged_checkpoint_is_told_in_one_line(tmp_path, content):
    path = tmp_path / "PAYNE.pth.tar"
    torch.save(checkpoint(published()), path)
    path.write_bytes(path.read_bytes()[:1000] if content == "truncated" else content)
    with pytest.raises(InputError, match="got a truncated or other file") as caught:
        read_published(path, NAMES, WAVELENGTH)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "wavelength", "words"),
    [
        (None, WAVELENGTH, "labels: expected 3 different names.* got none"),
        (("teff", "logg"), WAVELENGTH, "labels: expected 3 different names.* got teff, logg"),
        (("teff", "logg", "logg"), WAVELENGTH, "labels: expected 3 different names"),
        (NAMES, None, "wavelength: expected a file of 11 .* got none"),
        (NAMES, WAVELENGTH[:-1], "wavelength: expected a file of 11 .* got 10"),
    ],
)
def test_names_and_wavelengths_must_be_as_many_as_the_networks(npz, names, wavelength, words):
    with pytest.raises(InputError, match=words):
        read_published(npz, names, wavelength)


def configured(folder, **values):
    config = OmegaConf.load(Path(config_folder()) / "convert.yaml")
    for group in ("hydra", "defaults"):
        del config[group]
    whole = {"input": folder / "nn.npz", "output": folder / "made" / "mine.pt", "labels": list(NAMES)}
    whole |= {"wavelength": folder / "wave.npy"} | values
    whole = {key: str(value) if isinstance(value, Path) else value for key, value in whole.items()}
    return validate(OmegaConf.merge(config, whole), ConvertConfig)


BAD_CONFIGURATIONS = {
    "no labels": ({"labels": None}, "expected 3 different names"),
    "a lost file": ({"wavelength": "lost.npy"}, "lost.npy: expected a file of wavelengths"),
    "an unknown activation": ({"activation": "gelu"}, "leaky_relu, sigmoid, got gelu"),
    "an unknown unit": ({"teff_unit": "F"}, "K, kK, got F"),
    "an unknown medium": ({"medium": "water"}, "vacuum, air, got water"),
    "an unknown key": ({"typo": 1}, "unknown config key 'typo'"),
    "another suffix": ({"output": "mine.npz"}, "ending in .pt"),
}


@pytest.mark.parametrize("what", BAD_CONFIGURATIONS)
def test_a_bad_configuration_is_told_and_nothing_is_written(npz, tmp_path, what):
    np.save(tmp_path / "wave.npy", WAVELENGTH)
    values, words = BAD_CONFIGURATIONS[what]
    with pytest.raises(InputError) as caught:
        convert(configured(tmp_path, **values))
    assert words in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nn.npz", "wave.npy"]


def test_wavelengths_in_air_become_vacuum(npz, tmp_path):
    np.save(tmp_path / "wave.npy", vacuum_to_air(WAVELENGTH))
    convert(configured(tmp_path, medium="air"))
    np.testing.assert_allclose(Payne.load(tmp_path / "made" / "mine.pt").wavelength, WAVELENGTH, atol=1e-6)


def test_the_command_converts_or_tells_why_not(start, npz, tmp_path):
    np.save(tmp_path / "wave.npy", WAVELENGTH)
    np.savez(tmp_path / "pickled.npz", **published() | {"x_min": np.array([Code(), 1, 2], dtype=object)})
    before = sorted(path.name for path in tmp_path.iterdir())

    whole = ("labels=[teff,logg,fe_h]", "wavelength=wave.npy", "output=made/mine.pt")
    bad = start(tmp_path, *whole, "input=pickled.npz", module="emulator.convert").wait()
    assert bad.code == 2, bad.err
    (line,) = bad.err.splitlines()
    assert line.startswith("error: pickled.npz: expected")
    assert "refused" in line

    good = start(tmp_path, *whole, "input=nn.npz", module="emulator.convert").wait()
    assert good.code == 0, good.err
    assert "3 labels, 11 pixels from 15000.00 to 15010.00 A" in good.out
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["made", "out", "err", *before])
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["mine.pt"]
    assert_same_spectra(Payne.load(tmp_path / "made" / "mine.pt"), published())

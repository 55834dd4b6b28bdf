"""cyclegan/trained/shared.py: a shared run is the run, bit for bit; a folder of anything else is refused."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import safetensors.torch
import torch
from faults.good_inputs import write_run
from skies import PIXELS

from cyclegan.spectra.spectra import exact
from cyclegan.trained.checkpoint import read_checkpoint
from cyclegan.trained.familiarity import Familiarity, features
from cyclegan.trained.loading import load
from cyclegan.trained.record import Record
from cyclegan.trained.run_folder import MODEL
from cyclegan.trained.shared import CONFIG, SUMS, is_shared, read_shared, write_shared, write_sums
from cyclegan.trained.translated import DIRECTIONS
from emulator.commands.errors import InputError

VERSIONS = {"cyclegan": "0.2.0"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of an ensemble that has all that a record may hold; to be read, not changed."""
    folder = tmp_path_factory.mktemp("run")
    write_run(folder)
    return folder


@pytest.fixture(scope="module")
def whole(run, tmp_path_factory):
    """The same, shared; to be read, not changed."""
    folder = tmp_path_factory.mktemp("shared")
    write_shared(folder, read_checkpoint(run / "last.ckpt"), VERSIONS)
    (folder / "README.md").write_text("a card\n")
    write_sums(folder)
    return folder


@pytest.fixture
def shared(whole, tmp_path):
    """A copy of it."""
    return Path(shutil.copytree(whole, tmp_path / "shared"))


def same(one, other):
    """Whether two values are the same, to the last bit and of the same types."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(part, other[name]) for name, part in one.items())
    if isinstance(one, list | tuple):
        return type(one) is type(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return type(one) is type(other) and one == other


def test_it_holds_what_the_run_does_but_for_the_folders_of_its_files(run, shared):
    ours, theirs = read_checkpoint(run / "last.ckpt"), read_shared(shared)
    assert theirs.step == ours.step
    assert same({name: one for name, one in ours.weights.items() if name.startswith("translator.")}, theirs.weights)
    for field in fields(Record):
        if field.name != "config":
            assert same(getattr(ours.record, field.name), getattr(theirs.record, field.name)), field.name


def test_paths_lose_their_folders(run, tmp_path):
    checkpoint = read_checkpoint(run / "last.ckpt")
    checkpoint.record.config["domains"] |= {"emulator": "/home/me/payne.pt", "anchors": "../mine/anchors.csv"}
    checkpoint.record.config["resume"] = "/home/me/runs/1"
    write_shared(tmp_path, checkpoint, VERSIONS)
    write_sums(tmp_path)
    config = read_shared(tmp_path).record.config
    found = (config["domains"]["emulator"], config["domains"]["anchors"], config["resume"])
    assert found == ("payne.pt", "anchors.csv", "1")
    assert config["networks"] == checkpoint.record.config["networks"]
    assert "/home" not in (tmp_path / CONFIG).read_text()


def made_of(model):
    """All that a model makes of some stars, as a list."""
    emulator = model.forward_model.emulator
    labels = model.forward_model.population.sample(emulator, 7, torch.Generator().manual_seed(0))
    flux = model.synthesize(labels)
    error, mask = torch.full_like(flux, 0.01), torch.arange(flux.shape[1]) % 9 != torch.arange(7)[:, None]
    made = [labels, flux, model.forward_model.observed(labels), model.from_labels(labels)]
    for name in (*DIRECTIONS, "encode_synth", "encode_obs"):
        found = getattr(model, name)(flux, error, mask)
        made += found if isinstance(found, tuple) else [found]
    for direction, domain in zip(DIRECTIONS, ("synth", "obs"), strict=True):
        made.append(model.uncertainty(direction, flux, error, mask))
        known = Familiarity.from_record(model.record, domain, model.device)
        made.append(known.distance(features(model.translator, domain, model.seen(direction, exact(flux)))))
    each = model.translator.generator_o.each(*model.encode_obs(flux))
    made.append(model.map_error.roots(each, model.encode_obs(flux)[0]))
    return [*made, model.draw_split(3, 1), *(part for one in model.controls.values() for part in one.values())]


def test_it_does_what_the_run_does_bit_for_bit(run, shared):
    ours, theirs = (made_of(load(folder, "cpu")) for folder in (run, shared))
    assert len(ours) > 15
    assert same(ours, theirs)


def test_a_trained_run_of_one_translator_is_the_same_too(payne2payne_run, trained, forty_stars, tmp_path):
    write_shared(tmp_path, read_checkpoint(payne2payne_run / "last.ckpt"), VERSIONS)
    write_sums(tmp_path)
    found = load(tmp_path / MODEL, "cpu")
    for name in (*DIRECTIONS, "encode_synth", "encode_obs"):
        ours, theirs = (getattr(model, name)(*forty_stars) for model in (trained, found))
        assert same(ours, theirs), name
    labels = trained.forward_model.emulator.label_low[None]
    assert same(trained.synthesize(labels), found.synthesize(labels))


def test_of_equal_tensors_one_is_written_and_in_half_precision_where_that_loses_nothing(run, tmp_path):
    checkpoint = read_checkpoint(run / "last.ckpt")
    exact_in_half = checkpoint.weights["translator.space_s.mean"].half().float()
    checkpoint.weights["translator.space_s.mean"] = exact_in_half
    write_shared(tmp_path, checkpoint, VERSIONS)
    tensors = safetensors.torch.load_file(tmp_path / MODEL)
    assert "translator.space_s.basis" in tensors
    assert "translator.space_o.basis" not in tensors
    assert tensors["translator.space_s.mean"].dtype == torch.float16
    assert tensors["translator.space_o.mean"].dtype == torch.float32
    write_sums(tmp_path)
    assert same(read_shared(tmp_path).weights["translator.space_s.mean"], exact_in_half)


WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"hydra", "omegaconf", "yaml", "antlr4", "pytorch_lightning", "lightning",
                                      "lightning_fabric", "lightning_utilities", "torchmetrics", "wandb", "scipy"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import torch
import cyclegan

run, shared = (cyclegan.load(folder, "cpu") for folder in sys.argv[1:])
labels = shared.forward_model.population.sample(shared.forward_model.emulator, 5, torch.Generator().manual_seed(0))
observed = shared.from_labels(labels)
error = shared.uncertainty("obs_to_synth", observed, 0.01 * torch.ones_like(observed))
print(torch.equal(run.obs_to_synth(observed), shared.obs_to_synth(observed)), error.shape == observed.shape)
print([name for name in ("matplotlib", "astropy", "sklearn") if name in sys.modules])
"""


def test_it_is_loaded_and_used_where_neither_hydra_nor_lightning_is_installed(run, shared):
    done = subprocess.run([sys.executable, "-c", WITHOUT, str(run), str(shared)], capture_output=True, text=True)
    assert done.stdout == "True True\n[]\n", done.stderr


@pytest.mark.parametrize("name", [CONFIG, MODEL, "README.md"])
def test_a_file_that_was_tampered_with_is_refused_with_its_sums(shared, name):
    content = bytearray((shared / name).read_bytes())
    expected = hashlib.sha256(content).hexdigest()
    content[len(content) // 2] ^= 1
    (shared / name).write_bytes(content)
    found = hashlib.sha256(content).hexdigest()
    with pytest.raises(InputError) as caught:
        load(shared, "cpu")
    assert str(caught.value) == (
        f"{shared / name}: expected the file that was shared, of SHA-256 {expected}, got one of {found}"
    )


@pytest.mark.parametrize("name", [CONFIG, "README.md", SUMS])
def test_a_file_that_is_gone_is_named(shared, name):
    (shared / name).unlink()
    with pytest.raises(InputError, match=rf"{name}: expected a file of a shared run, found none$"):
        load(shared, "cpu")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(CONFIG, "../config.json"),
        lambda text: text.replace(CONFIG, "/etc/passwd"),
        lambda text: "".join(text.splitlines(keepends=True)[:1]),
        lambda text: text.replace("\n", "\r\n", 1) + "\x00",
        lambda _: "",
    ],
)
def test_sums_of_anything_else_are_refused(shared, change):
    (shared / SUMS).write_text(change((shared / SUMS).read_text()))
    with pytest.raises(
        InputError, match=rf"{SUMS}: expected SHA-256 sums of config\.json, model\.safetensors and more"
    ):
        load(shared, "cpu")


def test_files_that_are_links_are_read_as_in_the_hubs_cache(shared, tmp_path):
    (tmp_path / "blobs").mkdir()
    for number, path in enumerate(sorted(shared.iterdir())):
        path.replace(tmp_path / "blobs" / str(number))
        path.symlink_to(tmp_path / "blobs" / str(number))
    assert load(shared, "cpu").step == 1


@pytest.mark.parametrize("name", [MODEL, CONFIG, SUMS])
def test_what_is_no_file_is_not_waited_for(shared, name):
    (shared / name).unlink()
    os.mkfifo(shared / name)
    with pytest.raises(InputError, match=r"expected a .*, found none"):
        load(shared, "cpu")


def resummed(shared, plain=None, tensors=None):
    """The folder with other contents, and with sums of them."""
    if plain is not None:
        (shared / CONFIG).write_text(plain if isinstance(plain, str) else json.dumps(plain))
    if tensors is not None:
        (shared / MODEL).write_bytes(tensors if isinstance(tensors, bytes) else safetensors.torch.save(tensors))
    (shared / SUMS).unlink()
    write_sums(shared)
    return shared


def changed(place, value):
    """A change of what config.json holds at a place."""

    def change(plain):
        *parents, last = place
        for name in parents:
            plain = plain[name]
        plain[last] = value

    return change


NETWORKS = ("record", "config", "networks")
PLAIN = {
    "another format": changed(("format",), "cyclegan shared 2"),
    "no format": lambda plain: plain.pop("format"),
    "no record": lambda plain: plain.pop("record"),
    "a text for a record": changed(("record",), "all"),
    "a text for a step": changed(("step",), "3"),
    "a list for weights": changed(("translator",), []),
    "a number for a weight": changed(("translator", "space_s.mean"), 3),
    "a tensor that is not there": changed(("record", "wavelength"), {"tensor": "nothing"}),
    "a tensor of another type": changed(("record", "wavelength"), {"tensor": "record.wavelength", "dtype": "int8"}),
    "a tensor with more to it": changed(("record", "wavelength"), {"tensor": "record.wavelength", "load": "os.system"}),
    "a list for a tensor's name": changed(("record", "wavelength"), {"tensor": ["record.wavelength"]}),
    "a number for a tuple": changed(("record", "axes", "shared"), {"tuple": 3}),
    "a tensor that stands nowhere": changed(("record", "split"), None),
    "another version": changed(("record", "version"), 1),
    "a function for networks": changed((*NETWORKS, "_target_"), "os.system"),
    "wide networks": changed((*NETWORKS, "width"), 20_000),
    "many members": changed(("record", "config", "ensemble"), 10**9),
    "a text for members": changed(("record", "config", "ensemble"), "2"),
    "no members": changed(("record", "config", "ensemble"), -1),
    "a wide emulator": changed(("record", "emulator", "width"), 20_000),
    "a variable": changed(("record", "config", "name"), "${oc.env:HOME}"),
    "another's shape": changed(("translator", "space_s.mean"), {"tensor": "translator.space_s.basis"}),
}


@pytest.mark.parametrize("what", list(PLAIN))
def test_a_configuration_of_anything_else_is_refused(shared, what):
    plain = json.loads((shared / CONFIG).read_text())
    PLAIN[what](plain)
    with pytest.raises(InputError) as caught:
        load(resummed(shared, plain), "cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "3", "null", "[" * 100_000, '{"format": NaN}', '{"a": 1, "a'])
def test_what_is_no_configuration_is_refused(shared, text):
    with pytest.raises(InputError, match=r"config\.json: expected the configuration of a shared run, format"):
        load(resummed(shared, text), "cpu")
    assert not is_shared(shared)


def long_header(tensors):
    return (2**40).to_bytes(8, "little") + safetensors.torch.save(tensors)[8:]


def huge_tensor(_):
    header = b'{"record.wavelength": {"dtype": "F64", "shape": [1000000000000], "data_offsets": [0, 8000000000000]}}'
    return len(header).to_bytes(8, "little") + header + bytes(64)


TENSORS = {
    "nothing": lambda _: b"",
    "zeros": lambda _: bytes(1000),
    "a pickle": lambda _: b"\x80\x04cos\nsystem\n(S'true'\ntR.",
    "a header beyond the end": long_header,
    "a tensor beyond the end": huge_tensor,
    "one tensor less": lambda tensors: {name: one for name, one in tensors.items() if name != "record.split"},
    "one tensor more": lambda tensors: tensors | {"more": torch.ones(3)},
    "weights that are not finite": lambda tensors: (
        tensors | {"translator.space_s.mean": torch.full((PIXELS,), torch.nan)}
    ),
    "wavelengths of another kind": lambda tensors: tensors | {"record.wavelength": torch.ones(9, dtype=torch.int8)},
    "another shape": lambda tensors: tensors | {"translator.space_s.basis": torch.ones(3, 3)},
    "integers for weights": lambda tensors: tensors | {"record.split": torch.ones(3, dtype=torch.int64)},
}


@pytest.mark.parametrize("what", list(TENSORS))
def test_tensors_of_anything_else_are_refused(shared, what):
    tensors = TENSORS[what](safetensors.torch.load_file(shared / MODEL))
    with pytest.raises(InputError) as caught:
        load(resummed(shared, tensors=tensors), "cpu")
    assert "\n" not in str(caught.value)


def test_more_text_than_there_can_be_is_not_read(shared):
    with (shared / SUMS).open("r+b") as file:
        file.truncate(2**40)  # takes no room
    with pytest.raises(InputError, match=r"SHA256SUMS: expected at most 16777216 bytes, got 1099511627776$"):
        load(shared, "cpu")

"""cyclegan/trained/record.py: what a checkpoint stands on comes back as it was, or is refused; it runs no code."""

import builtins
import os
import sys
from dataclasses import MISSING, fields

import pytest
import torch
from handmade import domains_of

from cyclegan.domains.schema import DomainsConfig
from cyclegan.spectra.continuum import Continuum
from cyclegan.trained.loading import load
from cyclegan.trained.record import VERSION, Record
from cyclegan.translator.convolutional import Convolutional
from cyclegan.translator.dense import Dense
from cyclegan.translator.networks import Networks
from emulator.commands.errors import InputError
from emulator.commands.schema import TARGET

DENSE = {TARGET: "cyclegan.translator.dense.Dense", "shared": 3, "split": 2, "components": 8, "width": 4}


@pytest.fixture
def record(payne):
    """All that a record may hold."""
    random = torch.Generator().manual_seed(0)
    wavelength = payne.wavelength
    return Record(
        config={"name": "toy", "seed": 7, "networks": DENSE, "domains": domains_of(None, "obs.h5")},
        wavelength=wavelength,
        emulator=payne.contents(),
        hidden={"synth": torch.rand(len(wavelength), generator=random) < 0.2},
        continuum=Continuum(wavelength.numpy(), 2).contents(),
        matched=False,
        axes={"shared": (torch.randn(3, generator=random), torch.randn(3, 3, generator=random))},
        split=torch.randn(9, 2, generator=random),
        familiar={"obs": {"limits": torch.rand(2, generator=random)}},
    )


@pytest.fixture
def written(record, tmp_path):
    """The same through a file that is loaded with weights only, as every checkpoint is."""
    torch.save(record.to_plain(), tmp_path / "record.pt")
    return torch.load(tmp_path / "record.pt", weights_only=True)


def assert_same(one, other):
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        for pair in zip(one, other, strict=True):
            assert_same(*pair)
    else:
        assert one == other


def test_a_record_comes_back_whole(record, written):
    assert written["version"] == VERSION
    assert written["medium"] == "vacuum"
    back = Record.from_plain(written, "toy.ckpt")
    for field in fields(Record):
        assert_same(getattr(back, field.name), getattr(record, field.name))


def test_what_it_holds_is_made_of_it_again(record, written, payne):
    back = Record.from_plain(written, "toy.ckpt")
    assert back.networks == Dense(shared=3, split=2, components=8, width=4)
    assert isinstance(back.domains, DomainsConfig)
    assert (back.domains.synth.path, back.domains.obs.path) == (None, "obs.h5")
    labels = (payne.label_low + payne.label_high)[None] / 2
    assert torch.equal(back.emulator_of("toy.ckpt")(labels), payne(labels))
    flux = payne(labels)
    expected = Continuum(payne.wavelength.numpy(), 2).normalize_exact(flux)
    assert torch.equal(back.continuum_of_theory().normalize_exact(flux), expected)
    assert torch.equal(back.split_sample(), record.split)


def test_a_run_between_files_has_neither_emulator_nor_continuum(record):
    record.emulator = record.continuum = record.split = None
    back = Record.from_plain(record.to_plain(), "toy.ckpt")
    assert back.emulator_of("toy.ckpt") is None
    assert back.continuum_of_theory() is None
    assert back.split_sample().shape == (0, 2)


def test_the_other_kind_of_networks_comes_back_too(record):
    own = {TARGET: "cyclegan.translator.convolutional.Convolutional", "shared": 3, "split": 1, "channels": [4, 8]}
    record.config["networks"] = own
    found = Record.from_plain(record.to_plain(), "toy.ckpt").networks
    assert found == Convolutional(shared=3, split=1, channels=[4, 8])


def test_a_record_without_a_version_is_of_version_0_1(written):
    del written["version"]
    expected = r"^toy\.ckpt: expected a run of version 0\.2 or later of this program, got one of version 0\.1"
    with pytest.raises(InputError, match=expected) as caught:
        Record.from_plain(written, "toy.ckpt")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("version", [VERSION + 1, "2", None])
def test_a_record_of_another_version_is_refused(written, version):
    written["version"] = version
    with pytest.raises(InputError, match=rf"version 0\.2 or later .* got a record of version {version}"):
        Record.from_plain(written, "toy.ckpt")


@pytest.mark.parametrize("plain", [None, [], "a record", torch.zeros(3)])
def test_what_is_no_record_is_refused(plain):
    with pytest.raises(InputError, match=r"version 0\.2 or later"):
        Record.from_plain(plain, "toy.ckpt")


def of_every_record(field):
    """Whether no run can be without it."""
    return field.default is MISSING and field.default_factory is MISSING


@pytest.mark.parametrize("name", [field.name for field in fields(Record) if not of_every_record(field)])
def test_a_record_may_lack_what_came_later(record, written, name):
    del written[name]
    back = Record.from_plain(written, "toy.ckpt")
    setattr(record, name, getattr(Record({}, torch.ones(3), None, {}, None, matched=True), name))
    assert_same(back.to_plain(), record.to_plain())


@pytest.mark.parametrize("name", [field.name for field in fields(Record) if of_every_record(field)])
def test_a_record_that_lacks_something_is_refused(written, name):
    del written[name]
    with pytest.raises(InputError, match=rf"toy\.ckpt: expected a whole record of a run, got one without {name}$"):
        Record.from_plain(written, "toy.ckpt")


# What a checkpoint of somebody else may name: functions, modules that would be imported, classes that are no networks.
FOREIGN = (
    "os.system",
    "builtins.print",
    "builtins.dict",
    "antigravity.fly",
    "this.s",
    "cyclegan.trained.record.Record",
    "cyclegan.translator.networks.make_networks",
    "cyclegan.nothing.Here",
    "torch.nn.Linear",
    "Dense",
    "",
    ".Dense",
    "cyclegan..Dense",
    None,
    7,
    ["os", "system"],
)


@pytest.fixture
def nothing_is_called(monkeypatch):
    """Every function that FOREIGN names says so when it is called."""
    for module, name in ((os, "system"), (builtins, "print")):
        monkeypatch.setattr(module, name, lambda *args, name=name, **kwargs: pytest.fail(f"{name} was called"))


@pytest.mark.parametrize("target", FOREIGN, ids=str)
def test_what_a_record_names_is_neither_called_nor_imported(record, target, nothing_is_called):
    for module in ("antigravity", "this"):
        assert module not in sys.modules
    record.config["networks"] = {TARGET: target, "shared": 3, "split": 1}
    with pytest.raises(InputError, match=rf"'networks\.{TARGET}': expected a kind of networks, got"):
        _ = record.networks
    for module in ("antigravity", "this"):
        assert module not in sys.modules


def test_networks_without_a_kind_are_refused(record):
    record.config["networks"] = {"shared": 3, "split": 1}
    with pytest.raises(InputError, match=rf"'networks\.{TARGET}': expected a kind of networks, got None"):
        _ = record.networks


def test_keys_that_a_kind_does_not_take_are_refused(record):
    record.config["networks"] = DENSE | {"kind": "dense"}
    with pytest.raises(InputError, match=r"unknown config key 'networks\.kind': 'networks' has components, shared"):
        _ = record.networks


def test_a_kind_that_cannot_be_made_is_refused(record):
    record.config["networks"] = {TARGET: f"{Networks.__module__}.{Networks.__name__}", "shared": 3, "split": 1}
    with pytest.raises(InputError, match=rf"'networks\.{TARGET}': expected a kind of networks"):
        _ = record.networks


@pytest.mark.parametrize("target", ["os.system", "antigravity.fly"])
def test_a_checkpoint_that_names_them_is_refused(target, payne2payne_run, tmp_path, nothing_is_called):
    checkpoint = torch.load(payne2payne_run / "last.ckpt", weights_only=True)
    checkpoint["record"]["config"]["networks"] = {TARGET: target, "command": "true"}
    torch.save(checkpoint, tmp_path / "foreign.ckpt")
    with pytest.raises(InputError, match="expected a kind of networks"):
        load(tmp_path / "foreign.ckpt", "cpu")
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("key", ["networks", "domains"])
def test_a_checkpoint_whose_configuration_lacks_something_is_refused(key, payne2payne_run, tmp_path):
    checkpoint = torch.load(payne2payne_run / "last.ckpt", weights_only=True)
    del checkpoint["record"]["config"][key]
    torch.save(checkpoint, tmp_path / "cut.ckpt")
    with pytest.raises(InputError, match=key):
        load(tmp_path / "cut.ckpt", "cpu")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("config", []), ("wavelength", [1.0, 2.0]), ("matched", 1), ("hidden", {"synth": [True]}), ("split", "mean")),
        *(("axes", {"shared": torch.ones(3)}), ("kept_step", 1.5), ("kept_step", True), ("emulator", torch.ones(3))),
        *(("familiar", {"obs": 3}), ("population", ()), ("errors", {"x": None}), ("controls", {1: {}})),
    ],
)
def test_a_part_of_another_type_is_refused(written, name, value):
    written[name] = value
    with pytest.raises(
        InputError, match=rf"^toy\.ckpt: expected '{name}' of a run's record, got another type of value$"
    ):
        Record.from_plain(written, "toy.ckpt")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("wavelength", torch.tensor([2.0, 1.0]), "ascending wavelengths"),
        ("wavelength", torch.tensor(2.0), "ascending wavelengths"),
        ("hidden", {"synth": torch.ones(3, dtype=torch.bool)}, "booleans for .* pixels in 'hidden.synth'"),
        ("split", torch.tensor([[torch.nan, 1.0]]), "'split' of a run's record, a finite table"),
        ("familiar", {"obs": {"limits": torch.tensor([1.0, torch.nan])}}, "finite numbers in 'familiar'"),
        ("controls", {"shift": {"flux": torch.tensor([torch.inf])}}, "finite numbers in 'controls'"),
        ("errors", {"map": {"usual": torch.tensor([torch.nan])}}, "finite numbers in 'errors'"),
        ("offset", torch.ones(3), "'offset' of a run's record, a finite table"),
    ],
)
def test_parts_that_do_not_fit_each_other_are_refused(written, name, value, words):
    written[name] = value
    with pytest.raises(InputError, match=words):
        Record.from_plain(written, "toy.ckpt")


@pytest.mark.parametrize("name", ["continuum", "population"])
def test_contents_of_something_else_are_refused(written, name):
    written[name] = {"degree": "two"}
    back = Record.from_plain(written, "toy.ckpt")
    with pytest.raises(InputError, match="a run's record: expected"):
        back.continuum_of_theory() if name == "continuum" else back.population_of_theory()


@pytest.mark.parametrize(
    "change",
    [
        *({"labels": torch.ones(3)}, {"labels": torch.full((3, 2), torch.nan)}, {"scatter": torch.ones(3)}),
        *(
            {"scatter": torch.tensor([-1.0, 1.0])},
            {"smoothing": torch.ones(3)},
            {"smoothing": -1.0},
            {"smoothing": "a"},
        ),
    ],
)
def test_a_table_of_stars_that_is_none_is_refused(written, change):
    good = {"labels": torch.rand(9, 2), "smoothing": 0.1, "scatter": torch.zeros(2)}
    assert Record.from_plain(written | {"population": good}, "toy.ckpt").population_of_theory().smoothing == 0.1
    back = Record.from_plain(written | {"population": good | change}, "toy.ckpt")
    with pytest.raises(InputError, match="expected the table that emulated stars were drawn from, got another one"):
        back.population_of_theory()


def test_an_emulator_on_other_pixels_is_refused(written, payne):
    written["emulator"] = payne.on(payne.wavelength[1:]).contents()
    with pytest.raises(InputError, match=r"toy.ckpt: expected an emulator on the wavelengths of a run's record"):
        Record.from_plain(written, "toy.ckpt").emulator_of("toy.ckpt")

"""emulator/commands/config.py: configuration checked at the door, key by key, and mistyped keys told."""

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from emulator.commands.config import config_folder, groups_of, nearest_key, read_config, validate
from emulator.commands.errors import InputError


@dataclass
class Part:
    sizes: list[int] = field(metadata={"minimum": 1})
    kind: str = field(metadata={"choices": ("dense", "conv")})


@dataclass
class Schema:
    rate: float = field(metadata={"above": 0.0, "maximum": 1.0})
    path: str | None
    part: Part


@dataclass
class Weighted:
    weights: dict[str, float] = field(metadata={"minimum": 0.0})


GOOD = {"rate": 0.5, "path": None, "part": {"sizes": [1, 2], "kind": "dense"}}


def test_a_good_configuration_passes_with_its_values():
    assert asdict(validate(OmegaConf.create(GOOD), Schema)) == GOOD


def test_what_comes_of_it_are_the_dataclasses_and_plain_lists_and_mappings():
    found = validate(OmegaConf.create(GOOD), Schema)
    assert (type(found), type(found.part), type(found.part.sizes)) == (Schema, Part, list)
    weighted = validate(OmegaConf.create({"weights": {"pairs": 1}}), Weighted)
    assert (weighted.weights, type(weighted.weights)) == ({"pairs": 1.0}, dict)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("typo=1", ["unknown config key 'typo'", "part, path, rate"]),
        ("part.typo=1", ["unknown config key 'part.typo'", "kind, sizes"]),
        ("typo.deep=1", ["unknown config key 'typo'"]),
        ("rate=abc", ["'rate'", "abc", "Float"]),
        ("rate=null", ["'rate'", "None"]),
        ("rate=0", ["'rate'", "more than 0", "got 0"]),
        ("rate=nan", ["'rate'", "got nan"]),
        ("rate=.inf", ["'rate'", "a finite number", "got inf"]),
        ("rate=" + "9" * 400, ["values of the types that the keys take", "too large"]),
        ("rate=2", ["'rate'", "at most 1", "got 2"]),
        ("part.sizes=[4,0]", ["'part.sizes'", "at least 1", "got 0"]),
        ("part.sizes=[4,abc]", ["'part.sizes[1]'", "abc"]),
        ("part.kind=cnv", ["'part.kind'", "dense, conv", "got cnv"]),
        ("part=3", ["'part'"]),
        ("path=${nowhere}", ["nowhere", "not found"]),
        ("path=[x]", ["'path'", "expected a text, got a list", "quoted: 'path=\"[A]\"'"]),
    ],
)
def test_a_bad_value_is_named_in_one_line(change, words):
    config = OmegaConf.merge(GOOD, OmegaConf.from_dotlist([change]))
    with pytest.raises(InputError) as caught:
        validate(config, Schema)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


@pytest.mark.parametrize("config", [{"rate": 0.5, "path": None}, GOOD | {"path": "???"}])
def test_a_key_without_value_is_named(config):
    with pytest.raises(InputError, match=r"config key 'pa(th|rt)': expected a value"):
        validate(OmegaConf.create(config), Schema)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (GOOD | {"rate": 2}, "config key 'outer.rate': expected at most 1.0, got 2.0"),
        (GOOD | {"part": {"sizes": [0], "kind": "dense"}}, "config key 'outer.part.sizes': expected at least 1, got 0"),
        (GOOD | {"rate": "abc"}, "config key 'outer.rate': Value 'abc'"),
        (GOOD | {"typo": 1}, "unknown config key 'outer.typo': 'outer' has part, path, rate"),
        ({"rate": 0.5, "path": None}, "config key 'outer.part': expected a value, got none"),
    ],
)
def test_the_keys_of_a_part_are_told_as_those_of_the_whole(config, words):
    with pytest.raises(InputError) as caught:
        validate(OmegaConf.create(config), Schema, "outer.")
    assert words in str(caught.value)


def test_a_value_of_a_mapping_is_checked_and_named():
    with pytest.raises(InputError, match=r"^config key 'weights\.pairs': expected at least 0\.0, got -1\.0$"):
        validate(OmegaConf.create({"weights": {"synth": 1.0, "pairs": -1.0}}), Weighted)


@pytest.mark.parametrize(
    ("command", "mistyped", "meant"),
    [
        ("evaluate", "split", "subset"),  # of version 0.1
        ("fit", "split", "subset"),
        ("starnet", "split", "subset"),
        ("train", "split", "networks.split"),  # which is another thing, and kept its name
        ("train", "networks.chanels", "networks.channels"),  # of networks=conv, which is not the default
        ("train", "networks.widht", "networks.width"),
        ("train", "chanels", "networks.channels"),
        ("evaluate", "nothing_like_it", None),
    ],
)
def test_the_nearest_key_may_be_renamed_or_of_another_choice_of_a_group(command, mistyped, meant):
    assert nearest_key(mistyped, command) == meant


def test_groups_are_those_that_a_command_takes_a_file_of():
    assert groups_of("train") == ["domains", "networks", "trainer", "logger"]
    assert groups_of("evaluate") == ["logger"]  # and what it overrides of Hydra's is no group of its own


def test_a_file_holds_keys_or_is_told(tmp_path):
    (tmp_path / "keys.yaml").write_text("a: 1 # one\nb: {c: [2]}\n")
    assert read_config(tmp_path / "keys.yaml") == {"a": 1, "b": {"c": [2]}}
    (tmp_path / "list.yaml").write_text("- a\n- b\n")
    with pytest.raises(InputError, match=r"list\.yaml: expected keys and their values, got a list"):
        read_config(tmp_path / "list.yaml")


def test_the_configuration_lies_where_config_folder_says():
    assert (Path(config_folder()) / "emulator.yaml").is_file()


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 10)}]\n" for i in range(9)
)


@pytest.mark.parametrize(
    ("text", "got"),
    [
        (b"name: [1, 2", "a damaged or other one"),
        (b"\x00\xff\xfe", "a damaged or other one"),
        (b"a: !!python/object/apply:os.system [ls]", "a damaged or other one"),
        (b"a: ${oc.env:", "a damaged or other one"),
        (b"[" * 50_000, "more"),
        (b"- 1\n- 2\n", "a list"),
        (LAUGHS.encode(), r"an alias \(\*\)"),
        (b"a: 1\n" * 100_000, "500000"),
    ],
)
def test_a_file_of_keys_that_is_none_is_refused_at_once(tmp_path, text, got):
    (tmp_path / "config.yaml").write_bytes(text)
    start = time.perf_counter()
    with pytest.raises(InputError, match=rf"config\.yaml: expected [^\n]*, got {got}[^\n]*$"):
        read_config(tmp_path / "config.yaml")
    assert time.perf_counter() - start < 5


def test_a_value_of_a_mapping_is_one_number():
    with pytest.raises(InputError, match=r"^config key 'weights\.pairs': expected a number, got \[1\.0\]$"):
        validate(OmegaConf.create({"weights": {"pairs": [1.0]}}), Weighted)

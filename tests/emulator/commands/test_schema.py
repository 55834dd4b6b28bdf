"""emulator/commands/schema.py: plain values against typed fields, and a stranger's configuration."""

from dataclasses import asdict, dataclass, field
from typing import Any

import pytest
import torch

from emulator.commands.errors import InputError
from emulator.commands.schema import check_plain, typed


@dataclass
class Part:
    sizes: list[int] = field(metadata={"minimum": 1})
    kind: str = field(metadata={"choices": ("dense", "conv")})


@dataclass
class Whole:
    rate: float = field(metadata={"above": 0.0, "maximum": 1.0})
    path: str | None
    part: Part
    spans: list[float] | None = None
    weights: dict[str, float] = field(default_factory=dict, metadata={"minimum": 0.0})
    other: dict[str, Any] = field(default_factory=dict)
    matched: bool = True


GOOD = {"rate": 0.5, "path": None, "part": {"sizes": [1, 2], "kind": "dense"}}


def test_values_become_the_dataclass_with_defaults_for_what_is_not_given():
    found = typed(GOOD | {"rate": 1, "spans": (1, 2.5), "weights": {"a": 3}, "other": {"x": [1, "a", None]}}, Whole)
    assert found == Whole(1.0, None, Part([1, 2], "dense"), [1.0, 2.5], {"a": 3.0}, {"x": [1, "a", None]}, True)
    assert [type(found.rate), *map(type, found.spans), type(found.weights["a"])] == [float] * 4
    assert typed(asdict(found), Whole) == found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"typo": 1}, "unknown config key 'typo': the keys are matched, other, part, path, rate, spans, weights"),
        ({"rate": "0.5"}, "config key 'rate': expected a number, got 0.5"),
        ({"rate": True}, "config key 'rate': expected a number, got True"),
        ({"rate": None}, "config key 'rate': expected a number, got None"),
        ({"rate": 2}, "config key 'rate': expected at most 1.0, got 2.0"),
        ({"rate": float("nan")}, "config key 'rate': expected a finite number, got nan"),
        ({"rate": 10**400}, f"config key 'rate': expected a number, got 1{'0' * 49}"),
        ({"path": 3}, "config key 'path': expected a text, got 3"),
        ({"matched": 1}, "config key 'matched': expected true or false, got 1"),
        ({"spans": [1.0, "a"]}, "config key 'spans[1]': expected a number, got a"),
        ({"spans": 1.0}, "config key 'spans': expected a list, got 1.0"),
        ({"weights": {"a": -1}}, "config key 'weights.a': expected at least 0.0, got -1.0"),
        ({"weights": [1]}, "config key 'weights': expected keys, got list"),
        ({"part": 3}, "config key 'part': expected keys and their values, got 3"),
        ({"part": {"sizes": [1]}}, "config key 'part.kind': expected a value, got none"),
        ({"part": GOOD["part"] | {"typo": 1}}, "unknown config key 'part.typo': 'part' has kind, sizes"),
        ({"part": {"sizes": [1.5], "kind": "conv"}}, "config key 'part.sizes[0]': expected an integer, got 1.5"),
        ({"part": {"sizes": [0], "kind": "conv"}}, "config key 'part.sizes': expected at least 1, got 0"),
        ({"part": {"sizes": [1], "kind": "cnv"}}, "config key 'part.kind': expected one of dense, conv, got cnv"),
    ],
)
def test_a_value_that_does_not_fit_is_named(change, message):
    with pytest.raises(InputError) as caught:
        typed(GOOD | change, Whole)
    assert str(caught.value) == message


def test_the_keys_of_a_part_are_told_as_those_of_the_whole():
    with pytest.raises(InputError, match=r"^unknown config key 'outer\.typo': 'outer' has kind, sizes$"):
        typed({"sizes": [1], "kind": "conv", "typo": 1}, Part, "outer.")
    with pytest.raises(InputError, match=r"^config key 'outer': expected keys and their values, got None$"):
        typed(None, Part, "outer.")


def test_another_ones_configuration_reads_no_variable(monkeypatch):
    monkeypatch.setenv("SECRET", "swordfish")
    config = {"seed": 1, "domains": {"obs": {"paths": ["a.h5", "${oc.env:SECRET}"]}}}
    with pytest.raises(InputError, match=r"^a\.ckpt: config key 'domains\.obs\.paths\.1': expected a value") as refused:
        check_plain(config, "a.ckpt")
    assert "swordfish" not in str(refused.value)


def test_a_configuration_without_end_is_refused():
    endless = {"a": 1}
    endless["b"] = endless
    laughs = ["x"] * 10
    for _ in range(9):
        laughs = [laughs] * 10
    for config in (endless, laughs):
        with pytest.raises(InputError, match="expected at most 10000 keys and values of a run, got more"):
            check_plain(config, "a.ckpt")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"a": {"b": torch.ones(2)}}, "'a.b': expected a plain value, got Tensor"),
        ({"a": {None: 1}}, "'a': expected texts as keys, got others"),
        ({"a": [{3: 1}]}, "'a.0': expected texts as keys, got others"),
    ],
)
def test_a_configuration_is_of_plain_values_by_names(config, words):
    with pytest.raises(InputError, match=f"^a.ckpt: config key {words}"):
        check_plain(config, "a.ckpt")

"""emulator/commands/results.py: tables that line up, and JSON that every program reads."""

import json
import math

import pytest

from emulator.commands.results import format_table, write_json


def test_a_table_is_aligned():
    lines = format_table([{"job": "0", "score": 1.0}, {"job": "long", "score": 10.25}]).splitlines()
    assert lines == ["job   score", "0     1.0000", "long  10.2500"]


def test_what_a_row_lacks_stays_empty():
    assert format_table([{"a": "1", "b": "2"}, {"a": "long", "c": "3"}]) == "a     b  c\n1     2\nlong     3"


def test_json_has_null_for_what_is_not_finite_however_deep(tmp_path):
    path = tmp_path / "found.json"
    write_json(path, {"a": math.nan, "b": [1.0, {"c": -math.inf}], "d": "text", "e": (True, None, 3)})

    def refuse(constant):
        pytest.fail(f"{constant} is not JSON")

    found = json.loads(path.read_text(), parse_constant=refuse)
    assert found == {"a": None, "b": [1.0, {"c": None}], "d": "text", "e": [True, None, 3]}

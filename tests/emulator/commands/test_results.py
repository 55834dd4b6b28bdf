"""emulator/commands/results.py: tables that line up, and JSON that every program reads."""

import json
import math

import pytest

from emulator.commands.results import PrintableRecord, format_table, printable, write_json


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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2M00000000+0000000 ± é 星", "2M00000000+0000000 ± é 星"),
        ("\x1b[2Jgone\x07", "\\x1b[2Jgone\\x07"),
        ("a\0b\r\nc\x7f\x9b", "a\\x00b\\r\\nc\\x7f\\x9b"),
        ("\u202egnp.sift", "\\u202egnp.sift"),  # turns the direction of writing
        ("\udcff", "\\udcff"),  # a byte of a file's name that is not UTF-8
    ],
)
def test_a_terminal_gets_nothing_that_it_would_obey(text, shown):
    assert printable(text) == shown
    assert format_table([{"id": text}]) == f"id\n{shown}"


def test_a_log_keeps_its_lines_and_nothing_else_that_is_not_printable():
    record = PrintableRecord("a", 20, "a.py", 1, "%s:\n\t%s", ("\x1b[31mred", "x"), None)
    assert record.getMessage() == "\\x1b[31mred:\n\tx"

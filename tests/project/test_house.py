"""The house: what may import what, and how long files and functions are; docs/architecture.md says it in words."""

import ast
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("cyclegan", "emulator")
LONGEST_FILE, MEDIAN_FILE, LONGEST_FUNCTION = 350, 150, 60
# What a LightningModule and a DataModule may ask their trainer: what time it is. All else leads to the other one.
CLOCK = {"current_epoch", "global_step"}


def rooms() -> list[str]:
    """The folders of cyclegan/ in the order of the table in docs/architecture.md."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    return re.findall(r"^\| `(\w+)/` \|", text, re.MULTILINE)


def modules(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, ...]]:
    """What a file imports, in whatever function, as the parts of the dotted names."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield from (tuple(f"{node.module}.{alias.name}".split(".")) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)


def room_of(parts: tuple[str, ...]) -> str:
    """The folder of cyclegan/ that a dotted name lies in, or `commands` for what lies on top."""
    return parts[1] if len(parts) > 2 and (ROOT / "cyclegan" / parts[1]).is_dir() else "commands"


def test_the_table_of_rooms_is_complete():
    folders = {path.name for path in (ROOT / "cyclegan").iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert set(rooms()) == folders
    assert len(rooms()) == len(folders)


def test_a_room_imports_only_rooms_above_it_in_the_table():
    order = [*rooms(), "commands"]
    wrong = []
    for path in modules("cyclegan"):
        own = room_of((*path.relative_to(ROOT).parts[:-1], path.stem))
        for name in imports(path):
            if name[0] == "cyclegan" and order.index(room_of(name)) > order.index(own):
                wrong.append(f"{path.relative_to(ROOT)} imports {'.'.join(name)}")
    assert wrong == []


def test_commands_do_not_import_each_other():
    on_top = {path.stem for path in (ROOT / "cyclegan").glob("*.py")}
    wrong = [
        (path.stem, name[1])
        for path in (ROOT / "cyclegan").glob("*.py")
        for name in imports(path)
        if name[0] == "cyclegan" and len(name) > 1 and name[1] in on_top - {"__init__"}
    ]
    assert wrong == []


def test_the_emulator_stands_alone():
    assert [str(path) for path in modules("emulator") for name in imports(path) if name[0] == "cyclegan"] == []


def test_the_emulators_shared_ground_knows_nothing_above_it():
    wrong = [
        (path.name, name)
        for path in modules("emulator/commands")
        for name in imports(path)
        if name[0] == "emulator" and name[1] != "commands"
    ]
    assert wrong == []


@pytest.mark.parametrize("file", ["module.py", "data.py"])
def test_module_and_data_do_not_reach_each_other_through_the_trainer(file):
    tree = ast.parse((ROOT / "cyclegan" / "training" / file).read_text())
    asked = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and getattr(node.value, "attr", getattr(node.value, "id", "")) == "trainer"
    }
    assert asked <= CLOCK


def test_only_one_place_knows_of_processes():
    own = ROOT / "emulator" / "commands" / "processes.py"
    others = [path for path in modules(*PACKAGES) if path != own]
    made = [str(path) for path in others if re.search(r"\b(Trainer|seed_everything)\(", path.read_text())]
    assert made == []


def test_tables_are_written_in_one_place_where_texts_are_quoted():
    writers = [
        str(path.relative_to(ROOT))
        for path in modules(*PACKAGES)
        if re.search(r"csv\.\w*[wW]riter\(", path.read_text())
    ]
    metrics = "emulator/commands/metrics.py"  # numbers under names of our own
    assert writers == ["cyclegan/spectra/tables.py", metrics]


def test_tests_mirror_the_packages():
    expected = {*rooms(), "commands", "emulator", "emulator/commands", "project"}
    found = {str(path.parent.relative_to(ROOT / "tests")) for path in modules("tests") if path.stem.startswith("test_")}
    assert found == expected


def test_files_are_short():
    lengths = {path: len(path.read_text().splitlines()) for path in modules(*PACKAGES, "tests", "benchmarks")}
    assert {str(path): lines for path, lines in lengths.items() if lines > LONGEST_FILE} == {}
    assert statistics.median(lengths[path] for path in modules(*PACKAGES)) <= MEDIAN_FILE


def test_functions_are_short():
    long = []
    for path in modules(*PACKAGES, "tests", "benchmarks"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                if (lines := node.end_lineno - first + 1) > LONGEST_FUNCTION:
                    long.append((str(path.relative_to(ROOT)), node.name, lines))
    assert long == []

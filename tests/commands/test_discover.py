"""python -m cyclegan.discover, as a user meets it: tables and pictures, and what it refuses."""

import csv
import json

from emulator.line_lists import read_lines


def test_the_command(start, payne2payne_run, files_run, tmp_path):
    """A tiny run: all files come, controls find nothing or name by chance, and what cannot be used is told."""

    def process(name, *overrides, run=payne2payne_run):
        (tmp_path / name).mkdir()
        arguments = [f"checkpoint={run}", f"output={tmp_path / name / 'found'}", "stars=4", "depth=0.005", *overrides]
        return start(tmp_path / name, *arguments, module="cyclegan.discover")

    started = {
        "good": process("good", "false_discoveries=0.5"),
        "listed": process("listed", "depth=0.02", f"line_list={tmp_path}/listed.txt", "format=vald"),
        "shift": process("shift", "control=mean_shift"),
        "twice": process("twice", f"others=[{payne2payne_run}]"),
        "files": process("files", run=files_run),
        "labels": process("labels", "labels=nowhere.csv"),
        "typo": process("typo", "control=magic"),
        "format": process("format", f"line_list={tmp_path}/none.txt", "format=moogg"),
        "table": process("table", f"line_list={tmp_path}/none.csv"),
    }
    commands = {name: process.wait() for name, process in started.items()}
    codes = {name: command.code for name, command in commands.items()}
    wrong = ("files", "labels", "typo", "format", "table")
    assert codes == {name: 2 if name in wrong else 0 for name in codes}, {
        name: command.err for name, command in commands.items()
    }
    assert all(len(commands[name].err.splitlines()) == 1 for name in wrong)
    assert "'format': expected one of moog, vald, turbospectrum, got moogg" in commands["format"].err
    assert "'line_list': expected a suffix other than .csv, .json, .png" in commands["table"].err
    assert not list(tmp_path.glob("none.*"))
    listed = read_lines(tmp_path / "listed.txt")
    with (tmp_path / "listed.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(listed.wavelength) > 0
    assert "a run whose synthetic domain is emulated" in commands["files"].err
    assert "nowhere.csv" in commands["labels"].err
    assert "mean_shift, shuffled_labels" in commands["typo"].err
    output = tmp_path / "good" / "found"
    with (output / "lines.csv").open() as file:
        lines = list(csv.DictReader(file))
    numbers = json.loads((output / "discovery.json").read_text())
    assert numbers["lines"] == len(lines) > 0
    assert numbers["judged"]["all"]["masked"] > 0
    assert (output / "summary.png").read_bytes().startswith(b"\x89PNG")
    assert {path.stem for path in output.glob("*.png")} == {"summary", *(line["element"] for line in lines)}
    assert json.loads((tmp_path / "shift" / "found" / "discovery.json").read_text())["lines"] == 0
    assert json.loads((tmp_path / "twice" / "found" / "discovery.json").read_text())["runs"] == 2

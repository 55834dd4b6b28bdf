"""What measures an accelerator runs, here on the processor with sizes that time nothing."""

import json

import pytest

from benchmarks.report import Report


def test_every_part_of_it_runs_and_gives_what_the_processor_gives(
    start, payne_file, payne2payne_run, domain_files, tmp_path
):
    synth, obs = domain_files
    given = ["--emulator", payne_file, "--out", tmp_path / "gpu", "--cpu-scores", payne2payne_run / "scores.json"]
    given += ["--synth", synth, "--obs", obs, "--accelerator", "cpu", "--quick"]
    command = start(tmp_path, *map(str, given), module="benchmarks.gpu").wait()
    assert command.code == 0, command.err
    parts = json.loads((tmp_path / "gpu" / "figures.json").read_text())
    assert {name: part["FAILED"] for name, part in parts.items() if "FAILED" in part} == {}
    assert "not run" not in json.dumps(parts)
    step = parts["dense step"]["batch 16"]
    assert step["GFLOP"] == pytest.approx(0.08, rel=0.05)
    found = parts["payne2payne"]
    # Nothing of the run's time is counted twice or left out.
    assert sum(found["seconds in"].values()) == pytest.approx(found["whole, s"], rel=0.05)
    assert found["steps"] == 4
    assert [value for name, value in parts["fit"].items() if "within" in name] == [True]


def test_a_part_that_fails_or_comes_too_late_costs_no_other(tmp_path, capsys):
    report = Report(tmp_path / "figures.json", 100.0)

    def wrong():
        raise RuntimeError("no such kernel")

    report.part("first", wrong)
    report.part("late", dict, needs=1000)
    report.part("last", lambda: {"share": 0.5})
    found = json.loads(report.path.read_text())
    assert found["first"]["FAILED"] == "RuntimeError: no such kernel"
    assert found["late"]["not run"].startswith("needs 1000 s")
    assert found["last"]["share"] == 0.5
    assert "share: 0.5" in capsys.readouterr().out

"""python -m cyclegan.starnet, as a user meets it: a table and pictures, and what it refuses."""

import json

from cyclegan.synthetic_gap.lessons import OBSERVED, TRANSLATED


def test_the_command(start, payne2payne_run, files_run, tmp_path):
    def process(name, *overrides, run=payne2payne_run):
        (tmp_path / name).mkdir()
        arguments = [f"checkpoint={run}", f"output={tmp_path / name / 'found'}", "device=cpu", "epochs=1"]
        return start(tmp_path / name, *arguments, *overrides, module="cyclegan.starnet")

    started = {
        "good": process("good", "subset=val"),
        "files": process("files", run=files_run),
        "typo": process("typo", "subset=train"),
    }
    commands = {name: process.wait() for name, process in started.items()}
    codes = {name: command.code for name, command in commands.items()}
    assert codes == {"good": 0, "files": 2, "typo": 2}, {name: command.err for name, command in commands.items()}
    assert "it/s" not in commands["good"].out + commands["good"].err  # bars are for a terminal
    assert "expected labels that both know, got none in synth and none in obs" in commands["files"].err
    assert not (tmp_path / "files" / "found").exists()
    output = tmp_path / "good" / "found"
    found = json.loads((output / "starnet.json").read_text())
    assert {row["trained on"] for row in found["rows"]} == {"synthetic", "synthetic, noise added", TRANSLATED, OBSERVED}
    for name in ("labels", "residuals", "gap"):
        assert (output / f"{name}.png").read_bytes().startswith(b"\x89PNG")

"""python -m benchmarks.rivals: each rival finds a map that is known, and what the command writes."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.rivals import cycle_gan, flow_matching, light_sb, ours
from benchmarks.rivals.__main__ import OURS, RIVALS, main
from cyclegan.trained.run_folder import SCORED
from emulator.commands.results import write_json

NEEDS_POT = tuple(name for name in RIVALS if "Sinkhorn" in name or "flow" in name)
STEPS = 100  # of each training, whatever time they take
LEFT = {"mean shift": 1.01, "cycle-GAN": 0.9}  # of the squared distance that a mean shift leaves, at most
USUAL = 0.35


def toy(unlike):
    """Stars (n, K) of both domains, unpaired; others, and what the right map makes of these: it only stretches.

    unlike: whether the telescope saw but a half of them, and what is off is less than what stars differ by.
    """
    draws = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(4, 4, generator=draws)).Q
    stretch = axes @ torch.tensor([0.7, 0.9, 1.2, 1.4]).diag() @ axes.T
    spread, gap = torch.tensor([60.0, 40.0, 30.0, 20.0]), torch.tensor([30.0, -20.0, 10.0, 5.0])
    if unlike:
        stretch, gap = torch.eye(4), gap / 10

    def theory(count):
        return spread * (2 * torch.rand(count, 4, generator=draws) - 1)

    def observed(stars):
        return stars @ stretch + gap

    seen, unseen = theory(800 if unlike else 400), theory(100)
    seen = seen[seen[:, 0] > 0] if unlike else seen
    return theory(400), observed(seen), unseen, observed(unseen)


@pytest.mark.parametrize("name", RIVALS)
def test_each_rival_closes_the_gap(name, monkeypatch):
    if name in NEEDS_POT:
        pytest.importorskip("ot", reason="POT is not installed: pip install '.[rivals]'")
    synth, obs, unseen, right = toy(unlike="partial" in name or "unbalanced" in name)
    for module in (cycle_gan, flow_matching, light_sb):
        monkeypatch.setattr(module, "share_of", lambda seconds: (step / STEPS for step in range(STEPS)))
    rival = RIVALS[name]
    forward, back = rival.translate(synth, obs, *((1, 0.0) if rival.trained else ()), **rival.settings[0])
    shift = obs.mean(dim=0) - synth.mean(dim=0)
    left = [(forward(unseen) - right), (back(right) - unseen)]
    usual = (unseen + shift - right).square().mean()
    shares = [(way.square().mean() / usual).item() for way in left]
    assert max(shares) < LEFT.get(name, USUAL), shares


def test_without_pot_one_line_says_how_to_install_it(monkeypatch, domain_files, capsys):
    monkeypatch.setitem(sys.modules, "ot", None)
    given = [*map(str, domain_files), "--rivals", "Sinkhorn", "--set", "domains.skip_pixels=0"]
    with pytest.raises(SystemExit) as end:
        main(given)
    assert end.value.code == 2
    assert capsys.readouterr().err == (
        "error: expected POT, which computes plans of optimal transport, found none: pip install '.[rivals]'\n"
    )


def test_the_table_of_two_files(domain_files, files_run, tmp_path, monkeypatch, capsys):
    """Ours is a run of the session's, in place of one that would take a process of its own."""

    def trained_before(command, **_):
        folder = next(part.partition("=")[2] for part in command if part.startswith("hydra.run.dir="))
        shutil.copytree(files_run, folder)
        scores = Path(folder) / SCORED
        write_json(scores, json.loads(scores.read_text()) | {"cpu_seconds": 1.5})  # for which others are trained
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(ours.subprocess, "run", trained_before)
    monkeypatch.setattr(ours, "ROUNDS", 3)
    names = ["mean shift", "Gaussian transport", "LightSB", "our pairs, ridge", OURS, "ridge on true pairs"]
    out = tmp_path / "table.csv"
    main([*map(str, domain_files), "--out", str(out), "--rivals", *names, "--set", "domains.skip_pixels=0"])
    with out.open() as file:
        rows = {row["rival"]: row for row in csv.DictReader(file)}
    assert set(rows) == set(names)
    scores = {name: float(row["x_synth_obs"]) for name, row in rows.items()}
    assert scores["ridge on true pairs"] < scores["our pairs, ridge"] < scores["mean shift"]
    assert float(rows["our pairs, ridge"]["own_split"]) < scores["ridge on true pairs"]  # which knows of no split
    assert float(rows["LightSB"]["seconds"]) >= float(rows[OURS]["seconds"])
    assert all(name in capsys.readouterr().out for name in names[:1])


@pytest.mark.parametrize(
    ("code", "setting", "told"),
    [
        (2, "domains.skip_pixels=0", "expected a finished run, got: error: no such thing\n"),
        (0, "domains.matched=false", "expected true, as only the same stars in both files can be scored, got false\n"),
    ],
)
def test_what_cannot_be_compared_is_told_in_a_line(code, setting, told, domain_files, tmp_path, monkeypatch, capsys):
    ended = subprocess.CompletedProcess([], code, "", "a warning\nerror: no such thing\n")
    monkeypatch.setattr(ours.subprocess, "run", lambda *_, **__: ended)
    given = ["--out", str(tmp_path / "table.csv"), "--rivals", OURS, "--set", "domains.skip_pixels=0", setting]
    with pytest.raises(SystemExit) as end:
        main([*map(str, domain_files), *given])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.endswith(told)
    assert not any(tmp_path.iterdir())


def test_a_search_has_a_row_for_each_setting(domain_files, tmp_path):
    out = tmp_path / "table.csv"
    given = ["--out", str(out), "--search", "--rivals", "assignment, partial", "--set", "domains.skip_pixels=0"]
    main([*map(str, domain_files), *given])
    with out.open() as file:
        tried = [row["settings"] for row in csv.DictReader(file)]
    assert tried == [f"share={settings['share']:g}" for settings in RIVALS["assignment, partial"].settings]

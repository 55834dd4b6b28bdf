"""python -m cyclegan.evaluate: the scores of training to the last digit, and a report that stands alone."""

import csv
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from browser import BROWSER, LEAST_CONTRAST, shown
from hydra import compose, initialize_config_dir
from processes import all_finished, search_quickly

from cyclegan.evaluate import EvaluateConfig, evaluate
from cyclegan.evaluation.words import ANSWERS
from cyclegan.scores.scores import SCORES
from emulator.commands.config import config_folder, validate
from emulator.commands.errors import InputError

MODULE = "cyclegan.evaluate"
STARS = ("star_best", "star_median", "star_worst")


@pytest.fixture(scope="module")
def reports(start, payne_file, payne2payne_run, files_run, domain_files, tmp_path_factory):
    """Runs that were evaluated, by what is special about them: the folder of the report, the command that made it.

    emulated: the last checkpoint, logged to W&B; best: the best checkpoint of a run between files, on test stars;
    unmatched: a run against a survey without labels, that is not finished; rounded: logged by another machine.
    """
    folder = tmp_path_factory.mktemp("evaluate")
    runs = {name: folder / name for name in ("emulated", "best", "unmatched", "rounded")}
    shutil.copytree(payne2payne_run, runs["emulated"])
    shutil.copytree(files_run, runs["best"])
    shutil.copytree(files_run, runs["rounded"])
    logged = json.loads((runs["rounded"] / "scores.json").read_text())
    logged["x_synth_obs"] *= 1 + 1e-9
    (runs["rounded"] / "scores.json").write_text(json.dumps(logged))
    survey = ("+experiment=payne2data", f"domains.obs.path={domain_files[1]}", "domains.skip_pixels=0")
    survey += (f"domains.emulator={payne_file}", "logger.wandb=false", f"hydra.run.dir={runs['unmatched']}")
    trained = start(tmp_path_factory.mktemp("survey"), *survey, before=search_quickly).wait()
    assert trained.code == 0, trained.err
    (runs["unmatched"] / "scores.json").unlink()
    checkpoint = torch.load(runs["unmatched"] / "last.ckpt", weights_only=True)
    checkpoint["record"]["split"] = None  # as before the first validation
    torch.save(checkpoint, runs["unmatched"] / "last.ckpt")

    options = {
        "emulated": (f"checkpoint={runs['emulated']}", "logger.project=stars"),
        "best": (f"checkpoint={runs['best']}/best.ckpt", "subset=test", "logger.wandb=false"),
        "unmatched": (f"checkpoint={runs['unmatched']}", "logger.wandb=false"),
        "rounded": (f"checkpoint={runs['rounded']}", "logger.wandb=false"),
    }

    def run(name):
        return start(tmp_path_factory.mktemp(name), *options[name], module=MODULE)

    commands = all_finished(run, options, 2)
    for name, command in commands.items():
        assert command.code == (name == "rounded"), command.err
        assert {path.name for path in command.folder.iterdir()} == {"out", "err"}
    return {name: (runs[name] / "evaluation", command) for name, command in commands.items()}


def numbers_of(report):
    return json.loads((report[0] / "scores.json").read_text())


def test_the_last_checkpoint_scores_what_training_logged_to_the_last_digit(reports, payne2payne_run):
    logged = json.loads((payne2payne_run / "scores.json").read_text())
    (row,) = [r for r in csv.DictReader((payne2payne_run / "metrics.csv").open()) if r["z_obs"] and r["step"] == "15"]
    found = numbers_of(reports["emulated"])
    for name in (*SCORES, "x_synth_obs_mse", "x_obs_synth_mse", "dead_latents"):
        assert found["scores"][name] == logged[name]
        assert np.float32(found["scores"][name]) == float(row[name])
    for name in ("gap_synth_obs", "shift_obs_synth", "floor_synth_obs"):
        assert found["controls"][name] == logged[name]
    assert len(found["rescored"]) == 18
    assert all(row["identical"] for row in found["rescored"])


def test_the_command_prints_what_it_compared(reports):
    _, command = reports["emulated"]
    head, *rows = command.out.splitlines()[:19]
    assert head.split() == ["score", "logged", "in", "logged", "scored", "again", "identical"]
    assert [row.split()[-1] for row in rows] == ["yes"] * 18
    assert "report.html" in command.out.splitlines()[-1]


def test_the_best_checkpoint_scores_what_its_own_row_logged(reports):
    found = numbers_of(reports["best"])
    rows = list(csv.DictReader((reports["best"][0].parent / "metrics.csv").open()))
    best = min((row for row in rows if row["x_synth_obs"]), key=lambda row: float(row["x_synth_obs"]))
    assert found["step"] == int(best["step"]) + 1
    in_metrics = [row for row in found["rescored"] if row["logged_in"] == "metrics.csv"]
    assert {row["score"]: row["rescored"] for row in in_metrics} == {
        row["score"]: float(best[row["score"]]) for row in in_metrics
    }
    assert len(in_metrics) == 9


def test_the_test_stars_are_scored_and_the_val_stars_still_compared(reports):
    found = numbers_of(reports["best"])
    assert found["subset"] == "test"
    assert all(row["identical"] for row in found["rescored"])
    x = [row["rescored"] for row in found["rescored"] if row["score"] == "x_synth_obs"]
    assert found["scores"]["x_synth_obs"] == pytest.approx(x[0], rel=1e-6)  # the fixture's test stars are its val stars


def test_an_unfinished_run_is_compared_with_what_it_logged_and_says_so(reports):
    folder, _ = reports["unmatched"]
    found = numbers_of(reports["unmatched"])
    assert not found["finished"]
    assert {row["logged_in"] for row in found["rescored"]} == {"metrics.csv"}
    assert all(row["identical"] for row in found["rescored"])
    assert "not finished" in (folder / "report.html").read_text()


def test_a_difference_of_rounding_is_told_beside_the_report(reports):
    folder, command = reports["rounded"]
    assert command.err.splitlines() == ["error: 1 scores differ by rounding, 1e-09 at most"]
    assert (folder / "report.html").read_text().count('class="wrong">no<') == 1


class Page(HTMLParser):
    """Tags in order and in balance, what is referred to, and the text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.references, self.ids, self.text = [], [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.references += [value for name, value in attributes if name in ("src", "href", "srcset", "data", "action")]
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("name", ["emulated", "best", "unmatched", "rounded"])
def test_the_report_is_whole_and_refers_to_nothing_outside(reports, name):
    folder, _ = reports[name]
    text = (folder / "report.html").read_text()
    page = Page(text)
    assert page.open == []
    assert all(reference.startswith("data:image/png;base64,") for reference in page.references)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert re.search(r"https?://|url\(|@import", text) is None
    assert "nan" not in page.text.split()
    assert "Translations take the split latent of another star" in page.text


@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_it_on_a_phone_and_on_a_desk_to_whoever_reads(reports, tmp_path, width):
    if not BROWSER:
        pytest.skip("NO BROWSER TRIED: there is no chromium here")
    page = shown(reports["emulated"][0] / "report.html", tmp_path, width)
    assert (page["language"], page["landmarks"], page["first"]) == ("en", 1, "May I use it?")
    assert page["headings"] == [1] + [2] * (len(page["headings"]) - 1)
    assert page["images"] == 9
    assert {page[name] for name in ("wider", "undescribed", "broken", "unscoped", "unnamed", "unreachable")} == {0}
    assert page["contrast"] >= LEAST_CONTRAST
    assert page["smallest"] >= 12
    assert (tmp_path / f"{width}.png").read_bytes().startswith(b"\x89PNG")


def test_the_report_opens_with_whether_and_for_what_it_may_be_used(reports):
    for name in ("emulated", "unmatched", "best"):
        advice, text = numbers_of(reports[name])["advice"], (reports[name][0] / "report.html").read_text()
        first = Page(text).text.partition("Scores beside their controls")[0]
        for line in (ANSWERS[advice["answer"]], *advice["why"], *advice["limits"], *advice["stars"]):
            assert line in first


@pytest.mark.parametrize("name", ["emulated", "best", "unmatched"])
def test_every_figure_is_in_the_report_and_beside_it(reports, name):
    folder, _ = reports[name]
    figures = {*STARS, "history", "residuals", "embedding", "latents"} | ({"bins"} if name == "emulated" else set())
    figures |= set() if name == "best" else {"physics"}  # a run between files has no emulator
    page = Page((folder / "report.html").read_text())
    assert set(page.ids) == figures
    assert {path.stem for path in (folder / "figures").iterdir()} == figures
    assert page.tags.count("figcaption") == len(figures)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (folder / "figures").iterdir())


def test_every_star_has_a_row(reports):
    folder, _ = reports["emulated"]
    rows = list(csv.DictReader((folder / "stars.csv").open()))
    found = numbers_of(reports["emulated"])
    assert len(rows) == found["stars"] == 40
    x = np.array([float(row["x_translated"]) for row in rows])
    assert x.mean() == pytest.approx(found["scores"]["x_synth_obs"])  # no pixel is masked
    assert [x.argmin(), x.argmax()] == [found["examples"]["best"], found["examples"]["worst"]]
    assert np.mean([float(row["x_mean_shift"]) for row in rows]) == pytest.approx(found["controls"]["shift_synth_obs"])
    assert all(4200 < float(row["teff"]) < 6800 for row in rows)
    assert sum(found["bins"]["teff"]["stars"]) == 40


def test_the_gap_that_is_left_is_told(reports):
    found = numbers_of(reports["emulated"])
    floor, shift = found["controls"]["floor_synth_obs"], found["controls"]["shift_synth_obs"]
    assert found["gap_left"] == pytest.approx((found["scores"]["x_synth_obs"] - floor) / (shift - floor))
    assert numbers_of(reports["best"])["gap_left"] is None


def test_a_classifier_is_asked_with_a_control(reports):
    found = numbers_of(reports["emulated"])["separation"]
    assert set(found) == {"synthetic", "translated", "observed", "shared latents"}
    assert found["synthetic"]["auc"] > 0.95  # lines are missing
    assert all(0 <= value["auc"] <= 1 for value in found.values())


def test_without_matched_stars_the_report_says_so_and_shows_what_there_is(reports):
    folder, _ = reports["unmatched"]
    found = numbers_of(reports["unmatched"])
    assert not found["matched"]
    assert not {"x_synth_obs", "x_obs_synth", "z_shared"} & set(found["scores"])
    assert found["controls"] == {}
    assert "no star in common" in Page((folder / "report.html").read_text()).text
    rows = list(csv.DictReader((folder / "stars.csv").open()))
    assert "x_translated" not in rows[0]
    assert np.mean([float(row["reconstruction"]) for row in rows]) == pytest.approx(
        found["signals"]["reconstruction_obs"]
    )


def test_pictures_stars_and_numbers_go_to_the_run_at_wandb(reports):
    folder, _ = reports["emulated"]
    run = folder.parent
    (recorded,) = run.glob("wandb/offline-run-*")
    inspect = [Path(sys.executable).with_name("wandb"), "leet", "inspect", "--json", recorded]
    lines = subprocess.run(inspect, capture_output=True, text=True, check=True).stdout.splitlines()
    entries = [json.loads(line) for line in lines]
    (about,) = [entry["run"] for entry in entries if entry["type"] == "run"]
    assert about["run_id"] == (run / "wandb_id").read_text()
    assert about["project"] == "stars"
    items = [entry["history"]["item"] for entry in entries if entry["type"] == "history"]
    for figure in (*STARS, "history", "residuals", "embedding", "bins"):
        key = f"evaluation/{figure}.filenames"
        ((path,),) = [item[key] for item in items if key in item]
        assert (recorded / "files" / path).read_bytes() == (folder / "figures" / f"{figure}.png").read_bytes()
    (table,) = recorded.glob("files/media/table/evaluation/stars*.json")
    assert len(json.loads(table.read_text())["data"]) == 40
    summary = {}
    for entry in entries:
        if entry["type"] == "summary":
            summary |= entry["summary"].get("update", {})
    found = numbers_of(reports["emulated"])
    assert summary["evaluation/x_synth_obs"] == pytest.approx(found["scores"]["x_synth_obs"])
    assert summary["evaluation/auc translated"] == pytest.approx(found["separation"]["translated"]["auc"])


def configure(*overrides):
    with initialize_config_dir(config_folder(), version_base="1.3"):
        return validate(compose("evaluate", ["logger.wandb=false", *overrides]), EvaluateConfig)


@pytest.fixture
def files(domain_files, tmp_path):
    """Copies of the two files of spectra, to be spoilt."""
    return [Path(shutil.copy(path, tmp_path)) for path in domain_files]


def test_other_spectra_are_told_with_their_file_and_leave_no_report(start, files_run, files, tmp_path):
    with h5py.File(files[1], "r+") as file:
        file["spectra val"][3] += 0.01
    output = tmp_path / "report"
    command = start(
        tmp_path, f"checkpoint={files_run}", f"obs={files[1]}", f"output={output}", "logger.wandb=false", module=MODULE
    ).wait()
    assert command.code == 2
    expected = (
        rf"error: {files[1]}: expected the spectra that the run was trained with, in a file of \d+ bytes of .* UTC"
    )
    assert re.match(expected, command.err)
    assert command.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["err", "obs.h5", "out", "synth.h5"]


def test_other_scores_are_told_and_leave_no_report(start, files_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(files_run, run)
    scores = json.loads((run / "scores.json").read_text())
    (run / "scores.json").write_text(json.dumps(scores | {"x_synth_obs": scores["x_synth_obs"] + 0.01}))
    command = start(tmp_path, f"checkpoint={run}", "logger.wandb=false", module=MODULE).wait()
    assert command.code == 1
    (line,) = command.err.splitlines()
    assert all(word in line for word in ("error: scores differ: x_synth_obs", "scores.json", "obs.h5"))
    assert "no" in command.out
    assert not (run / "evaluation").exists()
    assert not list(run.glob(".unfinished*"))


BAD = {
    "no such run": (["checkpoint=nowhere"], r"nowhere: expected a checkpoint or a run's folder"),
    "no checkpoint at all": ([], r"'checkpoint': expected a value, got none"),
    "an unknown subset": (["checkpoint={run}", "subset=train"], r"'subset': expected one of val, test, got train"),
    "a file that is gone": (["checkpoint={run}", "obs=gone.h5"], r"gone.h5: expected the file .* obs=FILE says"),
    "a file of other pixels": (
        ["checkpoint={run}", "obs={short}"],
        r"short.h5: expected the 203 wave.* got 200",
    ),
    "other stars": (["checkpoint={run}", "synth={fewer}"], r"same stars in 'val' .* 59 in synth, 60 in obs"),
    "an output that is no folder": (["checkpoint={run}", "output={short}"], r"short.h5: expected a place to write"),
    "an output below a file": (["checkpoint={run}", "output={short}/report"], r"report: expected a place to write"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_told(files_run, files, tmp_path, case):
    short, fewer = tmp_path / "short.h5", tmp_path / "fewer.h5"
    for source, target, cut in ((files[1], short, np.s_[..., :-3]), (files[0], fewer, None)):
        shutil.copy(source, target)
        with h5py.File(target, "r+") as file:
            for name in list(file):
                if cut is not None or name.endswith(" val"):
                    values = file[name][cut] if cut is not None else file[name][1:]
                    del file[name]
                    file[name] = values
    overrides, expected = BAD[case]
    overrides = [o.format(run=files_run, short=short, fewer=fewer) for o in overrides]
    with pytest.raises(InputError, match=expected):
        evaluate(configure(*overrides))
    assert not (files_run / "evaluation").exists()


def test_a_file_cannot_stand_in_for_an_emulator(payne2payne_run, files):
    with pytest.raises(InputError, match="'synth': expected none, as the run emulates that domain"):
        evaluate(configure(f"checkpoint={payne2payne_run}", f"synth={files[0]}"))

"""python -m cyclegan.share: a folder that stands alone is written whole, over nothing else, and used as a run is."""

import json
import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest
import safetensors.torch
import torch
from faults.good_inputs import write_run
from transfers import run_transfer

from cyclegan.share import main, share
from cyclegan.trained.loading import load
from emulator.commands.errors import InputError

FILES = ["README.md", "SHA256SUMS", "config.json", "model.safetensors"]
PROGRAMS = ["encode_obs.pt2", "encode_synth.pt2", "obs_to_synth.pt2", "synth_to_obs.pt2"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of an ensemble; to be read, not changed."""
    folder = tmp_path_factory.mktemp("run")
    write_run(folder)
    return folder


def listed(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def refused(arguments, capsys):
    """The one line that a command ends with."""
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    assert end.value.code == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
    return told.err


def test_a_run_is_shared_with_its_card_and_sums(payne2payne_run, trained, forty_stars, tmp_path, capsys):
    out = tmp_path / "deep" / "shared"
    assert main([str(payne2payne_run), str(out), "license=cc-by-4.0", "citation=Me et al. 2026"]) == 0
    assert listed(out) == FILES
    told = capsys.readouterr().out
    assert all(name in told for name in (*FILES, " MB"))
    checked = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=out, capture_output=True, text=True)
    assert (checked.returncode, checked.stdout.count(": OK\n")) == (0, 3)
    text = (out / "README.md").read_text()
    score = json.loads((payne2payne_run / "scores.json").read_text())["x_synth_obs"]
    assert f" {score:.3g} |" in text
    assert "license: cc-by-4.0" in text
    assert "Me et al. 2026" in text
    assert torch.equal(load(out, "cpu").synth_to_obs(forty_stars.flux), trained.synth_to_obs(forty_stars.flux))
    assert listed(tmp_path) == ["deep"]


def test_a_shared_folder_is_translated_with_as_a_run(payne2payne_run, synth_file, tmp_path):
    share(payne2payne_run, tmp_path / "shared")
    for name, checkpoint in (("run.h5", payne2payne_run), ("shared.h5", tmp_path / "shared")):
        run_transfer(checkpoint=checkpoint, input=synth_file, output=tmp_path / name, direction="synth_to_obs")
    with h5py.File(tmp_path / "run.h5") as ours, h5py.File(tmp_path / "shared.h5") as theirs:
        assert set(ours) == set(theirs)
        assert np.array_equal(ours["spectra test"], theirs["spectra test"])


def test_shared_again_it_replaces_its_own_files_and_leaves_none_behind(run, tmp_path):
    out = tmp_path / "shared"
    share(run, out, export=True)
    assert listed(out) == sorted([*FILES, *PROGRAMS])
    assert all(name in (out / "SHA256SUMS").read_text() for name in PROGRAMS)
    before = (out / "model.safetensors").read_bytes()
    share(run, out, licence="mit")
    assert listed(out) == FILES
    assert (out / "model.safetensors").read_bytes() == before
    assert "license: mit" in (out / "README.md").read_text()
    share(out, tmp_path / "again")  # what was shared may be handed on
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == before


def test_scores_and_limits_are_those_of_the_checkpoint_that_is_shared(run, tmp_path):
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    shutil.copy(folder / "last.ckpt", folder / "other.ckpt")
    (folder / "evaluation").mkdir()
    label = {"label": "teff", "bias": 1.25, "scatter": 1.0, "spread": 9.0, "fidelity": 0.9, "theory": 0.8}
    physics = {"labels": [label], "cycle_under_noise": {"0": 0.1, "0.1": 0.1}}
    found = {"checkpoint": "last.ckpt", "step": 1, "physics": physics, "bins": {}, "offset": {}, "finished": True}
    found |= {"matched": False, "separation": {"translated": {"auc": 0.5}}}
    (folder / "evaluation" / "scores.json").write_text(json.dumps(found))
    texts = {}
    for name in ("last", "other"):
        share(folder / f"{name}.ckpt", tmp_path / name)
        texts[name] = (tmp_path / name / "README.md").read_text()
    (folder / "evaluation" / "scores.json").write_text(json.dumps(found | {"bins": 3}))
    with pytest.raises(InputError, match=r"evaluation.scores\.json: expected what evaluate of this version finds"):
        share(folder, tmp_path / "odd")
    assert ["| 1.05 |" in texts[name] for name in ("last", "other")] == [True, False]
    assert ["| `teff` | 1.25 |" in texts[name] for name in ("last", "other")] == [True, False]


@pytest.mark.parametrize(
    "arguments",
    [
        *([], ["RUN"], ["RUN", "a", "b"], ["--fast", "RUN", "a"], ["RUN", "a", "export=yes"]),
        *(["RUN", "a", "license=mit", "license=mit"], ["RUN", "a", "-x"]),
    ],
)
def test_other_arguments_are_told(arguments, run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    told = refused([run if argument == "RUN" else argument for argument in arguments], capsys)
    assert "expected python -m cyclegan.share RUN OUT [license=ID]" in told
    assert listed(tmp_path) == []


def test_a_key_that_there_is_not_is_named(run, tmp_path, capsys):
    told = refused([run, tmp_path / "out", "licence=mit"], capsys)
    assert told == "error: expected license=ID, citation=TEXT or export=true after RUN OUT, got licence=mit\n"
    assert listed(tmp_path) == []


@pytest.mark.parametrize("licence", ["", "CC BY 4.0", "mit\nx: y", "'", "../mit"])
def test_a_licence_is_an_identifier(licence, run, tmp_path, capsys):
    assert "license: expected an identifier" in refused([run, tmp_path / "out", f"license={licence}"], capsys)
    assert listed(tmp_path) == []


def test_anothers_folder_is_kept(run, tmp_path, capsys):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "README.md").write_text("mine")
    assert "thesis: expected a folder that cyclegan.share wrote" in refused([run, tmp_path / "thesis"], capsys)
    (tmp_path / "file").write_text("mine")
    assert "file" in refused([run, tmp_path / "file"], capsys)
    assert listed(tmp_path / "thesis") == ["README.md"]
    assert (tmp_path / "file").read_text() == "mine"
    before = listed(run)
    assert "expected a folder that cyclegan.share wrote" in refused([run, run], capsys)
    assert listed(run) == before


def test_what_is_shared_is_not_written_over_itself(run, tmp_path, capsys):
    share(run, tmp_path / "shared")
    (tmp_path / "link").symlink_to("shared")
    for name in ("shared", "link"):
        assert "expected another file to write than 'RUN'" in refused([tmp_path / name, tmp_path / "shared"], capsys)
    assert load(tmp_path / "shared", "cpu").step == 1


def test_a_run_that_is_none_leaves_nothing(tmp_path, capsys):
    assert "expected a checkpoint or a run's folder" in refused([tmp_path / "nowhere", tmp_path / "out"], capsys)
    (tmp_path / "last.ckpt").write_text("none")
    assert "does not load" in refused([tmp_path, tmp_path / "out"], capsys)
    assert listed(tmp_path) == ["last.ckpt"]


def test_what_fails_on_the_way_leaves_what_was_there(run, tmp_path, monkeypatch):
    out = tmp_path / "shared"
    share(run, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    monkeypatch.setattr("cyclegan.share.write_sums", lambda *_: 1 / 0)
    for place in (out, tmp_path / "new"):
        with pytest.raises(ZeroDivisionError):
            share(run, place, licence="mit")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert listed(tmp_path) == ["shared"]


def test_a_shared_folder_that_was_half_replaced_is_refused_and_can_be_made_whole(run, tmp_path, capsys):
    """As a kill between two files leaves it."""
    out = tmp_path / "shared"
    share(run, out)
    tensors = safetensors.torch.load_file(out / "model.safetensors")
    (out / "model.safetensors").write_bytes(safetensors.torch.save(tensors | {"record.split": torch.zeros(30, 1)}))
    assert "model.safetensors: expected the file that was shared" in refused([out, tmp_path / "other"], capsys)
    (out / "SHA256SUMS").unlink()
    assert "SHA256SUMS: expected a file of a shared run, found none" in refused([out, tmp_path / "other"], capsys)
    share(run, out)
    assert load(out, "cpu").step == 1


def test_help_says_what_it_takes(capsys):
    assert main(["--help"]) == 0
    assert "RUN OUT [license=ID] [citation=TEXT] [export=true]" in capsys.readouterr().out

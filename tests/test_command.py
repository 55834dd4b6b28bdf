"""emulator/command.py: configuration checked at the door, files written whole, one line and exit code 2."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from emulator.command import (
    InputError,
    config_folder,
    errors_in_one_line,
    run,
    validate,
    written_together,
    written_whole,
)


@dataclass
class Part:
    sizes: list[int] = field(metadata={"minimum": 1})
    kind: str = field(metadata={"choices": ("dense", "conv")})


@dataclass
class Schema:
    rate: float = field(metadata={"above": 0.0, "maximum": 1.0})
    path: str | None
    part: Part


GOOD = {"rate": 0.5, "path": None, "part": {"sizes": [1, 2], "kind": "dense"}}


@pytest.mark.parametrize(
    ("command", "mistyped", "meant"),
    [
        ("fit", "chekpoint=runs/x", "checkpoint"),
        ("train", "split=2", "networks.split"),
        ("train", "epochs=3", "trainer.epochs"),
        ("train", "input=obs.h5", None),  # a key of others
        ("train", "domains.obs.effects.bad_pixel=0.1", "domains.obs.effects.bad_pixels"),
        ("train", "loses.pairs=1", "losses.pairs"),
        ("train", "networks.chanels=[1, 2]", "networks.channels"),
        ("train", "nothing_like_it=3", None),
        ("emulator", "ouput=x.pt", "output"),
    ],
)
def test_a_mistyped_key_is_told_what_it_may_have_meant(command, mistyped, meant, capsys):
    with (
        pytest.raises(SystemExit, match="2"),
        errors_in_one_line(command),
        initialize_config_dir(config_folder(), version_base="1.3"),
    ):
        compose(command, [mistyped])
    advice = f"; is '{meant}' meant?" if meant else ""
    key = mistyped.partition("=")[0]
    told = f"error: Could not override '{key}': the keys are those that --cfg job prints{advice}\n"
    assert capsys.readouterr().err == told


def test_an_unknown_choice_is_told_without_where_it_was_sought(capsys):
    with (
        pytest.raises(SystemExit, match="2"),
        errors_in_one_line("train"),
        initialize_config_dir(config_folder(), version_base="1.3"),
    ):
        compose("train", ["networks=dens"])
    assert re.fullmatch(
        r"error: .*'networks/dens' Available options in 'networks': conv dense\n", capsys.readouterr().err
    )


def test_a_good_configuration_passes_with_its_values():
    assert OmegaConf.to_container(validate(OmegaConf.create(GOOD), Schema)) == GOOD


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("typo=1", ["unknown config key 'typo'", "part, path, rate"]),
        ("part.typo=1", ["unknown config key 'part.typo'", "kind, sizes"]),
        ("typo.deep=1", ["unknown config key 'typo'"]),
        ("rate=abc", ["'rate'", "abc", "Float"]),
        ("rate=null", ["'rate'", "None"]),
        ("rate=0", ["'rate'", "more than 0", "got 0"]),
        ("rate=nan", ["'rate'", "got nan"]),
        ("rate=2", ["'rate'", "at most 1", "got 2"]),
        ("part.sizes=[4,0]", ["'part.sizes'", "at least 1", "got 0"]),
        ("part.sizes=[4,abc]", ["'part.sizes[1]'", "abc"]),
        ("part.kind=cnv", ["'part.kind'", "dense, conv", "got cnv"]),
        ("part=3", ["'part'"]),
        ("path=${nowhere}", ["nowhere", "not found"]),
    ],
)
def test_a_bad_value_is_named_in_one_line(change, words):
    config = OmegaConf.merge(GOOD, OmegaConf.from_dotlist([change]))
    with pytest.raises(InputError) as caught:
        validate(config, Schema)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


@pytest.mark.parametrize("config", [{"rate": 0.5, "path": None}, GOOD | {"path": "???"}])
def test_a_key_without_value_is_named(config):
    with pytest.raises(InputError, match=r"config key 'pa(th|rt)': expected a value"):
        validate(OmegaConf.create(config), Schema)


def test_the_configuration_lies_where_config_folder_says():
    assert (Path(config_folder()) / "emulator.yaml").is_file()


def test_a_file_takes_its_name_only_when_whole(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with written_whole(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def interrupted():
        with written_whole(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_signal_that_comes_as_soon_as_the_file_is_there_leaves_none(tmp_path, monkeypatch):
    touch = Path.touch

    def touched(path):
        touch(path)
        sys.exit(143)  # what the commands' handler of SIGTERM does

    monkeypatch.setattr(Path, "touch", touched)
    with pytest.raises(SystemExit), written_whole(tmp_path / "file.txt"):
        pass
    assert list(tmp_path.iterdir()) == []


def terminate_while_writing(folder):
    def main():
        with written_whole(folder / "file.txt") as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGTERM)

    run(main, "")


def test_a_command_that_is_terminated_leaves_nothing_half_written(tmp_path):
    process = multiprocessing.get_context("fork").Process(target=terminate_while_writing, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == 143
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "inside"):
        with pytest.raises(InputError, match=str(path)), written_whole(path):
            pass


def test_input_errors_become_one_line_and_exit_code_2(capsys):
    def main():
        raise InputError("grid.h5: expected spectra,\n  got none")

    with pytest.raises(SystemExit) as caught:
        run(main, "")
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: grid.h5: expected spectra, got none\n"


def test_other_errors_keep_their_traceback():
    def main():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(main, "")


def write_half(folder):
    with written_together(folder) as unfinished:
        (unfinished / "report.html").write_text("half")
        raise KeyError


def test_files_come_together_or_not_at_all(tmp_path):
    folder = tmp_path / "new" / "report"
    with pytest.raises(KeyError):
        write_half(folder)
    assert list(tmp_path.iterdir()) == []
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    (folder / "report.html").write_text("old")
    with written_together(folder) as unfinished:
        (unfinished / "figures").mkdir()
        (unfinished / "figures" / "a.png").write_text("picture")
        (unfinished / "report.html").write_text("whole")
        assert (folder / "report.html").read_text() == "old"
    assert {path.name for path in folder.iterdir()} == {"notes.txt", "report.html", "figures"}
    assert (folder / "report.html").read_text() == "whole"


def test_help_is_the_configuration_with_its_comments(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["cyclegan.train", "--help"])
    run(lambda: pytest.fail("help was asked for"), "train")
    text = capsys.readouterr().out
    for words in ("KEY=VALUE", "seed: 1", "# a weight of 0 skips the computation", "experiment: classic, payne2data"):
        assert words in text


def test_a_command_that_is_interrupted_says_no_more_than_that(capsys):
    def main():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as caught:
        run(main, "transfer")
    assert caught.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_reader_that_goes_away_is_no_error(domain_files):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "cyclegan.validate", str(domain_files[0])]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")

"""emulator/commands/running.py: errors in one line with exit code 2, help, and the end by a signal."""

import logging
import os
import re
import subprocess
import sys

import pytest
from hydra import compose, initialize_config_dir

from emulator.commands.config import config_folder
from emulator.commands.errors import InputError
from emulator.commands.running import errors_in_one_line, run


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
        ("evaluate", "split=test", "subset"),
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


def test_a_comma_is_told_of_as_it_is_pasted(capsys):
    with (
        pytest.raises(SystemExit, match="2"),
        errors_in_one_line("transfer"),
        initialize_config_dir(config_folder(), version_base="1.3"),
    ):
        compose("transfer", ["input=a,b.h5"])
    assert capsys.readouterr().err == (
        "error: config key 'input': expected one value, got several; as one text: 'input=\"a,b.h5\"'; as a list:"
        " 'input=[a,b.h5]'; a run for each: --multirun\n"
    )


def test_input_errors_become_one_line_and_exit_code_2(capsys):
    def main():
        raise InputError("grid.h5: expected spectra,\n  got none")

    with pytest.raises(SystemExit) as caught:
        run(main, "")
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: grid.h5: expected spectra, got none\n"


def test_nothing_that_a_terminal_would_obey_is_printed_or_logged(capsys, caplog):
    def main():
        logging.getLogger("a").warning("%s is faint", "\x1b[31mstar")
        raise InputError("\x1b]0;title\x07.h5: expected spectra")

    with pytest.raises(SystemExit):
        run(main, "")
    assert capsys.readouterr().err == "error: \\x1b]0;title\\x07.h5: expected spectra\n"
    assert caplog.messages == ["\\x1b[31mstar is faint"]


def test_other_errors_keep_their_traceback():
    def main():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(main, "")


def test_help_is_the_configuration_with_its_comments(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["cyclegan.train", "--help"])
    run(lambda: pytest.fail("help was asked for"), "train", ("experiment",))
    text = capsys.readouterr().out
    for words in ("KEY=VALUE", "seed: 1", "# a weight of 0 skips the computation", "experiment: classic, lines2lines"):
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

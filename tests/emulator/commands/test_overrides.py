"""emulator/commands/overrides.py: what a command line says is that very text; ~ is the home."""

import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from emulator.commands.config import config_folder
from emulator.commands.overrides import as_text, at_home, for_shell

PATHS = [
    "a=b.h5",
    "runs/lr=0.1,seed=2/x=[1].h5",
    "a(b).h5",
    "a[b].h5",
    "{b}",
    "a{b}.h5",
    "#b.h5",
    "a%b.h5",
    "it's.h5",
    'a"b".h5',
    "a'b'",
    "a b.h5",
    " a.h5 ",
    "aé日本.h5",
    "a~b.h5",
    "a;b&c!d<e>f`g^h",
    "a\\b=c",
    'a\\"=b\\',
    "run(1)",
    "a$b:c@d+e|f",
    "-x",
]


def composed(*overrides):
    with initialize_config_dir(config_folder(), version_base="1.3"):
        return compose("transfer", as_text(overrides))


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_what_was_written(path):
    assert composed(f"input={path}").input == path


def test_what_hydra_reads_stays_what_it_was():
    given = [
        "seed=3",
        "input=null",
        "input='a=b'",
        "split=[a, b]",
        "+x={a:1}",
        "~labels",
        "-m",
        "seed=1,2",
        "--cfg",
        "job",
    ]
    assert as_text(given) == given


def test_a_text_among_several_is_quoted_for_the_shell():
    (quoted,) = shlex.split(for_shell("input", "it's a,b.h5"))
    assert composed(quoted).input == "it's a,b.h5"


def test_the_home_is_found_where_a_path_begins(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert composed("input=~/a.h5").input == f"{tmp_path}/a.h5"
    assert as_text(["others=[~/a,~/b]"]) == [f"others=[{tmp_path}/a,{tmp_path}/b]"]
    assert at_home("~/a=b.h5") == f"{tmp_path}/a=b.h5"
    assert at_home("--labels=~/a.fits") == f"--labels={tmp_path}/a.fits"
    root = Path("~root").expanduser()
    assert at_home("wavelength=~root/a.npy") == f"wavelength={root}/a.npy"
    for other in ("a=b~/c", "~nobody_of_this_name/c", "x,~/y"):
        assert at_home(other) == other

"""pyproject.toml and Makefile: what a wheel carries, and the commands that the README gives."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import cyclegan

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAKE = ("make", "--no-print-directory")  # which it prints where make itself runs the tests


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy of the sources, so that no build folder is left among them."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("conf", "cyclegan", "emulator"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", "dist", "."]
    built = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (path,) = (source / "dist").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def names(wheel):
    return set(zipfile.ZipFile(wheel).namelist())


def test_a_wheel_carries_the_configuration_and_the_tables(names):
    for path in (ROOT / "conf").rglob("*.yaml"):
        assert f"emulator/conf/{path.relative_to(ROOT / 'conf')}" in names
    tables = [*ROOT.glob("emulator/data/*.csv"), *ROOT.glob("cyclegan/domains/tables/*.csv")]
    assert len(tables) >= 5
    for path in tables:
        assert str(path.relative_to(ROOT)) in names
    assert not any(name.startswith(("tests/", "benchmarks/", "runs/", "models/")) for name in names)


def test_a_wheel_carries_all_code_and_says_that_it_is_typed(names):
    for package in ("cyclegan", "emulator"):
        code = {str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("*.py")}
        assert {name for name in names if name.startswith(f"{package}/") and name.endswith(".py")} == code
        assert f"{package}/py.typed" in names


def test_a_wheel_carries_what_lies_in_the_packages_and_nothing_else(names):
    for package in ("cyclegan", "emulator"):
        files = [path for path in (ROOT / package).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        expected = {str(path.relative_to(ROOT)) for path in files}
        carried = {name for name in names if name.startswith(f"{package}/") and "/conf/" not in name}
        assert carried == expected


def test_every_room_is_listed_as_a_package():
    """Setuptools is told of each, as a room that it is not told of would be left out without a word."""
    rooms = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in ("cyclegan", "emulator")
        for path in (ROOT / package).rglob("*.py")
    }
    listed = PROJECT["tool"]["setuptools"]["packages"]
    assert sorted(listed) == sorted({*rooms, "emulator.conf"})
    for room in rooms:
        assert (ROOT / room.replace(".", "/") / "__init__.py").is_file()


def test_the_version_is_the_programs_own(wheel):
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert wheel.name.startswith(f"cyclegan_stellar_spectra-{cyclegan.__version__}-")


def test_the_commands_of_a_wheel_find_their_configuration(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    # Isolated from this checkout: the current folder is not searched, and the editable install comes later.
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'installed')!r})\n"
        "import emulator.commands.config as config, hydra\n"
        "assert 'installed' in config.__file__\n"
        "assert config.config_folder().startswith(sys.path[0])\n"
        "with hydra.initialize_config_dir(config.config_folder(), version_base='1.3'):\n"
        "    print(hydra.compose('train', ['+experiment=payne2payne']).name)\n"
        "import cyclegan\n"
        "assert 'installed' in cyclegan.__file__\n"
        "from cyclegan.domains.sky import sky_templates\n"
        "import torch\n"
        "print(sky_templates(torch.linspace(9.62, 9.74, 100, dtype=torch.float64), 1e-4).shape[0])\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "payne2payne\n4\n", done.stderr


def test_the_readme_starts_with_the_two_commands():
    readme = (ROOT / "README.md").read_text()
    assert "```\nmake train\nmake test\n```" in readme


@pytest.fixture(scope="module")
def targets():
    """What `make help` says: targets with what they do."""
    listed = subprocess.run([*MAKE, "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return dict(line.removeprefix("make ").split(maxsplit=1) for line in listed.splitlines())


def test_make_help_lists_every_target(targets):
    phony = next(line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith(".PHONY:"))
    assert set(targets) == set(phony.split()[1:])
    assert {"install", "train", "test", "help"} <= set(targets)


@pytest.mark.parametrize(
    ("target", "command"),
    [
        ("train", "-m cyclegan.train +experiment=payne2payne"),
        ("test", "-m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder"),
        ("emulator", "-m emulator.train"),
    ],
)
def test_a_target_installs_and_runs_its_command(target, command):
    planned = subprocess.run(
        [*MAKE, "--dry-run", "--always-make", target], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert planned[-1].endswith(command)
    assert any("pip install" in line and "--constraint constraints.txt" in line for line in planned[:-1])


def test_every_version_installed_is_pinned():
    constraints = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in constraints if "==" in line}
    project = PROJECT["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.match(r"[\w.-]+", requirement)[0].lower() for requirement in asked}
    assert names <= pinned
    assert "torch==2.13.0" in constraints

"""What a wheel carries, and the commands that the README gives."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
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


def test_a_wheel_carries_the_configuration_and_the_tables(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in (ROOT / "conf").rglob("*.yaml"):
        assert f"cyclegan/conf/{path.relative_to(ROOT / 'conf')}" in names
    for path in (*ROOT.glob("emulator/data/*.csv"), *ROOT.glob("cyclegan/tables/*.csv")):
        assert str(path.relative_to(ROOT)) in names
    for room in ("cyclegan", "emulator"):
        for path in (ROOT / room).glob("*.py"):
            assert f"{room}/{path.name}" in names
    assert not any(name.startswith(("tests/", "benchmarks/", "runs/", "models/")) for name in names)


def test_the_commands_of_a_wheel_find_their_configuration(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    # Isolated from this checkout: the current folder is not searched, and the editable install comes later.
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'installed')!r})\n"
        "import emulator.command, hydra\n"
        "from pathlib import Path\n"
        "assert 'installed' in emulator.command.__file__\n"
        "with hydra.initialize_config_dir(emulator.command.config_folder(), version_base='1.3'):\n"
        "    print(hydra.compose('train', ['+experiment=payne2payne']).name)\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "payne2payne\n", done.stderr


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
        ("test", "-m pytest --numprocesses 2 --dist loadfile"),
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
    text = (ROOT / "pyproject.toml").read_text()
    import tomllib

    project = tomllib.loads(text)["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {requirement.split(">")[0].strip().lower() for requirement in asked}
    assert names <= pinned
    assert "torch==2.13.0" in constraints

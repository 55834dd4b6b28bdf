"""What every command shares: where its configuration lies, and how bad input is told: one line, exit code 2."""

import errno
import logging
import os
import re
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

INTERRUPTED = 130  # the exit code of what Ctrl-C ends
MOST_SEED = 2**32 - 1  # that all libraries take
UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOSPC)


class InputError(ValueError):
    """Something the user gave cannot be used. The message is one line: what, expected, got, where."""


def config_folder() -> str:
    """The folder of the Hydra configuration: conf/ of a checkout, or the copy that a wheel carries."""
    root = Path(__file__).resolve().parents[1]
    return str(root / "conf" if (root / "conf" / "emulator.yaml").exists() else root / "cyclegan" / "conf")


def validate(config: DictConfig, schema: type) -> DictConfig:
    """The configuration, checked key by key against a dataclass of typed fields.

    A field's metadata may hold `minimum`, `maximum`, `above` (exclusive minimum) or `choices`.
    Raises InputError naming the key, what it got and what it expects; keys added with `+` are checked alike.
    """
    try:
        checked = OmegaConf.merge(OmegaConf.structured(schema), OmegaConf.create(OmegaConf.to_container(config)))
        OmegaConf.resolve(checked)
    except OmegaConfBaseException as error:
        raise InputError(_config_problem(error)) from error
    if missing := sorted(OmegaConf.missing_keys(checked)):
        raise InputError(f"config key '{missing[0]}': expected a value, got none")
    _check_ranges(checked, schema, prefix="")
    return checked


def _config_problem(error: OmegaConfBaseException) -> str:
    key = error.full_key or error.key
    if isinstance(error, ConfigKeyError):
        parent = str(key).rpartition(".")[0]
        where = f"'{parent}' has" if parent else "the keys are"
        return f"unknown config key '{key}': {where} {', '.join(sorted(f.name for f in fields(error.object_type)))}"
    problem = str(error).splitlines()[0]
    if "is not a ListConfig" in problem:
        problem = "expected a list, as [A,B], got something else"
    return f"config key '{key}': {problem}" if key else f"config: {problem}"


def _check_ranges(config: DictConfig, schema: type, prefix: str) -> None:
    for field in fields(schema):
        key, value, rule = f"{prefix}{field.name}", config[field.name], field.metadata
        if is_dataclass(field.type):
            _check_ranges(value, field.type, prefix=f"{key}.")
            continue
        if value is None:
            continue
        for number in value if OmegaConf.is_list(value) else [value]:
            if "minimum" in rule and not number >= rule["minimum"]:
                raise InputError(f"config key '{key}': expected at least {rule['minimum']}, got {number}")
            if "above" in rule and not number > rule["above"]:
                raise InputError(f"config key '{key}': expected more than {rule['above']}, got {number}")
            if "maximum" in rule and not number <= rule["maximum"]:
                raise InputError(f"config key '{key}': expected at most {rule['maximum']}, got {number}")
            if "choices" in rule and number not in rule["choices"]:
                raise InputError(f"config key '{key}': expected one of {', '.join(rule['choices'])}, got {number}")


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its name once the block is through, and is deleted if it fails.

    Raises InputError where the folder cannot be made or `path` is itself a folder.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    if path.is_dir():
        raise InputError(f"{path}: expected a file to write, got a folder")
    try:  # all of it: a signal may come as soon as the file is there
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.touch()
        except OSError as error:
            raise InputError(f"{path}: expected a place to write a file, got '{error.strerror}'") from error
        yield temporary
        temporary.replace(path)
    finally:
        with suppress(OSError):  # where there is no place for a file there is none to delete
            temporary.unlink(missing_ok=True)


@contextmanager
def written_together(folder: Path) -> Iterator[Path]:
    """A temporary folder, whose files come to `folder` once the block is through, and which is deleted in any case.

    Other files that are in `folder` stay. Raises InputError where it cannot be written.
    """
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=existing))
    except OSError as error:
        raise InputError(f"{folder}: expected a place to write files, got '{error.strerror}'") from error
    try:
        yield temporary
        for path in [path for path in temporary.rglob("*") if path.is_file()]:
            target = folder / path.relative_to(temporary)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def errors_in_one_line(config_name: str | None = None) -> Iterator[None]:
    """InputError and errors of the configuration become one line on stderr and exit code 2; Ctrl-C another, and 130.

    config_name: of the command's file in conf/, whose keys are proposed for one that it has not.
    """
    try:
        yield
    except (InputError, HydraException, OmegaConfBaseException) as error:
        message = str(error)
        # Hydra's advice to force a mistyped key in would only be refused in turn.
        if mistyped := re.search(r"(?<=Could not override ')([^']+)'\.\s+To append to your config use .*", message):
            key = mistyped[1]
            near = _nearest_key(key, config_name) if config_name else None
            meant = f"; is '{near}' meant?" if near else ""
            message = f"{message[: mistyped.start()]}{key}': the keys are those that --cfg job prints{meant}"
        message = re.sub(r"\s+Config search path:.*", "", message, flags=re.DOTALL)
        print(f"error: {' '.join(message.split())}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None


def _nearest_key(mistyped: str, config_name: str) -> str | None:
    """The key of a command that is most like a mistyped one, or ends so; None where none is like it."""
    GlobalHydra.instance().clear()  # of the command that failed
    with initialize_config_dir(config_folder(), version_base="1.3"):
        keys = list(_keys(OmegaConf.to_container(compose(config_name))))
    ends = {key.rpartition(".")[2]: key for key in keys}
    near = get_close_matches(mistyped, keys, n=1)
    near += [ends[end] for end in get_close_matches(mistyped.rpartition(".")[2], ends, n=1)]
    return near[0] if near else None


def _keys(config: dict, prefix: str = "") -> Iterator[str]:
    for name, value in config.items():
        yield f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{name}.")


def exit_when_terminated() -> None:
    """Make SIGTERM an exit, which deletes unfinished files, where a plain death does not."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def show_help(config_name: str) -> None:
    """Print what the command that runs is for, and its configuration, whose comments say what each key is."""
    groups = ""
    if config_name == "train":
        folders = sorted(path for path in Path(config_folder()).iterdir() if path.is_dir() and path.name != "effects")
        groups = "".join(f"  {f.name}: {', '.join(sorted(path.stem for path in f.glob('*.yaml')))}\n" for f in folders)
        groups = f"\nGroups of keys, one file each in conf/:\n{groups}"
    print(sys.modules["__main__"].__doc__)
    print("Write KEY=VALUE for a key of these; one with ??? has to be given. --cfg job prints them all as composed.\n")
    print((Path(config_folder()) / f"{config_name}.yaml").read_text() + groups, end="")


def run(main: Callable[[], None], config_name: str) -> None:
    """Run a Hydra command: errors of composition are told in one line; config_name: of its file in conf/, for --help.

    The command's own need `errors_in_one_line` inside it: Hydra adds lines to whatever leaves the function it calls.
    """
    if {"--help", "-h"} & set(sys.argv[1:]):
        return show_help(config_name)
    exit_when_terminated()
    # Lightning tells what devices there are not, and recommends its services.
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", r".*isinstance\(treespec, LeafSpec\)|.*Experiment logs directory")
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # otherwise Hydra prints and exits with 1 by itself
    with errors_in_one_line(config_name):
        try:
            main()
        except SystemExit as end:
            if end.code == INTERRUPTED or not isinstance(end.__context__, KeyboardInterrupt):
                raise
            raise KeyboardInterrupt from None  # of which Lightning makes an exit of its own
        except OSError as error:  # Hydra makes the run's folder before the command can look at it
            if error.errno not in UNWRITABLE:
                raise
            raise InputError(f"{error.filename}: expected a place to write to, got '{error.strerror}'") from error

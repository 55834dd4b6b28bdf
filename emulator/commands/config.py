"""Where a command's configuration lies, and its check against a schema of typed fields."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from emulator.commands.errors import InputError, refusing
from emulator.commands.schema import check_ranges

MOST_BYTES, MOST_DEPTH = 2**18, 30  # of a configuration; those of this program have 3000 and 5
RENAMED = {"split": "subset"}  # keys of version 0.1
Schema = TypeVar("Schema")


def config_folder() -> str:
    """The folder of the Hydra configuration: conf/ of a checkout, or the copy that a wheel carries."""
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent / "conf"
    return str(checkout if (checkout / "emulator.yaml").exists() else package / "conf")


def validate(config: DictConfig, schema: type[Schema], prefix: str = "") -> Schema:
    """The configuration as an instance of a dataclass of typed fields, against which it is checked key by key.

    A field's metadata may hold `minimum`, `maximum`, `above` (exclusive minimum) or `choices`; of a list or a mapping
    they are for each value. prefix: of the keys in messages, where `config` is a part of another.
    Raises InputError naming the key, what it got and what it expects; keys added with `+` are checked alike.
    """
    with refusing(f"config: expected values of the types that {prefix or 'the '}keys take", "others"):
        try:
            checked = OmegaConf.merge(OmegaConf.structured(schema), OmegaConf.create(OmegaConf.to_container(config)))
            OmegaConf.resolve(checked)
        except OmegaConfBaseException as error:
            raise InputError(_config_problem(error, prefix)) from error
    if missing := sorted(OmegaConf.missing_keys(checked)):
        raise InputError(f"config key '{prefix}{missing[0]}': expected a value, got none")
    found = OmegaConf.to_object(checked)
    check_ranges(found, prefix)
    return cast(Schema, found)


def _config_problem(error: OmegaConfBaseException, prefix: str) -> str:
    key = error.full_key or error.key
    if isinstance(error, ConfigKeyError) and is_dataclass(error.object_type):
        parent = f"{prefix}{key}".rpartition(".")[0]
        where = f"'{parent}' has" if parent else "the keys are"
        names = ", ".join(sorted(f.name for f in fields(error.object_type)))
        return f"unknown config key '{prefix}{key}': {where} {names}"
    problem = str(error).splitlines()[0]
    if "is not a ListConfig" in problem:
        problem = "expected a list, as [A,B], got something else"
    if "'ListConfig' to string" in problem:
        problem = f"expected a text, got a list; a text in brackets is quoted: '{key}=\"[A]\"'"
    return f"config key '{prefix}{key}': {problem}" if key else f"config: {problem}"


def nearest_key(mistyped: str, config_name: str) -> str | None:
    """The key of a command that is most like a mistyped one, or ends so; None where none is like it."""
    keys = set(_keys_of(config_name))
    if (renamed := RENAMED.get(mistyped)) in keys:
        return renamed
    ends = {key.rpartition(".")[2]: key for key in sorted(keys)}
    near = get_close_matches(mistyped, sorted(keys), n=1)
    near += [ends[end] for end in get_close_matches(mistyped.rpartition(".")[2], ends, n=1)]
    return near[0] if near else None


def _keys_of(config_name: str) -> Iterator[str]:
    """The keys of a command as it is composed by default, and those of all other choices of its groups."""
    GlobalHydra.instance().clear()  # of the command that failed
    with initialize_config_dir(config_folder(), version_base="1.3"):
        yield from _keys(OmegaConf.to_container(compose(config_name)))
    for group in groups_of(config_name):
        for path in Path(config_folder(), group).glob("*.yaml"):
            yield from _keys(OmegaConf.to_container(OmegaConf.load(path)), f"{group}.")


def _keys(config: Any, prefix: str = "") -> Iterator[str]:
    for name, value in config.items():
        yield f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{name}.")


def read_config(path: Path) -> DictConfig:
    """The keys of a YAML file; InputError where it holds none, or what would take long to find out."""
    if (size := path.stat().st_size) > MOST_BYTES:
        raise InputError(f"{path}: expected at most {MOST_BYTES} bytes of keys and values, got {size}")
    with refusing(f"{path}: expected keys and their values"):
        text = path.read_text(encoding="utf-8")
        _check_structure(text, path)
        config = OmegaConf.load(StringIO(text))
    if not isinstance(config, DictConfig):
        raise InputError(f"{path}: expected keys and their values, got a list")
    return config


def _check_structure(text: str, path: Path) -> None:
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):  # copies of copies of copies are more than there is room for
            raise InputError(f"{path}: expected keys and their values, got an alias (*)")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_DEPTH:
            raise InputError(f"{path}: expected at most {MOST_DEPTH} keys within each other, got more")


def groups_of(config_name: str) -> list[str]:
    """The groups of keys, folders in conf/, of which a command takes one file each."""
    config = read_config(Path(config_folder(), f"{config_name}.yaml"))
    names = [name for entry in config.get("defaults", []) if OmegaConf.is_dict(entry) for name in entry]
    return [name for name in names if not name.startswith("override ")]

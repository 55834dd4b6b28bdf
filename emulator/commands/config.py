"""Where a command's configuration lies, and its check against a schema of typed fields."""

import importlib
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import Field, fields, is_dataclass
from difflib import get_close_matches
from inspect import isabstract
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from emulator.commands.errors import InputError, refusing

MOST_SEED = 2**32 - 1  # that all libraries take
# Of a configuration; those of this program have 3000, 100 and 5.
MOST_BYTES, MOST_VALUES, MOST_DEPTH = 2**18, 10_000, 30
PLAIN = (str, int, float, list, tuple, dict, type(None))  # types of values
RENAMED = {"split": "subset"}  # keys of version 0.1
TARGET = "_target_"  # the key that names the class of what can be of several kinds
Schema = TypeVar("Schema")
Kind = TypeVar("Kind")


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
    _check_ranges(found, prefix)
    return cast(Schema, found)


def make_kind(settings: Mapping[str, Any], base: type[Kind], key: str, what: str, imported_only: bool = False) -> Kind:
    """The instance of a dataclass, a kind of `base`, that the part `key` of a configuration describes.

    The key TARGET in settings names the class, the others are its fields; what: to call it in a message. imported_only:
    of the kinds that others define take only those whose module has been imported: a checkpoint from somebody else must
    not choose what is. Raises InputError for what is no kind, and for keys that it does not take.
    """
    kind = _find_kind(settings.get(TARGET), base, f"config key '{key}.{TARGET}': expected {what}", imported_only)
    own = {name: value for name, value in settings.items() if name != TARGET}
    return validate(OmegaConf.create(own), kind, prefix=f"{key}.")


def _find_kind(target: object, base: type[Kind], expected: str, imported_only: bool) -> type[Kind]:
    name = str(target)
    module_name, _, class_name = name.rpartition(".")
    own = base.__module__.partition(".")[0] + "."  # where this program's own kinds are
    try:
        if imported_only and not name.startswith(own):
            module = sys.modules[module_name]
        else:
            module = importlib.import_module(module_name)
        kind = getattr(module, class_name)
    except (ImportError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{expected}, got {target}") from error
    if not (isinstance(kind, type) and issubclass(kind, base)) or isabstract(kind):
        raise InputError(f"{expected}, got {target}")
    return kind


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


def _check_ranges(config: Any, prefix: str) -> None:
    for field in fields(config):
        key, value = f"{prefix}{field.name}", getattr(config, field.name)
        if is_dataclass(value):
            _check_ranges(value, prefix=f"{key}.")
        elif isinstance(value, dict):
            for name, number in value.items():
                _check_range(f"{key}.{name}", number, field)
        elif value is not None:
            for number in value if isinstance(value, list) else [value]:
                _check_range(key, number, field)


def _check_range(key: str, number: Any, field: Field[Any]) -> None:
    rule = field.metadata
    if isinstance(number, float) and not math.isfinite(number):
        raise InputError(f"config key '{key}': expected a finite number, got {number}")
    if not {"minimum", "above", "maximum"}.isdisjoint(rule) and not isinstance(number, int | float):
        raise InputError(f"config key '{key}': expected a number, got {number}")
    if "minimum" in rule and not number >= rule["minimum"]:
        raise InputError(f"config key '{key}': expected at least {rule['minimum']}, got {number}")
    if "above" in rule and not number > rule["above"]:
        raise InputError(f"config key '{key}': expected more than {rule['above']}, got {number}")
    if "maximum" in rule and not number <= rule["maximum"]:
        raise InputError(f"config key '{key}': expected at most {rule['maximum']}, got {number}")
    if "choices" in rule and number not in rule["choices"]:
        raise InputError(f"config key '{key}': expected one of {', '.join(rule['choices'])}, got {number}")


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


def check_plain(config: object, where: str) -> None:
    """Raise InputError for a configuration of somebody else's, in plain types, that is not what it says.

    An interpolation would be resolved here, as ${oc.env:NAME} to a variable of who runs this. Values that hold each
    other have no end.
    """
    parts, count = [("", config)], 0
    while parts:
        key, value = parts.pop()
        count += 1
        if count > MOST_VALUES:
            raise InputError(f"{where}: expected at most {MOST_VALUES} keys and values of a run, got more")
        if not isinstance(value, PLAIN):
            raise InputError(f"{where}: config key '{key}': expected a plain value, got {type(value).__name__}")
        if isinstance(value, str) and "${" in value:
            raise InputError(
                f"{where}: config key '{key}': expected a value, got an interpolation, which is not followed"
            )
        if isinstance(value, dict) and not all(isinstance(name, str) for name in value):
            raise InputError(f"{where}: config key '{key}': expected texts as keys, got others")
        items = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
        )
        parts += [(f"{key}.{name}" if key else str(name), part) for name, part in items]


def groups_of(config_name: str) -> list[str]:
    """The groups of keys, folders in conf/, of which a command takes one file each."""
    config = read_config(Path(config_folder(), f"{config_name}.yaml"))
    names = [name for entry in config.get("defaults", []) if OmegaConf.is_dict(entry) for name in entry]
    return [name for name in names if not name.startswith("override ")]

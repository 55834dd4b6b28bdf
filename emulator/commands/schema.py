"""Plain values against a schema of typed fields. It takes nothing but Python: who uses a model composes no command."""

import importlib
import math
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import MISSING, Field, fields, is_dataclass
from inspect import isabstract
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from emulator.commands.errors import InputError

MOST_SEED = 2**32 - 1  # that all libraries take
MOST_VALUES = 10_000  # of a configuration; those of this program have 100
PLAIN = (str, int, float, list, tuple, dict, type(None))  # types of values
TARGET = "_target_"  # the key that names the class of what can be of several kinds
WORDS = {int: "an integer", float: "a number", bool: "true or false", str: "a text", list: "a list", dict: "keys"}
LONGEST = 50  # characters of a value in a message
Schema = TypeVar("Schema")
Kind = TypeVar("Kind")


def typed(values: object, schema: type[Schema], prefix: str = "") -> Schema:
    """Values by name as an instance of a dataclass of typed fields, against which they are checked key by key.

    An integer will do for a number; nothing else is converted. Ranges are those of `check_ranges`; prefix: of the keys
    in messages. Raises InputError naming the key, what it got and what it expects.
    """
    found = _filled(values, schema, prefix)
    check_ranges(found, prefix)
    return found


def _filled(values: object, schema: type[Schema], prefix: str) -> Schema:
    parent = prefix.rstrip(".")
    if not isinstance(values, Mapping):
        raise InputError(f"config key '{parent}': expected keys and their values, got {_told(values)}")
    kinds, own = get_type_hints(schema), {one.name: one for one in fields(schema)}  # type: ignore[arg-type]
    if unknown := [name for name in values if name not in own]:
        where = f"'{parent}' has" if parent else "the keys are"
        raise InputError(f"unknown config key '{prefix}{unknown[0]}': {where} {', '.join(sorted(own))}")
    needed = [name for name, one in own.items() if one.default is MISSING and one.default_factory is MISSING]
    if missing := sorted(set(needed) - values.keys()):
        raise InputError(f"config key '{prefix}{missing[0]}': expected a value, got none")
    return schema(**{name: _of_kind(value, kinds[name], f"{prefix}{name}") for name, value in values.items()})


def _of_kind(value: Any, kind: Any, key: str) -> Any:
    """A value as a field of such a type has it."""
    origin, inner = get_origin(kind) or kind, get_args(kind)
    if kind is Any:
        return value
    if isinstance(kind, type) and is_dataclass(kind):
        return _filled(value, kind, f"{key}.")
    if origin is UnionType:
        for one in inner:
            with suppress(InputError):
                return _of_kind(value, one, key)
        kind = next(one for one in inner if one is not type(None))
        return _of_kind(value, kind, key)  # which says what is wrong
    if origin is list and isinstance(value, list | tuple):
        return [_of_kind(one, inner[0], f"{key}[{place}]") for place, one in enumerate(value)]
    if origin is dict and isinstance(value, Mapping):
        return {name: _of_kind(one, inner[1], f"{key}.{name}") for name, one in value.items()}
    if origin is float and type(value) is int and abs(value) <= sys.float_info.max:
        return float(value)
    if not isinstance(value, origin) or (isinstance(value, bool) and origin is not bool):
        raise InputError(f"config key '{key}': expected {WORDS.get(origin, origin.__name__)}, got {_told(value)}")
    return value


def _told(value: object) -> str:
    return str(value)[:LONGEST] if isinstance(value, str | int | float | None) else type(value).__name__


def check_ranges(config: Any, prefix: str) -> None:
    """Raise InputError for a value of a dataclass outside the range that its field's metadata gives (`validate`)."""
    for field in fields(config):
        key, value = f"{prefix}{field.name}", getattr(config, field.name)
        if is_dataclass(value):
            check_ranges(value, prefix=f"{key}.")
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


def make_kind(settings: Mapping[str, Any], base: type[Kind], key: str, what: str, imported_only: bool = False) -> Kind:
    """The instance of a dataclass, a kind of `base`, that the part `key` of a configuration describes.

    The key TARGET in settings names the class, the others are its fields; what: to call it in a message. imported_only:
    of the kinds that others define take only those whose module has been imported: a checkpoint from somebody else must
    not choose what is. Raises InputError for what is no kind, and for keys that it does not take.
    """
    kind = _find_kind(settings.get(TARGET), base, f"config key '{key}.{TARGET}': expected {what}", imported_only)
    own = {name: value for name, value in settings.items() if name != TARGET}
    return typed(own, kind, prefix=f"{key}.")


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

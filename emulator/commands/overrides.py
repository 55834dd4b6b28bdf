"""What a command line gives as text, though Hydra's grammar or the shell would have it otherwise."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

USER = r"~[^/,\]]*"


def at_home(argument: str) -> str:
    """An argument with ~ and ~user as the folder, where it begins so, or its value, KEY=~, or a part, KEY=[~,~]."""
    key, equals, value = ("", "", argument) if argument.startswith("~") else argument.partition("=")
    begins = r"(?<=[\[,])" if value.startswith("[") else "^"
    return f"{key}{equals}{re.sub(begins + USER, _folder, value)}"


def _folder(user: re.Match[str]) -> str:
    try:
        return str(Path(user[0]).expanduser())
    except RuntimeError:  # there is no such user, or no home
        return user[0]


def as_text(arguments: Sequence[str]) -> list[str]:
    """Arguments of a Hydra command in which each value that its grammar cannot read is quoted: it is that very text.

    Paths with = ( [ { # quotes, letters beyond ASCII and more are none of it.
    """
    parser = OverridesParser.create()
    return [_readable(parser, argument) for argument in arguments]


def _readable(parser: OverridesParser, argument: str) -> str:
    if argument.startswith(("-", "~")) or "=" not in argument:  # ~KEY takes a key away
        return argument
    argument = at_home(argument)
    key, _, value = argument.partition("=")
    try:
        read = parser.parse_override(argument).value()
    except HydraException:
        return quoted(key, value)
    return quoted(key, value) if isinstance(read, str) and read != value and value != value.strip() else argument


def quoted(key: str, value: str) -> str:
    """KEY=VALUE with a value that Hydra takes as the text that it is."""
    return f"{key}={QuotedString(value, Quote.double).with_quotes()}"


def for_shell(key: str, value: str) -> str:
    """The same to be pasted into a shell."""
    return shlex.quote(quoted(key, value))

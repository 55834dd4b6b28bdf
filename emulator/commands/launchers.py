"""Launchers and sweepers of Hydra's that are packages of their own, and the processes in which they run a command."""

import re
import sys
from collections.abc import Callable
from importlib import import_module

from emulator.commands.errors import InputError, first_line

PACKAGES = {
    "launcher/joblib": "hydra-joblib-launcher",
    "launcher/submitit_slurm": "hydra-submitit-launcher",
    "launcher/submitit_local": "hydra-submitit-launcher",
    "sweeper/optuna": "hydra-optuna-sweeper",
}


def importable(main: Callable[[], None]) -> Callable[[], None]:
    """The same function as other processes can import it: in the one that a user starts its module is `__main__`.

    Sent to them as it is, its classes would be copied, and copies of dataclasses do not work.
    """
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is None or main.__module__ != "__main__":
        return main
    return getattr(import_module(spec.name), main.__name__)


def not_installed(message: str) -> str | None:
    """What to install, where Hydra's message is that a launcher or a sweeper is not there; None where it is another."""
    found = re.search(r"Could not find 'hydra/((?:launcher|sweeper)/(\w+))'", message)
    if found is None or (package := PACKAGES.get(found[1])) is None:
        return None
    kind = found[1].partition("/")[0]
    return f"hydra/{kind}={found[2]}: expected {package}, found none: pip install {package}"


def of_launcher(error: Exception) -> InputError | None:
    """What a launcher raises where a process of its own ended otherwise than it should, in a line; None for another."""
    if type(error).__module__.partition(".")[0] not in ("joblib", "submitit"):
        return None
    told = re.findall(r"^error: (.+)$", str(error), re.MULTILINE)  # by the command itself
    return InputError(told[-1] if told else f"expected the launcher's jobs to end, got: {first_line(error)}")

"""How a command runs: its errors in one line, its help, its end by a signal."""

import errno
import logging
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from emulator.commands.config import config_folder, groups_of, nearest_key
from emulator.commands.errors import INTERRUPTED, InputError, first_line
from emulator.commands.launchers import importable, not_installed, of_launcher
from emulator.commands.overrides import as_text, for_shell
from emulator.commands.parts import steps
from emulator.commands.results import PrintableRecord, printable
from emulator.commands.streams import outlast_readers

UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOSPC)


@contextmanager
def errors_in_one_line(config_name: str | None = None) -> Iterator[None]:
    """InputError and errors of the configuration become one line on stderr and exit code 2; Ctrl-C another, and 130.

    So does what the system says, a full disk or a lack of memory, with exit code 1.

    config_name: of the command's file in conf/, whose keys are proposed for one that it has not.
    """
    logging.setLogRecordFactory(PrintableRecord)  # also in processes that a launcher starts
    try:
        yield
    except (InputError, HydraException, OmegaConfBaseException) as error:
        message = str(error)
        # Hydra's advice to force a mistyped key in would only be refused in turn.
        if mistyped := re.search(r"(?<=Could not override ')([^']+)'\.\s+To append to your config use .*", message):
            key = mistyped[1]
            near = nearest_key(key, config_name) if config_name else None
            meant = f"; is '{near}' meant?" if near else ""
            message = f"{message[: mistyped.start()]}{key}': the keys are those that --cfg job prints{meant}"
        if several := re.match(r"Ambiguous value for argument '([^=]+)=(.*?)'\s+1\. To use it", message, re.DOTALL):
            key, value = several.groups()
            message = (
                f"config key '{key}': expected one value, got several; as one text: {for_shell(key, value)}; as a list:"
                f" {shlex.quote(f'{key}=[{value}]')}; a run for each: --multirun"
            )
        message = not_installed(message) or message
        message = re.sub(r"\s+Config search path:.*", "", message, flags=re.DOTALL)
        print(printable(f"error: {' '.join(message.split())}"), file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        said = f"{error.filename}: {error.strerror}" if error.filename else str(error) or type(error).__name__
        print(printable(f"error: {' '.join(said.split())}"), file=sys.stderr)
        raise SystemExit(1) from None
    except MemoryError as error:
        print(printable(f"error: expected more memory, got too little: {first_line(error)}"), file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None


def exit_when_terminated() -> None:
    """Make SIGTERM and SIGHUP an exit, which deletes unfinished files, where a plain death does not.

    A command that was started to survive the end of its terminal, as by nohup, does.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: sys.exit(128 + number))


def show_help(config_name: str, more_groups: Sequence[str] = ()) -> None:
    """Print what the command that runs is for, and its configuration, whose comments say what each key is.

    more_groups: folders in conf/ that can be added with `+`.
    """
    folder = Path(config_folder())
    print(sys.modules["__main__"].__doc__)
    print("Write KEY=VALUE for a key of these; one with ??? has to be given. --cfg job prints them all as composed.\n")
    print((folder / f"{config_name}.yaml").read_text().partition("\nhydra:\n")[0].rstrip())
    if groups := [*groups_of(config_name), *more_groups]:
        print("\nGroups of keys, one file each in conf/:")
        for group in sorted(groups):
            print(f"  {group}: {', '.join(sorted(path.stem for path in (folder / group).glob('*.yaml')))}")


def run(main: Callable[[], None], config_name: str, more_groups: Sequence[str] = ()) -> None:
    """Run a Hydra command: errors of composition are told in one line.

    config_name: of its file in conf/; more_groups: as in `show_help`.

    The command's own need `errors_in_one_line` inside it: Hydra adds lines to whatever leaves the function it calls.
    """
    outlast_readers()
    if {"--help", "-h"} & set(sys.argv[1:]):
        return show_help(config_name, more_groups)
    exit_when_terminated()
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # otherwise Hydra prints and exits with 1 by itself
    with errors_in_one_line(config_name):
        try:
            command = importable(main)
            for arguments in steps(as_text(sys.argv[1:])):
                sys.argv[1:] = arguments
                command()
        except SystemExit as end:
            if end.code == INTERRUPTED or not isinstance(end.__context__, KeyboardInterrupt):
                raise
            raise KeyboardInterrupt from None  # of which Lightning makes an exit of its own
        except OSError as error:  # Hydra makes the run's folder before the command can look at it
            if error.errno not in UNWRITABLE:
                raise
            raise InputError(f"{error.filename}: expected a place to write to, got '{error.strerror}'") from error
        except Exception as error:
            raise of_launcher(error) or error from None

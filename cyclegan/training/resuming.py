"""A run's folder: taken up again, kept from others, cleared where nothing came of it."""

import fcntl
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from cyclegan.trained.checkpoint import read_checkpoint
from cyclegan.trained.run_folder import CONFIG, LAST, LOG
from emulator.commands.config import read_config
from emulator.commands.errors import InputError
from emulator.commands.schema import check_plain

log = logging.getLogger(__name__)

CHANGEABLE = ("trainer", "losses", "logger")  # groups of keys, when a run is resumed


def resumed_config(config: DictConfig, overrides: list[str]) -> tuple[DictConfig, Path]:
    """The configuration and the folder of the run to resume; overrides given beside `resume` hold."""
    folder = Path(config.resume)
    saved = folder / CONFIG
    if not saved.is_file() or not (folder / LAST).is_file():
        raise InputError(f"config key 'resume': expected a run's folder with {CONFIG} and {LAST}, got {folder}")
    read_checkpoint(folder / LAST)  # before its configuration, of which another version's would be told key by key
    changes = OmegaConf.from_dotlist([o for o in overrides if not o.startswith(("resume=", "+experiment=", "hydra."))])
    config = read_config(saved)
    check_plain(OmegaConf.to_container(config), str(saved))
    for key in (override.split("=")[0].lstrip("+~") for override in overrides):
        moved = key in ("domains.synth.path", "domains.obs.path") and OmegaConf.select(config, key) is not None
        if not (moved or key.split(".")[0] in ("resume", "experiment", *CHANGEABLE)):
            raise InputError(
                f"config key '{key}': expected only {', '.join(CHANGEABLE)}, or where a domain's file is now, beside"
                " resume, as a run keeps its theory, its networks and its seed"
            )
    config.merge_with(changes)
    return config, folder


class BusyError(InputError):
    """Another process is training in that folder."""


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keep a run's folder from other processes, which get BusyError; a process that dies lets go of it.

    Runs started within a second would otherwise be given the same one.
    """
    with (folder / LOG).open("a") as log_file:
        try:
            fcntl.flock(log_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyError(f"{folder}: expected a folder that no other run is writing to, got a busy one") from error
        except OSError:  # a file system that keeps nobody out
            log.debug("%s cannot be locked", folder)
        yield


def discard(folder: Path) -> None:
    """Take out of a run's folder what was put there before the run began, and remove it if nothing else is in it."""
    shutil.rmtree(folder / ".hydra", ignore_errors=True)
    for path in (folder / LOG, *folder.glob("hidden_features_*.csv")):
        path.unlink(missing_ok=True)
    with suppress(OSError):  # somebody's own files are there, and stay
        folder.rmdir()

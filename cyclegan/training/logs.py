"""Where a run's metrics go: the progress bar, a CSV file always, Weights & Biases offline unless a key is there."""

import os
from collections.abc import Mapping
from contextlib import suppress
from netrc import NetrcParseError, netrc
from pathlib import Path
from secrets import token_hex
from typing import Any, Literal, cast, get_args
from urllib.parse import urlsplit

import wandb
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.loggers import WandbLogger

from cyclegan.scores.scores import SCORES
from cyclegan.trained.checkpoint import Checkpoint
from cyclegan.trained.run_folder import METRICS, read_metrics
from emulator.commands.errors import InputError
from emulator.commands.metrics import MetricsTable
from emulator.commands.processes import TrainingProgress
from emulator.commands.side_outputs import as_side_output
from emulator.commands.writing import write_whole

Mode = Literal["online", "offline", "shared", "disabled", "dryrun", "run"]
MODES = get_args(Mode)
WANDB = "Weights & Biases"


def metrics_table(folder: Path, checkpoint: Checkpoint | None) -> MetricsTable:
    """Writes the METRICS of a run; if that goes on from a checkpoint, rows of steps before it are kept, as texts."""
    path = folder / METRICS
    if checkpoint is None:
        return MetricsTable(path)
    rows: list[dict[str, Any]] = [
        {name: value for name, value in row.items() if value}
        for row in read_metrics(path)
        if int(row["step"]) < checkpoint.step
    ]
    latest = checkpoint.latest
    if latest and not any(int(row["step"]) == latest["step"] and latest.keys() <= row.keys() for row in rows):
        rows.append(latest)
    return MetricsTable(path, rows)


class SideLogger(WandbLogger):
    """A run of W&B, which begins at once: where it cannot is known before the work. A failure later ends the logging.

    lost: whether there was one.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.lost = False
        _ = self.experiment

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log, or say once that no more is logged."""
        if not self.lost:
            self.lost = True
            with as_side_output(WANDB):
                super().log_metrics(metrics, step)
                self.lost = False
            if self.lost:
                with suppress(Exception):
                    wandb.teardown(exit_code=1)  # or W&B prints a traceback as the process ends


def wandb_logger(folder: Path, project: str, name: str, group: str | None, config: dict[str, Any]) -> SideLogger:
    """A W&B run kept in `folder`; the same run again when a run is resumed.

    WANDB_MODE decides if set; otherwise online where an API key is found, offline where none is. Raises InputError for
    a mode that W&B does not know, and what W&B raises where it cannot begin.
    """
    identity = folder / "wandb_id"
    if not identity.exists():
        write_whole(identity, token_hex(4))
    mode = os.environ.get("WANDB_MODE") or ("online" if _has_key() else "offline")
    if mode not in MODES:
        raise InputError(f"environment variable WANDB_MODE: expected one of {', '.join(MODES)}, got {mode}")
    # Its telemetry goes by the mode of the process, not by that of the run.
    wandb.setup(wandb.Settings(mode=cast(Mode, mode)))
    return SideLogger(
        save_dir=folder,
        project=project,
        name=name,
        group=group,
        id=identity.read_text(),
        resume="allow" if mode == "online" else None,
        mode=mode,
        config=config,
        settings=wandb.Settings(silent=True),  # where the run lies is told at its end
    )


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    servers = {urlsplit(wandb.Settings().base_url).netloc, "api.wandb.ai"}  # where it writes keys differs by version
    try:
        keys = netrc(os.environ.get("NETRC"))
        return any(keys.authenticators(server) for server in servers)
    except (OSError, ValueError, NetrcParseError):  # among them a file that others may read
        return False


class RunProgress(TrainingProgress):
    """One bar over all batches of the run, with the time left and the scores of the last validation."""

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Show the latest scores."""
        self.bar.set_postfix(
            {name: f"{trainer.callback_metrics[name]:.3g}" for name in SCORES if name in trainer.callback_metrics}
        )

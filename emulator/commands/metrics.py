"""What is measured during a training, as a table that is always whole."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger
from torch import Tensor

from emulator.commands.writing import write_whole


class MetricsTable(Logger):
    """Lightning's metrics in a CSV file: a row for each time that some were logged, a column for each name.

    before: rows that the file begins with, those of a run that goes on. The file is written by `write`, and in the end;
    the order of its columns does not depend on which was logged first.
    """

    def __init__(self, path: Path, before: Iterable[Mapping[str, str]] = ()) -> None:
        super().__init__()
        self.path = path
        self.rows: list[dict[str, Any]] = [dict(row) for row in before]

    @property
    def name(self) -> str:
        """Lightning's question for a folder, of which there is none."""
        return ""

    @property
    def version(self) -> str:
        """The same."""
        return ""

    def log_hyperparams(self, *_: object) -> None:
        """Nothing: these are in the run's configuration."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add a row."""
        values = {name: value.item() if isinstance(value, Tensor) else value for name, value in metrics.items()}
        self.rows.append(values | {"step": step})

    def write(self) -> None:
        """Write all rows; InputError where that fails."""
        if not self.rows:
            return
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, sorted({name for row in self.rows for name in row}))
        table.writeheader()
        table.writerows(self.rows)
        write_whole(self.path, text.getvalue())

    def finalize(self, status: str) -> None:
        """Write all rows."""
        self.write()

"""The table at the end of a sweep: every job's overrides against its scores, best first; and which signals knew it."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from scipy.stats import spearmanr

from cyclegan.figures.axes import DPI
from cyclegan.figures.history import plot_sweep
from cyclegan.scores.scores import SCORES
from cyclegan.scores.signals import SIGNALS
from cyclegan.spectra.tables import write_rows
from cyclegan.trained.run_folder import SCORED, read_scores
from emulator.commands.errors import InputError
from emulator.commands.results import format_table
from emulator.commands.side_outputs import as_picture, save_picture


def read_jobs(folder: Path) -> list[dict[str, Any]]:
    """One row for each job below a sweep's folder: its overrides, scores, signals, and how it ended; best first.

    A row's scores and signals are NaN where the job failed. Only the overrides in which the jobs differ are columns.
    """
    jobs = []
    for job in sorted((path.parents[1] for path in folder.glob("*/.hydra/overrides.yaml")), key=lambda path: path.name):
        overrides = dict(str(o).partition("=")[::2] for o in OmegaConf.load(job / ".hydra" / "overrides.yaml"))
        failure, scores = job / "failed.txt", job / SCORED
        try:
            found = read_scores(scores) if scores.exists() else {}
        except InputError as problem:  # of one job: the others have their rows
            found, ended = {}, str(problem)
        else:
            ended = "done" if found else failure.read_text().strip() if failure.exists() else "unfinished"
        values = {name: _number(found.get(name)) for name in (*SCORES, *SIGNALS)}
        jobs.append((job.name, overrides, values, ended))
    keys = list(dict.fromkeys(key for _, overrides, _, _ in jobs for key in overrides))
    varied = [key for key in keys if len({overrides.get(key) for _, overrides, _, _ in jobs}) > 1]
    rows = [
        {"job": name} | {key: overrides.get(key, "") for key in varied} | values | {"ended": ended}
        for name, overrides, values, ended in jobs
    ]
    return sorted(rows, key=lambda row: (math.isnan(row["x_synth_obs"]), row["x_synth_obs"]))


def _number(value: object) -> float:
    return value if isinstance(value, int | float) else math.nan


def rank_correlations(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Spearman's rank correlation over jobs of each signal, which needs no matched stars, with the scores, which do.

    NaN where there are fewer than three jobs, or a signal is the same in all.
    """
    table = []
    for signal in SIGNALS:
        found = {}
        for score in ("x_synth_obs", "x_obs_synth", "z_shared"):
            pairs = np.array([(row[signal], row[score]) for row in rows])
            pairs = pairs[np.isfinite(pairs).all(axis=1)]
            varied = len(pairs) > 2 and np.ptp(pairs, axis=0).all()
            found[score] = float(spearmanr(*pairs.T).statistic) if varied else math.nan
        table.append({"signal": signal, **found})
    return table


class SweepTable(Callback):
    """Writes sweep.csv and sweep.png into the sweep's folder and prints the table, when the last job is through."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Hydra's call after the last job."""
        folder = Path(config.hydra.sweep.dir)
        if rows := read_jobs(folder):
            write_rows(folder / "sweep.csv", list(rows[0]), [list(row.values()) for row in rows])
            keys = [name for name in rows[0] if name not in ("job", *SCORES, *SIGNALS, "ended")]
            if keys and not all(math.isnan(row["x_synth_obs"]) for row in rows):
                with as_picture("sweep.png"):
                    save_picture(plot_sweep(rows, keys), folder / "sweep.png", DPI)
            print(format_table([{name: value for name, value in row.items() if name not in SIGNALS} for row in rows]))
            print("\nrank correlation, over jobs, of what needs no matched stars with what does:")
            print(format_table(rank_correlations(rows)))
            print(folder / "sweep.csv")

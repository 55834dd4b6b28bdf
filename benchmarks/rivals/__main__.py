"""python -m benchmarks.rivals SYNTH.h5 OBS.h5 --seeds 1 2 3 4 5 --out TABLE.csv: rivals side by side (docs/rivals.md).

Two files as those of theory2data, with the same stars in 'val'. All rivals work in the components that a run of ours
finds. What is trained takes as many CPU seconds as ours took with the same seed, on one thread.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch

from benchmarks.rivals.assignment import assignment
from benchmarks.rivals.closed_form import gaussian, mean_shift, supervised
from benchmarks.rivals.cycle_gan import cycle_gan
from benchmarks.rivals.flow_matching import flow_matching
from benchmarks.rivals.light_sb import light_sb
from benchmarks.rivals.ours import Scored, pairs_and_ridge, whole_run
from benchmarks.rivals.sets import Maps, Sets, configuration, read_sets
from benchmarks.rivals.sinkhorn import sinkhorn
from cyclegan.spectra.tables import write_rows
from emulator.commands.device import processor_threads
from emulator.commands.progress import progress
from emulator.commands.results import format_table
from emulator.commands.running import errors_in_one_line

SECONDS = 60.0
Settings = Mapping[str, float]


class Rival(NamedTuple):
    """How one translates: translate(synth, obs, **settings), and before these (seed, seconds) for one that is trained.

    settings: those that the table is of, first, and others, which a search tries beside them.
    """

    translate: Callable[..., Maps]
    settings: Sequence[Settings] = ({},)
    trained: bool = False


RIVALS = {
    "mean shift": Rival(mean_shift),
    "Gaussian transport": Rival(gaussian),
    "assignment": Rival(assignment, [{"share": 1.0}]),
    "assignment, partial": Rival(assignment, [{"share": 0.25}, {"share": 0.125}, {"share": 0.5}]),
    "Sinkhorn": Rival(sinkhorn, [{"blur": 0.03}, {"blur": 0.1}, {"blur": 0.01}]),
    "Sinkhorn, unbalanced": Rival(
        sinkhorn, [{"blur": 0.01, "reach": 0.3}, {"blur": 0.03, "reach": 0.3}, {"blur": 0.1, "reach": 1.0}]
    ),
    "flow matching": Rival(
        flow_matching,
        [
            {"blur": 0.05},
            {"blur": 0.1},
            {"blur": 0.03},
            {"blur": 0.03, "width": 64},
            {"blur": 0.03, "noise": 5.0},
            {"blur": 0.03, "rate": 5e-4},
        ],
        trained=True,
    ),
    "flow matching, unbalanced": Rival(
        flow_matching, [{"blur": 0.03, "reach": 0.3}, {"blur": 0.1, "reach": 1.0}], trained=True
    ),
    "LightSB": Rival(
        light_sb,
        [{}, {"noise": 3.0}, {"noise": 100.0}, {"apart": 0.3}, {"apart": 0.5}, {"rate": 3e-3}, {"parts": 64}],
        trained=True,
    ),
    "cycle-GAN": Rival(
        cycle_gan,
        [{}, {"rate": 2e-4}, {"rate": 2e-4, "identity": 1.0}],
        trained=True,
    ),
}
OURS, OUR_PAIRS, SUPERVISED = "ours", "our pairs, ridge", "ridge on true pairs"


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the table, and write a row for each rival and seed, as soon as it is there."""
    parser = argparse.ArgumentParser(prog="benchmarks.rivals", description=__doc__)
    names = [*RIVALS, OUR_PAIRS, OURS, SUPERVISED]
    parser.add_argument("synth", help="HDF5 file of theory")
    parser.add_argument("obs", help="HDF5 file of observations")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="of all that is drawn")
    parser.add_argument("--out", type=Path, help="a CSV file, a row for each rival and seed")
    parser.add_argument("--rivals", nargs="+", choices=names, default=names, help="these alone", metavar="NAME")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="CPU seconds of a training, if ours is left out")
    parser.add_argument("--search", action="store_true", help="try all settings of each rival, with the first seed")
    parser.add_argument("--set", nargs="+", default=[], help="of the training command: KEY=VALUE", metavar="KEY=VALUE")
    asked = parser.parse_args(arguments)
    with errors_in_one_line(), processor_threads(1), torch.random.fork_rng(devices=[]):
        sets = read_sets(configuration(asked.synth, asked.obs, asked.seeds[0], asked.set))
        rows = []
        for row in searched(sets, asked) if asked.search else compared(sets, asked):
            rows.append(row)
            if asked.out is not None:
                write_rows(asked.out, list(rows[0]), [list(row.values()) for row in rows])
    print(format_table(rows if asked.search else summary(rows)))


def searched(sets: Sets, asked: argparse.Namespace) -> Iterator[dict[str, object]]:
    """A row for each setting of each rival."""
    tried = [(name, settings) for name in asked.rivals if name in RIVALS for settings in RIVALS[name].settings]
    for name, settings in progress(tried, "settings", unit="setting"):
        told = " ".join(f"{key}={value:g}" for key, value in settings.items())
        yield {"rival": name, "settings": told, **scored(name, settings, sets, asked.seeds[0], asked.seconds)._asdict()}


def compared(sets: Sets, asked: argparse.Namespace) -> Iterator[dict[str, object]]:
    """A row for each rival and seed; what takes no seed has one row. Ours tells how long others are trained."""
    trained = [OURS, OUR_PAIRS, *(name for name, rival in RIVALS.items() if rival.trained)]
    once = [name for name in asked.rivals if name not in trained]
    work = [(name, asked.seeds[0]) for name in once]
    work += [(name, seed) for seed in asked.seeds for name in trained if name in asked.rivals]
    seconds = asked.seconds
    bar = progress(work, "rivals", unit="run")
    for name, seed in bar:
        bar.set_postfix_str(f"{name}, seed {seed}")
        if name in RIVALS:
            found = scored(name, RIVALS[name].settings[0], sets, seed, seconds)
        elif name == SUPERVISED:
            found = Scored(*sets.score(*supervised(sets)), None, sets.seconds)
        elif name == OUR_PAIRS:
            found = pairs_and_ridge(configuration(asked.synth, asked.obs, seed, asked.set), sets.val)
        else:
            with tempfile.TemporaryDirectory() as folder:
                found = whole_run(asked.synth, asked.obs, seed, asked.set, Path(folder) / "run", sets.val)
            seconds = found.seconds
        yield {"rival": name, "seed": seed, **found._asdict()}


def scored(name: str, settings: Settings, sets: Sets, seed: int, seconds: float) -> Scored:
    """What a rival comes to; what finding the components took counts as its own."""
    rival, start = RIVALS[name], time.process_time()
    left = (seed, max(1.0, seconds - sets.seconds)) if rival.trained else ()
    forward, back = rival.translate(sets.synth, sets.obs, *left, **settings)
    taken = time.process_time() - start + sets.seconds
    synth, obs = sets.seen()
    return Scored(*sets.score(forward(synth), back(obs)), None, taken)


def summary(rows: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """Median and, in brackets, worst of all seeds, by rival."""
    made = []
    for name in dict.fromkeys(row["rival"] for row in rows):
        own = [row for row in rows if row["rival"] == name]
        cells: dict[str, object] = {"rival": name, "seeds": len(own)}
        for column in Scored._fields:
            values = [value for row in own if isinstance(value := row[column], float)]
            if values:
                cells[column] = f"{median(values):.3f} ({max(values):.3f})"
        made.append(cells)
    return made


if __name__ == "__main__":
    main()

"""python -m cyclegan.share RUN OUT [license=ID] [citation=TEXT] [export=true]: a run as a folder that stands alone, to
be handed on: model.safetensors, config.json, a card, and the sums of all. license: of the weights, as the Hugging Face
hub names it (cc-by-4.0); citation: of the data that the run was trained on; export: the four maps as programs of
PyTorch, too."""

import platform
import re
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cyclegan
from cyclegan.evaluation.card import Told, card
from cyclegan.trained.exported import MAPS, exported
from cyclegan.trained.loading import load, read_run
from cyclegan.trained.model import TrainedModel
from cyclegan.trained.run_folder import LAST, MODEL, SCORED, find_checkpoint, read_scores
from cyclegan.trained.shared import CARD, CONFIG, SUMS, is_shared, read_shared, write_shared, write_sums
from emulator.commands.errors import InputError, refusing
from emulator.commands.overrides import at_home
from emulator.commands.running import errors_in_one_line, exit_when_terminated
from emulator.commands.streams import outlast_readers
from emulator.commands.writing import write_whole, written_together

USAGE = "python -m cyclegan.share RUN OUT [license=ID] [citation=TEXT] [export=true]"
LICENCE = r"[a-z0-9][a-z0-9.+-]*"
PROGRAMS = [f"{name}.pt2" for name in MAPS]
EVALUATED = "evaluation"  # the folder of a run in which `evaluate` writes
KEYS = ("license=", "citation=", "export=")


def share(
    run: str | Path, output: str | Path, licence: str | None = None, citation: str | None = None, export: bool = False
) -> list[Path]:
    """Write a run, or a checkpoint, as a folder that `cyclegan.load` reads; the files written.

    licence: of the weights, an identifier; citation: of the training's data; export: whether maps are written as
    programs. Raises InputError for a run that cannot be read, and for a folder that holds anything else.
    """
    folder = Path(output)
    own = is_shared(folder)
    if licence is not None and not re.fullmatch(LICENCE, licence):
        raise InputError(f"license: expected an identifier of the Hugging Face hub, as cc-by-4.0, got {licence!r}")
    if folder.is_dir() and not own and any(folder.iterdir()):
        raise InputError(f"{folder}: expected a folder that cyclegan.share wrote, or none, got another's: it is kept")
    checkpoint = find_checkpoint(run)
    model = load(checkpoint, "cpu")
    programs = PROGRAMS if export else []
    names = (CONFIG, MODEL, CARD, SUMS, *programs)
    with written_together(folder, names, {"RUN": checkpoint}, "cyclegan.share", own) as unfinished:
        versions = _versions()
        write_shared(unfinished, read_run(checkpoint), versions)
        for name, program in zip(programs, exported(model) if export else (), strict=True):
            write_whole(unfinished / name, program[1])
        told = Told(*_found(checkpoint, model), versions, licence, citation, programs)
        evaluated = checkpoint.parent / EVALUATED / SCORED
        with refusing(f"{evaluated}: expected what evaluate of this version finds, as it does again", "something else"):
            write_whole(unfinished / CARD, card(model, told))
        write_sums(unfinished)
        read_shared(unfinished)  # what cannot be read back is not handed on
    for name in PROGRAMS:
        if own and name not in programs:  # of an earlier time
            (folder / name).unlink(missing_ok=True)
    return [folder / name for name in names]


def _found(checkpoint: Path, model: TrainedModel) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
    """What training and `evaluate` found of this very checkpoint, if they did."""
    scored, evaluated = checkpoint.parent / SCORED, checkpoint.parent / EVALUATED / SCORED
    scores = read_scores(scored) if checkpoint.name == LAST and scored.is_file() else None
    found = read_scores(evaluated) if evaluated.is_file() else {}
    same = found.get("checkpoint") == checkpoint.name and found.get("step") == model.step
    return scores, found if same else None


def _versions() -> dict[str, str]:
    packages = {name: version(name) for name in ("torch", "safetensors")}
    return {"cyclegan": cyclegan.__version__, "python": platform.python_version(), **packages}


def main(arguments: Sequence[str]) -> int:
    """Share what the arguments name; returns the exit status."""
    if {"--help", "-h"} & set(arguments):
        print(__doc__)
        return 0
    with errors_in_one_line():
        given = [a.partition("=") for a in arguments if a.startswith(KEYS)]
        options = {key: value for key, _, value in given}
        paths = [a for a in arguments if not a.startswith(KEYS)]
        if len(paths) > 2 and (unknown := [a for a in paths if re.match(r"\w+=", a)]):
            raise InputError(f"expected license=ID, citation=TEXT or export=true after RUN OUT, got {unknown[0]}")
        understood = len(options) == len(given) and options.get("export", "true") in ("true", "false")
        if len(paths) != 2 or not understood or any(path.startswith("-") for path in paths):
            raise InputError(f"expected {USAGE}, got {' '.join(arguments) or 'nothing'}")
        export = options.get("export") == "true"
        written = share(
            paths[0], paths[1], licence=options.get("license"), citation=options.get("citation"), export=export
        )
        size = sum(path.stat().st_size for path in written)
        print(f"{paths[1]}: {', '.join(path.name for path in written)}; {size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    outlast_readers()
    exit_when_terminated()
    sys.exit(main([at_home(argument) for argument in sys.argv[1:]]))

"""python -m cyclegan.transfer checkpoint=RUN input=FILE.h5 output=OUT.h5: spectra of one domain as the other's.

In Python:

    import cyclegan
    model = cyclegan.load("runs/payne2payne/2026-11-22_12-00-00")
    observed = model.synth_to_obs(flux)
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import hydra
import torch
from omegaconf import DictConfig

from cyclegan.spectra.joining import REPORT, join_spectra
from cyclegan.spectra.tables import FAMILIAR_COLUMNS
from cyclegan.spectra.writer import written_spectra
from cyclegan.trained.loading import load
from cyclegan.trained.model import TrainedModel
from cyclegan.trained.run_folder import find_checkpoint
from cyclegan.trained.sources import MEAN, FileSource, LabelSource, Source, split_latents
from cyclegan.trained.streaming import Outcome, translate_all
from cyclegan.trained.translated import OBS_TO_SYNTH, SYNTH_TO_OBS
from emulator.commands.config import config_folder, validate
from emulator.commands.device import DEVICES
from emulator.commands.errors import InputError, refusing
from emulator.commands.outputs import check_apart, inputs_of
from emulator.commands.parts import MOST_PARTS, WHOLE, Part, made_of
from emulator.commands.running import errors_in_one_line, run
from emulator.commands.schema import MOST_SEED
from emulator.hdf5 import open_hdf5
from emulator.parts import MADE_OF, as_one_of_all, is_made, made_parts, remove_parts

log = logging.getLogger(__name__)

CALIBRATED = "of the translation, calibrated by matched stars"
UNCALIBRATED = "of the translation, as theory2data has it for the same scatter of members: no star calibrates it here"
NO_ERRORS = "errors are the input's own: those of an ensemble are known in last.ckpt when its run has ended"
COMMAND = "transfer"  # that writes what it replaces


@dataclass
class TransferConfig:
    """What this command takes; conf/transfer.yaml says what each key is."""

    checkpoint: str
    input: str | None
    labels: str | None
    output: str
    direction: str = field(metadata={"choices": (SYNTH_TO_OBS, OBS_TO_SYNTH)})
    split: str
    seed: int = field(metadata={"minimum": 0, "maximum": MOST_SEED})
    wavelength: str | None
    batch_size: int = field(metadata={"minimum": 1})
    device: str = field(metadata={"choices": DEVICES})
    part: str | None
    parts: int | None = field(metadata={"minimum": 1, "maximum": MOST_PARTS})


def check_keys(config: TransferConfig) -> None:
    """Raise InputError for values that are each in their range but do not go together."""
    if (config.input is None) == (config.labels is None):
        got = "neither" if config.input is None else "both"
        raise InputError(f"config key 'input': expected either input or labels, got {got}")
    if config.direction == OBS_TO_SYNTH and config.labels is not None:
        raise InputError("config key 'direction': expected synth_to_obs for labels, got obs_to_synth")
    if config.direction == OBS_TO_SYNTH and config.split != MEAN:
        raise InputError(f"config key 'split': expected none for obs_to_synth, got {config.split}")
    check_apart([Path(config.output)], inputs_of(config))


@contextmanager
def open_source(config: TransferConfig, model: TrainedModel) -> Iterator[Source]:
    """The spectra to translate; InputError where they cannot be used."""
    if config.labels is not None:
        yield LabelSource(config.labels, model)
    elif config.input is not None:
        with FileSource(config.input, model, config.wavelength, config.direction == OBS_TO_SYNTH) as file:
            yield file


@torch.inference_mode()
def transfer(config: TransferConfig) -> None:
    """Translate as `config` says, and write the spectra with their latents, all of them or nothing.

    Raises InputError for input that cannot be used.
    """
    check_keys(config)
    word = made_of(config, [find_checkpoint(config.checkpoint), *inputs_of(config).values()])
    if config.part is not None:
        part = Part.read(config.part, "config key 'part'")
        with as_one_of_all(part, config.output, config.parts is not None):
            if is_made(part.path(config.output), word):
                log.info("part %s is there", part)
            else:
                _translate(config, part, part.path(config.output), word)
    elif config.parts is not None:
        join(config, made_parts(config.output, config.parts, word))
    else:
        _translate(config, WHOLE, Path(config.output), None)


def _translate(config: TransferConfig, part: Part, output: Path, word: str | None) -> None:
    """Write a part of what is asked for; word: that it keeps to say what it is made of."""
    model = load(config.checkpoint, config.device)
    with open_source(config, model) as source:
        counts = {name: count for name, count in source.subsets.items() if count}
        if not counts:
            raise InputError(f"{config.input}: expected spectra, got none in {', '.join(source.subsets)}")
        rows = part.rows(counts, config.batch_size)
        sizes = {name: own.stop - own.start for name, own in rows.items()}
        split = {}
        if config.direction == SYNTH_TO_OBS:
            split = split_latents(config.split, config.wavelength, config.seed, config.batch_size, model, counts, rows)
        with written_spectra(output, COMMAND, model.wavelength, counts=sizes) as writer:
            source.carry(writer.file, rows)  # of the input; what is said next is of this file
            for stale in (f"{column} {name}" for column in FAMILIAR_COLUMNS for name in source.subsets):
                writer.file.pop(stale, None)  # from other stars, or other training
            writer.file.attrs.update(checkpoint=str(config.checkpoint), direction=config.direction)
            if word is not None:
                writer.file.attrs[MADE_OF] = word
            if model.errors:
                calibrated = model.errors[config.direction].calibrated
                writer.file.attrs["error"] = CALIBRATED if calibrated else UNCALIBRATED
            elif len(model.translator.each()) > 1:
                log.warning(NO_ERRORS)
            known = config.split != MEAN
            outcome = translate_all(model, config.direction, source, rows, split, known, config.batch_size, writer)
            total = sum(sizes.values())
            if word is None:
                check_usable(config, model.worst_error, outcome.lost, total)
            else:
                writer.file.attrs[REPORT] = [outcome.lost, total, model.worst_error]
    tell(outcome, total, output)


def check_usable(config: TransferConfig, worst_error: float, lost: int, total: int) -> None:
    """Raise InputError where none of `total` spectra could be used."""
    if lost == total:
        raise InputError(
            f"{config.input or config.labels}: expected usable pixels, got none in any of {total} spectra: NaN,"
            f" masked, or of an error above {worst_error:g} of the continuum, which is to be 1"
        )


def join(config: TransferConfig, paths: Sequence[Path]) -> None:
    """Join parts to what is asked for; InputError where in none of them a spectrum could be used."""
    reports = []
    for path in paths:
        with open_hdf5(path, "a part") as file, refusing(f"{path}: expected a part's report"):
            reports.append([float(number) for number in file.attrs[REPORT]])
    lost, totals, worst = zip(*reports, strict=True)
    check_usable(config, worst[0], int(sum(lost)), int(sum(totals)))
    join_spectra(paths, Path(config.output), COMMAND)
    remove_parts(config.output, len(paths))
    log.info("%d parts joined in %s", len(paths), config.output)


def tell(outcome: Outcome, total: int, output: Path) -> None:
    """Log what became of so many spectra."""
    log.info("%d spectra in %s", total, output)
    if outcome.alone is None:
        log.info("the run keeps no training stars: 'distance' and 'counterpart' are left out")
    else:
        log.info("%d of them have no counterpart among training stars", outcome.alone)
    if outcome.lost:
        log.warning("%d of them, or their partners in split=FILE, had no usable pixel, and are NaN", outcome.lost)


@hydra.main(version_base="1.3", config_path=config_folder(), config_name="transfer")
def main(config: DictConfig) -> None:
    """Translate what the configuration asks for."""
    with errors_in_one_line():
        transfer(validate(config, TransferConfig))


if __name__ == "__main__":
    run(main, "transfer")

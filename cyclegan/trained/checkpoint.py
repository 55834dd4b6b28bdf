"""A checkpoint, read back safely."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cyclegan.trained.record import Record
from cyclegan.translator.networks import Networks, Undrawn
from cyclegan.translator.translator import Translator, build_translator, ensemble_of
from emulator.commands.errors import InputError, refusing
from emulator.commands.saving import load_saved
from emulator.commands.schema import check_plain

PREFIX = "translator."  # of the names of the weights that a finished run needs


class Checkpoint(NamedTuple):
    """What a checkpoint holds, on the CPU.

    step: how many batches it was trained on; weights: of all networks, by name; pairing: the state of the pairing;
    latest: the last row of metrics of a training's losses, by name.
    """

    step: int
    weights: dict[str, Tensor]
    record: Record
    pairing: dict[str, Any]
    latest: dict[str, float]


def read_checkpoint(path: str | Path) -> Checkpoint:
    """A whole checkpoint; InputError if it is not one of this program's, or another version's."""
    try:
        found = load_saved(path)
        step, weights, record = (found[name] for name in ("global_step", "state_dict", "record"))
    except Exception as error:  # an unpickler that meets other bytes raises whatever they lead it to
        raise InputError(f"{path}: expected a checkpoint of this program, got a file that does not load") from error
    return checked(str(path), step, weights, record, found.get("pairing", {}), found.get("latest", {}))


def checked(where: str, step: Any, weights: Any, record: Any, pairing: Any = None, latest: Any = None) -> Checkpoint:
    """A checkpoint of what was read of one, its record in plain types; InputError for other types, told of `where`."""
    pairing, latest = ({} if part is None else part for part in (pairing, latest))
    record = Record.from_plain(record, where)
    check_plain(record.config, where)
    whole = type(step) is int and all(isinstance(part, dict) for part in (pairing, weights, latest))
    whole = whole and all(isinstance(name, str) and isinstance(one, Tensor) for name, one in weights.items())
    whole = whole and all(isinstance(name, str) and type(one) in (int, float) for name, one in latest.items())
    if not whole or (latest and "step" not in latest):
        raise InputError(f"{where}: expected a checkpoint of this program, got other types of values in it")
    return Checkpoint(step, weights, record, pairing, latest)


def undrawn(networks: Networks, pixels: int) -> tuple[Translator, int]:
    """A translator of spectra of so many pixels, to be filled with weights that are known; the width of its spaces."""
    with Undrawn():
        spaces = networks.empty_space(pixels), networks.empty_space(pixels)
        width = spaces[0].coordinates(torch.zeros(1, pixels)).shape[1]
        return build_translator(networks, spaces, torch.ones(width)), width


def translator_of(checkpoint: Checkpoint, where: str) -> Translator:
    """The translator of a checkpoint, along the axes on which it was scored.

    Raises InputError for another version's networks, and for weights that are not finite.
    """
    record = checkpoint.record
    weights = {
        name.removeprefix(PREFIX): tensor for name, tensor in checkpoint.weights.items() if name.startswith(PREFIX)
    }
    if wrong := [name for name, tensor in weights.items() if not tensor.isfinite().all()]:
        raise InputError(f"{where}: expected finite weights, got NaN or infinite ones in {wrong[0]}")
    networks, pixels = record.networks, len(record.wavelength)
    with refusing(f"{where}: expected a checkpoint of this version's networks", "another's"):
        translator, _ = undrawn(networks, pixels)
        count = record.config.get("ensemble", 1)
        claimed = max(1, count) * sum(one.numel() for one in translator.parameters())
        if claimed > sum(one.numel() for one in weights.values()):
            raise ValueError(f"{claimed} parameters")
        if count > 1:
            translator = ensemble_of([translator] * count)
        translator.load_state_dict(weights)
        return translator.turned(record.axes)

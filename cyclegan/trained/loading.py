"""A trained translator, read back from a run.

import cyclegan
model = cyclegan.load("runs/payne2payne/2026-11-22_12-00-00")
observed = model.synth_to_obs(flux)
"""

from pathlib import Path

import torch

from cyclegan.spectra.spectra import ERROR_FLOOR, Spectra
from cyclegan.trained.checkpoint import Checkpoint, read_checkpoint
from cyclegan.trained.familiarity import Familiarity, features
from cyclegan.trained.model import TrainedModel
from cyclegan.trained.run_folder import MODEL, find_checkpoint
from cyclegan.trained.shared import read_shared
from cyclegan.trained.translated import DIRECTIONS, OBS_TO_SYNTH
from cyclegan.translator.ensemble import MeanGenerator
from emulator.commands.device import find_device
from emulator.commands.errors import InputError, refusing
from emulator.payne import Payne


def load(checkpoint: str | Path, device: str = "auto", emulator: str | Path | None = None) -> TrainedModel:
    """The trained model of a run's folder, of one checkpoint, or of a folder that `cyclegan.share` wrote.

    Args:
        checkpoint: a run's folder (its last.ckpt), a checkpoint, or a shared folder.
        device: auto, cpu or gpu.
        emulator: a file that `Payne.save` wrote, of the run's synthetic domain where that came from spectra.

    Returns:
        The model, in evaluation mode.

    Raises:
        InputError: where there is no checkpoint, no such device, an emulator already, or parts of a checkpoint are not
            of one run, and for a shared folder in which a file is not what it was.
    """
    found, where = find_device(device, "device"), find_checkpoint(checkpoint)
    read = read_run(where)
    brought = None
    if emulator is not None:
        if read.record.domains.synth.path is None:
            raise InputError(f"emulator: expected none beside {checkpoint}, which brings its own, got {emulator}")
        brought = Payne.load(emulator).on(read.record.wavelength).to(found).requires_grad_(False)
    model = TrainedModel(read, str(checkpoint), found, brought)
    check_on_stars(model)
    return model


def read_run(checkpoint: Path) -> Checkpoint:
    """What is in a file that `find_checkpoint` gave; InputError for what cannot be read."""
    return read_shared(checkpoint.parent) if checkpoint.name == MODEL else read_checkpoint(checkpoint)


@torch.no_grad()
def check_on_stars(model: TrainedModel) -> None:
    """Raise InputError where parts of a model's record are not of its networks, or what they make of stars, the mean of
    the synthetic ones and one without lines, is not finite.
    """
    t, mean = model.translator, model.translator.space_s.mean
    flux = torch.stack([mean, torch.ones_like(mean)])
    stars = Spectra(flux, torch.full_like(flux, ERROR_FLOOR), torch.ones_like(flux, dtype=torch.bool))
    with refusing(f"{model.where}: expected a record that its networks go with", "another's"):
        split = torch.cat([model.split_sample, t.encoder_o(model.seen(OBS_TO_SYNTH, stars).flux)[1]])[:1].expand(2, -1)
        found = []
        for direction, domain in zip(DIRECTIONS, ("synth", "obs"), strict=True):
            seen = model.seen(direction, stars)
            made = model.translate_seen(direction, seen, split)
            found.append(made.flux)
            if model.errors:
                found.append(model.error_of(direction, seen, made, known_split=False))
            if (known := Familiarity.from_record(model.record, domain, model.device)) is not None:
                found.append(known.distance(features(t, domain, seen)))
            if model.map_error is not None and isinstance(t.generator_o, MeanGenerator):
                found.append(model.map_error.roots(t.generator_o.each(made.shared, split), made.shared))
        if not all(values.isfinite().all() for values in found):
            raise ValueError("of stars it makes what is not finite")

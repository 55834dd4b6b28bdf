"""A trained translator, read back from a run.

import cyclegan
model = cyclegan.load("runs/payne2payne/2026-11-22_12-00-00")
observed = model.synth_to_obs(flux)
"""

from pathlib import Path

from cyclegan.trained.checkpoint import read_checkpoint
from cyclegan.trained.model import TrainedModel
from cyclegan.trained.run_folder import find_checkpoint
from emulator.commands.device import find_device
from emulator.commands.errors import InputError
from emulator.payne import Payne


def load(checkpoint: str | Path, device: str = "auto", emulator: str | Path | None = None) -> TrainedModel:
    """The trained model of a run's folder or of one checkpoint.

    Args:
        checkpoint: a run's folder (its last.ckpt), or a checkpoint.
        device: auto, cpu or gpu.
        emulator: a file that `Payne.save` wrote, of the run's synthetic domain where that came from spectra.

    Returns:
        The model, in evaluation mode.

    Raises:
        InputError: where there is no checkpoint, no such device, or an emulator already.
    """
    found, where = find_device(device, "device"), find_checkpoint(checkpoint)
    read = read_checkpoint(where)
    if emulator is None:
        return TrainedModel(read, str(checkpoint), found)
    if read.record.domains.synth.path is None:
        raise InputError(f"emulator: expected none beside {checkpoint}, which brings its own, got {emulator}")
    brought = Payne.load(emulator).on(read.record.wavelength).to(found).requires_grad_(False)
    return TrainedModel(read, str(checkpoint), found, brought)

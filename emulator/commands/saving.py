"""Networks as files."""

import io
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from emulator.commands.writing import write_whole


def saved(contents: Any) -> memoryview:
    """Tensors and plain types as torch.load reads them from a file."""
    file = io.BytesIO()  # of a disk that is full torch.save says no more than that a position is unexpected
    torch.save(contents, file)
    return file.getbuffer()


class WholeCheckpoints(TorchCheckpointIO):
    """Lightning's checkpoints written whole; its own way copies them where the folder for temporary files is another's
    disk, over what was there, and is silent about a folder that cannot be written."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint."""
        write_whole(path, saved(checkpoint))

"""When checkpoints are written."""

from pathlib import Path

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Checkpoint

from emulator.commands.writing import written_whole


class LastCheckpoint(Checkpoint):
    """Writes a run's last checkpoint every few batches, and when an epoch has been scored.

    Never between an epoch's last batch and its scores: a run resumed from there would lack them.
    """

    def __init__(self, path: Path, every: int) -> None:
        self.path, self.every = path, every

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        """Write after every few batches, but not after an epoch's last."""
        if trainer.global_step % self.every == 0 and not trainer.is_last_batch:
            self._write(trainer)

    def on_validation_end(self, trainer: Trainer, *_: object) -> None:
        """Write once an epoch has been scored."""
        self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        with written_whole(self.path) as unfinished:  # Lightning's own way copies where /tmp is another disk
            trainer.save_checkpoint(unfinished, False)  # not the weights alone

"""When checkpoints are written."""

from pathlib import Path

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Checkpoint

from cyclegan.training.ending import Ending
from emulator.commands.metrics import MetricsTable


class LastCheckpoint(Checkpoint):
    """Writes a run's last checkpoint every few batches, when an epoch has been scored, and before an end asked for.

    Never between an epoch's last batch and its scores: a run resumed from there would lack them.
    """

    def __init__(self, path: Path, every: int, ending: Ending) -> None:
        self.path, self.every, self.ending = path, every, ending
        self.written: int | None = None  # after how many steps

    def on_train_start(self, *_: object) -> None:
        """Take the signals that Lightning would end at in its own way."""
        self.ending.listen()

    def on_train_batch_start(self, trainer: Trainer, *_: object) -> None:
        """End here if that was asked for: what the batch before logged is written by now."""
        if trainer.global_step == self.written:
            self.ending.release()

    def on_before_optimizer_step(self, *_: object) -> None:
        """From here on there is something to lose."""
        self.ending.held = True

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        """Write after every few batches, but not after an epoch's last."""
        due = trainer.global_step % self.every == 0 or self.ending.asked is not None
        if due and not trainer.is_last_batch:
            self._write(trainer)

    def on_validation_end(self, trainer: Trainer, *_: object) -> None:
        """Write once an epoch has been scored."""
        self._write(trainer)
        self.ending.release()

    def _write(self, trainer: Trainer) -> None:
        for logger in trainer.loggers:
            if isinstance(logger, MetricsTable):
                logger.write()  # a run that is resumed from here has what was measured before
        trainer.save_checkpoint(self.path, False)  # not the weights alone
        self.written = trainer.global_step

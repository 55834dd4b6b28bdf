"""Training in one process, whatever a cluster or a launcher of several left in the environment."""

import logging
import os
import warnings
from typing import Any

from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything

from emulator.commands.progress import progress
from emulator.commands.saving import saved
from emulator.commands.writing import write_whole


class OneProcess(LightningEnvironment):
    """The surroundings of a process that has no others beside it."""

    @property
    def creates_processes_externally(self) -> bool:
        """Lightning's question for who starts the others."""
        return False

    def local_rank(self) -> int:
        """The first on this machine."""
        return 0

    def node_rank(self) -> int:
        """The first machine."""
        return 0


class WholeCheckpoints(TorchCheckpointIO):
    """Lightning's checkpoints written whole; its own way copies them where the folder for temporary files is another's
    disk, over what was there, and is silent about a folder that cannot be written."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint."""
        write_whole(path, saved(checkpoint))


class LoneTrainer(Trainer):
    """A Trainer on one device, in one process. It takes nothing from SLURM_*, RANK and PL_TRAINER_*.

    It draws no bar of its own: `TrainingProgress` does, and only where somebody watches.
    """

    def __init__(self, **options: Any) -> None:
        be_first()
        warnings.filterwarnings("ignore", ".*The `srun` command is available")  # it starts several
        # Under SLURM Lightning goes on from any hpc_ckpt_*.ckpt in its default folder, which is the current one.
        super().__init__(
            devices=1,
            num_nodes=1,
            plugins=[OneProcess(), WholeCheckpoints()],
            default_root_dir=os.devnull,
            enable_progress_bar=False,
            **options,
        )


class TrainingProgress(Callback):
    """One bar over all batches of a training, with the time left."""

    REFRESH = 20  # batches

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Open the bar, where a resumed run left it."""
        total = trainer.estimated_stepping_batches
        self.bar = progress(what="training", total=total, initial=trainer.global_step, unit="batch")

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        """Move the bar now and then."""
        if trainer.global_step % self.REFRESH == 0:
            self.bar.update(trainer.global_step - self.bar.n)

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        """Close the bar: what is said of the end begins a line."""
        if hasattr(self, "bar"):
            self.bar.close()

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Close the bar."""
        self.bar.update(trainer.global_step - self.bar.n)
        self.bar.close()


def be_first() -> None:
    """Write what only the first process writes: Lightning took its rank from the environment when it was imported.

    What Lightning has to say of itself is left out, whoever started this process.
    """
    OneProcess().set_global_rank(0)
    # Lightning tells what devices there are not, and recommends its services.
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", r".*isinstance\(treespec, LeafSpec\)|.*Experiment logs directory")


def seed(number: int) -> None:
    """Seed all that draws without a generator of its own, in the one process that there is."""
    be_first()
    seed_everything(number, workers=True, verbose=False)

"""emulator/commands/processes.py: one process trains alone, whatever a cluster left in the environment."""

import csv
import os

import pytest
import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from torch.utils.data import DataLoader, TensorDataset

from emulator.commands.processes import LoneTrainer, seed

SLURM = {
    "SLURM_JOB_ID": "77",
    "SLURM_JOB_NAME": "train",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
    "SLURM_NNODES": "1",
    "SLURM_JOB_NODELIST": "n1",
}
ENVIRONMENTS = {
    "a job of several tasks": SLURM | {"SLURM_NTASKS": "4", "SLURM_PROCID": "0"},
    "another task than the first": SLURM | {"SLURM_NTASKS": "1", "SLURM_PROCID": "1", "SLURM_LOCALID": "1"},
    "torchrun's": {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "GROUP_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    | {"TORCHELASTIC_RUN_ID": "none"},
    "Lightning's own": {"PL_TRAINER_MAX_EPOCHS": "7", "PL_TRAINER_FAST_DEV_RUN": "1", "PL_TRAINER_DEVICES": "3"},
}


class Slope(LightningModule):
    """One number, that is learned."""

    def __init__(self):
        super().__init__()
        self.slope = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch, index):
        loss = (self.slope - batch[0]).square().mean()
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Lightning as it is when it was imported as the second process of several, and all that it sets put back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    return tmp_path


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_training_is_that_of_one_process(name, elsewhere):
    os.environ.update(ENVIRONMENTS[name])
    torch.save({"another": "run"}, elsewhere / "hpc_ckpt_1.ckpt")
    seed(3)
    trainer = LoneTrainer(
        accelerator="cpu",
        max_steps=5,
        logger=CSVLogger(elsewhere, name="", version=""),
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    module = Slope()
    trainer.fit(module, DataLoader(TensorDataset(torch.ones(10, 1)), batch_size=2))
    assert (trainer.world_size, trainer.global_rank, trainer.global_step) == (1, 0, 5)
    assert module.slope.item() == pytest.approx(1 - 0.8**5)
    with (elsewhere / "metrics.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["0", "1", "2", "3", "4"]
    assert sorted(path.name for path in elsewhere.iterdir()) == ["hpc_ckpt_1.ckpt", "metrics.csv"]

"""Looks at a run after every epoch: signals that need no matched stars, and faults as they are first seen."""

import logging
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from cyclegan.domains.domains import Stars
from cyclegan.losses.adversarial import cross_entropy
from cyclegan.scores.signals import signals
from cyclegan.training.faults import RunLog, find_faults
from cyclegan.training.module import CycleGAN

log = logging.getLogger(__name__)


class Health(Callback):
    """Looks at a run after every epoch: logs `SIGNALS`, and tells each fault when it is first seen.

    stars: of both domains, (N, P) each, to look at. faults: the epochs in which each was seen, by its name;
    `health/NAME` in the logs is 1 where it was.
    """

    def __init__(self, stars: Stars) -> None:
        self.stars = stars
        self.history: list[dict[str, float]] = []
        self.faults: dict[str, list[int]] = {}

    def on_validation_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Log the signals."""
        assert isinstance(module, CycleGAN)
        module.log_dict(signals(module.as_one, *self.stars))

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Go through all that was logged for faults."""
        assert isinstance(module, CycleGAN)
        self.history.append({name: float(value) for name, value in trainer.callback_metrics.items()})
        undecided = cross_entropy(torch.zeros(1, 1), True).item()
        faults = find_faults(RunLog(self.history, undecided, module.weight_of))
        for name, words in faults:
            if name not in self.faults:
                log.warning("epoch %d: %s", trainer.current_epoch, words)
            self.faults.setdefault(name, []).append(trainer.current_epoch)
        seen = {f"health/{fault.name}": 1.0 for fault in faults}
        for logger in trainer.loggers:
            logger.log_metrics({"health/faults": float(len(faults)), **seen}, trainer.global_step - 1)
            logger.save()

    def state_dict(self) -> dict[str, Any]:
        """What was seen so far."""
        return {"history": self.history, "faults": self.faults}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` gave."""
        self.history, self.faults = state["history"], state["faults"]

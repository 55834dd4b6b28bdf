"""Which epoch's networks a run ends with."""

import logging
from collections.abc import Mapping
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from cyclegan.domains.domains import Stars
from cyclegan.scores.signals import signals
from cyclegan.training.module import CycleGAN

log = logging.getLogger(__name__)

DECIDING = "agreement"  # of `signals`, the one that follows the scores of matched stars best
PATIENCE = 5  # epochs in which networks have to agree better than their start, or they never will


class Keeping(Callback):
    """Keeps the networks of the epoch whose `agreement` is highest, on stars that are not trained on.

    The start, which is linear, counts as an epoch: where networks learn nothing that these stars confirm, it is kept.
    After PATIENCE epochs of that the run ends. No matched star is asked. stars: of both domains, (N, P) each.
    """

    def __init__(self, stars: Stars) -> None:
        self.stars = stars
        self.best: float | None = None
        self.step, self.looked = 0, 0
        self.weights: dict[str, Tensor] = {}

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Look at the start, unless the run goes on."""
        assert isinstance(module, CycleGAN)
        if self.best is None:
            self._look(module, signals(module.translator, *self.stars), 0)
        self._stop_where_nothing_is_learned(trainer)

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Look at an epoch, whose signals were logged."""
        assert isinstance(module, CycleGAN)
        self._look(module, {DECIDING: float(trainer.callback_metrics[DECIDING])}, trainer.global_step)
        self._stop_where_nothing_is_learned(trainer)

    def _stop_where_nothing_is_learned(self, trainer: Trainer) -> None:
        if self.step == 0 and self.looked > PATIENCE:
            trainer.should_stop = True

    def _look(self, module: CycleGAN, found: Mapping[str, float], step: int) -> None:
        self.looked += 1
        if self.best is None or found[DECIDING] > self.best:
            self.best, self.step = found[DECIDING], step
            self.weights = {name: value.detach().clone() for name, value in module.translator.named_parameters()}

    def restore(self, module: CycleGAN, steps: int, stars: Stars) -> bool:
        """Give the module back what was kept; stars (N, P), (M, P): to train on. False where these are the last ones.

        steps: how many were made.
        """
        if self.step == steps or module.record.kept_step == self.step:
            return False
        module.translator.load_state_dict(self.weights, strict=False)
        module.record.kept_step = self.step
        module.describe(module.seen(stars))
        when = "the linear start" if self.step == 0 else f"those of step {self.step}"
        log.info("the networks kept are %s: no later ones agree better on stars kept out of training", when)
        return True

    def state_dict(self) -> dict[str, Any]:
        """What is kept."""
        weights = {name: value.cpu() for name, value in self.weights.items()}
        return {"best": self.best, "step": self.step, "looked": self.looked, "weights": weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` gave."""
        self.best, self.step, self.looked, self.weights = (state[k] for k in ("best", "step", "looked", "weights"))

"""Which epoch's networks a run ends with."""

import logging
from collections.abc import Callable
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from cyclegan.domains.domains import Stars
from cyclegan.scores.signals import signals
from cyclegan.training.module import CycleGAN

log = logging.getLogger(__name__)

DECIDING = "agreement"  # of `signals`, the one that follows the scores of matched stars best
CHANCE = 0.5  # of the standard error of an agreement: a difference that says nothing
KEPT = ("start", "best", "step", "looked")
PATIENCE = 10  # epochs in which networks have to agree better than their start, or they never will


class Keeping(Callback):
    """Keeps the networks of the epoch whose `agreement` is highest, on stars that are not trained on.

    Of epochs that differ by less than chance, the latest is kept. The start, which is linear, counts as an epoch: where
    no later one agrees better, it is kept, and after PATIENCE epochs of that the run ends. No matched star is asked.
    stars: of both domains, (N, P) each.
    """

    def __init__(self, stars: Stars) -> None:
        self.stars = stars
        self.start: float | None = None
        self.best, self.step, self.looked = 0.0, 0, 0
        self.weights: dict[str, Tensor] = {}

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Look at the start, unless the run goes on."""
        assert isinstance(module, CycleGAN)
        if self.start is None:
            self.start = self.best = signals(module.as_one, *self.stars)[DECIDING]
            self._keep(module, 0)
        self._stop_where_nothing_is_learned(trainer)

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Look at an epoch, whose signals were logged."""
        assert isinstance(module, CycleGAN)
        found = float(trainer.callback_metrics[DECIDING])
        chance = (self.best * (1 - self.best) / len(self.stars.obs.flux)) ** 0.5
        if found > self.best or (self.step > 0 and found >= self.best - CHANCE * chance):
            self._keep(module, trainer.global_step)
        self.best = max(self.best, found)
        self.looked += 1
        self._stop_where_nothing_is_learned(trainer)

    def _keep(self, module: CycleGAN, step: int) -> None:
        self.step = step
        self.weights = {name: value.detach().clone() for name, value in module.translator.named_parameters()}

    def _stop_where_nothing_is_learned(self, trainer: Trainer) -> None:
        if self.step == 0 and self.looked >= PATIENCE:
            trainer.should_stop = True

    def restore(self, module: CycleGAN, steps: int, draw: Callable[[int], Stars]) -> bool:
        """Give the module back what was kept, after so many steps; False where these are the networks that it has.

        draw: gives the training stars of an epoch, (N, P) and (M, P).
        """
        if self.step == steps or module.record.kept_step == self.step:
            return False
        module.translator.load_state_dict(self.weights, strict=False)
        module.record.kept_step = self.step
        module.describe(module.seen(draw(module.pairing.epoch or 0)))  # the pairs are of these stars
        when = "the linear start" if self.step == 0 else f"those of step {self.step}"
        log.info("the networks kept are %s: no later ones agree better on stars kept out of training", when)
        return True

    def state_dict(self) -> dict[str, Any]:
        """What is kept."""
        weights = {name: value.cpu() for name, value in self.weights.items()}
        return {name: getattr(self, name) for name in KEPT} | {"weights": weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` gave."""
        for name in (*KEPT, "weights"):
            setattr(self, name, state[name])

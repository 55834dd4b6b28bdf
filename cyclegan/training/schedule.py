"""How long and how fast a run learns."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn.

    steps: of the whole run, over which learning rates fall to nothing along a cosine; epoch_steps: of an epoch;
    warm_up: the share of all steps in which both domains' networks are one and nobody judges; weight_decay: of encoders
    and generators, towards zero, a step by this times the learning rate; log_every: steps.
    """

    steps: int
    epoch_steps: int
    batch_size: int
    warm_up: float
    learning_rate: float
    discriminator_learning_rate: float
    weight_decay: float
    log_every: int

    @property
    def warm_up_steps(self) -> int:
        """How many steps the warm-up takes."""
        return round(self.warm_up * self.steps)


def learning_rate_at(progress: float) -> float:
    """The factor on learning rates at `progress` (0 to 1) through a run: a cosine from 1 to 0."""
    return 0.5 * (1 + math.cos(math.pi * progress))

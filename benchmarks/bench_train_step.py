"""What a train step costs beside the networks' arithmetic: pytest benchmarks/bench_train_step.py. At most 15 %.

Beside means data, logging, progress, checkpoints and Lightning itself, at the default sizes. CPU seconds of one
thread; both are measured in turns in one process, so that neither meets a faster machine than the other.
"""

import statistics
import time
import warnings

import pytest
import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.loggers import CSVLogger

from benchmarks.steps import Step, built, config_of, noise_domains
from cyclegan.training.checkpoints import LastCheckpoint
from cyclegan.training.ending import Ending
from cyclegan.training.logs import RunProgress

ROUNDS, STEPS, WARM_UP = 5, 200, 20
MOST = 0.15


class Clock(Callback):
    """CPU seconds a step, the first WARM_UP of them left out."""

    def on_train_batch_start(self, trainer, module, batch, batch_index):
        if batch_index == WARM_UP:
            self.start = time.process_time()

    def on_train_end(self, trainer, module):
        self.seconds = (time.process_time() - self.start) / (STEPS - WARM_UP)


@pytest.fixture
def parts():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    sizes = ["networks.shared=6", "networks.split=1", "networks.components=96"]
    yield config_of([*sizes, "trainer.epochs=1", f"trainer.steps={STEPS}"]), noise_domains()
    torch.set_num_threads(threads)


def by_lightning(config, domains, folder):
    (module, data), clock = built(config, domains), Clock()
    Trainer(
        accelerator="cpu",
        max_epochs=1,
        limit_val_batches=0,
        logger=CSVLogger(folder),
        callbacks=[
            LastCheckpoint(folder / "last.ckpt", config.trainer.checkpoint_every, Ending(requeue=False)),
            RunProgress(),
            clock,
        ],
        log_every_n_steps=config.trainer.log_every,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(module, data)
    return clock.seconds


def bare(config, domains):
    """The same two updates of the same networks on one batch that lies ready."""
    step = Step(config, domains, torch.device("cpu"))
    for number in range(STEPS):
        if number == WARM_UP:
            start = time.process_time()
        step()
    return (time.process_time() - start) / (STEPS - WARM_UP)


def test_a_train_step_beside_its_arithmetic(benchmark, parts, tmp_path):
    config, domains = parts
    assert config.losses["adversarial"] > 0
    alone, whole = [], []

    def measure():
        whole.append(by_lightning(config, domains, tmp_path))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        benchmark.pedantic(measure, setup=lambda: alone.append(bare(config, domains)), rounds=ROUNDS)
    step, arithmetic = statistics.median(whole), statistics.median(alone)
    overhead = step / arithmetic - 1
    benchmark.extra_info.update(step=step, arithmetic=arithmetic, overhead=overhead)
    print(f"\na step {1e3 * step:.2f} ms of CPU, its arithmetic {1e3 * arithmetic:.2f} ms: {overhead:.1%} beside it")
    assert overhead <= MOST

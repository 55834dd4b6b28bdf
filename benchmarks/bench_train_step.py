"""What a train step costs beside the networks' arithmetic: pytest benchmarks/bench_train_step.py. At most 15 %.

Beside means data, logging, progress, checkpoints and Lightning itself, at the default sizes. CPU seconds of one
thread; both are measured in turns in one process, so that neither meets a faster machine than the other.
"""

import statistics
import time
import warnings

import pytest
import torch
from hydra import compose, initialize_config_dir
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.loggers import CSVLogger

from cyclegan.config import TrainConfig
from cyclegan.data import SpectraData, TrainingBatch
from cyclegan.logs import RunProgress
from cyclegan.spectra import Spectra
from cyclegan.train import LastCheckpoint, build
from emulator.command import config_folder, validate

ROUNDS, STEPS, WARM_UP = 5, 200, 20
MOST = 0.15


class NoiseDomain:
    """Spectra of noise, always the same: what they hold does not change what a step costs."""

    fixed = True
    wavelength = torch.linspace(15000.0, 15100.0, 300, dtype=torch.float64)

    def __init__(self, seed):
        flux = 1 + 0.1 * torch.randn(4000, 300, generator=torch.Generator().manual_seed(seed))
        self.spectra = Spectra(flux, torch.full_like(flux, 0.01), torch.ones_like(flux, dtype=torch.bool))

    def draw(self, seed):
        return self.spectra

    def matched(self, split):
        return self.spectra.rows(slice(4))

    def count(self, split):
        return len((self.spectra if split == "train" else self.matched(split)).flux)


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
    with initialize_config_dir(config_folder(), version_base="1.3"):
        settings = ["domains=files", "domains.synth.path=x", "domains.obs.path=x", "trainer.epochs=1"]
        config = validate(compose("train", [*settings, f"trainer.steps={STEPS}"]), TrainConfig)
    size = config.trainer.batch_size
    data = SpectraData(NoiseDomain(1), NoiseDomain(2), True, size, STEPS, config.seed, paired=True, share=1.0)
    yield config, data
    torch.set_num_threads(threads)


def by_lightning(config, data, folder):
    module, clock = build(config, data, {}), Clock()
    Trainer(
        accelerator="cpu",
        max_epochs=1,
        limit_val_batches=0,
        logger=CSVLogger(folder),
        callbacks=[LastCheckpoint(folder / "last.ckpt", config.trainer.checkpoint_every), RunProgress(), clock],
        log_every_n_steps=config.trainer.log_every,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(module, data)
    return clock.seconds


def bare(config, data):
    """The same two updates of the same networks on one batch that lies ready."""
    module = build(config, data, {})
    stars = data.coordinates((module.translator.space_s, module.translator.space_o), 0)
    batch = TrainingBatch(*stars.rows(slice(config.trainer.batch_size)), None)
    judges_optimizer, translator_optimizer = module.configure_optimizers()
    for step in range(STEPS):
        if step == WARM_UP:
            start = time.process_time()
        crossing = module.translator.cross(batch.synth.flux, batch.obs.flux)
        exhibits = module.exhibits(batch, crossing, step)
        judges_optimizer.zero_grad()
        module.discriminator_loss(module.judgements(exhibits, crossing)).backward()
        judges_optimizer.step()
        losses = module.translator_losses(batch, crossing, exhibits, step, True)
        translator_optimizer.zero_grad()
        sum(weight * term for weight, term in losses.values()).backward()
        translator_optimizer.step()
    return (time.process_time() - start) / (STEPS - WARM_UP)


def test_a_train_step_beside_its_arithmetic(benchmark, parts, tmp_path):
    config, data = parts
    assert config.losses.adversarial > 0
    alone, whole = [], []

    def measure():
        whole.append(by_lightning(config, data, tmp_path))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        benchmark.pedantic(measure, setup=lambda: alone.append(bare(config, data)), rounds=ROUNDS)
    step, arithmetic = statistics.median(whole), statistics.median(alone)
    overhead = step / arithmetic - 1
    benchmark.extra_info.update(step=step, arithmetic=arithmetic, overhead=overhead)
    print(f"\na step {1e3 * step:.2f} ms of CPU, its arithmetic {1e3 * arithmetic:.2f} ms: {overhead:.1%} beside it")
    assert overhead <= MOST

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

from cyclegan.domains.domains import Domains, Stars
from cyclegan.domains.survey import Survey
from cyclegan.losses.adversarial import exhibits, judgements
from cyclegan.losses.terms import Moment, total, weighted_terms
from cyclegan.pairing.batch import TrainingBatch
from cyclegan.spectra.spaces import projected_on
from cyclegan.spectra.spectra import Spectra
from cyclegan.training.build import build
from cyclegan.training.checkpoints import LastCheckpoint
from cyclegan.training.ending import Ending
from cyclegan.training.logs import RunProgress
from cyclegan.training.schema import TrainConfig
from cyclegan.training.theory import Theory
from emulator.commands.config import config_folder, validate

ROUNDS, STEPS, WARM_UP = 5, 200, 20
MOST = 0.15


class NoiseDomain:
    """Spectra of noise, always the same: what they hold does not change what a step costs."""

    fixed, origin = True, "noise"
    wavelength = torch.linspace(15000.0, 15100.0, 300, dtype=torch.float64)

    def __init__(self, seed):
        flux = 1 + 0.1 * torch.randn(4000, 300, generator=torch.Generator().manual_seed(seed))
        self.spectra = Spectra(flux, torch.full_like(flux, 0.01), torch.ones_like(flux, dtype=torch.bool))

    def draw(self, seed):
        return self.spectra

    def matched(self, subset):
        return self.spectra.rows(slice(4))

    def count(self, subset):
        return len((self.spectra if subset == "train" else self.matched(subset)).flux)


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
        settings += ["networks.shared=6", "networks.split=1", "networks.components=96"]
        settings += [f"trainer.steps={STEPS}", "trainer.weight_decay=0.25"]
        config = validate(compose("train", settings), TrainConfig)
    yield config, Domains(NoiseDomain(1), NoiseDomain(2), matched=True)
    torch.set_num_threads(threads)


def built(config, domains):
    stars = Stars(*(domain.draw(0) for domain in domains[:2]))
    return build(config, domains, Theory(None, {}, Survey()), stars)


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
    module, data = built(config, domains)
    t, discriminators = module.translator, module.discriminators
    rows = slice(config.trainer.batch_size)
    stars = zip((t.space_s, t.space_o), data.stars(epoch=0), strict=True)
    batch = TrainingBatch(*(projected_on(space, side.rows(rows)) for space, side in stars), None)
    judges_optimizer, translator_optimizer = module.configure_optimizers()
    for step in range(STEPS):
        if step == WARM_UP:
            start = time.process_time()
        crossing = t.cross(batch.synth.flux, batch.obs.flux)
        shown = exhibits(t, batch, crossing, step)
        judges_optimizer.zero_grad()
        torch.stack([one.loss() for one in judgements(discriminators, shown).values()]).sum().backward()
        judges_optimizer.step()
        terms = weighted_terms(config.losses, Moment(batch, crossing, t, discriminators, shown, step / STEPS))
        translator_optimizer.zero_grad()
        total(terms).backward()
        translator_optimizer.step()
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

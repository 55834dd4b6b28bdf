"""How time and memory grow: with spectra, pixels, components, latents, the batch and an ensemble's members.

Each size is measured in a process of its own, for its peak of memory is the largest that there ever was. Processor
seconds of one thread.
"""

import logging
import math
import multiprocessing
import resource
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from benchmarks import workloads
from benchmarks.steps import CONV, Step, config_of, noise_domains
from benchmarks.workloads import CPU, Work
from cyclegan.fitting.fitter import Fitter
from cyclegan.fitting.forward import TRANSLATOR, SpectrumModel
from cyclegan.spectra.files import SpectraFile
from cyclegan.spectra.spaces import pooled_components
from cyclegan.spectra.spectra import exact
from cyclegan.training.run import train
from cyclegan.transfer import transfer
from cyclegan.translator.dense import Dense
from cyclegan.translator.translator import build_translator
from tests.handmade import make_checkpoint, save_checkpoint
from tests.transfers import transfer_config

FEW_PIXELS = 300  # of spectra whose number grows
MATCHED = 100  # of 'val' and of 'test'
SECONDS = 0.5  # for which short work is repeated
LITTLE = 4.0  # MiB: less is what any process takes


@dataclass(frozen=True)
class Axis:
    """What grows with what: make(size, folder) gives the work; memory counts from before it was made."""

    what: str
    grows_with: str
    sizes: Sequence[int]
    make: Callable[[int, Path], Work]


class Cost(NamedTuple):
    """Of one call: processor seconds, and MiB on top of what the process began with."""

    seconds: float
    memory: float


def stored(path: Path, count: int, seed: int = 0) -> Path:
    """A file of so many training spectra."""
    return workloads.write_stars(path, {"train": count, "val": MATCHED, "test": MATCHED}, FEW_PIXELS, seed)


def reading(count: int, folder: Path) -> Work:
    """Read and check so many spectra of a file, a batch at a time."""
    path = stored(folder / "stars.h5", count)

    def read() -> None:
        with SpectraFile(path) as file:
            for _ in file.chunks("train", 256):
                pass

    return read


def training(count: int, folder: Path) -> Work:
    """All of a training of so many stars of each domain but for its updates, of which there is one."""
    synth, obs = stored(folder / "synth.h5", count), stored(folder / "obs.h5", count, seed=1)
    sizes = ["networks.shared=6", "networks.split=1", "networks.components=64", "trainer.epochs=1"]
    files = [f"domains.synth.path={synth}", f"domains.obs.path={obs}"]
    own = ["name=growth", "domains.skip_pixels=0", "trainer.keep=last", "logger.wandb=false", "trainer.accelerator=cpu"]
    own += ["trainer.steps=1", "trainer.log_every=1"]
    config = config_of([*sizes, *files, *own])
    return lambda: train(config, folder)


def translated(count: int, folder: Path) -> Work:
    """Translate so many spectra, file to file."""
    path, K = stored(folder / "stars.h5", count), 96
    with SpectraFile(path) as file:
        wavelength = file.wavelength
    spaces = tuple(workloads.noise_components(FEW_PIXELS, K) for _ in "so")
    networks = Dense(shared=20, split=1, components=K, width=128)
    translator = build_translator(networks, spaces, torch.ones(K))
    made = make_checkpoint(translator, networks, wavelength, torch.randn(100, 1))
    run = save_checkpoint(made, folder / "last.ckpt")
    config = transfer_config(checkpoint=run, input=path, output=folder / "out.h5")
    return lambda: transfer(config)


def fitted(count: int, _: Path) -> Work:
    """Four labels of so many stars, 7214 pixels each."""
    model = workloads.usual_model().forward_model
    fitter, stars = Fitter(SpectrumModel(model, TRANSLATOR), 1, 0), workloads.observed(model, count)
    return lambda: [fitter(some) for some in stars.chunks(512)]


def spaces(stars: int, pixels: int, components: int) -> Work:
    """The components of two sets of spectra."""
    sides = [exact(0.9 + 0.05 * torch.rand(stars, pixels, generator=torch.Generator().manual_seed(i))) for i in (1, 2)]
    return lambda: pooled_components(*sides, components)


def conv_step(pixels: int, _: Path) -> Work:
    """Both updates of convolutional networks on 2 + 2 spectra."""
    return Step(config_of([*CONV, "trainer.steps=100", "trainer.batch_size=2"]), noise_domains(30, pixels), CPU)


def emulated(pixels: int, _: Path) -> Work:
    """250 spectra of an emulator of so many pixels."""
    layer, hidden = torch.nn.Linear(300, pixels), torch.rand(250, 300)
    return torch.inference_mode()(lambda: layer(hidden))


def dense_step(settings: Sequence[str], components: int = 96, batch: int = 256) -> Work:
    """Both updates of dense networks."""
    own = ["networks.split=1", f"networks.components={components}", "trainer.steps=100"]
    domains = noise_domains(max(batch, 1000), 600)
    return Step(config_of([*own, f"trainer.batch_size={batch}", *settings]), domains, CPU)


MANY = (1_000, 4_000, 16_000, 64_000, 200_000)
PIXELS = (1_000, 4_000, 16_000, 64_000)
AXES = (
    Axis("reading", "spectra", MANY, reading),
    Axis("training but for its updates", "spectra", MANY, training),
    Axis("pairing", "spectra", MANY, lambda size, _: workloads.pairing(size)),
    Axis("transfer, file to file", "spectra", MANY, translated),
    Axis("fits", "spectra", (512, 2048, 8192), fitted),
    Axis("components of 500 + 500 spectra", "pixels", PIXELS, lambda size, _: spaces(500, size, 96)),
    Axis("projection of 500", "pixels", PIXELS, lambda size, _: workloads.projection(500, size, 0.0)),
    Axis("emulator, 250 spectra", "pixels", PIXELS, emulated),
    Axis("conv step", "pixels", PIXELS, conv_step),
    Axis("components", "components", (32, 64, 128, 256, 512), lambda size, _: spaces(1000, 2000, size)),
    Axis("dense step", "components", (32, 64, 128, 256, 512), lambda size, _: dense_step(["networks.shared=20"], size)),
    Axis("dense step", "latents", (4, 16, 64), lambda size, _: dense_step([f"networks.shared={size}"])),
    Axis("dense step", "batch", (64, 256, 1024, 4096), lambda size, _: dense_step(["networks.shared=20"], batch=size)),
    Axis(
        "dense step", "members", (2, 4, 8, 16), lambda size, _: dense_step(["networks.shared=20", f"ensemble={size}"])
    ),
)


def measured(number: int, folder: Path) -> dict[int, Cost]:
    """The cost of each size of one of AXES, each in a process of its own, which has the imports already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.growth"])
    costs = {}
    for size in AXES[number].sizes:
        receiver, sender = context.Pipe(duplex=False)
        own = folder / f"{number} {size}"
        process = context.Process(target=_send_cost, args=(number, size, own, sender))
        process.start()
        sender.close()
        costs[size] = receiver.recv()  # EOFError where the process ended otherwise
        process.join()
        shutil.rmtree(own)
    return costs


def _send_cost(number: int, size: int, folder: Path, sender: Connection) -> None:
    torch.set_num_threads(1)
    folder.mkdir()
    logging.disable(logging.WARNING)
    sender.send(cost(AXES[number], size, folder))


def cost(axis: Axis, size: int, folder: Path) -> Cost:
    """What a size costs here and now; memory counts only in a process that never held more."""
    before = peak()
    work = axis.make(size, folder)
    seconds, calls, start = 0.0, 0, time.process_time()
    while seconds < SECONDS:
        work()
        calls += 1
        seconds = time.process_time() - start
    return Cost(seconds / calls, peak() - before)


def peak() -> float:
    """The most memory that this process ever held, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)


def exponent(costs: Mapping[int, float]) -> float:
    """The power of the size with which costs grow, fitted to all; of none too small to be measured."""
    known = [(size, value) for size, value in costs.items() if value > 0]
    if len(known) < 2:
        return math.nan
    sizes, values = np.log(np.array(known)).T
    return float(np.polyfit(sizes, values, 1)[0])


def row(axis: Axis, costs: Mapping[int, Cost]) -> dict[str, object]:
    """Costs of all sizes as a row of a table."""
    seconds = {size: one.seconds for size, one in costs.items()}
    memory = {size: one.memory if one.memory > LITTLE else 0.0 for size, one in costs.items()}
    least, last, most = min(seconds), *list(seconds)[-2:]
    return {
        "what": axis.what,
        "with": axis.grows_with,
        "from": least,
        "to": most,
        "exponent of time": f"{exponent(seconds):.2f}",
        "of the last two": f"{exponent({size: seconds[size] for size in (last, most)}):.2f}",
        "exponent of memory": f"{exponent(memory):.2f}",
        "s, least and most": f"{seconds[least]:.3g} to {seconds[most]:.3g}",
        "MiB, least and most": f"{memory[least]:.0f} to {memory[most]:.0f}",
    }

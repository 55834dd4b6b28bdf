"""Commands on an accelerator: how long they take, and whether they give what the processor gives."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

import h5py
import numpy as np
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from benchmarks.gpu_steps import in_bfloat16
from benchmarks.rates import median_seconds, wait
from benchmarks.workloads import observed, payne_step
from cyclegan import train as train_command
from cyclegan.fitting.fitter import Fitter
from cyclegan.fitting.forward import TRANSLATOR, SpectrumModel
from cyclegan.scores.scores import SCORES
from cyclegan.spectra.spectra import exact
from cyclegan.trained.loading import load
from cyclegan.trained.model import BATCH
from cyclegan.trained.translated import SYNTH_TO_OBS
from cyclegan.training.checkpoints import LastCheckpoint
from cyclegan.training.data import SpectraData
from cyclegan.training.health import Health
from cyclegan.training.keeping import Keeping
from cyclegan.training.module import CycleGAN
from emulator.payne import Payne
from tests.processes import TINY
from tests.transfers import run_transfer

QUICK = (*TINY, "trainer.epochs=1", "trainer.steps=4")
FLUX, SIGMA = 1e-4, 0.05  # by how much fluxes, and labels beside their errors, may differ from the processor's
PHASES = {  # of a training: the function whose time it is, without those inside it
    "steps": ("cyclegan.training.run", "_fit"),
    "spaces and start": ("cyclegan.training.run", "build"),
    "sizes": ("cyclegan.training.run", "settled"),
    "drawing stars": (SpectraData, "stars"),
    "stars to score": (SpectraData, "scored"),
    "projecting": (CycleGAN, "seen"),
    "pairing": (CycleGAN, "start_epoch"),
    "describing": (CycleGAN, "describe"),
    "scores": (CycleGAN, "validation_step"),
    "means of scores": (CycleGAN, "on_validation_epoch_end"),
    "signals": (Health, "on_validation_epoch_end"),
    "faults": (Health, "on_validation_end"),
    "keeping": (Keeping, "on_validation_end"),
    "start that is kept": (Keeping, "on_train_start"),
    "last checkpoint": (LastCheckpoint, "_write"),
    "best checkpoint": (ModelCheckpoint, "on_validation_end"),
    "final scores and pictures": ("cyclegan.training.run", "finish"),
}


class Phases:
    """Seconds in each of PHASES, less those that lie within it; the device has ended what each began."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.within = device, ["else"]
        self.seconds = {"else": 0.0}
        self.since = time.perf_counter()

    def charge(self) -> None:
        """What has passed is the innermost one's."""
        wait(self.device)
        now = time.perf_counter()
        self.seconds[self.within[-1]] = self.seconds.get(self.within[-1], 0.0) + now - self.since
        self.since = now

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function whose time is that of a phase."""

        @wraps(function)
        def run(*given: Any, **options: Any) -> Any:
            self.charge()
            self.within.append(name)
            try:
                return function(*given, **options)
            finally:
                self.charge()
                self.within.pop()

        return run

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Charge what is called meanwhile."""
        with ExitStack() as stack:
            for name, (owner, function) in PHASES.items():
                owner = sys.modules[owner] if isinstance(owner, str) else owner
                stack.enter_context(patch.object(owner, function, self.timed(name, getattr(owner, function))))
            self.since = time.perf_counter()
            yield
            self.charge()


def told(scores: Mapping[str, Any]) -> dict[str, Any]:
    """What of a run's scores.json is told."""
    names = (*SCORES, "floor_synth_obs", "shift_synth_obs", "steps", "seconds", "cpu_seconds", "device")
    return {name: scores[name] for name in names if scores.get(name) is not None}


def train(settings: Sequence[str], folder: Path, device: torch.device, quick: bool) -> dict[str, Any]:
    """The training command in this process, with its scores, and where its time goes."""
    where = "gpu" if device.type == "cuda" else "cpu"
    own = [f"trainer.accelerator={where}", "logger.wandb=false", f"hydra.run.dir={folder}"]
    phases, start = Phases(device), time.perf_counter()
    with patch.object(sys, "argv", ["train", *settings, *own]), phases.watching():
        train_command.main()
    whole = time.perf_counter() - start
    scores = json.loads((folder / "scores.json").read_text())
    seconds = dict(sorted(phases.seconds.items(), key=lambda item: -item[1]))
    step = 1e3 * phases.seconds["steps"] / scores["steps"]
    return {"whole, s": whole, "a step, ms": step, **told(scores), "seconds in": seconds}


def train_in_bfloat16(settings: Sequence[str], folder: Path, device: torch.device, quick: bool) -> dict[str, Any]:
    """The same with networks that multiply in bfloat16."""
    with in_bfloat16(device):
        return train(settings, folder, device, quick)


def transfer(run: Path, device: torch.device, quick: bool) -> dict[str, Any]:
    """Spectra a second through a trained translator: in memory, and from file to file."""
    where, count = "gpu" if device.type == "cuda" else "cpu", 40 if quick else 20000
    model, reference = load(run, where), load(run, "cpu")
    pixels, split = len(model.wavelength), model.split_sample.mean(dim=0, keepdim=True).expand(BATCH, -1)
    flux = 0.9 + 0.05 * torch.rand(BATCH, pixels, generator=torch.Generator().manual_seed(0))
    batch = exact(flux.to(device))
    with torch.inference_mode():
        here = reference.translate(SYNTH_TO_OBS, exact(flux), split.cpu()).flux
        there = model.translate(SYNTH_TO_OBS, batch, split).flux.cpu()
        seconds = median_seconds(lambda: model.translate(SYNTH_TO_OBS, batch, split), device)
    with h5py.File(run.parent / "input.h5", "w") as file:
        file["wavelength"] = model.wavelength.cpu().numpy()
        file["spectra test"] = np.resize(flux.numpy(), (count, pixels))
        file["spectra_err test"] = np.full((count, pixels), 0.01, "float32")
    start = time.perf_counter()
    run_transfer(checkpoint=run, input=run.parent / "input.h5", output=run.parent / "output.h5", device=where)
    whole = time.perf_counter() - start
    for name in ("input.h5", "output.h5"):
        (run.parent / name).unlink()
    return {
        "spectra a second, in memory": BATCH / seconds,
        "spectra a second, file to file": count / whole,
        **compared("flux", (there - here).abs().max().item(), FLUX),
    }


def compared(what: str, difference: float, most: float) -> dict[str, Any]:
    """How far the device is from the processor, and whether that is near enough."""
    return {
        f"{what}: largest difference from the processor's": difference,
        f"{what}: within {most:g}": difference <= most,
    }


def fit(run: Path, device: torch.device, quick: bool) -> dict[str, Any]:
    """Stars a second that are fitted through a trained translator, from three starts."""
    count, size, found = (16, 8, {}) if quick else (2048, 512, {})
    models = {where: load(run, where) for where in ("cpu", *(["gpu"] if device.type == "cuda" else []))}
    stars = observed(models["cpu"].forward_model, count)
    fitted = {}
    for where, model in models.items():
        fitter, there = Fitter(SpectrumModel(model.forward_model, TRANSLATOR), 3, 0), model.device
        own = stars.to(there)
        fitted[where] = fitter(own.rows(slice(min(64, count))))
        if where == "gpu" or len(models) == 1:
            wait(there)
            start = time.perf_counter()
            converged = sum(int(fitter(piece).converged.sum()) for piece in own.chunks(size))
            found = {"stars a second": count / (time.perf_counter() - start), "converged": converged / count}
    off = (fitted[list(models)[-1]].labels.cpu() - fitted["cpu"].labels).abs() / fitted["cpu"].error
    return found | compared("labels in sigma, of the median star", off.amax(dim=1).median().item(), SIGMA)


def emulator(path: Path, device: torch.device, quick: bool) -> dict[str, Any]:
    """Spectra a second that an emulator makes, and a step of its training."""
    reference, count = Payne.load(path), 64 if quick else 4000
    payne = Payne.load(path).to(device)
    share = torch.rand(count, len(reference.label_names), generator=torch.Generator().manual_seed(0))
    labels = reference.label_low + (reference.label_high - reference.label_low) * share
    there = labels.to(device)
    with torch.inference_mode():
        off = (payne(there[:64]).cpu() - reference(labels[:64])).abs().max().item()
        seconds = median_seconds(lambda: payne(there), device)
    return {
        "spectra a second": count / seconds,
        "a step of training, ms": 1e3 * median_seconds(payne_step(payne, device), device),
        **compared("flux", off, FLUX),
    }

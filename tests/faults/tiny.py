"""Every command on inputs so small that it takes a second: what it reads, what it writes, and how it is called."""

import importlib
import sys
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import torch
from apstar import write_apstar
from processes import TINY
from skies import linear_payne, make_sky, toy_wavelength, write_domain

from emulator.commands.running import exit_when_terminated, run
from emulator.labels import LABELS

FILES = (
    *TINY,
    "name=tiny",
    "domains=files",
    "domains.skip_pixels=0",
    "domains.synth.path=synth.h5",
    "domains.obs.path=obs.h5",
    "logger.wandb=false",
)
EMULATED = (*TINY, "name=tiny", "domains.emulator=payne.pt", "logger.wandb=false")


class Tiny(NamedTuple):
    """A command: its module, its arguments, and the file that says that it has done its work."""

    module: str
    arguments: tuple[str, ...]
    made: str


COMMANDS = {
    "train": Tiny("cyclegan.train", (*FILES, "hydra.run.dir=new"), "new/scores.json"),
    "resume": Tiny("cyclegan.train", ("resume=half", "trainer.epochs=2"), "half/scores.json"),
    "evaluate": Tiny("cyclegan.evaluate", ("checkpoint=files", "logger.wandb=false"), "files/evaluation/report.html"),
    "transfer": Tiny(
        "cyclegan.transfer",
        ("checkpoint=emulated", "input=obs.h5", "output=out.h5", "direction=obs_to_synth", "device=cpu"),
        "out.h5",
    ),
    "fit": Tiny(
        "cyclegan.fit",
        ("checkpoint=emulated", "input=obs.h5", "subset=test", "starts=1", "device=cpu"),
        "emulated/fit/fit.json",
    ),
    "discover": Tiny("cyclegan.discover", ("checkpoint=emulated", "stars=4"), "emulated/discovery/discovery.json"),
    "starnet": Tiny(
        "cyclegan.starnet", ("checkpoint=emulated", "epochs=1", "device=cpu"), "emulated/starnet/starnet.json"
    ),
    "atlas": Tiny("cyclegan.atlas", ("checkpoint=emulated", "input=star.npz", "output=star.h5"), "star.h5"),
    "apogee": Tiny("cyclegan.apogee", ("apstar", "apogee.h5", "--val", "0", "--test", "0"), "apogee.h5"),
    "validate": Tiny("cyclegan.validate", ("synth.h5", "obs.h5"), ""),
    "share": Tiny("cyclegan.share", ("emulated", "shared"), "shared/SHA256SUMS"),
    "convert": Tiny(
        "emulator.convert",
        ("input=published.npz", "output=converted.pt", "labels=[teff,logg]", "wavelength=wavelength.npy"),
        "converted.pt",
    ),
    "emulator": Tiny(
        "emulator.train",
        (
            *("grid.path=grid.h5", "output=own.pt", "training.width=8", "training.components=4"),
            *("training.steps=40", "training.batch_size=8", "hydra.run.dir=log"),
        ),
        "own.pt",
    ),
}


def call(command: Tiny) -> None:
    """Run a command in this process, as `python -m` would; the folder to work in is the current one."""
    module = importlib.import_module(command.module)
    sys.argv = [command.module, *command.arguments]
    if command.module in ("cyclegan.validate", "cyclegan.share"):
        exit_when_terminated()
        raise SystemExit(module.main(list(command.arguments)))
    if command.module == "cyclegan.apogee":
        exit_when_terminated()
        return module.main()
    names = {"emulator.train": "emulator"}
    return run(module.main, names.get(command.module, command.module.rpartition(".")[2]))


def write_inputs(folder: Path) -> None:
    """What all commands read, but for finished runs."""
    sky, wavelength = make_sky(stars=60), toy_wavelength()
    write_domain(folder / "synth.h5", sky.synth, sky.val_synth, wavelength)
    write_domain(folder / "obs.h5", sky.obs, sky.val_obs, wavelength)
    draws = np.random.default_rng(0)
    response = torch.from_numpy(0.05 * draws.standard_normal((len(wavelength), len(LABELS)))).float()
    linear_payne(response, wavelength).save(folder / "payne.pt")
    flux = 1 - 0.3 * np.exp(-0.5 * ((wavelength.numpy() - 15200) / 3) ** 2)
    np.savez(folder / "star.npz", wavelength=wavelength.numpy(), flux=flux)
    np.save(folder / "wavelength.npy", wavelength.numpy())
    (folder / "apstar").mkdir()
    for number in range(3):
        noisy = 1 + 0.01 * draws.standard_normal(8575)
        name = f"2M{number:08d}+0000000"
        write_apstar(folder / "apstar" / f"apStar-r12-{name}.fits", noisy, np.full(8575, 0.01), np.zeros(8575), name)
    with h5py.File(folder / "grid.h5", "w") as grid:
        labels = draws.uniform(size=(60, 2))
        grid["labels"], grid["wavelength"] = labels, wavelength
        grid["spectra"] = (1 - 0.1 * labels @ draws.uniform(size=(2, len(wavelength)))).astype("float32")
        grid.attrs.update(label_names=["teff", "logg"], medium="vacuum")
    shapes = {"w_array_0": (4, 2), "b_array_0": (4,), "w_array_1": (4, 4), "b_array_1": (4,)}
    shapes |= {"w_array_2": (len(wavelength), 4), "b_array_2": (len(wavelength),)}
    arrays = {name: 0.1 * draws.standard_normal(shape) for name, shape in shapes.items()}
    np.savez(folder / "published.npz", x_min=[4000.0, 1.0], x_max=[6000.0, 5.0], **arrays)

"""A small sky for all tests: an emulator whose lines are known, two files of spectra, and commands as processes."""

import importlib
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pytest
import torch
from astropy.io import fits
from astropy.table import Table

from cyclegan.spectra import Spectra
from emulator.labels import ABUNDANCES, LABELS
from emulator.payne import Payne

PIXELS = 203  # an odd number, in two chips
LINE_WIDTH = 1.2  # pixels


def pytest_configure(config: pytest.Config) -> None:
    """Nothing of the user's own is read or written, and a request to the network finds a closed door."""
    home = tempfile.TemporaryDirectory()
    config.add_cleanup(home.cleanup)
    os.environ.setdefault("MPLCONFIGDIR", str(Path.home() / ".cache" / "matplotlib"))  # fonts take seconds to list
    os.environ.update(HOME=home.name, WANDB_MODE="offline", OMP_NUM_THREADS="1")
    os.environ.update(dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9"))
    os.environ.pop("WANDB_API_KEY", None)
    torch.set_num_threads(1)


def line_pixels() -> dict[str, list[int]]:
    """Where the toy emulator's lines are: six for each of two elements, one for each of the others."""
    names = ["fe_h"] * 6 + ["si_h"] * 6 + [name for name in ABUNDANCES if name not in ("fe_h", "si_h")]
    lines = {}
    for number, name in enumerate(names):
        lines.setdefault(name, []).append(6 + 8 * number - (number % 2))
    return lines


def toy_wavelength() -> torch.Tensor:
    pixels = np.r_[0:100, 150 : 150 + PIXELS - 100]
    return torch.from_numpy(10 ** (4.18 + 6e-6 * pixels))


def linear_payne(response: torch.Tensor, wavelength: torch.Tensor, names: tuple[str, ...] = LABELS) -> Payne:
    """A Payne whose flux is exactly 0.9 + response (P, L) @ labels scaled to [-0.5, 0.5].

    Large biases keep every unit of both hidden layers on the straight side of its LeakyReLU.
    """
    ranges = dict.fromkeys(ABUNDANCES, (-1.5, 1.0))
    ranges |= {"teff": (4200.0, 6800.0), "logg": (0.5, 5.0), "vmic": (0.5, 2.5), "vmacro": (1.0, 12.0)}
    low, high = torch.tensor([ranges[name] for name in names]).T
    payne, units = Payne(names, low, high, wavelength, width=len(names)), len(names)
    with torch.no_grad():
        for layer, bias in ((payne.hidden[0], 4.0), (payne.hidden[2], 0.0)):
            layer.weight.copy_(torch.eye(units))
            layer.bias.fill_(bias)
        payne.output.weight.copy_(response)
        payne.output.bias.copy_(0.9 - 4.0 * response.sum(dim=1))
    return payne.eval()


@pytest.fixture(scope="session")
def payne() -> Payne:
    """Lines of known elements at known pixels; temperature and gravity act on all of them."""
    pixel, response = torch.arange(PIXELS), torch.zeros(PIXELS, len(LABELS))
    for name, centres in line_pixels().items():
        for centre in centres:
            profile = torch.exp(-0.5 * ((pixel - centre) / LINE_WIDTH) ** 2)
            response[:, LABELS.index(name)] -= 0.5 * profile  # 0.2 a dex
            response[:, 0] += 0.05 * profile * (1 + torch.sin(torch.tensor(centre / 9.0)))
            response[:, 1] += 0.03 * profile * torch.cos(torch.tensor(centre / 5.0))
    return linear_payne(response, toy_wavelength())


@pytest.fixture(scope="session")
def payne_file(payne, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("emulator") / "payne.pt"
    payne.save(path)
    return path


class Sky(NamedTuple):
    """Training stars (n, P) of two domains, unpaired, and matched ones; the gap and what only observed stars have."""

    synth: Spectra
    obs: Spectra
    val_synth: Spectra
    val_obs: Spectra
    truth: torch.Tensor
    own: torch.Tensor
    own_spectrum: torch.Tensor


def make_sky(stars: int, pixels: int = PIXELS, seed: int = 0, matched: int = 60, noise: float = 0.006) -> Sky:
    """Flux linear in three labels; observed stars have other lines by a fifth, a shift, and a factor of their own."""
    random = torch.Generator().manual_seed(seed)
    lines = torch.randn(3, pixels, generator=random) * torch.tensor([[0.05], [0.04], [0.03]])
    true_lines = lines * (1 + 0.2 * torch.randn(3, pixels, generator=random))
    gap, own_spectrum = (0.01 * torch.randn(pixels, generator=random) for _ in range(2))

    def draw(n: int) -> torch.Tensor:
        return torch.rand(n, 3, generator=random) * 2 - 1

    def theory(labels: torch.Tensor) -> Spectra:
        flux = 0.9 + labels @ lines
        return Spectra(flux, torch.full_like(flux, 0.005), torch.ones_like(flux, dtype=torch.bool))

    def observed(labels: torch.Tensor) -> tuple[Spectra, torch.Tensor, torch.Tensor]:
        own = torch.randn(len(labels), generator=random)
        truth = 0.9 + labels @ true_lines + gap + own[:, None] * own_spectrum
        flux = truth + noise * torch.randn(truth.shape, generator=random)
        return Spectra(flux, torch.full_like(flux, noise), torch.ones_like(flux, dtype=torch.bool)), truth, own

    labels = draw(matched)
    obs, _, own = observed(draw(stars))
    val_obs, truth, _ = observed(labels)
    return Sky(theory(draw(stars)), obs, theory(labels), val_obs, truth, own, own_spectrum)


@pytest.fixture(scope="session")
def sky() -> Sky:
    return make_sky(stars=400)


class SkyDomain:
    """One side of a sky as a domain; remembers the seeds that it was asked to draw with."""

    def __init__(self, train: Spectra, matched: Spectra, wavelength: torch.Tensor | None = None) -> None:
        self.train, self.stars = train, matched
        self.wavelength = toy_wavelength() if wavelength is None else wavelength
        self.fixed, self.seeds = False, []

    def draw(self, seed: int) -> Spectra:
        self.seeds.append(seed)
        return self.train

    def matched(self, split: str) -> Spectra:
        return self.stars

    def count(self, split: str) -> int:
        return len((self.train if split == "train" else self.stars).flux)

    def truth(self, split: str) -> None:
        return None


@pytest.fixture
def domains(sky) -> tuple[SkyDomain, SkyDomain]:
    return SkyDomain(sky.synth, sky.val_synth), SkyDomain(sky.obs, sky.val_obs)


def write_domain(path: Path, train: Spectra, matched: Spectra, wavelength: torch.Tensor) -> Path:
    with h5py.File(path, "w") as file:
        file["wavelength"] = wavelength.numpy()
        for split, spectra in (("train", train), ("val", matched), ("test", matched)):
            file[f"spectra {split}"] = spectra.flux.numpy()
            file[f"spectra_err {split}"] = spectra.error.numpy()
    return path


@pytest.fixture(scope="session")
def domain_files(sky, tmp_path_factory) -> tuple[Path, Path]:
    """The sky as two HDF5 files, synth.h5 and obs.h5."""
    folder = tmp_path_factory.mktemp("domains")
    return (
        write_domain(folder / "synth.h5", sky.synth, sky.val_synth, toy_wavelength()),
        write_domain(folder / "obs.h5", sky.obs, sky.val_obs, toy_wavelength()),
    )


TINY = (
    "networks.shared=4",
    "networks.components=12",
    "networks.width=16",
    "domains.stars=96",
    "domains.matched_stars=40",
    "trainer.epochs=2",
    "trainer.steps=8",
    "trainer.batch_size=16",
    "trainer.log_every=2",
    "trainer.checkpoint_every=4",
    "trainer.accelerator=cpu",
)


class Command(NamedTuple):
    """A finished command, as `python -m cyclegan.train`: its exit code, what it printed, and the folder it ran in."""

    code: int
    out: str
    err: str
    folder: Path

    @property
    def run(self) -> Path:
        """The one run folder that it made."""
        (run,) = self.folder.glob("runs/*/*")
        return run


def _process(module: str, arguments: list[str], folder: str, environment: dict[str, str], before: object) -> None:
    os.chdir(folder)
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it in what it runs in the background
    for name, stream in (("out", 1), ("err", 2)):
        os.dup2(os.open(Path(folder) / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    sys.argv = [module, *arguments]
    if before is not None:
        before()
    from emulator.command import run

    config_name = "emulator" if module == "emulator.train" else module.rpartition(".")[2]
    run(importlib.import_module(module).main, config_name)


class Started(NamedTuple):
    process: multiprocessing.Process
    folder: Path

    def wait(self) -> Command:
        self.process.join(timeout=120)
        assert self.process.exitcode is not None, "the command is still running after two minutes"
        return Command(
            self.process.exitcode, *(self.folder.joinpath(n).read_text() for n in ("out", "err")), self.folder
        )


def all_finished(begin: Callable[[str], Started], names: Iterable[str], at_once: int) -> dict[str, Command]:
    """The finished commands that begin(name) starts, so many at a time.

    All from one thread: multiprocessing looks after all processes whenever it starts one, and of two threads that ask
    for the same exit code one gets 255.
    """
    running, done = {}, {}
    for name in names:
        if len(running) == at_once:
            oldest = next(iter(running))
            done[oldest] = running.pop(oldest).wait()
        running[name] = begin(name)
    return done | {name: started.wait() for name, started in running.items()}


@pytest.fixture(scope="session")
def start():
    """start(folder, *overrides): the training command as a process of its own, with tiny sizes.

    module: of another Hydra command, which gets the overrides alone.

    Processes are forked from one that has imported everything: an import takes longer than a tiny run. before: a
    function to call in the process first.
    """
    context = multiprocessing.get_context("forkserver")
    commands = ("train", "transfer", "evaluate", "discover", "fit", "starnet")
    context.set_forkserver_preload([f"cyclegan.{name}" for name in commands])

    def start(folder, *overrides, module="cyclegan.train", environment=None, before=None, tiny=TINY) -> Started:
        sizes = tiny if module == "cyclegan.train" else ()
        if sizes and not any(override.startswith("+experiment=") for override in overrides):
            sizes = (*sizes, "name=tiny")
        arguments = (module, [*sizes, *overrides], str(folder), environment or {}, before)
        process = context.Process(target=_process, args=arguments)
        process.start()
        return Started(process, Path(folder))

    return start


@pytest.fixture(scope="session")
def payne2payne_run(start, payne_file, tmp_path_factory) -> Path:
    """The folder of a finished tiny payne2payne; to be read, not changed."""
    command = start(
        tmp_path_factory.mktemp("payne2payne"),
        "+experiment=payne2payne",
        "networks.split=2",
        f"domains.emulator={payne_file}",
        "logger.wandb=false",
    ).wait()
    assert command.code == 0, command.err
    return command.run


@pytest.fixture(scope="session")
def files_run(start, domain_files, tmp_path_factory) -> Path:
    """The folder of a finished tiny run between two files; to be read, not changed."""
    synth, obs = domain_files
    command = start(
        tmp_path_factory.mktemp("files"),
        "domains=files",
        "domains.skip_pixels=0",
        f"domains.synth.path={synth}",
        f"domains.obs.path={obs}",
        "logger.wandb=false",
    ).wait()
    assert command.code == 0, command.err
    return command.run


def write_apstar(path: Path, flux, error, bits=None, name="2M00000000+0000000", snr=100.0, **header) -> Path:
    """An apStar file: flux, error and bits (8575,) of one visit, or (2 + visits, 8575); without bits an aspcapStar.

    header: further cards of HDU 0, or further columns of the table of an aspcapStar. HDU 4 and on, the sky, the
    tellurics and the LSF, are there and empty.
    """
    flux, error = np.asarray(flux, "float32"), np.asarray(error, "float32")
    first, about = fits.PrimaryHDU(), {"SNR": snr, **header}
    images = [flux, error, np.ones_like(flux) if bits is None else np.asarray(bits, "int16")]
    if bits is not None:
        visits = max(len(np.atleast_2d(flux)) - 2, 1)
        about |= {"OBJID": name, "NVISITS": visits, "TELESCOP": "apo25m"}
        about |= {f"SNRVIS{visit}": snr / 2 + visit for visit in range(1, visits + 1)}
        first.header.update(about)
        images += [np.zeros_like(flux)] * 4
    hdus = fits.HDUList([first])
    for image in images:
        hdus.append(fits.ImageHDU(image))
        hdus[-1].header.update(CRVAL1=4.179, CDELT1=6e-6, CRPIX1=1, CTYPE1="LOG-LINEAR")
    if bits is None:
        hdus.append(fits.table_to_hdu(Table({"APOGEE_ID": [name], **{key: [value] for key, value in about.items()}})))
    hdus.writeto(path)
    return path

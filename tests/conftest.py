"""What all tests share: the small sky, an emulator of it, files of it, and finished runs."""

import multiprocessing
import os
import tempfile
from pathlib import Path

import h5py
import pytest
import torch
from processes import TINY, Started, run_command
from skies import LINE_WIDTH, PIXELS, Sky, SkyDomain, line_pixels, linear_payne, make_sky, toy_wavelength, write_domain
from transfers import synthetic_stars, write_spectra

from cyclegan.spectra.spectra import Spectra
from cyclegan.trained.loading import load
from cyclegan.trained.model import TrainedModel
from emulator.labels import LABELS
from emulator.payne import Payne


def pytest_configure(config: pytest.Config) -> None:
    """Nothing of the user's own is read or written, and a request to the network finds a closed door."""
    home = tempfile.TemporaryDirectory()
    config.add_cleanup(home.cleanup)
    os.environ.setdefault("MPLCONFIGDIR", str(Path.home() / ".cache" / "matplotlib"))  # fonts take seconds to list
    os.environ.update(HOME=home.name, WANDB_MODE="offline", OMP_NUM_THREADS="1")
    os.environ.update(dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9"))
    os.environ.pop("WANDB_API_KEY", None)
    torch.set_num_threads(1)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest file comes first, whatever order chance gives the others: two processes end together then."""
    items.sort(key=lambda item: item.path.name != "test_faults.py")


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
    return linear_payne(response, toy_wavelength()).rounded()  # as a run takes it


@pytest.fixture(scope="session")
def payne_file(payne, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("emulator") / "payne.pt"
    payne.save(path)
    return path


@pytest.fixture(scope="session")
def sky() -> Sky:
    return make_sky(stars=400)


@pytest.fixture
def domains(sky) -> tuple[SkyDomain, SkyDomain]:
    return SkyDomain(sky.synth, sky.val_synth), SkyDomain(sky.obs, sky.val_obs)


@pytest.fixture(scope="session")
def domain_files(sky, tmp_path_factory) -> tuple[Path, Path]:
    """The sky as two HDF5 files, synth.h5 and obs.h5."""
    folder = tmp_path_factory.mktemp("domains")
    return (
        write_domain(folder / "synth.h5", sky.synth, sky.val_synth, toy_wavelength()),
        write_domain(folder / "obs.h5", sky.obs, sky.val_obs, toy_wavelength()),
    )


@pytest.fixture(scope="session")
def start():
    """start(folder, *overrides): the training command as a process of its own, with tiny sizes.

    module: of another Hydra command, which gets the overrides alone.

    Processes are forked from one that has imported everything: an import takes longer than a tiny run. before: a
    function to call in the process first.
    """
    context = multiprocessing.get_context("forkserver")
    commands = ("train", "transfer", "evaluate", "discover", "fit", "starnet", "atlas")
    context.set_forkserver_preload([*(f"cyclegan.{name}" for name in commands), "warmed"])

    def start(folder, *overrides, module="cyclegan.train", environment=None, before=None, tiny=TINY) -> Started:
        sizes = tiny if module == "cyclegan.train" else ()
        if sizes and not any(override.startswith("+experiment=") for override in overrides):
            sizes = (*sizes, "name=tiny")
        arguments = (module, [*sizes, *overrides], str(folder), environment or {}, before)
        process = context.Process(target=run_command, args=arguments)
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


@pytest.fixture(scope="session")
def trained(payne2payne_run) -> TrainedModel:
    """The model of the tiny payne2payne; to be used, not changed."""
    return load(payne2payne_run, "cpu")


@pytest.fixture(scope="session")
def forty_stars(trained) -> Spectra:
    """Synthetic stars of its emulator."""
    return synthetic_stars(trained)


@pytest.fixture(scope="session")
def synth_file(forty_stars, trained, tmp_path_factory) -> Path:
    """These stars as a file, with columns."""
    columns = {"labels": torch.arange(80.0).view(40, 2), "id": [f"star {i}" for i in range(40)]}
    return write_spectra(tmp_path_factory.mktemp("input") / "synth.h5", forty_stars, trained.wavelength, **columns)


@pytest.fixture(scope="session")
def obs_file(sky, trained, tmp_path_factory) -> Path:
    """Forty observed stars as a file, and 25 of them under 'train'."""
    path = tmp_path_factory.mktemp("input") / "obs.h5"
    write_spectra(path, sky.val_obs.rows(slice(40)), trained.wavelength)
    with h5py.File(path, "r+") as file:
        for name in ("spectra", "spectra_err", "mask"):
            file[f"{name} train"] = file[f"{name} test"][:25]
    return path

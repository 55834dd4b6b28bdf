"""What there is to translate: files of spectra and tables of labels; and the command that does it, as a function."""

from pathlib import Path

import h5py
import torch
from omegaconf import OmegaConf
from torch import Tensor

from cyclegan.spectra.spectra import Spectra
from cyclegan.spectra.writer import written_spectra
from cyclegan.trained.model import TrainedModel
from cyclegan.transfer import TransferConfig, transfer
from emulator.commands.config import config_folder, validate


def transfer_config(**settings) -> TransferConfig:
    """The configuration of `python -m cyclegan.transfer` with KEY=VALUE of these, on the CPU."""
    config = OmegaConf.load(f"{config_folder()}/transfer.yaml")
    del config["hydra"], config["defaults"]
    given = {"device": "cpu"} | {name: str(value) for name, value in settings.items()}
    return validate(OmegaConf.merge(config, given), TransferConfig)


def run_transfer(**settings) -> None:
    """The command with these."""
    transfer(transfer_config(**settings))


def contents(path: Path) -> dict:
    """All datasets of an HDF5 file, by name."""
    with h5py.File(path) as file:
        return {name: dataset[()] for name, dataset in file.items()}


def write_spectra(path: Path, spectra: Spectra, wavelength: Tensor, **columns) -> Path:
    """A file of spectra under 'test'."""
    with written_spectra(path, "a test", wavelength, ("teff", "snr")) as writer:
        writer.append("test", spectra, **columns)
    return path


def synthetic_stars(model: TrainedModel) -> Spectra:
    """Synthetic spectra of 40 stars, as the emulator of the run makes them."""
    generator = torch.Generator().manual_seed(3)
    low, high = model.emulator.label_low, model.emulator.label_high
    labels = low + (high - low) * (0.3 + 0.4 * torch.rand(40, len(low), generator=generator))
    flux = model.synthesize(labels)
    return Spectra(flux, torch.full_like(flux, 0.007), torch.ones_like(flux, dtype=torch.bool))


def write_table(model: TrainedModel, path: Path, rows: int = 5, **changes) -> Path:
    """A table of labels in the middle of their ranges, teff rising, the columns backwards."""
    names, low, high = model.label_names, model.emulator.label_low, model.emulator.label_high
    labels = {n: [f"{float(v)!r}"] * rows for n, v in zip(names, (low + high) / 2, strict=True)}
    labels["teff"] = [str(5000 + 100 * i) for i in range(rows)]
    labels = {"id": [f"2M{i}" for i in range(rows)], **dict(reversed(labels.items()))} | changes
    labels = {name: column for name, column in labels.items() if column is not None}
    lines = [",".join(labels), *(",".join(row) for row in zip(*labels.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n")
    return path

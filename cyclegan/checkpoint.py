"""A trained translator, read back from what a run left: all that it needs is in the checkpoint."""

from pathlib import Path
from typing import NamedTuple

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from cyclegan.continuum import Continuum
from cyclegan.domains import Domains, check_same_stars, make_domains
from cyclegan.spectra import Components, Pixels
from cyclegan.translator import Translator, build_translator
from emulator.command import InputError
from emulator.payne import Payne

LAST, BEST = "last", "best"  # names of the checkpoints in a run's folder
DATA_STATE = "SpectraData"  # where Lightning keeps the state of that class


class Trained(NamedTuple):
    """What a checkpoint holds, ready to use, in evaluation mode.

    wavelength (P,): vacuum Angstrom; emulator: of the emulated domains, on those pixels; hidden: by domain, the pixels
    (P,) whose lines it was made to lack; continuum: how emulated synthetic spectra are normalised, if they are, as the
    observed ones were; split (n, Zp): the split latents of training stars, none before the first validation; matched:
    whether the domains' stars to score on are the same; config: of the run; step: how many batches it was trained on.
    """

    translator: Translator
    wavelength: Tensor
    emulator: Payne | None
    hidden: dict[str, Tensor]
    continuum: Continuum | None
    split: Tensor
    matched: bool
    config: DictConfig
    step: int


def find_checkpoint(path: str | Path) -> Path:
    """The checkpoint at `path`, or the last one of the run whose folder it is; InputError if there is none."""
    path = Path(path)
    found = path / f"{LAST}.ckpt" if path.is_dir() else path
    if not found.is_file():
        raise InputError(f"{path}: expected a checkpoint or a run's folder with {LAST}.ckpt, found none")
    return found


def read_checkpoint(path: str | Path) -> dict:
    """A whole checkpoint, read safely on the CPU; InputError if it is not one of this program's."""
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        return {name: checkpoint[name] for name in ("global_step", "state_dict", "record", DATA_STATE)}
    except Exception as error:  # an unpickler that meets other bytes raises whatever they lead it to
        raise InputError(f"{path}: expected a checkpoint of this program, got a file that does not load") from error


def load_trained(path: str | Path, device: torch.device | str = "cpu") -> Trained:
    """The translator of a run's folder, or of one checkpoint, on a device.

    Raises InputError where there is none, or where the file is something else.
    """
    path = find_checkpoint(path)
    checkpoint = read_checkpoint(path)
    record = checkpoint["record"]
    weights = {
        name.removeprefix("translator."): tensor
        for name, tensor in checkpoint["state_dict"].items()
        if name.startswith("translator.")
    }
    try:
        config = OmegaConf.create(record["config"])
        pixels = len(record["wavelength"])
        if "space_s.basis" in weights:
            width = weights["space_s.basis"].shape[1]
            spaces = [Components(*(torch.empty(size) for size in (pixels, pixels, (pixels, width)))) for _ in range(2)]
        else:
            width = pixels
            spaces = [Pixels(torch.empty(pixels), torch.empty(pixels)) for _ in range(2)]
        translator = build_translator(config.networks, tuple(spaces), torch.ones(width))
        translator.load_state_dict(weights)
        translator = translator.turned(record.get("axes", {}))
        emulator = record["emulator"] and Payne.from_contents(record["emulator"], str(path)).to(device)
        split = record.get("split", torch.empty(0, config.networks.split))
        hidden = {name: mask.to(device) for name, mask in record["hidden"].items()}
        matched, wavelength = record["matched"], record["wavelength"]
        continuum = record.get("continuum")  # of older runs it is not known
        continuum = continuum and Continuum.from_contents(continuum, wavelength.numpy())
    except (KeyError, TypeError, AttributeError, RuntimeError, ValueError) as error:
        raise InputError(f"{path}: expected a checkpoint of this version's networks, got another's") from error
    return Trained(
        translator.to(device).eval().requires_grad_(False),
        wavelength.to(device),
        emulator and emulator.requires_grad_(False),
        hidden,
        continuum,
        split.to(device),
        matched,
        config,
        checkpoint["global_step"],
    )


def find_domains(trained: Trained, config: DictConfig) -> Domains:
    """The domains of the run, with files where `config` says they are now.

    Raises InputError for a file that is not there, or that does not fit the checkpoint.
    """
    domains = trained.config.domains
    for name in ("synth", "obs"):
        if config[name] is not None:
            if domains[name].path is None:
                raise InputError(f"config key '{name}': expected none, as the run emulates that domain, got a file")
            domains[name].path = config[name]
        path = domains[name].path
        if path is not None and not Path(path).is_file():
            raise InputError(
                f"{path}: expected the file of spectra that the run was trained with, found none; {name}=FILE says"
                " where it is now"
            )
    made = make_domains(domains, trained.emulator, trained.hidden)
    expected = trained.wavelength.cpu()
    for domain in (made.synth, made.obs):
        found = domain.wavelength.cpu()
        if len(found) != len(expected) or not torch.allclose(found, expected, rtol=1e-7, atol=0):
            raise InputError(
                f"{domain.path}: expected the {len(expected)} wavelengths of the checkpoint, {expected[0]:.2f} to"
                f" {expected[-1]:.2f} A, got {len(found)}, {found[0]:.2f} to {found[-1]:.2f} A"
            )
    if made.matched:
        check_same_stars(made.synth, made.obs)
    return made

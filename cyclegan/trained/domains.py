"""The domains of a finished run, found again."""

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch

from cyclegan.domains.domains import Domains, check_fingerprints, make_domains
from cyclegan.domains.schema import ObsConfig, SynthConfig
from cyclegan.trained.model import TrainedModel
from emulator.commands.errors import InputError
from emulator.wavelength import same_wavelengths

Side = TypeVar("Side", SynthConfig, ObsConfig)


def find_domains(
    model: TrainedModel, synth: str | None, obs: str | None, device: torch.device | str = "cpu"
) -> Domains:
    """The domains of the run; synth, obs: where its files are now, if not where they were; device: that emulates.

    Raises InputError for a file that is not there, that does not fit the checkpoint, or that holds other spectra than
    those of the training.
    """
    config = model.record.domains
    config = replace(config, synth=_found(config.synth, "synth", synth), obs=_found(config.obs, "obs", obs))
    record = model.record
    emulators = (record.emulator_of(model.where), record.observed_emulator_of(model.where))
    emulator, observed = (None if one is None else one.to(device) for one in emulators)
    made = make_domains(config, emulator, record.population_of_theory(), record.hidden, otherwise="", observed=observed)
    expected = record.wavelength
    for domain in (made.synth, made.obs):
        found = domain.wavelength
        if not same_wavelengths(found, expected):
            raise InputError(
                f"{domain.origin}: expected the {len(expected)} wavelengths of the checkpoint, {expected[0]:.2f} to"
                f" {expected[-1]:.2f} A, got {len(found)}, {found[0]:.2f} to {found[-1]:.2f} A"
            )
    check_fingerprints(made, record.spectra)
    return made


def _found(side: Side, name: str, moved: str | None) -> Side:
    """A side of the domains with the path where its file is now, which has to be there."""
    if moved is not None and side.path is None:
        raise InputError(f"config key '{name}': expected none, as the run emulates that domain, got a file")
    if moved is not None:
        side = replace(side, path=moved)
    if side.path is not None and not Path(side.path).is_file():
        raise InputError(
            f"{side.path}: expected the file of spectra that the run was trained with, found none; {name}=FILE says"
            " where it is now"
        )
    return side

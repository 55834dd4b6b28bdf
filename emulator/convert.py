"""python -m emulator.convert: an emulator that others have trained, made one of ours."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

import hydra
from omegaconf import DictConfig

from emulator.commands.config import config_folder, validate
from emulator.commands.errors import InputError
from emulator.commands.outputs import check_apart, check_own, inputs_of
from emulator.commands.running import errors_in_one_line, run
from emulator.payne import ACTIVATIONS, is_emulator
from emulator.published import TEFF_UNITS, read_published
from emulator.wavelength import MEDIA
from emulator.wavelength_files import read_wavelength

log = logging.getLogger(__name__)


@dataclass
class ConvertConfig:
    """conf/convert.yaml."""

    input: str
    output: str
    labels: list[str] | None
    teff_unit: str = field(metadata={"choices": tuple(TEFF_UNITS)})
    wavelength: str | None
    medium: str = field(metadata={"choices": MEDIA})
    activation: str = field(metadata={"choices": tuple(ACTIVATIONS)})


def convert(config: ConvertConfig) -> Path:
    """Read config.input, write it as config.output; InputError for what cannot be used, and then nothing is written."""
    output = Path(config.output)
    if output.suffix != ".pt":
        raise InputError(f"config key 'output': expected a file name ending in .pt, got {output}")
    check_apart([output], inputs_of(config))
    check_own([output], is_emulator(output) and not output.with_suffix(".json").exists(), "emulator.convert")
    wavelength = None if config.wavelength is None else read_wavelength(config.wavelength, config.medium)
    payne = read_published(config.input, config.labels, wavelength, config.activation, config.teff_unit)
    payne.save(output)
    for name, low, high in zip(payne.label_names, payne.label_low.tolist(), payne.label_high.tolist(), strict=True):
        log.info("%-8s %10.4g to %.4g", name, low, high)
    first, last = payne.wavelength[[0, -1]].tolist()
    log.info(
        "%s: %d labels, %d pixels from %.2f to %.2f A",
        output,
        len(payne.label_names),
        len(payne.wavelength),
        first,
        last,
    )
    return output


@hydra.main(version_base="1.3", config_path=config_folder(), config_name="convert")
def main(config: DictConfig) -> None:
    """Convert the file that the configuration names."""
    with errors_in_one_line():
        convert(validate(config, ConvertConfig))


if __name__ == "__main__":
    run(main, "convert")

"""python -m cyclegan.atlas checkpoint=RUN input=ATLAS output=STAR.h5: an atlas as the run's telescope would see it.

The star's spectrum is smoothed to the run's resolution and brought to its wavelengths and its rest frame, in the layout
that `fit` and `transfer` read. Pixels that the atlas does not cover are masked.
"""

import logging
from dataclasses import dataclass, field
from pathlib import Path

import hydra
import numpy as np
import torch
from omegaconf import DictConfig

from cyclegan.instruments.atlas import read_atlas
from cyclegan.spectra.spectra import WORST_ERROR, Spectra
from cyclegan.spectra.writer import written_spectra
from cyclegan.trained.loading import load
from cyclegan.trained.sources import TABLE_SUBSET
from emulator.commands.config import config_folder, validate
from emulator.commands.outputs import check_apart, inputs_of
from emulator.commands.running import errors_in_one_line, run

log = logging.getLogger(__name__)


@dataclass
class AtlasConfig:
    """What this command takes; conf/atlas.yaml says what each key is."""

    checkpoint: str
    input: str
    star: str | None
    resolution: float = field(metadata={"above": 0.0})
    velocity: float | None
    error: float = field(metadata={"above": 0.0, "maximum": WORST_ERROR})
    output: str


def convert_atlas(config: AtlasConfig) -> None:
    """Write the star that `config` asks for, as the only one of its file.

    Raises InputError for input that cannot be used.
    """
    check_apart([Path(config.output)], inputs_of(config))
    model = load(config.checkpoint, "cpu")
    wavelength = model.wavelength.numpy()
    atlas = read_atlas(config.input, config.star)
    atlas.check_overlap(wavelength)
    smoothed = atlas.smoothed(config.resolution)
    velocity = config.velocity
    if velocity is None:
        velocity = smoothed.velocity(wavelength, model.translator.space_o.mean.numpy())
    flux, covered = smoothed.on(wavelength, velocity)
    mask = torch.from_numpy(covered)[None]
    star = torch.from_numpy(np.where(covered, flux, 1.0))[None].float()
    name = config.star or Path(config.input).stem
    with written_spectra(config.output, "atlas", model.wavelength, counts={TABLE_SUBSET: 1}) as writer:
        writer.append(TABLE_SUBSET, Spectra(star, torch.full_like(star, config.error), mask), id=[name])
    text = "%s in %s: %d of %d pixels, covered by %s A; %.1f km/s taken out"
    log.info(text, name, config.output, int(covered.sum()), len(wavelength), atlas.ranges(), velocity)


@hydra.main(version_base="1.3", config_path=config_folder(), config_name="atlas")
def main(config: DictConfig) -> None:
    """Convert what the configuration asks for."""
    with errors_in_one_line():
        convert_atlas(validate(config, AtlasConfig))


if __name__ == "__main__":
    run(main, "atlas")

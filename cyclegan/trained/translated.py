"""What comes out of a translator, and in which direction it went."""

from typing import NamedTuple

from torch import Tensor

SYNTH_TO_OBS, OBS_TO_SYNTH = DIRECTIONS = ("synth_to_obs", "obs_to_synth")


class Translated(NamedTuple):
    """Spectra (B, P) of the other domain, the latents between, shared (B, Zs) and split (B, Zp), and errors (B, P)
    where they were asked for.
    """

    flux: Tensor
    shared: Tensor
    split: Tensor
    error: Tensor | None = None

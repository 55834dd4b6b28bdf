"""What a translator makes of a set of stars."""

from typing import NamedTuple

import torch
from torch import Tensor

from cyclegan.scores.scores import squared_deviation
from cyclegan.spectra.spectra import SCORE_BATCH, Spectra
from cyclegan.translator.translator import Translator


class Translations(NamedTuple):
    """What a translator makes of N stars of each domain, in flux (N, P), and their shared latents (N, Zs).

    so: given each star's own split latent, as it is scored; so_other: given that of another star, as it is used;
    os: observed to synthetic; oo: observed spectra reconstructed; signals: deviations of reconstructions and cycles.
    """

    so: Tensor
    so_other: Tensor
    os: Tensor
    oo: Tensor
    z_s: Tensor
    z_o: Tensor
    signals: dict[str, float]


@torch.no_grad()
def translate(translator: Translator, synth: Spectra, obs: Spectra) -> Translations:
    """Translate, reconstruct and cycle synth (N, P) and obs (N, P)."""
    space_s, space_o = translator.space_s, translator.space_o
    split = torch.cat([translator.encoder_o(space_o.project(x_o).flux)[1] for x_o in obs.chunks(SCORE_BATCH)])
    others = split.roll(1, dims=0).split(SCORE_BATCH)
    parts, sums = [], []
    for x_s, x_o, other in zip(synth.chunks(SCORE_BATCH), obs.chunks(SCORE_BATCH), others, strict=True):
        c = translator.cross(space_s.project(x_s).flux, space_o.project(x_o).flux)
        so_other = translator.generator_o(c.z_s, other)
        ss, sos, os = (space_s.restore(coordinates) for coordinates in (c.ss, c.sos, c.os))
        oo, oso, so, so_other = (space_o.restore(coordinates) for coordinates in (c.oo, c.oso, c.so, so_other))
        parts.append((so, so_other, os, oo, c.z_s, c.z_o))
        returned = (ss, x_s), (oo, x_o), (sos, x_s), (oso, x_o)
        sums.append(torch.stack([squared_deviation(*pair).sum(dim=0) for pair in returned]))
    weighted, _, pixels = torch.stack(sums).sum(dim=0).T
    names = "reconstruction_synth", "reconstruction_obs", "cycle_synth", "cycle_obs"
    signals = dict(zip(names, (weighted / pixels).tolist(), strict=True))
    so, so_other, os, oo, z_s, z_o = (torch.cat(part) for part in zip(*parts, strict=True))
    return Translations(so, so_other, os, oo, z_s, z_o, signals)

"""Small translators of the toy sky, of both kinds of networks."""

import torch

from cyclegan.spectra.spaces import projected_on
from cyclegan.translator.convolutional import Convolutional
from cyclegan.translator.dense import Dense
from cyclegan.translator.translator import build_translator


def networks(kind="dense", shared=3, split=1):
    """Small networks of a kind."""
    if kind == "dense":
        return Dense(shared=shared, split=split, components=12, width=16)
    return Convolutional(shared=shared, split=split, channels=[4, 8])


def make_translator(sky, **sizes):
    """A translator for the sky, with the coordinates of its training stars and their spread."""
    torch.manual_seed(0)
    kind = networks(**sizes)
    spaces = kind.spaces(sky.synth, sky.obs)
    x_s, x_o = (projected_on(*pair).flux for pair in zip(spaces, (sky.synth, sky.obs), strict=True))
    scale = torch.cat([x_s, x_o]).std(dim=0).clamp_min(1e-3)
    return build_translator(kind, spaces, scale), x_s, x_o, scale


def stir(translator):
    """Move every parameter off its start, so that no map equals another by chance."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in translator.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))

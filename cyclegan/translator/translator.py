"""The translator: two encoders and two generators over one shared latent and a split latent of the observed domain."""

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cyclegan.spectra.spaces import Space
from cyclegan.spectra.spectra import Spectra
from cyclegan.translator.axes import Axes, standard_axes, turned_towards
from cyclegan.translator.ensemble import MeanEncoder, MeanGenerator, Stacked, members_of
from cyclegan.translator.networks import Networks, Turning


class Crossing(NamedTuple):
    """What becomes of a batch of each domain, in the letters of the method: coordinates (B, K), latents (B, Z).

    ss, oo: reconstructions; so, os: translations; sos, oso: cycles; z_s, z_o, z_so, z_os: shared latents;
    split_o, split_so: split latents of the observed and of the translated spectra.
    """

    ss: Tensor
    oo: Tensor
    so: Tensor
    os: Tensor
    sos: Tensor
    oso: Tensor
    z_s: Tensor
    z_o: Tensor
    z_so: Tensor
    z_os: Tensor
    split_o: Tensor
    split_so: Tensor


class Translator(nn.Module):
    """E_s, E_o, G_s, G_o, with the space in which each domain's networks see its spectra.

    `cross` works on coordinates in those spaces, as training does; `synth_to_obs` and `obs_to_synth` from flux to
    flux, as users do. Of an ensemble, whose networks are `Stacked`, coordinates and latents have a first axis of
    members; `turned` makes one translator of it.
    """

    def __init__(
        self,
        spaces: tuple[Space, Space],
        encoders: tuple[nn.Module, nn.Module],
        generators: tuple[nn.Module, nn.Module],
    ) -> None:
        super().__init__()
        self.space_s, self.space_o = spaces
        self.encoder_s, self.encoder_o = encoders
        self.generator_s, self.generator_o = generators

    def encode_synth(self, x_s: Tensor) -> Tensor:
        """Shared latents (B, Zs) of synthetic coordinates (B, K)."""
        return self.encoder_s(x_s)[0]

    def generate_synth(self, shared: Tensor) -> Tensor:
        """Synthetic coordinates (B, K) of shared latents (B, Zs)."""
        return self.generator_s(shared, shared[..., :0])

    def cross(self, x_s: Tensor, x_o: Tensor) -> Crossing:
        """Encode, decode, translate and cycle: coordinates (B, K) of both domains -> all of a `Crossing`."""
        z_s = self.encode_synth(x_s)
        z_o, split_o = self.encoder_o(x_o)
        ss, oo = self.generate_synth(z_s), self.generator_o(z_o, split_o)
        so, os = self.generator_o(z_s, split_o), self.generate_synth(z_o)
        z_so, split_so = self.encoder_o(so)
        z_os = self.encode_synth(os)
        sos = self.generate_synth(z_so)
        oso = self.generator_o(z_os, split_o)  # the original split latent, not that of os, which has none
        return Crossing(ss, oo, so, os, sos, oso, z_s, z_o, z_so, z_os, split_o, split_so)

    def synth_to_obs(self, synth: Spectra, split: Tensor) -> Tensor:
        """Synthetic spectra (B, P) as the telescope would see them, (B, P), given split latents (B, Zp)."""
        shared = self.encode_synth(self.space_s.project(synth).flux)
        return self.space_o.restore(self.generator_o(shared, split))

    def obs_to_synth(self, obs: Spectra) -> Tensor:
        """Observed spectra (B, P) as theory would have them, (B, P)."""
        shared, _ = self.encoder_o(self.space_o.project(obs).flux)
        return self.space_s.restore(self.generate_synth(shared))

    @property
    def has_axes(self) -> bool:
        """Whether latents are variables each of its own, which can be had along other axes."""
        networks = self.encoder_s, self.encoder_o, self.generator_s, self.generator_o
        return all(isinstance(network, Turning) for network in networks)

    @torch.no_grad()
    def find_axes(self, x_s: Tensor, x_o: Tensor) -> Axes:
        """`standard_axes` of both parts of the latents, given coordinates (B, K) of stars of the two domains.

        Any mixture of the variables of a part, undone by the generators, is the same translator: which one training
        ends with is chance, and scores that go variable by variable would depend on it. Networks that cannot be
        turned have none.
        """
        if not self.has_axes:
            return {}
        members = self.each()
        found = [member._own_axes(x_s, x_o) for member in members]
        if not isinstance(self.encoder_s, Stacked):
            return found[0]
        # Split latents are given to all members alike, so that theirs are to mean the same as the first one's.
        if all("split" in axes for axes in found):
            split = [
                (member.encoder_o(x_o)[1] - axes["split"][0]) @ axes["split"][1]
                for member, axes in zip(members, found, strict=True)
            ]
            for axes, own in zip(found, split, strict=True):
                centre, turn = axes["split"]
                axes["split"] = centre, turn @ turned_towards(split[0], own)
        common = [part for part in found[0] if all(part in axes for axes in found)]
        return {
            part: (torch.stack([axes[part][0] for axes in found]), torch.stack([axes[part][1] for axes in found]))
            for part in common
        }

    def _own_axes(self, x_s: Tensor, x_o: Tensor) -> Axes:
        z_o, split = self.encoder_o(x_o)
        z = torch.cat([self.encode_synth(x_s), z_o])
        # By chance the shared latents are a little correlated with the split ones, and do much more to spectra.
        own = self.generator_o(z_o, split) - self.generator_o(z_o, split.mean(dim=0).expand_as(split))
        found = {"shared": standard_axes(z, self.generate_synth(z)), "split": standard_axes(split, own)}
        return {part: axes for part, axes in found.items() if axes is not None}

    def turned(self, axes: Axes) -> "Translator":
        """The same translator, all spectra what they are, with latents along other axes.

        Of an ensemble the one whose translations are the mean of its members', `MeanEncoder` and `MeanGenerator`.
        """
        encoders, generators = copy.deepcopy(((self.encoder_s, self.encoder_o), (self.generator_s, self.generator_o)))
        for part, pair in axes.items():
            for networks in (encoders, generators):
                for network in networks if part == "shared" else networks[1:]:
                    assert isinstance(network, Turning)  # or there would be no axes
                    network.turn(part, *(tensor.to(self.space_s.mean.device) for tensor in pair))
        spaces = self.space_s, self.space_o
        if isinstance(self.encoder_s, Stacked):
            (e_s, e_o), (g_s, g_o) = encoders, generators
            return Translator(spaces, (MeanEncoder(e_s), MeanEncoder(e_o)), (MeanGenerator(g_s), MeanGenerator(g_o)))
        return Translator(spaces, encoders, generators)

    def each(self) -> "list[Translator]":
        """The members of an ensemble, whose parameters are this one's; of a single translator itself."""
        networks = [self.encoder_s, self.encoder_o, self.generator_s, self.generator_o]
        if isinstance(self.encoder_s, MeanEncoder):
            networks = [network.get_submodule("members") for network in networks]
        elif not isinstance(self.encoder_s, Stacked):
            return [self]
        spaces = self.space_s, self.space_o
        return [
            Translator(spaces, (e_s, e_o), (g_s, g_o))
            for e_s, e_o, g_s, g_o in zip(*map(members_of, networks), strict=True)
        ]

    @torch.no_grad()
    def tie(self) -> None:
        """Make the two domains' encoders one, and their generators: each parameter becomes the mean of both.

        What only the observed domain has, its split latent, stays as it is.
        """
        for one, other in ((self.encoder_s, self.encoder_o), (self.generator_s, self.generator_o)):
            for a, b in zip(one.parameters(), other.parameters(), strict=True):
                if a.shape == b.shape:
                    a.add_(b).mul_(0.5)
                    b.copy_(a)


def build_translator(networks: Networks, spaces: tuple[Space, Space], scale: Tensor) -> Translator:
    """The translator of a kind of networks; scale (K,): the spread of the coordinates in its spaces.

    Both domains' networks start the same, but for the split latent.
    """
    encoder_s, generator_s = networks.encoder(scale, 0), networks.generator(scale, 0)
    encoder_o, generator_o = networks.encoder(scale, networks.split), networks.generator(scale, networks.split)
    for one, other in ((encoder_s, encoder_o), (generator_s, generator_o)):
        other.load_state_dict({k: v for k, v in one.state_dict().items() if "split" not in k}, strict=False)
    return Translator(spaces, (encoder_s, encoder_o), (generator_s, generator_o))


def ensemble_of(members: Sequence[Translator]) -> Translator:
    """Translators of the same spaces as an ensemble, which learns in one pass."""
    sides = [
        [getattr(one, name) for one in members] for name in ("encoder_s", "encoder_o", "generator_s", "generator_o")
    ]
    e_s, e_o, g_s, g_o = map(Stacked, sides)
    return Translator((members[0].space_s, members[0].space_o), (e_s, e_o), (g_s, g_o))


def build_discriminators(networks: Networks, translator: Translator, scale: Tensor) -> tuple[nn.Module, nn.Module]:
    """D_s and D_o for the spectra and latents of a translator."""
    shared, split = (latents.shape[1] for latents in translator.encoder_o(torch.zeros(1, len(scale))))
    return networks.discriminator(scale, shared), networks.discriminator(scale, shared + split)

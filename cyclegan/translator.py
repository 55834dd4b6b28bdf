"""The translator: two encoders and two generators over one shared latent and a split latent of the observed domain."""

import copy
from typing import NamedTuple

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from cyclegan.alignment import unmix
from cyclegan.networks import (
    ConvDiscriminator,
    ConvEncoder,
    ConvGenerator,
    DenseDiscriminator,
    DenseEncoder,
    DenseGenerator,
)
from cyclegan.spectra import Space, Spectra

ENOUGH = 2  # pairs for each feature of a quadratic fit
# Where latents vary less than this (variance in one direction beside that in another; by itself), they have no axes: in
# single precision what is stretched so much is rounding.
DEGENERATE, DEAD = 1e-6, 1e-12


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


Axes = dict[str, tuple[Tensor, Tensor]]  # by part of the latents, shared or split: what `standard_axes` returns


def standard_axes(latents: Tensor, spectra: Tensor) -> tuple[Tensor, Tensor] | None:
    """Centre (Z,) and axes (Z, Z) of latents (n, Z) that do not depend on the axes which they happen to have.

    (latents - centre) @ axes are uncorrelated and have a variance of one. The first variable is what, as far as it is
    linear, moves the spectra (n, K) most, the next what moves them most beside it, and so on: the principal components
    of what a linear regression on the latents explains of the spectra, each with the sign that makes the sum of its
    cubed effects positive. None where there is a direction in which latents do not vary, or anything is not finite.
    """
    centre = latents.double().mean(dim=0)
    centred = latents - centre
    covariance = centred.T @ centred / (len(latents) - 1)
    if latents.shape[1] == 0 or not (covariance.isfinite().all() and spectra.isfinite().all()):
        return None
    values, vectors = torch.linalg.eigh(covariance)
    if values[0] <= max(DEGENERATE * values[-1], DEAD):
        return None
    whiten = vectors / values.sqrt()
    effect = (centred @ whiten).T @ (spectra - spectra.mean(dim=0)).double()  # of each whitened variable, (Z, K)
    turn = torch.linalg.svd(effect, full_matrices=False).U
    cubes = (turn.T @ effect).pow(3).sum(dim=1)
    return centre.to(latents), (whiten @ torch.where(cubes < 0, -turn, turn)).to(latents)


class Translator(nn.Module):
    """E_s, E_o, G_s, G_o, with the space in which each domain's networks see its spectra.

    `cross` works on coordinates in those spaces, as training does; `synth_to_obs` and `obs_to_synth` from flux to
    flux, as users do.
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
        return self.encoder_s(x_s)[0]

    def generate_synth(self, shared: Tensor) -> Tensor:
        return self.generator_s(shared, shared[:, :0])

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

    @torch.no_grad()
    def find_axes(self, x_s: Tensor, x_o: Tensor) -> Axes:
        """`standard_axes` of both parts of the latents, given coordinates (B, K) of stars of the two domains.

        Any mixture of the variables of a part, undone by the generators, is the same translator: which one training
        ends with is chance, and scores that go variable by variable would depend on it. Conv networks have none: their
        latents lie along the spectrum.
        """
        if not isinstance(self.encoder_s, DenseEncoder):
            return {}
        z_o, split = self.encoder_o(x_o)
        z = torch.cat([self.encode_synth(x_s), z_o])
        # By chance the shared latents are a little correlated with the split ones, and do much more to spectra.
        own = self.generator_o(z_o, split) - self.generator_o(z_o, split.mean(dim=0).expand_as(split))
        found = {"shared": standard_axes(z, self.generate_synth(z)), "split": standard_axes(split, own)}
        return {part: axes for part, axes in found.items() if axes is not None}

    def turned(self, axes: Axes) -> "Translator":
        """The same translator, all spectra what they are, with latents along other axes."""
        encoders, generators = copy.deepcopy(((self.encoder_s, self.encoder_o), (self.generator_s, self.generator_o)))
        for part, pair in axes.items():
            for networks in (encoders, generators):
                for network in networks if part == "shared" else networks[1:]:
                    network.turn(part, *pair)
        return Translator((self.space_s, self.space_o), encoders, generators)

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

    @torch.no_grad()
    def at_rest(self, obs: Tensor, own: Tensor) -> Tensor:
        """Observed coordinates (n, K) less the effect of what only they vary in, obs @ own (K, r); noise stays."""
        if own.shape[1] == 0:
            return obs
        latents = self.encoder_o(obs)
        resting, _ = unmix(torch.cat(latents, dim=1), obs @ own)
        moved = self.generator_o(*resting.split([part.shape[1] for part in latents], dim=1))
        return obs - self.generator_o(*latents) + moved

    @torch.no_grad()
    def start_split(self, synth: Tensor, obs: Tensor) -> Tensor:
        """Start the dense split latents as what observed spectra vary in beyond their synthetic partners.

        That is obs @ the (K, Zp) returned. synth, obs (n, K): coefficients of pairs. A quadratic fit of the observed
        ones on the shared latents of the synthetic ones leaves residuals; off the tangent space of that fit, where a
        wrong pair cannot reach, their leading components are the split latents.
        """
        split = self.generator_o.split_linear.in_features
        if split == 0:
            return obs.new_empty(obs.shape[1], 0)
        z = self.encode_synth(synth)
        first, second = torch.triu_indices(z.shape[1], z.shape[1])
        features = torch.cat([z, z[:, first] * z[:, second], torch.ones_like(z[:, :1])], dim=1)
        if len(z) < ENOUGH * features.shape[1]:
            features = torch.cat([z, torch.ones_like(z[:, :1])], dim=1)  # few pairs the products would fit exactly
        # Not lstsq, which reads memory that it never wrote (PyTorch issue 71222) and would not give the same twice.
        fit = torch.linalg.pinv(features) @ obs
        tangent = torch.linalg.qr(fit[: z.shape[1]].T).Q  # (K, Zs), orthonormal
        residual = obs - features @ fit
        residual = residual - residual @ tangent @ tangent.T
        values, vectors = torch.linalg.eigh(torch.cov(residual.T))
        spread, direction = values[-split:].clamp_min(1e-6).sqrt(), vectors[:, -split:]  # (Zp,), (K, Zp)
        scale = self.encoder_o.scale
        self.encoder_o.split_linear.weight.copy_((direction / spread * scale[:, None]).T)
        self.generator_o.split_linear.weight.copy_(direction * spread / scale[:, None])
        return direction / spread


def build_translator(networks: DictConfig, spaces: tuple[Space, Space], scale: Tensor) -> Translator:
    """The translator of a configuration's `networks`; scale (K,): the spread of the coordinates in its spaces.

    Both domains' networks start the same, but for the split latent.
    """
    dense = networks.kind == "dense"
    encoder, generator = (DenseEncoder, DenseGenerator) if dense else (ConvEncoder, ConvGenerator)
    size = networks.width if dense else list(networks.channels)
    domains = []
    for split in (0, networks.split):
        domains.append([network(scale, networks.shared, split, size) for network in (encoder, generator)])
    translator = Translator(spaces, *zip(*domains, strict=True))
    for one, other in ((translator.encoder_s, translator.encoder_o), (translator.generator_s, translator.generator_o)):
        other.load_state_dict({k: v for k, v in one.state_dict().items() if "split" not in k}, strict=False)
    return translator


def build_discriminators(networks: DictConfig, translator: Translator, scale: Tensor) -> tuple[nn.Module, nn.Module]:
    """D_s and D_o for the spectra and latents of a translator."""
    shared, split = (latents.shape[1] for latents in translator.encoder_o(torch.zeros(1, len(scale))))
    if networks.kind == "dense":
        return tuple(DenseDiscriminator(scale, latents, 2 * networks.width) for latents in (shared, shared + split))
    channels = list(networks.channels)
    return tuple(ConvDiscriminator(scale, latents, channels) for latents in (shared, shared + split))

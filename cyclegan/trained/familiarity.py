"""Is a star like those that a run was trained on? What networks make of any other is a guess."""

from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor

from cyclegan.spectra.spectra import Spectra
from cyclegan.trained.record import Record
from cyclegan.translator.translator import Translator
from emulator.commands.errors import InputError

SAMPLE = 2000  # training stars of a domain that are looked at: every second is kept, the others calibrate
NEIGHBOUR = 5  # whose distance counts: a few training stars that are odd themselves vouch for no other
FLAGGED = 0.004  # of stars like the training ones. Of 1000 that calibrate 4 are: over 1 % is then 1 draw in 100
DIRECTIONS = 20  # kept stars for each direction of the latents, or their spread is not known
DEGENERATE = 1e-4  # variance of latents in one direction beside that in another, below which it is rounding
SLIGHT = 1e-4  # (1 % of the noise of a typical star)^2: networks that are wrong by less than that are right
MEDIAN = 0.455  # of chi-square with one degree of freedom
BATCH = 256  # stars at a time


class Features(NamedTuple):
    """What B stars are compared by: shared latents, and what is left of their coordinates by a reconstruction.

    latents (B, Zs); square (B, K): of coordinates minus their own reconstruction, NaN where masked; noise (B, K) or
    (B, 1): the variance that the star's own noise explains of that.
    """

    latents: Tensor
    square: Tensor
    noise: Tensor


@dataclass(frozen=True)
class Familiarity:
    """Training stars of one domain, and how far from them a star may be.

    known (n, D): some of them in whitened latents, (latents - centre (Zs,)) @ whiten (Zs, D); excess (K,): the variance
    by which the networks miss each coordinate of a typical star, beyond noise; limits (2,): of the distance to the
    NEIGHBOUR-th nearest of the known, and of the misfit.
    """

    centre: Tensor
    whiten: Tensor
    known: Tensor
    excess: Tensor
    limits: Tensor

    @classmethod
    def calibrated(cls, stars: Features) -> Self | None:
        """Every second of training stars (n, ...) kept, limits by the others; None where too few are finite.

        A share FLAGGED of stars like them is flagged; of fewer than 1 / FLAGGED that calibrate it is one more than
        none, which is over 1 % below 200 training stars.
        """
        finite = stars.latents.isfinite().all(dim=1) & ~stars.square.isinf().any(dim=1)
        stars = Features(*(values[finite] for values in stars))
        even = torch.arange(len(stars.latents), device=finite.device) % 2 == 0
        kept, others = (Features(*(values[rows] for values in stars)) for rows in (even, ~even))
        if len(kept.latents) < NEIGHBOUR:
            return None
        centre = kept.latents.mean(dim=0)
        spread, directions = torch.linalg.eigh(torch.atleast_2d(torch.cov((kept.latents - centre).T.double())))
        most = max(1, len(kept.latents) // DIRECTIONS)
        spread, directions = spread[-most:], directions[:, -most:]  # the largest come last
        if spread[-1] <= 0:
            return None
        whiten = (directions / spread.clamp_min(DEGENERATE * spread[-1]).sqrt()).to(centre)
        # The median, as surveys hold stars that no network fits.
        missed = kept.square.nanmedian(dim=0).values / MEDIAN - kept.noise.median(dim=0).values
        excess = missed.nan_to_num(0.0).clamp_min(SLIGHT)
        known = (kept.latents - centre) @ whiten
        raw = cls(centre, whiten, known, excess, centre.new_ones(2))
        measured = torch.stack([raw.nearest(others.latents), raw.misfit(others)])
        rank = max(1, int(FLAGGED * measured.shape[1]))
        limits = measured.topk(rank).values[:, -1]
        # Either limit alone flags that share; together they would flag up to twice as many.
        limits = limits * (measured / limits[:, None]).amax(dim=0).topk(rank).values[-1]
        return cls(centre, whiten, known, excess, limits)

    @classmethod
    def of(cls, translator: Translator, domain: str, stars: Spectra) -> Self | None:
        """`calibrated` by SAMPLE of training stars of a domain, synth or obs, given their coordinates (N, K)."""
        chunks = stars.rows(slice(None, None, -(-len(stars.flux) // SAMPLE))).chunks(BATCH)
        parts = [features(translator, domain, chunk) for chunk in chunks]
        return cls.calibrated(Features(*(torch.cat(part) for part in zip(*parts, strict=True))))

    @classmethod
    def from_record(cls, record: Record, domain: str, device: torch.device) -> Self | None:
        """That of a run's domain, synth or obs; None of a run that has none. InputError for what is none."""
        plain = record.familiar.get(domain)
        if plain is None:
            return None
        try:
            return cls(**{name: value.to(device) for name, value in plain.items()})
        except (AttributeError, TypeError) as error:
            raise InputError(
                f"record: expected training stars of this version in 'familiar', got others: {error}"
            ) from error

    def to_plain(self) -> dict[str, Tensor]:
        """Tensors by name, on the CPU, as a `Record` holds them."""
        return {name: value.cpu() for name, value in vars(self).items()}

    def nearest(self, latents: Tensor) -> Tensor:
        """The distance (B,) of latents (B, Zs) to the NEIGHBOUR-th nearest training star, in sigma of all of them."""
        # By matrix products rounding would be that of the batch's size.
        mode = "donot_use_mm_for_euclid_dist"
        distances = torch.cdist((latents - self.centre) @ self.whiten, self.known, compute_mode=mode)
        return distances.topk(NEIGHBOUR, largest=False).values[:, -1]

    def misfit(self, stars: Features) -> Tensor:
        """The root mean square (B,) of what a reconstruction misses, over what noise and a typical star's excess do."""
        return (stars.square / (stars.noise + self.excess)).nanmean(dim=1).sqrt()

    def distance(self, stars: Features) -> Tensor:
        """The larger of both in units of their limits, (B,): above 1 nothing like it was in training; NaN of NaN."""
        measured = torch.stack([self.nearest(stars.latents), self.misfit(stars)])
        return (measured / self.limits[:, None]).amax(dim=0)


def features(translator: Translator, domain: str, stars: Spectra) -> Features:
    """Features of stars of a domain, synth or obs, given their coordinates (B, K)."""
    t = translator
    if domain == "synth":
        latents = t.encode_synth(stars.flux)
        rebuilt, noise = t.generate_synth(latents), torch.zeros_like(stars.error)  # theory states errors, but has none
    else:
        latents, own = t.encoder_o(stars.flux)
        rebuilt, noise = t.generator_o(latents, own), t.space_o.noise(stars).square()
    return Features(latents, (stars.flux - rebuilt).square().masked_fill(~stars.mask, torch.nan), noise)


def has_counterpart(distance: Tensor) -> Tensor:
    """Whether stars like those at a distance (B,) were in training, (B,) bool; not where it is NaN."""
    return distance <= 1

"""The search for a population: which labels observed stars have, as far as unpaired spectra can tell.

Any stars are drawn from the whole of theory's range, and observed ones are paired with those of them that are like
them. The pairs of one round tell how theory and data differ; the next one compares stars with less weight on that.
"""

import copy
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from cyclegan.domains.emulated import EmulatedDomain
from cyclegan.pairing.overlap import far_off, find_overlap
from cyclegan.pairing.transport import Pairs, gap_metric, transport_pairs
from cyclegan.spectra.blurring import blurred
from cyclegan.spectra.spaces import Components, pooled_components, projected_on
from cyclegan.spectra.spectra import BLUR, Spectra, line_width, masked_mean
from emulator.commands.errors import InputError
from emulator.commands.progress import progress
from emulator.payne import Payne

BLURRED_COMPONENTS, COMPONENTS = 20, 96
STARS = 4000  # observed ones that take part, at most; drawn ones in every round
FEW, MORE_DRAWN = 1000, 8000  # where fewer observed stars than that take part, so many are drawn
ROUNDS = 12  # of which the second half decides
AT_A_TIME = 500  # spectra: what they take in memory
SET = 1000  # observed stars of a set, at most
QUADRATIC = 12  # leading components in which labels are taken for quadratic
RIDGE = 0.01  # of the variance of each feature
REACH = 0.25  # of the emulator's range: theory's errors do not move labels further than that beyond it


class Found(NamedTuple):
    """What a search found of M observed stars.

    labels (M, L): of each, smooth functions of its spectrum, right but for what theory's errors do to all of them
    alike; lonely (M,) bool: which stars have no counterpart in theory; share: how much of theory's range they fill;
    wide (N, L): labels of the stars drawn in the last round; effect (L, K), gap (K,): what labels do to blurred spectra
    in components, by one unit, and how observed ones differ there from theirs; width (L,): of theory's range.
    """

    labels: Tensor
    lonely: Tensor
    share: float
    wide: Tensor
    effect: Tensor
    gap: Tensor
    width: Tensor


class _First(NamedTuple):
    """The first pairs: rows of spectra of theory (N, P), and of observed ones; the others as in `Found`."""

    theory: Spectra
    pairs: Pairs
    share: float
    effect: Tensor
    gap: Tensor


class Observed(Protocol):
    """M observed training stars, which need not fit into memory."""

    def count(self, subset: str) -> int:
        """M, of 'train'."""
        ...

    def training(self, rows: Tensor) -> Spectra:
        """The spectra (n, P) of some rows (n,)."""
        ...

    def all_training(self) -> Iterator[Spectra]:
        """All of them in pieces (n, P), in order."""
        ...


def search(synth: EmulatedDomain, obs: Observed, seed: int) -> Found:
    """What observed stars are, found among those that synth.population draws.

    Raises InputError where none of them lies within the emulator's range.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(obs.count("train"), generator=generator)[:STARS].sort().values
    some, drawn = obs.training(chosen), STARS if len(chosen) >= FEW else MORE_DRAWN

    def draw() -> Tensor:
        return synth.population.sample(synth.emulator, drawn, generator)

    first = _first_pairs(synth, draw(), some, generator)
    space, _ = pooled_components(first.theory, some, min(COMPONENTS, *first.theory.flux.shape, len(some.flux)))
    theory, observed = (projected_on(space, side).flux for side in (first.theory, some))
    off = observed[first.pairs.obs] - theory[first.pairs.synth]
    mean, taken = off.mean(dim=0), first.pairs.obs.unique()
    metric, compared = gap_metric(off), observed[taken]
    pieces = [projected_on(space, piece) for piece in obs.all_training()]
    everybody = Spectra(*(torch.cat(parts) for parts in zip(*pieces, strict=True)))
    total, count = torch.zeros(len(taken), len(first.effect)), torch.zeros(len(taken))
    for number in progress(range(ROUNDS), "finding the population", unit="round", leave=False):
        wide = draw()
        theory = _coordinates(synth, wide, space)
        pairs = transport_pairs(theory @ metric, (compared - mean) @ metric, first.share, generator, SET)
        metric = gap_metric(compared[pairs.obs] - theory[pairs.synth])
        if number >= ROUNDS // 2:
            total.index_add_(0, pairs.obs, wide[pairs.synth])
            count.index_add_(0, pairs.obs, torch.ones(len(pairs.obs)))
    low, high = synth.emulator.label_low.cpu(), synth.emulator.label_high.cpu()
    labels = _Smooth(compared, total / count[:, None])(everybody.flux).clamp(low, high)
    misfit = (everybody.flux - mean - _coordinates(synth, labels, space)) @ metric
    distance = misfit.square().sum(dim=1)
    lonely = far_off(distance / _usual(distance, space.noise(everybody).mean(dim=1)))
    return Found(labels, lonely, first.share, wide, first.effect, first.gap, high - low)


def _first_pairs(synth: EmulatedDomain, wide: Tensor, obs: Spectra, generator: torch.Generator) -> _First:
    """Pairs of stars as they are, the shapes of lines blurred: of the gap nothing is known but that it is small.

    wide (N, L): labels of theory's stars. Raises InputError where no observed star lies within the emulator's range.
    """
    spectra = synth.of(wide.to(synth.wavelength.device)).to("cpu")
    width = BLUR * line_width(masked_mean(obs))
    strengths = blurred(spectra, width), blurred(obs, width)
    likeness, _ = pooled_components(*strengths, min(BLURRED_COMPONENTS, *spectra.flux.shape))
    theory, observed = (projected_on(likeness, side).flux for side in strengths)
    share, _, met = find_overlap(theory, observed, generator)
    pairs = transport_pairs(theory, observed[met], share, generator, SET)
    pairs = Pairs(pairs.synth, met.nonzero()[:, 0][pairs.obs])
    labels, off = wide[pairs.synth], observed[pairs.obs] - theory[pairs.synth]
    effect = _effect(labels, theory[pairs.synth])
    _check_within(synth.emulator, labels, off, effect)
    return _First(spectra, pairs, share, effect, off.mean(dim=0))


def _coordinates(synth: EmulatedDomain, labels: Tensor, space: Components) -> Tensor:
    """Coordinates (n, K) of theory's spectra of these labels (n, L), on the CPU."""
    space = copy.deepcopy(space).to(synth.wavelength.device)
    chunks = labels.to(synth.wavelength.device).split(AT_A_TIME)
    return torch.cat([space.coordinates(synth.of(chunk).flux).cpu() for chunk in chunks])


def _usual(distance: Tensor, noise: Tensor) -> Tensor:
    """The distance (n,) that is usual for stars of this noise (n,): a power of it."""
    logarithm, predictor = distance.clamp_min(1e-30).log(), noise.log()
    off = predictor - predictor.mean()
    slope = (off @ logarithm) / off.square().sum().clamp_min(1e-12)
    return (slope * off).exp()


def _effect(labels: Tensor, coordinates: Tensor) -> Tensor:
    """What labels do to coordinates (n, K) of stars with labels (n, L): the slopes (L, K), by one unit."""
    spread = labels.double().std(dim=0).clamp_min(1e-12)
    scaled = (labels - labels.mean(dim=0)) / spread
    return (torch.linalg.pinv(scaled) @ (coordinates - coordinates.mean(dim=0)).double() / spread[:, None]).float()


def _check_within(emulator: Payne, labels: Tensor, off: Tensor, effect: Tensor) -> None:
    """Raise InputError where no observed spectrum asks for labels near the emulator's range.

    off (n, K): of observed stars from theory's with labels (n, L), which have effect (L, K).
    """
    low, high = emulator.label_low.cpu(), emulator.label_high.cpu()
    asked = labels + labels_behind(off, effect, high - low)
    beyond = torch.maximum(low - asked, asked - high) / (high - low)
    if (beyond <= REACH).all(dim=1).any():
        return
    worst = int(beyond.median(dim=0).values.argmax())
    name, typical = emulator.label_names[worst], asked[:, worst].median().item()
    raise InputError(
        f"domains.obs: expected stars within the emulator's range, got none: of '{name}', which the emulator has from"
        f" {low[worst]:.6g} to {high[worst]:.6g}, their spectra ask for about {typical:.3g}"
    )


def labels_behind(off: Tensor, effect: Tensor, width: Tensor) -> Tensor:
    """The changes of labels (n, L) that would make most of differences of spectra (n, K), if they have effect (L, K).

    A label's change is expected to be 0 to within width (L,), and what else makes off as large in all directions as off
    is on the mean: labels that do next to nothing to spectra stay as they are.
    """
    scaled = effect * width[:, None]
    precision = scaled @ scaled.T + off.square().mean().clamp_min(1e-12) * torch.eye(len(scaled))
    return torch.linalg.solve(precision, scaled @ off.T).T * width


class _Smooth:
    """Labels (n, L) of stars as smooth functions of their coordinates (n, K): of single pairs they are but rough."""

    def __init__(self, coordinates: Tensor, labels: Tensor) -> None:
        self.mean, self.spread = coordinates.mean(dim=0), coordinates.std(dim=0).clamp_min(1e-6)
        self.linear = 2 * labels.shape[1] + 4
        features = self._terms(coordinates)
        self.middle, self.scale = features.mean(dim=0), features.std(dim=0).clamp_min(1e-6)
        self.centre = labels.mean(dim=0)
        scaled = (features - self.middle) / self.scale
        matrix = scaled.T @ scaled + RIDGE * len(labels) * torch.eye(scaled.shape[1])
        self.weights = torch.linalg.solve(matrix, scaled.T @ (labels - self.centre))

    def _terms(self, coordinates: Tensor) -> Tensor:
        scaled = (coordinates - self.mean) / self.spread
        leading = scaled[:, :QUADRATIC]
        first, second = torch.triu_indices(leading.shape[1], leading.shape[1])
        return torch.cat([scaled[:, : self.linear], leading[:, first] * leading[:, second]], dim=1)

    def __call__(self, coordinates: Tensor) -> Tensor:
        return self.centre + (self._terms(coordinates) - self.middle) / self.scale @ self.weights

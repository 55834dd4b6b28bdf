"""cyclegan/trained/familiarity.py: stars like the training ones pass, whatever their noise; others do not."""

import math

import pytest
import torch
from translators import make_translator

from cyclegan.spectra.spaces import projected_on
from cyclegan.spectra.spectra import Spectra
from cyclegan.trained.familiarity import Familiarity, Features, features, has_counterpart
from cyclegan.trained.model import TrainedModel
from emulator.commands.errors import InputError

COORDINATES, SEEDS, FRESH = 40, range(4), 4000


def spread_evenly(stars, width, random):
    return torch.rand(stars, width, generator=random) * 2 - 1


def normal(stars, width, random):
    return torch.randn(stars, width, generator=random)


def giants_and_dwarfs(stars, width, random):
    """Two clumps along the first label; the second follows it, and the last scatters little."""
    labels = torch.randn(stars, width, generator=random)
    labels[:, 0] = 0.3 * labels[:, 0] + 2 * (torch.rand(stars, generator=random) < 0.4)
    labels[:, 1] = labels[:, 0] + 0.3 * labels[:, 1]
    labels[:, -1] *= 0.1
    return labels


def observed(labels, random, noisiest=5.0, missed=1.0):
    """What encoders that find labels, but for noise, make of stars whose noise differs by a factor of `noisiest`."""
    noise = noisiest ** torch.rand(len(labels), 1, generator=random)
    latents = labels + 0.02 * noise * torch.randn(labels.shape, generator=random)
    residual = torch.randn(len(labels), COORDINATES, generator=random) * (noise.square() + missed**2).sqrt()
    return Features(latents, residual.square(), noise.square())


def flagged(familiar, stars):
    return 1 - has_counterpart(familiar.distance(stars)).float().mean().item()


@pytest.mark.parametrize("width", [3, 6, 20])
@pytest.mark.parametrize("population", [spread_evenly, normal, giants_and_dwarfs])
def test_the_rates_that_are_promised(population, width):
    """At most 1 % of stars like the training ones; 90 % of those 3 sigma beyond the edge in a label or in all."""
    rates = []
    for seed in SEEDS:
        random = torch.Generator().manual_seed(seed)
        training = population(2000, width, random)
        familiar = Familiarity.calibrated(observed(training, random))
        edge = training.amax(dim=0) + 3 * training.std(dim=0)
        single = []
        for label in range(min(width, 3)):
            outside = population(300, width, random)
            outside[:, label] = edge[label]
            single.append(flagged(familiar, observed(outside, random)))
        low = training.amin(dim=0) - 3 * training.std(dim=0)
        below = flagged(familiar, observed(low.expand(300, -1), random))
        above = flagged(familiar, observed(edge.expand(300, -1), random))
        like = flagged(familiar, observed(population(FRESH, width, random), random))
        rates.append([like, min(single), min(below, above)])
    like, single, joint = torch.tensor(rates).mean(dim=0).tolist()
    print(f"{population.__name__}, {width} labels: flagged {like:.2%}, one label {single:.1%}, all {joint:.1%}")
    assert like <= 0.01
    assert single >= 0.9
    assert joint >= 0.9


def test_noise_alone_makes_no_stranger_but_what_no_network_made_does():
    """Noise ten times that of the noisiest of the training; residuals twice as large as a star's noise allows."""
    random = torch.Generator().manual_seed(0)
    familiar = Familiarity.calibrated(observed(normal(2000, 3, random), random))
    stars = observed(normal(FRESH, 3, random), random)
    chi_square = torch.randn(stars.square.shape, generator=random).square()
    faint = Features(stars.latents, 2500 * chi_square, torch.full_like(stars.noise, 2500.0))
    assert flagged(familiar, faint) < 0.01
    odd = stars._replace(square=4 * stars.square)
    assert flagged(familiar, odd) > 0.9
    assert (familiar.distance(odd) >= familiar.distance(stars)).all()


def test_a_star_that_says_nothing_has_no_counterpart():
    random = torch.Generator().manual_seed(0)
    familiar = Familiarity.calibrated(observed(normal(2000, 3, random), random))
    stars = observed(normal(5, 3, random), random)
    stars.latents[2], stars.square[2] = math.nan, math.nan
    stars.square[3, :30] = math.nan  # masked
    distance = familiar.distance(stars)
    assert distance.isnan().tolist() == [False, False, True, False, False]
    assert not has_counterpart(distance)[2]
    assert has_counterpart(distance)[3]


def test_training_stars_that_are_not_finite_or_too_few():
    random = torch.Generator().manual_seed(0)
    stars = observed(normal(2000, 3, random), random)
    stars.latents[::7] = math.nan
    assert Familiarity.calibrated(stars).limits.isfinite().all()
    stars.latents[:] = math.nan  # as a training that diverged leaves them
    assert Familiarity.calibrated(stars) is None
    assert Familiarity.calibrated(observed(normal(8, 3, random), random)) is None


def test_latents_of_which_some_are_dead():
    random = torch.Generator().manual_seed(0)
    labels = normal(2000, 4, random)
    labels[:, 2] = 0.7
    stars = Features(labels, observed(labels, random).square, torch.ones(2000, 1))
    familiar = Familiarity.calibrated(stars)
    assert flagged(familiar, stars) <= 0.01
    labels[:] = 0.7
    assert Familiarity.calibrated(stars) is None


@pytest.mark.parametrize("kind", ["dense", "convolutional"])
@pytest.mark.parametrize("domain", ["synth", "obs"])
def test_stars_of_the_sky(kind, domain, sky):
    """Networks as they start; a star with lines that no other has, in either space, masked or not."""
    t, *_ = make_translator(sky, kind=kind)
    space = t.space_s if domain == "synth" else t.space_o
    with torch.no_grad():
        familiar = Familiarity.of(t, domain, projected_on(space, getattr(sky, domain)))
        matched = getattr(sky, f"val_{domain}")
        assert flagged(familiar, features(t, domain, projected_on(space, matched))) < 0.1  # of 60 stars, by few
        flux, mask = 0.9 + 4 * (matched.flux - 0.9), matched.mask.clone()
        mask[:, 50:60] = False
        far = projected_on(space, Spectra(flux, matched.error, mask))
        assert flagged(familiar, features(t, domain, far)) > 0.8


def test_a_run_keeps_them_for_both_domains(trained: TrainedModel):
    kept = trained.record.familiar
    assert set(kept) == {"synth", "obs"}
    for domain in kept:
        familiar = Familiarity.from_record(trained.record, domain, trained.device)
        assert familiar.known.shape == (48, 2)  # of 96 stars; too few for a third direction
        assert familiar.to_plain().keys() == kept[domain].keys()
    record = type(trained.record)(**vars(trained.record) | {"familiar": {"obs": {"other": torch.ones(2)}}})
    with pytest.raises(InputError, match="expected training stars of this version"):
        Familiarity.from_record(record, "obs", trained.device)
    assert Familiarity.from_record(record, "synth", trained.device) is None

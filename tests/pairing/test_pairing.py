"""cyclegan/pairing/pairing.py, epoch by epoch: pairs sharpen, states come back, stars are chosen."""

import pytest
import torch
from skies import SkyDomain, toy_wavelength
from training_parts import make, seen

from cyclegan.domains.domains import Stars
from cyclegan.pairing.pairing import Pairing, PairingSettings
from cyclegan.spectra.spectra import Spectra
from cyclegan.translator.dense import DenseDiscriminator


def parts(domains, **settings):
    """A pairing, a translator as it starts, a discriminator, and the training stars as the networks see them."""
    module, data = make(domains, seed=3, pairing=settings)
    return module.pairing, module.translator, module.discriminators["obs"], seen(module, data)


def paired(pairing, translator, judge, stars, epoch, alike=None):
    return pairing.pair(translator, judge, stars, stars if alike is None else alike, epoch)


def test_pairs_are_of_like_stars_and_improve_the_metric_for_the_next(domains):
    pairing, *rest = parts(domains)
    stars = rest[-1]
    alike = [paired(pairing, *rest, epoch) for epoch in range(3)]
    by_chance = paired(*parts(domains, by_likeness=False), 0)

    def unlike(pairs):
        """In the three leading components, which are those of the three labels."""
        return (stars.synth.flux[pairs.synth, :3] - stars.obs.flux[pairs.obs, :3]).square().mean().item()

    assert max(map(unlike, alike)) < 0.3 * unlike(by_chance)
    assert pairing.metric.shape == (8, 8)


def test_the_pairs_of_an_epoch_are_made_once(domains):
    pairing, *rest = parts(domains)
    first = paired(pairing, *rest, 0)
    metric = pairing.metric
    assert paired(pairing, *rest, 0) is first
    assert pairing.metric is metric
    assert paired(pairing, *rest, 1) is not first


@pytest.mark.parametrize("varies", [True, False])
def test_what_only_observed_stars_vary_in_is_told_from_the_label_it_looks_like(varies):
    random = torch.Generator().manual_seed(0)
    lines, own_lines = torch.randn(3, 203, generator=random), torch.randn(203, generator=random)
    lines = lines * torch.tensor([[0.05], [0.04], [0.03]])
    own_lines = 0.02 * own_lines + 0.3 * lines[1]

    def stars(own):
        labels = 2 * torch.rand(len(own), 3, generator=random) - 1
        flux = 0.9 + labels @ lines + own[:, None] * own_lines
        flux = flux + 0.004 * torch.randn(flux.shape, generator=random)
        return Spectra(flux, torch.full_like(flux, 0.004), torch.ones_like(flux, dtype=torch.bool))

    own = varies * (-torch.rand(2000, generator=random).log() - 1)
    synth, obs = stars(torch.zeros(2000)), stars(own)
    domains = [SkyDomain(side, side.rows(slice(60)), toy_wavelength()) for side in (synth, obs)]
    pairing, *rest = parts(domains)
    known = []
    for epoch in range(3):
        paired(pairing, *rest, epoch)
        known.append(rest[-1].obs.flux @ pairing.own)
    if varies:
        alike = [torch.corrcoef(torch.stack([found[:, 0], own]))[0, 1].abs().item() for found in known]
        assert alike[0] < 0.95
        assert alike[1] > 0.98
    else:
        assert known[0].shape[1] == 1
        assert known[1].shape[1] == 0
    assert torch.equal(known[1], known[2])  # held from then on


def test_what_was_learnt_comes_back_with_a_state(domains):
    pairing, *rest = parts(domains)
    first = paired(pairing, *rest, 0)
    resumed = Pairing(pairing.settings)
    resumed.load_state_dict(pairing.state_dict())
    for mine, kept in zip(paired(resumed, *rest, 0), first, strict=True):
        assert torch.equal(mine, kept)  # those of the epoch come with it
    for mine, other in zip(paired(resumed, *rest, 1), paired(pairing, *rest, 1), strict=True):
        assert torch.equal(mine, other)


def test_a_state_of_version_0_2_which_knew_no_share_of_its_own_comes_back(domains):
    pairing, *rest = parts(domains)
    paired(pairing, *rest, 0)
    state = {
        name: value for name, value in pairing.state_dict().items() if name not in ("share", "synth_met", "obs_met")
    }
    resumed = Pairing(pairing.settings)
    resumed.load_state_dict(state)
    assert resumed.share == pairing.share
    for mine, other in zip(paired(resumed, *rest, 1), paired(pairing, *rest, 1), strict=True):
        assert torch.equal(mine, other)


def test_a_resumed_run_compares_stars_where_it_did(domains):
    stars = Stars(*(domain.train for domain in domains))
    kept, own = (Pairing(PairingSettings(seed=1)) for _ in range(2))
    for pairing in (kept, own):
        pairing.compare_in_components(stars)
    kept.likeness[0].basis.mul_(-1)  # as another machine's may be
    own.load_state_dict(kept.state_dict())
    for space, expected in zip(own.likeness, kept.likeness, strict=True):
        assert torch.equal(space.basis, expected.basis)


def test_stars_that_networks_see_in_pixels_are_compared_in_components(domains):
    stars = Stars(*(domain.train for domain in domains))
    pairing = Pairing(PairingSettings(seed=1))
    assert pairing.alike(stars, seen=stars) is stars
    pairing.compare_in_components(stars)
    for side, space, alike in zip(stars, pairing.likeness, pairing.alike(stars, stars), strict=True):
        torch.testing.assert_close(alike.flux, space.project(side).flux)


@pytest.mark.parametrize("choice", ["discriminator", "density"])
def test_synthetic_stars_are_chosen_from_the_second_epoch_on(domains, choice):
    pairing, translator, _, stars = parts(domains, choice=choice, pool=4)
    judge = DenseDiscriminator(translator.encoder_s.scale, 4, 16)
    everybody = set(range(len(stars.synth.flux)))
    assert set(paired(pairing, translator, judge, stars, 0).synth.tolist()) <= everybody
    pairs = paired(pairing, translator, judge, stars, 1)
    chosen = set(pairs.synth.tolist())
    assert len(chosen) <= (len(everybody) // 4 if choice == "discriminator" else len(stars.obs.flux))
    assert chosen < everybody
    assert set(pairs.obs.tolist()) == set(range(len(stars.obs.flux)))


def test_a_discriminator_chooses_none_before_it_has_learnt_something(domains):
    pairing, translator, _, stars = parts(domains, choice="discriminator", pool=4, unjudged=1)
    judge = DenseDiscriminator(translator.encoder_s.scale, 4, 16)
    paired(pairing, translator, judge, stars, 0)
    assert len(set(paired(pairing, translator, judge, stars, 1).synth.tolist())) == len(stars.synth.flux)
    assert len(set(paired(pairing, translator, judge, stars, 2).synth.tolist())) == len(stars.synth.flux) // 4


def test_stars_are_drawn_as_those_paired_are_distributed_where_they_are_compared(domains):
    """What the networks see has no say: conv networks see pixels, and pairs are made of components."""
    found = []
    for blind in (True, False):
        pairing, translator, judge, alike = parts(domains, choice="density", pool=4)
        paired(pairing, translator, judge, alike, 0)
        pixels = Stars(*(spectra._replace(flux=torch.randn(len(spectra.flux), 20)) for spectra in alike))
        found.append(paired(pairing, translator, judge, pixels if blind else alike, 1, alike))
    for blind, seeing in zip(*found, strict=True):
        assert torch.equal(blind, seeing)


@pytest.mark.parametrize(("fixed", "least", "most"), [(False, 0.6, 1.0), (True, 0.0, 0.4)])
def test_stars_that_never_change_have_other_partners_in_each_epoch(domains, monkeypatch, fixed, least, most):
    """Stars that are drawn anew do so by themselves, and are paired all at once."""
    monkeypatch.setattr("cyclegan.pairing.pairing.STARS_AT_A_TIME", 100)
    pairing, *rest = parts(domains, fixed=fixed)
    paired(pairing, *rest, 0)
    metric, partners = pairing.metric, []
    for epoch in (2, 3):
        pairing.metric = metric
        pairs = paired(pairing, *rest, epoch)
        partners.append(pairs.obs[pairs.synth.argsort()])
    assert least <= (partners[0] == partners[1]).float().mean() <= most

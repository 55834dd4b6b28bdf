"""cyclegan/pairing/pairing.py where the two sets do not match: whose mean the synthetic domain's space has."""

import pytest
import torch

from cyclegan.domains.domains import Stars
from cyclegan.pairing.batch import Partners
from cyclegan.pairing.pairing import Pairing, PairingSettings
from cyclegan.spectra.spaces import pooled_components
from cyclegan.spectra.spectra import Spectra


def spaces(stars, components=8, share=0.25, anchors=None):
    pairing = Pairing(PairingSettings(seed=3, share=share), anchors)
    return pooled_components(*pairing.counterparts(stars), components)


def widened(sky):
    """Synthetic stars that reach beyond the observed ones, on one side; and the (P,) along which."""
    random = torch.Generator().manual_seed(4)
    flux = sky.synth.flux
    centre = flux.mean(dim=0)
    first = torch.linalg.svd(flux - centre, full_matrices=False).Vh[0]
    along = 3 * (flux - centre) @ first * torch.rand(len(flux), generator=random)
    return sky.synth._replace(flux=flux + along.abs()[:, None] * first), first


@pytest.mark.parametrize("settings", [{"share": 1.0}, {"share": 0.25, "by_likeness": False}])
def test_sets_that_match_are_left_as_they_are(sky, settings):
    stars = Stars(sky.synth, sky.obs)
    assert Pairing(PairingSettings(seed=1, **settings)).counterparts(stars) is stars


def test_the_gap_is_that_of_partners(sky):
    """The means differ by more than the gap."""
    wide, first = widened(sky)
    gap = (sky.obs.flux.mean(dim=0) - sky.synth.flux.mean(dim=0)) @ first

    def found(share):
        space_s, space_o = spaces(Stars(wide, sky.obs), share=share)
        return ((space_o.mean - space_s.mean) @ first - gap).abs()

    assert found(0.25) < 0.2 * found(1.0)


def test_anchors_tell_a_gap_that_looks_like_a_label(sky):
    """Of all gaps that pairs can have the least is none along the label; the stars known in both domains know it."""
    wide, first = widened(sky)
    like_a_label = 0.5 * (sky.synth.flux @ first).std() * first
    obs, val_obs = (spectra._replace(flux=spectra.flux + like_a_label) for spectra in (sky.obs, sky.val_obs))
    gap = (obs.flux.mean(dim=0) - sky.synth.flux.mean(dim=0)) @ first

    def found(anchors):
        known = Partners(sky.val_synth, val_obs).rows(slice(anchors)) if anchors else None
        space_s, space_o = spaces(Stars(wide, obs), anchors=known)
        return ((space_o.mean - space_s.mean) @ first - gap).abs()

    assert found(20) < 0.5 * found(0)
    assert found(1) == found(0)  # one star's gap may be its own


@pytest.mark.parametrize("anchors", [0, 20])
def test_line_shapes_are_not_taken_for_strengths(anchors):
    """Theory's lines are half as wide as observed ones: pixel by pixel an observed one looks weaker than it is."""
    random = torch.Generator().manual_seed(0)
    pixel = torch.arange(400)

    def stars(strength, width):
        lines = sum(torch.exp(-0.5 * ((pixel - centre) / width) ** 2) for centre in range(50, 400, 100)) / width
        flux = 1 - strength[:, None] * lines
        return Spectra(flux, torch.full_like(flux, 0.005), torch.ones_like(flux, dtype=torch.bool))

    strength = torch.rand(600, generator=random)
    observed = stars(0.5 + 0.05 * torch.randn(600, generator=random), 4.0)
    known = torch.full((anchors,), 0.5)
    pair = Partners(stars(known, 2.0), stars(known, 4.0)) if anchors else None
    space, _ = spaces(Stars(stars(strength, 2.0), observed), components=4, anchors=pair)
    alike = (1 - space.mean).sum() / (1 - stars(torch.ones(1), 2.0).flux[0]).sum()  # mean strength of those paired
    # Least squares of Gaussians of widths a and b gives sqrt(2) a / hypot(a, b): 0.91 of 0.5 when both are blurred by
    # 5 pixels, 0.63 of it as they are.
    assert 0.44 < alike < 0.5


def test_the_share_is_found_where_it_is_not_set(sky):
    """Half of the synthetic stars are in a corner of what the others fill: there is less room beside each."""
    matched = Pairing(PairingSettings(seed=3, share=None, fixed=True))
    kept = matched.counterparts(Stars(sky.synth, sky.obs))
    assert matched.share == 1
    assert len(kept.synth.flux) > 0.98 * len(sky.synth.flux)
    assert len(kept.obs.flux) > 0.98 * len(sky.obs.flux)

    first = torch.linalg.svd(sky.obs.flux - sky.obs.flux.mean(dim=0), full_matrices=False).Vh[0]
    along = (sky.obs.flux - sky.obs.flux.mean(dim=0)) @ first
    few = sky.obs.rows(along.argsort()[: len(along) // 8])
    partial = Pairing(PairingSettings(seed=3, share=None, fixed=True))
    kept = partial.counterparts(Stars(sky.synth, few))
    assert partial.share < 1 / 3
    assert len(kept.obs.flux) > 0.9 * len(few.flux)


def test_stars_that_the_other_file_lacks_are_never_paired(sky):
    """A twentieth of either file is like nothing in the other."""
    odd, many = 20, len(sky.synth.flux)
    pattern = 0.3 * torch.sin(torch.arange(sky.synth.flux.shape[1]) / 12.0)
    synth, obs = (
        side._replace(flux=side.flux + sign * pattern * (torch.arange(many) < odd)[:, None])
        for side, sign in ((sky.synth, 1), (sky.obs, -1))
    )
    pairing = Pairing(PairingSettings(seed=3, share=None, fixed=True))
    stars = Stars(synth, obs)
    kept = pairing.counterparts(stars)
    assert not pairing.synth_met[:odd].any()
    assert not pairing.obs_met[:odd].any()
    assert len(kept.synth.flux) > 0.97 * (many - odd)
    pairing.compare_in_components(kept)  # so that no network is asked
    alike = pairing.alike(stars, stars)
    pairs = pairing.pair(torch.nn.Identity(), torch.nn.Identity(), alike, alike, epoch=0)
    assert pairs.synth.min() >= odd
    assert pairs.obs.min() >= odd


def test_where_observed_stars_are_drawn_anew_those_without_a_counterpart_are_found_in_each_epoch(sky):
    def stars(strange):
        """The sky's stars, of which some have lines that no other has."""
        flux = sky.obs.flux.clone()
        flux[strange] += 0.3 * torch.sin(torch.arange(flux.shape[1]) / 6.0)
        return Stars(sky.synth, sky.obs._replace(flux=flux))

    first, second = stars(slice(0, 20)), stars(slice(50, 80))
    held, anew = (Pairing(PairingSettings(seed=1, share=None, anew=anew)) for anew in (False, True))
    for pairing in (held, anew):
        pairing.counterparts(first)
        _, met = pairing.met(first, 0)
        assert (~met).nonzero()[:, 0].tolist() == list(range(20))
    assert held.met(second, 1)[1] is held.obs_met
    synth_met, obs_met = anew.met(second, 1)
    assert (~obs_met).nonzero()[:, 0].tolist() == list(range(50, 80))
    assert synth_met.all()
    assert torch.equal(anew.met(second, 1)[1], obs_met)

"""cyclegan/data.py: batches in pairs, where a run goes on, and domains that do not fit told at the door."""

from types import SimpleNamespace

import pytest
import torch
from conftest import SkyDomain, toy_wavelength
from omegaconf import OmegaConf

from cyclegan.alignment import Pairs
from cyclegan.data import Batch, MatchedBatches, PairedBatches, SpectraData, TrainingBatch
from cyclegan.effects import LIGHT_SPEED
from cyclegan.networks import DenseDiscriminator
from cyclegan.spectra import Components, Pixels, Spectra
from cyclegan.translator import build_translator
from emulator.command import InputError


def numbered(n):
    """Spectra whose flux is the number of their row."""
    flux = torch.arange(float(n))[:, None]
    return Spectra(flux, torch.ones(n, 1), torch.ones(n, 1, dtype=torch.bool))


PAIRS = Pairs(torch.arange(30), torch.arange(30).flip(0))


def make_batches(steps=10, size=8, pairing=lambda: PAIRS, seed=1):
    return PairedBatches(Batch(numbered(30), numbered(30)), pairing, size, steps, seed)


def stars_of(batches):
    return [(batch.synth.flux[:, 0].tolist(), batch.obs.flux[:, 0].tolist()) for batch in batches]


def test_rows_of_a_batch_are_partners():
    for synth, obs in stars_of(make_batches()):
        assert [29 - star for star in synth] == obs


def test_an_epoch_has_its_steps_and_uses_all_stars_in_turn():
    stars = stars_of(make_batches(steps=10))
    assert len(stars) == 10
    assert {len(synth) for synth, _ in stars} == {8}
    for first in range(0, 9, 3):  # three full batches of the thirty stars, then a new order
        assert len({star for synth, _ in stars[first : first + 3] for star in synth}) == 24


def test_fewer_pairs_than_a_batch_make_smaller_batches():
    assert [len(synth) for synth, _ in stars_of(make_batches(steps=3, size=100))] == [30, 30, 30]


def test_pairs_are_made_once_when_the_first_batch_is_asked_for():
    asked = []
    batches = make_batches(pairing=lambda: asked.append(1) or PAIRS)
    assert asked == []
    stars_of(batches)
    assert asked == [1]


@pytest.mark.parametrize("position", [1, 5, 9])
def test_a_run_resumes_at_the_very_next_batch_with_the_same_pairs(position):
    stars, interrupted = stars_of(make_batches()), make_batches()
    batches = iter(interrupted)
    for _ in range(position):
        next(batches)
    resumed = make_batches(pairing=lambda: pytest.fail("the pairs came with the state"))
    resumed.load_state_dict(interrupted.state_dict())
    assert stars_of(resumed) == stars[position:]


def test_a_state_of_an_epoch_that_was_over_begins_the_next_afresh():
    over = make_batches()
    stars_of(over)
    fresh, asked = make_batches(seed=2, pairing=lambda: asked.append(1) or PAIRS), []
    fresh.load_state_dict(over.state_dict())
    assert stars_of(fresh) == stars_of(make_batches(seed=2))
    assert asked == [1]


def test_anchors_come_with_every_batch_no_more_than_fit():
    for known, size in ((5, 5), (30, 8)):
        batches = PairedBatches(
            Batch(numbered(30), numbered(30)), lambda: PAIRS, 8, 10, 1, Batch(numbered(known), numbered(known))
        )
        anchors = [batch.anchors for batch in batches]
        rows = [side.synth.flux[:, 0].tolist() for side in anchors]
        assert [side.obs.flux[:, 0].tolist() for side in anchors] == rows
        assert {len(set(row)) for row in rows} == {size}
        assert len({star for row in rows for star in row}) > 0.8 * known


def test_matched_stars_come_whole_and_in_order():
    batches = MatchedBatches(numbered(230), numbered(230))
    assert len(batches) == len(list(batches)) == 3
    assert [star for synth, _ in stars_of(batches) for star in synth] == list(range(230))


def make_data(synth, obs, **changes):
    settings = {
        "matched": True,
        "batch_size": 16,
        "steps": 5,
        "seed": 3,
        "paired": True,
        "share": 1.0,
    } | changes
    return SpectraData(synth, obs, **settings)


def test_different_pixel_counts_are_told_with_both(sky, domains):
    obs = SkyDomain(sky.obs, sky.val_obs, toy_wavelength()[:-2])
    with pytest.raises(InputError, match="expected as many pixels in both, got 203 in synth, 201 in obs"):
        make_data(domains[0], obs)


def test_different_wavelengths_are_told_with_both(sky, domains):
    moved = toy_wavelength()
    moved[70] += 0.1
    obs = SkyDomain(sky.obs, sky.val_obs, moved)
    here = f"{toy_wavelength()[70]:.3f} A in synth and {moved[70]:.3f} A in obs at pixel 70"
    with pytest.raises(InputError, match=f"expected the same wavelengths in both, got {here}"):
        make_data(domains[0], obs)


def test_different_numbers_of_matched_stars_are_told_with_both(sky, domains):
    obs = SkyDomain(sky.obs, sky.val_obs.rows(slice(50)))
    with pytest.raises(InputError, match="expected the same stars in 'val' of both, got 60 in synth, 50 in obs"):
        make_data(domains[0], obs)


def test_no_star_is_drawn_for_both_domains(domains):
    """An emulated domain draws the same stars for the same seed: training would not be unpaired."""
    data = make_data(*domains)
    spaces = data.make_spaces(8)
    for epoch in range(30):
        data.coordinates(spaces, epoch)
    synth, obs = (set(domain.seeds) for domain in domains)
    assert len(synth) == len(obs) == 30
    # The noise of a draw has the seed after that of its stars.
    assert not {seed + noise for seed in synth for noise in (0, 1)} & {seed + noise for seed in obs for noise in (0, 1)}


def test_spaces_are_components_or_pixels(domains, sky):
    data = make_data(*domains)
    for space, side in zip(data.make_spaces(8), (sky.synth, sky.obs), strict=True):
        assert isinstance(space, Components)
        assert space.basis.shape[1] == 8
        torch.testing.assert_close(space.mean, side.flux.mean(dim=0), rtol=0, atol=1e-5)
    synth, obs = data.make_spaces(None)
    assert isinstance(synth, Pixels)
    assert torch.equal(synth.weight, obs.weight)


def test_coordinates_are_the_projected_draw(domains, sky):
    data = make_data(*domains)
    spaces = data.make_spaces(8)
    for space, side, drawn in zip(spaces, (sky.synth, sky.obs), data.coordinates(spaces, 0), strict=True):
        torch.testing.assert_close(drawn.flux, space.project(side).flux)


def test_a_file_is_projected_once(domains):
    for domain in domains:
        domain.fixed = True
    data = make_data(*domains)
    spaces = data.make_spaces(8)
    first, second = data.coordinates(spaces, 0), data.coordinates(spaces, 1)
    assert first.synth.flux is second.synth.flux
    assert first.obs.flux is second.obs.flux


def make_translator(data):
    spaces = data.make_spaces(8)
    stars = data.coordinates(spaces, 0)
    scale = torch.cat([side.flux for side in stars]).std(dim=0)
    networks = OmegaConf.create({"kind": "dense", "shared": 3, "split": 1, "width": 8})
    return build_translator(networks, spaces, scale), stars


def test_pairs_are_of_like_stars_and_improve_the_metric_for_the_next(domains):
    data = make_data(*domains)
    translator, stars = make_translator(data)
    alike = [data.pair(translator, stars, epoch) for epoch in range(3)]
    by_chance = make_data(*domains, paired=False).pair(translator, stars, 0)

    def unlike(pairs):
        """In the three leading components, which are those of the three labels."""
        return (stars.synth.flux[pairs.synth, :3] - stars.obs.flux[pairs.obs, :3]).square().mean().item()

    assert max(map(unlike, alike)) < 0.3 * unlike(by_chance)
    assert data.metric.shape == (8, 8)


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
    data = make_data(*(SkyDomain(side, side.rows(slice(60)), toy_wavelength()) for side in (synth, obs)))
    translator, training = make_translator(data)
    known = []
    for epoch in range(3):
        data.pair(translator, training, epoch)
        known.append(training.obs.flux @ data.own)
    if varies:
        alike = [torch.corrcoef(torch.stack([found[:, 0], own]))[0, 1].abs().item() for found in known]
        assert alike[0] < 0.95
        assert alike[1] > 0.98
    else:
        assert known[0].shape[1] == 1
        assert known[1].shape[1] == 0
    assert torch.equal(known[1], known[2])  # held from then on


def test_the_metric_is_kept_in_a_checkpoint(domains):
    data, resumed = make_data(*domains), make_data(*domains)
    translator, stars = make_translator(data)
    data.pair(translator, stars, 0)
    resumed.load_state_dict(data.state_dict())
    first, again = (side.pair(translator, stars, 1) for side in (data, resumed))
    assert torch.equal(first.synth, again.synth)
    assert torch.equal(first.obs, again.obs)


def test_a_resumed_run_sees_its_stars_in_the_spaces_of_its_checkpoint(domains):
    """Which are another machine's, and it has projected its stars on its own by then."""
    for domain in domains:
        domain.fixed = True
    data, resumed = make_data(*domains), make_data(*domains)
    kept, own = (side.make_spaces(8) for side in (data, resumed))
    resumed.coordinates(own, 0)
    for there, here in zip(kept, own, strict=True):
        there.mean.add_(0.1)
        here.load_state_dict(there.state_dict())
    resumed.load_state_dict(data.state_dict())
    for seen, expected in zip(resumed.coordinates(own, 1), data.coordinates(kept, 1), strict=True):
        assert torch.equal(seen.flux, expected.flux)


def test_a_resumed_run_compares_stars_where_it_did(domains):
    data, resumed = make_data(*domains), make_data(*domains)
    for side in (data, resumed):
        side.make_spaces(None)
    data.likeness[0].basis.mul_(-1)  # as another machine's may be
    resumed.load_state_dict(data.state_dict())
    for own, kept in zip(resumed.likeness, data.likeness, strict=True):
        assert torch.equal(own.basis, kept.basis)


def test_the_loader_of_an_epoch_is_the_same_whenever_it_is_made(domains):
    """What a resumed run relies on: an epoch depends on its number and the seed, not on what came before."""

    def batches(epoch, seed):
        data = make_data(*domains, paired=False, seed=seed)
        translator, _ = make_translator(data)
        module = SimpleNamespace(translator=translator, discriminator_o=None)
        data.trainer = SimpleNamespace(current_epoch=epoch, lightning_module=module)
        return [batch.synth.flux for batch in data.train_dataloader()]

    first, again, later, other = batches(0, 3), batches(0, 3), batches(1, 3), batches(0, 4)
    assert all(map(torch.equal, first, again))
    assert not any(map(torch.equal, first, later))
    assert not any(map(torch.equal, first, other))


@pytest.mark.parametrize("choice", ["discriminator", "density"])
def test_synthetic_stars_are_chosen_from_the_second_epoch_on(domains, choice):
    data = make_data(*domains, choice=choice, pool=4)
    translator, stars = make_translator(data)
    discriminator = DenseDiscriminator(translator.encoder_s.scale, 4, 16)
    everybody = data.choose(translator, discriminator, stars, stars, 0)
    assert torch.equal(everybody, torch.arange(len(stars.synth.flux)))
    if choice == "discriminator":  # which has to have learnt something
        data.unjudged = 1
        assert torch.equal(data.choose(translator, discriminator, stars, stars, 1), everybody)
        data.unjudged = 0
    assert len(data.pair(translator, stars, 0, everybody).synth) >= len(stars.obs.flux)
    chosen = data.choose(translator, discriminator, stars, stars, 1)
    assert torch.equal(data.choose(translator, discriminator, stars, stars, 1), chosen)
    pairs = data.pair(translator, stars, 1, chosen)
    assert set(pairs.synth.tolist()) == set(chosen.tolist())
    assert set(pairs.obs.tolist()) == set(range(len(stars.obs.flux)))


def test_stars_are_drawn_as_those_paired_are_distributed_where_they_are_compared(domains):
    """What the networks see has no say: conv networks see pixels, and pairs are made of components."""
    data = make_data(*domains, choice="density", pool=4)
    translator, alike = make_translator(data)
    data.pair(translator, alike, 0)
    pixels = Batch(*(spectra._replace(flux=torch.randn(len(spectra.flux), 20)) for spectra in alike))
    chosen, expected = (data.choose(translator, None, stars, alike, 1) for stars in (pixels, alike))
    assert torch.equal(chosen, expected)


def test_fixed_stars_follow_the_networks_to_another_device(domains):
    """'meta' stands for an accelerator: its tensors have shapes and a device."""
    for domain in domains:
        domain.fixed = True  # as a file is
    data = make_data(*domains)
    translator, _ = make_translator(data)
    spaces = translator.space_s, translator.space_o
    data.coordinates(spaces, 0)
    translator.to("meta")
    stars = data.coordinates(spaces, 1)
    assert {tensor.device.type for side in stars for tensor in side} == {"meta"}


def test_both_sides_of_a_batch_are_moved_wherever_each_is(domains):
    data = make_data(*domains)
    there, here = numbered(3).to("meta"), numbered(3)
    for batch in (Batch(there, here), TrainingBatch(here, there, None), TrainingBatch(there, here, Batch(here, here))):
        moved = data.transfer_batch_to_device(batch, torch.device("meta"), 0)
        assert moved.synth.flux.device.type == moved.obs.flux.device.type == "meta"
        assert (moved[2:] == (None,)) == (batch[2:] == (None,))
    assert moved.anchors.obs.flux.device.type == "meta"


def test_too_few_stars_to_score_are_told(sky):
    few = [
        SkyDomain(side, matched.rows(slice(3)))
        for side, matched in ((sky.synth, sky.val_synth), (sky.obs, sky.val_obs))
    ]
    with pytest.raises(InputError, match="expected at least 4 stars in 'val', got 3"):
        make_data(*few)


@pytest.mark.parametrize(
    ("stars", "settings", "told"),
    [
        ((1, 9), {}, "domains.synth: expected at least 2 spectra in 'train', got 1"),
        ((9, 1), {}, "domains.obs: expected at least 2 spectra in 'train', got 1"),
        ((7, 9), {"choice": "discriminator", "pool": 4}, "synth: expected at least 8 spectra in 'train', got 7"),
    ],
)
def test_too_few_stars_to_train_on_are_told(sky, stars, settings, told):
    sides = (sky.synth, sky.val_synth), (sky.obs, sky.val_obs)
    few = [SkyDomain(side.rows(slice(count)), matched) for (side, matched), count in zip(sides, stars, strict=True)]
    with pytest.raises(InputError, match=told):
        make_data(*few, **settings)


def widened(sky):
    """A domain of synthetic stars that reach beyond the observed ones, on one side; and the (P,) along which."""
    random = torch.Generator().manual_seed(4)
    flux = sky.synth.flux
    centre = flux.mean(dim=0)
    first = torch.linalg.svd(flux - centre, full_matrices=False).Vh[0]
    along = 3 * (flux - centre) @ first * torch.rand(len(flux), generator=random)
    return SkyDomain(sky.synth._replace(flux=flux + along.abs()[:, None] * first), sky.val_synth), first


def test_where_the_sets_do_not_match_the_gap_is_that_of_partners(sky):
    """The means differ by more than the gap."""
    wide, first = widened(sky)
    obs = SkyDomain(sky.obs, sky.val_obs)
    gap = (sky.obs.flux.mean(dim=0) - sky.synth.flux.mean(dim=0)) @ first

    def found(share):
        space_s, space_o = make_data(wide, obs, share=share).make_spaces(8)
        return ((space_o.mean - space_s.mean) @ first - gap).abs()

    assert found(0.25) < 0.2 * found(1.0)


def test_where_the_sets_do_not_match_anchors_tell_a_gap_that_looks_like_a_label(sky):
    """Of all gaps that pairs can have the least is none along the label; the stars known in both domains know it."""
    wide, first = widened(sky)
    like_a_label = 0.5 * (sky.synth.flux @ first).std() * first
    obs, val_obs = (spectra._replace(flux=spectra.flux + like_a_label) for spectra in (sky.obs, sky.val_obs))
    gap = (obs.flux.mean(dim=0) - sky.synth.flux.mean(dim=0)) @ first

    def found(anchors):
        known = Batch(sky.val_synth, val_obs).rows(slice(anchors)) if anchors else None
        data = make_data(wide, SkyDomain(obs, val_obs), share=0.25, anchors=known)
        space_s, space_o = data.make_spaces(8)
        return ((space_o.mean - space_s.mean) @ first - gap).abs()

    assert found(20) < 0.5 * found(0)
    assert found(1) == found(0)  # one star's gap may be its own


@pytest.mark.parametrize("anchors", [0, 20])
def test_where_the_sets_do_not_match_line_shapes_are_not_taken_for_strengths(anchors):
    """Theory's lines are half as wide as observed ones: pixel by pixel an observed one looks weaker than it is."""
    random = torch.Generator().manual_seed(0)
    pixel = torch.arange(400)
    wavelength = 16000.0 * torch.exp(pixel * 4.0 / LIGHT_SPEED)  # 4 km/s a pixel

    def stars(strength, width):
        lines = sum(torch.exp(-0.5 * ((pixel - centre) / width) ** 2) for centre in range(50, 400, 100)) / width
        flux = 1 - strength[:, None] * lines
        return Spectra(flux, torch.full_like(flux, 0.005), torch.ones_like(flux, dtype=torch.bool))

    strength = torch.rand(600, generator=random)
    observed = stars(0.5 + 0.05 * torch.randn(600, generator=random), 4.0)
    synth, obs = (SkyDomain(side, side.rows(slice(60)), wavelength) for side in (stars(strength, 2.0), observed))
    known = torch.full((anchors,), 0.5)
    pair = Batch(stars(known, 2.0), stars(known, 4.0)) if anchors else None
    space, _ = make_data(synth, obs, share=0.25, anchors=pair).make_spaces(4)
    alike = (1 - space.mean).sum() / (1 - stars(torch.ones(1), 2.0).flux[0]).sum()  # mean strength of those paired
    # Least squares of Gaussians of widths a and b gives sqrt(2) a / hypot(a, b): 0.91 of 0.5 when both are blurred by
    # 5 pixels, 0.63 of it as they are.
    assert 0.44 < alike < 0.5


@pytest.mark.parametrize(
    ("fixed", "least", "most"), [((False, False), 0.8, 1.0), ((False, True), 0.8, 1.0), ((True, True), 0.0, 0.6)]
)
def test_stars_that_never_change_have_other_partners_in_each_epoch(sky, monkeypatch, fixed, least, most):
    """Stars that are drawn anew do so by themselves, and are paired all at once."""
    monkeypatch.setattr("cyclegan.data.SET", 100)
    domains = SkyDomain(sky.synth, sky.val_synth), SkyDomain(sky.obs, sky.val_obs)
    for domain, never_changes in zip(domains, fixed, strict=True):
        domain.fixed = never_changes
    data = make_data(*domains)
    translator, stars = make_translator(data)
    data.pair(translator, stars, 0)
    metric = data.metric
    partners = []
    for epoch in (2, 3):
        data.metric = metric
        pairs = data.pair(translator, stars, epoch)
        partners.append(pairs.obs[pairs.synth.argsort()])
    assert least <= (partners[0] == partners[1]).float().mean() <= most

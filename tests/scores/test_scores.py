"""cyclegan/scores/scores.py: scores against NumPy, for the perfect translator, and however the set is cut."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from cyclegan.scores.scores import (
    SCORES,
    MatchedScores,
    control_scores,
    deviation,
    latent_difference,
    squared_deviation,
)
from cyclegan.spectra.spectra import ERROR_FLOOR, Spectra
from cyclegan.translator.translator import Crossing


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Same(nn.Module):
    """The space of pixels as they are."""

    def project(self, spectra):
        return spectra

    def restore(self, flux):
        return flux


class PixelByPixel(nn.Module):
    """A translator known in closed form, pixel by pixel; where it is `unlike`, no two encodings of a star agree."""

    def __init__(self, gap=0.0, split=1, unlike=0.0):
        super().__init__()
        self.space_s = self.space_o = Same()
        self.gap, self.split, self.unlike = gap, split, unlike

    def cross(self, x_s, x_o):
        so, os = x_s + self.gap, x_o - self.gap
        z_s, z_o = x_s[:, :4], (1 + self.unlike) * os[:, :4]
        z_so, z_os = (1 + 2 * self.unlike) * z_s, (1 - self.unlike) * z_o
        split = x_o[:, 4 : 4 + self.split]
        return Crossing(x_s, x_o, so, os, x_s, x_o, z_s, z_o, z_so, z_os, split, split * (1 + self.unlike))


def stars(flux, error=0.01):
    return Spectra(flux, torch.full_like(flux, error), torch.ones_like(flux, dtype=torch.bool))


def scores_of(translator, synth, obs, size=7):
    metric = MatchedScores(matched=True)
    for a, b in zip(synth.chunks(size), obs.chunks(size), strict=True):
        metric.update(translator, a, b)
    return {name: value.item() for name, value in metric.compute().items()}


@pytest.fixture
def matched():
    """Fifty matched stars of twelve pixels: a gap of 0.1, noise of 0.02, two pixels in ten masked."""
    synth = stars(0.9 + 0.1 * draw(50, 12), 0.005)
    error = 0.02 * (1 + draw(50, 12, seed=1).abs())
    noisy = synth.flux + 0.1 + error * draw(50, 12, seed=2)
    return synth, Spectra(noisy, error, draw(50, 12, seed=3) > -0.8)


def test_the_perfect_translator_scores_nothing_but_noise(matched):
    synth, obs = matched
    noise = ((obs.flux - synth.flux - 0.1) / obs.error).numpy()[obs.mask.numpy()]
    scores = scores_of(PixelByPixel(gap=0.1), synth, obs)
    assert scores["x_synth_obs"] == pytest.approx((noise**2).mean(), rel=1e-5)

    noiseless = stars(synth.flux + 0.1)
    scores = scores_of(PixelByPixel(gap=0.1), synth, noiseless)
    assert [scores[name] for name in SCORES] == pytest.approx([0] * 6, abs=1e-6)


def test_x_scores_are_a_line_of_numpy(matched):
    synth, obs = matched
    scores = scores_of(PixelByPixel(gap=0.03), synth, obs)
    for name, prediction, target in (
        ("x_synth_obs", synth.flux + 0.03, obs),
        ("x_obs_synth", obs.flux - 0.03, synth),
    ):
        mask, difference = obs.mask.numpy(), (prediction - target.flux).double().numpy()
        weighted = difference / np.maximum(target.error.double().numpy(), ERROR_FLOOR)
        assert scores[name] == pytest.approx((weighted[mask] ** 2).mean(), rel=1e-6)
        assert scores[f"{name}_mse"] == pytest.approx((difference[mask] ** 2).mean(), rel=1e-6)


def test_z_scores_are_a_line_of_numpy(matched):
    synth, obs = matched
    translator = PixelByPixel(gap=0.1, split=2, unlike=0.2)
    scores, crossing = scores_of(translator, synth, obs), translator.cross(synth.flux, obs.flux)
    z = {name: tensor.double().numpy() for name, tensor in crossing._asdict().items()}
    for name, a, b, space in (
        ("z_synth", "z_s", "z_so", ("z_s", "z_o", "z_os", "z_so")),
        ("z_obs", "z_o", "z_os", ("z_s", "z_o", "z_os", "z_so")),
        ("z_shared", "z_s", "z_o", ("z_s", "z_o", "z_os", "z_so")),
        ("z_split", "split_o", "split_so", ("split_o", "split_so")),
    ):
        extent = np.ptp(np.concatenate([z[key] for key in space]), axis=0)
        assert scores[name] == pytest.approx((np.abs(z[a] - z[b]) / extent).mean(), rel=1e-5)


@pytest.mark.parametrize("size", [1, 13, 50])
def test_scores_do_not_depend_on_batch_size(matched, size):
    translator = PixelByPixel(gap=0.1, unlike=0.2)
    scores, again = scores_of(translator, *matched), scores_of(translator, *matched, size=size)
    assert again == pytest.approx(scores, rel=1e-12)


def test_scores_do_not_depend_on_order(matched):
    order, translator = torch.randperm(50, generator=torch.Generator().manual_seed(0)), PixelByPixel(0.1, unlike=0.2)
    again = scores_of(translator, *(spectra.rows(order) for spectra in matched))
    assert again == pytest.approx(scores_of(translator, *matched), rel=1e-12)


def test_scores_start_afresh_after_a_reset(matched):
    metric, translator = MatchedScores(matched=True), PixelByPixel(gap=0.1)
    metric.update(translator, *(spectra.rows(slice(9)) for spectra in matched))
    metric.compute()
    metric.reset()
    metric.update(translator, *matched)
    assert metric.compute()["x_synth_obs"].item() == pytest.approx(scores_of(translator, *matched)["x_synth_obs"])


def test_a_latent_that_never_varies_is_left_out_and_counted(matched):
    translator = PixelByPixel(unlike=0.2)
    flat = [stars(spectra.flux * (torch.arange(12) != 3)) for spectra in matched]  # pixel 3 is the last shared latent
    scores, crossing = scores_of(translator, *flat), translator.cross(flat[0].flux, flat[1].flux)
    z = [getattr(crossing, name)[:, :3] for name in ("z_s", "z_o", "z_os", "z_so")]
    assert scores["z_shared"] == pytest.approx(latent_difference(z[0], z[1], z).item(), rel=1e-6)
    assert scores["dead_latents"] == 1
    assert scores_of(translator, *matched)["dead_latents"] == 0


def test_without_a_split_latent_only_its_score_is_nan(matched):
    with_split, without = (scores_of(PixelByPixel(gap=0.1, split=split), *matched) for split in (1, 0))
    assert math.isnan(without.pop("z_split"))
    with_split.pop("z_split")
    assert without == pytest.approx(with_split)


def test_sums_are_of_usable_pixels_with_a_floor_on_errors():
    flux = torch.tensor([[1.0, 1.0, math.nan]])
    target = Spectra(flux, torch.tensor([[0.1, 1e-9, 1.0]]), flux.isfinite())
    prediction = torch.tensor([[1.2, 1.0 + ERROR_FLOOR, 5.0]])
    expected = [0.2**2 / 0.1**2 + 1, 0.2**2 + ERROR_FLOOR**2, 2]
    assert squared_deviation(prediction, target).sum(dim=0).tolist() == pytest.approx(expected, rel=1e-4)


def test_controls_are_what_they_say(sky):
    shift = sky.obs.flux.mean(dim=0) - sky.synth.flux.mean(dim=0)
    made = {"shift": (sky.val_synth.flux + shift, sky.val_obs.flux - shift)}
    controls = control_scores(sky.val_synth, sky.val_obs, made, sky.truth)
    difference, sigma = (sky.val_obs.flux - sky.val_synth.flux).double().numpy(), 0.006
    assert controls["gap_synth_obs"] == pytest.approx((difference**2).mean() / sigma**2, rel=1e-4)
    assert controls["gap_obs_synth"] == pytest.approx((difference**2).mean() / ERROR_FLOOR**2, rel=1e-4)
    left = difference - shift.double().numpy()
    assert controls["shift_synth_obs"] == pytest.approx((left**2).mean() / sigma**2, rel=1e-4)
    assert controls["shift_obs_synth"] == pytest.approx((left**2).mean() / ERROR_FLOOR**2, rel=1e-4)
    assert controls["floor_synth_obs"] == pytest.approx(1, abs=5 * math.sqrt(2 / difference.size))
    assert controls["floor_synth_obs"] < controls["shift_synth_obs"] < controls["gap_synth_obs"]
    assert "floor_synth_obs" not in control_scores(sky.val_synth, sky.val_obs, made, None)


def test_a_deviation_is_that_of_the_whole_set(matched):
    synth, obs = matched
    weighted, _, pixels = squared_deviation(synth.flux, obs).sum(dim=0)
    assert deviation(synth.flux, obs) == pytest.approx((weighted / pixels).item())


@pytest.mark.parametrize("side", ["synth", "obs"])
def test_garbage_in_pixels_that_either_masks_is_in_no_score_and_no_control(sky, side):
    stars = {"synth": sky.val_synth, "obs": sky.val_obs}
    mask = stars[side].mask.clone()
    mask[:, :5] = False
    masked = stars | {side: stars[side]._replace(mask=mask)}
    spoilt = masked | {side: masked[side]._replace(flux=stars[side].flux.masked_fill(~mask, 1e6))}

    def controls(synth, obs):
        return control_scores(synth, obs, {"shift": (synth.flux + 0.01, obs.flux - 0.01)}, sky.truth)

    clean = controls(**masked)
    assert controls(**spoilt) == clean
    inside = {name: Spectra(*(tensor[:, 5:] for tensor in one)) for name, one in stars.items()}
    expected = control_scores(
        *inside.values(),
        {"shift": (inside["synth"].flux + 0.01, inside["obs"].flux - 0.01)},
        sky.truth[:, 5:],
    )
    assert clean == pytest.approx(expected, rel=1e-9)


def test_a_translators_score_knows_nothing_of_pixels_that_synthetic_spectra_lack(matched):
    synth, obs = matched
    mask = torch.ones_like(synth.mask)
    mask[:, 8:] = False
    masked = scores_of(PixelByPixel(gap=0.03), synth._replace(mask=mask), obs)
    difference = (synth.flux + 0.03 - obs.flux).double() / obs.error.double().clamp_min(ERROR_FLOOR)
    assert masked["x_synth_obs"] == pytest.approx(difference[mask & obs.mask].square().mean().item(), rel=1e-6)

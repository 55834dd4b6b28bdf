"""cyclegan/trained/uncertainty.py: errors of translations are what they are."""

import pytest
import torch
from translators import make_translator, stir

from cyclegan.spectra.spectra import Spectra
from cyclegan.trained.translated import OBS_TO_SYNTH, SYNTH_TO_OBS
from cyclegan.trained.uncertainty import USUAL, Uncertainty, members_scatter, noise_of_input, unknown_split
from cyclegan.translator.translator import ensemble_of


@pytest.fixture(scope="module")
def one(sky):
    """Two translators as one, and coordinates of observed stars with their noise."""
    made = []
    for _ in range(2):
        translator, *_ = make_translator(sky)
        made.append(translator)
    stir(torch.nn.ModuleList(made))
    together = ensemble_of(made).turned({})
    seen = together.space_o.project(sky.val_obs.rows(slice(30)))
    return together.requires_grad_(False), seen


def scattered(stars, seed):
    """Scatter of members, in which pixels and stars differ, and deviations three times as large."""
    draws = torch.Generator().manual_seed(seed)
    star = 0.7 * torch.randn(stars, 1, generator=draws)
    true = 3e-3 * (torch.linspace(-1, 1, 60) + star).exp()
    scatter = true / 3 * (0.3 * torch.randn(stars, 60, generator=draws)).exp()
    return scatter, true * torch.randn(stars, 60, generator=draws)


def test_errors_are_right_in_every_decile_on_other_stars():
    scatter, deviation = scattered(600, seed=0)
    noise = torch.full_like(deviation, 5e-3)
    seen = deviation + noise * torch.randn(noise.shape, generator=torch.Generator().manual_seed(9))
    seen[:5] = torch.nan  # stars of which nothing is known
    found = Uncertainty.of(scatter, seen, noise)
    assert found.calibrated
    scatter, deviation = scattered(600, seed=1)
    error = found.of_networks(scatter)
    for some in error.flatten().argsort().chunk(10):
        pull = (deviation / error).flatten()[some]
        assert 0.9 < pull.std() < 1.1
        assert 0.64 < (pull.abs() < 1).float().mean() < 0.73


def test_without_matched_stars_errors_are_the_usual_ones_and_say_so():
    scatter, deviation = scattered(50, seed=0)
    found = Uncertainty.of(scatter, None, torch.zeros_like(deviation))
    assert not found.calibrated
    assert found.powers.tolist() == pytest.approx(list(USUAL))
    assert torch.equal(Uncertainty.from_plain(found.to_plain(), torch.device("cpu")).pixel, found.pixel)


def test_the_scatter_is_that_of_the_members_spectra(one):
    together, seen = one
    shared, split = together.encoder_o(seen.flux)
    each = together.generator_o.each(shared, split)
    expected = together.space_o.restore(each).std(dim=0)
    found = members_scatter(together, SYNTH_TO_OBS, shared, split)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)
    each = together.generator_s.each(shared, split[:, :0])
    found = members_scatter(together, OBS_TO_SYNTH, shared, split)
    torch.testing.assert_close(found, together.space_s.restore(each).std(dim=0), rtol=1e-3, atol=1e-6)


def test_noise_does_to_a_translation_what_draws_of_it_do(one):
    together, seen = one
    star = Spectra(seen.flux[:1], 0.01 * seen.error[:1], seen.mask[:1])  # little, as for a linearisation
    draws = torch.randn(4000, star.flux.shape[1], generator=torch.Generator().manual_seed(0))
    made = together.generate_synth(together.encoder_o(star.flux + draws * together.space_o.noise(star))[0])
    expected = together.space_s.restore(made).double().std(dim=0)
    torch.testing.assert_close(noise_of_input(together, star)[0].double(), expected, rtol=0.06, atol=1e-7)


def test_what_noise_does_is_the_same_in_the_mode_in_which_commands_work(one):
    together, seen = one
    expected = noise_of_input(together, seen)
    with torch.inference_mode():
        own = together.turned({})
        own.load_state_dict({name: tensor.clone() for name, tensor in together.state_dict().items()}, assign=True)
        assert all(tensor.is_inference() for tensor in own.state_dict().values())
        found = noise_of_input(own, Spectra(*(tensor.clone() for tensor in seen)))
    assert torch.equal(found, expected)


def test_an_unknown_split_latent_is_part_of_the_error(one):
    together, seen = one
    shared, split = together.encoder_o(seen.flux)
    sample = split[:10]

    def made(own):
        return together.space_o.restore(together.generator_o(shared[:1], own))

    usual = made(sample.mean(dim=0, keepdim=True))
    expected = torch.stack([made(own[None]) - usual for own in sample]).square().mean(dim=0).sqrt()
    torch.testing.assert_close(unknown_split(together, shared[:1], sample), expected, rtol=1e-3, atol=1e-6)

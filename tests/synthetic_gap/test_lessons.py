"""cyclegan/synthetic_gap/lessons.py: what StarNets are taught with, and which of them reads best."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from skies import make_sky

from cyclegan.spectra.spectra import Spectra, noise_of
from cyclegan.synthetic_gap.lessons import (
    OBSERVED,
    REMEDY,
    SYNTHETIC,
    TRANSLATED,
    Lesson,
    Teaching,
    compare_lessons,
    interpolate,
    make_lessons,
    shared_labels,
    stacked,
    teach,
    without_outliers,
)
from cyclegan.trained.domains import find_domains
from emulator.commands.errors import InputError


@pytest.mark.parametrize("noise", [False, True])
def test_labels_are_learnt(noise):
    """Spectra of a toy star are linear in its labels; masked pixels say nothing and hurt nothing."""
    random = torch.Generator().manual_seed(0)
    lines = 0.05 * torch.randn(3, 203, generator=random)
    labels = torch.rand(600, 3, generator=random) * torch.tensor([2000.0, 3.0, 1.0]) + torch.tensor([4000.0, 1.0, -1.0])
    scaled = (labels - labels.mean(dim=0)) / labels.std(dim=0)
    flux, error = 0.9 + scaled @ lines, torch.full((600, 203), 0.01)
    mask = torch.rand(flux.shape, generator=random) > 0.01
    flux[~mask] = torch.nan
    flux = flux + (0 if noise else error * torch.randn(flux.shape, generator=random))
    stars = Spectra(torch.where(mask, flux, 9.0), error, mask)
    how = Teaching(epochs=25, batch_size=32, learning_rate=2e-3, seed=1, accelerator="cpu")
    module = teach(Lesson(stars.rows(slice(500)), labels[:500], error if noise else None), how, "toy")
    off = (module.predict(stars.rows(slice(500, None))) - labels[500:]) / labels.std(dim=0)
    assert off.square().mean().sqrt() < 0.2  # of the labels' spread: 1 for a guess


def test_labels_are_those_of_the_subset_asked_for():
    values = torch.zeros(3)
    known = {"val": {"logg": values, "teff": values}, "test": {"logg": values}, "train": {"mass": values}}
    synth = SimpleNamespace(drawn_labels=lambda seed: {"teff": values, "fe_h": values, "logg": values})
    obs = SimpleNamespace(known_labels=known.get)
    assert shared_labels(synth, obs, "val") == ["teff", "logg"]
    assert shared_labels(synth, obs, "test") == ["logg"]
    with pytest.raises(InputError, match="got teff, fe_h, logg in synth and mass in obs"):
        shared_labels(synth, obs, "train")


def test_the_error_of_a_masked_pixel_is_no_noise():
    error = torch.tensor([[0.01, 1e10, 0.02]])
    stars = Spectra(torch.ones(1, 3), error, torch.tensor([[True, False, True]]))
    assert torch.equal(noise_of(stars), torch.tensor([[0.01, 0.0, 0.02]]))


def test_gaps_are_bridged_by_straight_lines():
    x = torch.arange(12.0)
    flux = torch.stack([2 * x + 1, 5 - x])
    mask = torch.ones_like(flux, dtype=torch.bool)
    mask[0, 3:6] = mask[0, 8] = False
    mask[1, :2] = mask[1, 10:] = False
    spoilt = torch.where(mask, flux, 100.0)
    found = interpolate(spoilt, mask)
    expected = flux.clone()
    expected[1, :2], expected[1, 10:] = flux[1, 2], flux[1, 9]  # beyond the last one that counts: as there
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(interpolate(flux, torch.ones_like(mask)), flux)


def test_what_no_star_looks_like_is_an_outlier():
    sky = make_sky(stars=50)
    flux = sky.obs.flux.clamp(sky.synth.flux.amin(dim=0), sky.synth.flux.amax(dim=0))
    spiked = flux.clone()
    spiked[:, 40] = 3.0
    found = without_outliers(sky.obs._replace(flux=spiked), sky.synth)
    assert found.mask.all()
    torch.testing.assert_close(found.flux[:, 40], (flux[:, 39] + flux[:, 41]) / 2)
    keep = np.r_[0:40, 41:203]
    torch.testing.assert_close(found.flux[:, keep], flux[:, keep])


def test_the_share_of_the_gap_that_is_closed():
    truth = torch.zeros(4, 1)
    one = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])
    rows = compare_lessons({SYNTHETIC: 5 * one, TRANSLATED: 2 * one, OBSERVED: one}, truth, ["teff"])
    assert [row["closed"] for row in rows] == [0.0, 0.75, 1.0]
    assert [row["rms"] for row in rows] == [5.0, 2.0, 1.0]
    assert rows[1]["bias"] == 0


def test_a_label_that_is_not_known_is_told():
    with pytest.raises(InputError, match="stars of 'val': expected labels teff, logg, got teff"):
        stacked({"teff": torch.zeros(3)}, ["teff", "logg"], "stars of 'val'")
    found = stacked({"teff": torch.ones(3), "logg": torch.zeros(3)}, ["logg", "teff"], "stars")
    assert torch.equal(found, torch.tensor([0.0, 1.0]).expand(3, -1))


def test_theory_and_its_translation_teach_the_same_stars(trained):
    synth, obs, _ = find_domains(trained, None, None)
    names = shared_labels(synth, obs, "val")
    lessons = make_lessons(synth, obs, trained, names, seed=4)
    assert set(lessons) == {SYNTHETIC, REMEDY, TRANSLATED, OBSERVED}
    theory, remedy, translated, real = (lessons[name] for name in (SYNTHETIC, REMEDY, TRANSLATED, OBSERVED))
    assert theory.noise is real.noise is None
    assert torch.equal(remedy.noise, noise_of(real.spectra))
    assert torch.equal(translated.noise, remedy.noise)
    for lesson in (remedy, translated):
        assert torch.equal(lesson.labels, theory.labels)
    split = trained.draw_split(len(theory.labels), 4)
    assert torch.equal(translated.spectra.flux, trained.synth_to_obs(theory.spectra.flux, split=split))
    assert not torch.equal(real.labels, theory.labels)  # no observed star is one of theory's

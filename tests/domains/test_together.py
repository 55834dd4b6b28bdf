"""cyclegan/domains/domains.py: two domains that cannot be trained on together are told at the door."""

import pytest
from skies import SkyDomain, toy_wavelength

from cyclegan.domains.domains import Domains, check_domains
from emulator.commands.errors import InputError


def check(synth, obs, fewest_synthetic=2, matched=True):
    check_domains(Domains(synth, obs, matched), fewest_synthetic)


def test_domains_that_fit_are_let_through(domains):
    check(*domains)


def test_different_pixel_counts_are_told_with_both(sky, domains):
    obs = SkyDomain(sky.obs, sky.val_obs, toy_wavelength()[:-2])
    with pytest.raises(InputError, match="expected as many pixels in both, got 203 in synth, 201 in obs"):
        check(domains[0], obs)


def test_different_wavelengths_are_told_with_both(sky, domains):
    moved = toy_wavelength()
    moved[70] += 0.1
    obs = SkyDomain(sky.obs, sky.val_obs, moved)
    here = f"{toy_wavelength()[70]:.3f} A in synth and {moved[70]:.3f} A in obs at pixel 70"
    with pytest.raises(InputError, match=f"expected the same wavelengths in both, got {here}"):
        check(domains[0], obs)


def test_different_numbers_of_matched_stars_are_told_with_both(sky, domains):
    obs = SkyDomain(sky.obs, sky.val_obs.rows(slice(50)))
    with pytest.raises(InputError, match="expected the same stars in 'val' of both, got 60 in synth, 50 in obs"):
        check(domains[0], obs)
    check(domains[0], obs, matched=False)


def test_too_few_stars_to_score_are_told(sky):
    few = [
        SkyDomain(side, matched.rows(slice(3)))
        for side, matched in ((sky.synth, sky.val_synth), (sky.obs, sky.val_obs))
    ]
    with pytest.raises(InputError, match="expected at least 4 stars in 'val', got 3"):
        check(*few)


@pytest.mark.parametrize(
    ("stars", "fewest", "told"),
    [
        ((1, 9), 2, "domains.synth: expected at least 2 spectra in 'train', got 1"),
        ((9, 1), 2, "domains.obs: expected at least 2 spectra in 'train', got 1"),
        ((7, 9), 8, "synth: expected at least 8 spectra in 'train', got 7"),
    ],
)
def test_too_few_stars_to_train_on_are_told(sky, stars, fewest, told):
    sides = (sky.synth, sky.val_synth), (sky.obs, sky.val_obs)
    few = [SkyDomain(side.rows(slice(count)), matched) for (side, matched), count in zip(sides, stars, strict=True)]
    with pytest.raises(InputError, match=told):
        check(*few, fewest)

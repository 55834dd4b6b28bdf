"""cyclegan/domains/domains.py: two domains that cannot be trained on together are told at the door."""

import logging
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from skies import SkyDomain, toy_wavelength

from cyclegan.domains.domains import Domains, check_domains, make_domains
from cyclegan.domains.survey import Survey
from cyclegan.training.schema import TrainConfig
from emulator.commands.config import config_folder, validate
from emulator.commands.errors import InputError


def check(synth, obs, fewest_synthetic=2):
    check_domains(Domains(synth, obs, matched=True), fewest_synthetic)


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


@pytest.fixture
def files(domain_files, tmp_path):
    """The sky as two files of one's own."""
    return [Path(shutil.copy(path, tmp_path)) for path in domain_files]


def of_files(files, matched=True):
    with initialize_config_dir(config_folder(), version_base="1.3"):
        paths = [f"domains.{name}.path={path}" for name, path in zip(("synth", "obs"), files, strict=True)]
        overrides = ["domains=files", *paths, "domains.skip_pixels=0", f"domains.matched={matched}"]
        config = validate(compose("train", overrides), TrainConfig)
    return make_domains(config.domains, None, Survey(), hidden={})


def rewrite(path, **datasets):
    """Put datasets `NAME val` into a file."""
    with h5py.File(path, "r+") as file:
        for name, values in datasets.items():
            if f"{name} val" in file:
                del file[f"{name} val"]
            file[f"{name} val"] = values


def rows_of_val(path, rows):
    with h5py.File(path) as file:
        return {name: file[f"{name} val"][()][rows] for name in ("spectra", "spectra_err")}


IDS = [f"star {i}" for i in range(60)]


def test_different_numbers_of_matched_stars_are_told_with_both(files):
    rewrite(files[1], **rows_of_val(files[1], slice(50)))
    with pytest.raises(InputError, match="expected the same stars in 'val' of both, got 60 in synth, 50 in obs"):
        of_files(files)
    assert of_files(files, matched=False).obs.count("val") == 50


def test_rows_of_the_same_ids_are_put_into_the_observed_order(files, caplog):
    """Two of sixty stay where they are; spectra, errors and labels move together, and a blind star goes from both."""
    whole, shuffled = of_files(files), np.r_[0, np.arange(58, 0, -1), 59]
    flux = rows_of_val(files[0], shuffled)
    flux["spectra_err"] = flux["spectra_err"] + 1e-4 * shuffled[:, None]
    with h5py.File(files[0], "r+") as file:
        file.attrs["label_names"] = ["teff"]
    rewrite(files[0], **flux, id=[IDS[row] for row in shuffled], labels=4000.0 + shuffled[:, None])
    rewrite(files[1], id=IDS)
    with h5py.File(files[1], "r+") as file:
        file["spectra val"][7] = np.nan
    with caplog.at_level(logging.INFO):
        synth, obs, matched = of_files(files)
    assert matched
    kept = torch.tensor([row for row in range(60) if row != 7])
    assert torch.equal(synth.matched("val").flux, whole.synth.matched("val").flux[kept])
    assert torch.equal(obs.matched("val").flux, whole.obs.matched("val").flux[kept])
    error = whole.synth.matched("val").error[kept, 0] + 1e-4 * kept
    torch.testing.assert_close(synth.matched("val").error[:, 0], error)
    assert synth.known_labels("val")["teff"].tolist() == [4000 + row for row in kept]
    assert torch.equal(synth.matched("test").flux, whole.synth.matched("test").flux)
    told = "domains: 'val': 60 stars are matched by id, 58 of them from another row of synth"
    assert [line for line in caplog.messages if "by id" in line] == [told]


def test_ids_of_other_stars_are_refused_with_their_number_and_the_first(files):
    rewrite(files[0], id=[*IDS[:57], "Sun", "Moon", "Mars"])
    rewrite(files[1], id=IDS)
    told = (
        r"domains: .* 'val' of both, got 57 of 63 ids in both, and no 'star 57' in synth \(or domains.matched=false\)"
    )
    with pytest.raises(InputError, match=told):
        of_files(files)
    assert not of_files(files, matched=False).matched


def test_a_star_that_one_file_lacks_is_named(files):
    rewrite(files[0], id=IDS)
    rewrite(files[1], id=IDS[1:], **rows_of_val(files[1], slice(1, None)))
    with pytest.raises(InputError, match="'val' of both, got 59 of 60 ids in both, and no 'star 0' in obs"):
        of_files(files)


def test_ids_that_name_two_rows_cannot_be_put_in_order(files):
    twice = [*IDS[:59], "star 4"]
    rewrite(files[0], id=IDS)
    rewrite(files[1], id=twice)
    with pytest.raises(InputError, match=r"expected each id once in 'val' of obs, got 'star 4' in 2 rows \(or"):
        of_files(files)
    rewrite(files[0], id=twice)  # row by row the same, as of visits: there is nothing to put in order
    assert of_files(files).matched


def test_ids_that_one_file_alone_has_say_nothing(files):
    rewrite(files[0], id=IDS[::-1])
    assert torch.equal(of_files(files).synth.matched("val").flux, of_files(files, False).synth.matched("val").flux)


def test_labels_of_other_stars_are_a_warning(files, caplog):
    random = np.random.default_rng(0)
    truth = random.uniform(4000, 5000, (60, 1))
    for path, offset in zip(files, (0, 150), strict=True):
        with h5py.File(path, "r+") as file:
            file.attrs["label_names"] = ["teff"]
        rewrite(path, labels=truth + random.normal(offset, 70, (60, 1)))
    assert of_files(files).matched
    assert "look like other stars" not in caplog.text
    rewrite(files[1], labels=truth[::-1] + 150)
    assert of_files(files).matched
    (line,) = (line for line in caplog.messages if "look like other stars" in line)
    assert line.startswith("domains: rows of 'val' look like other stars in synth and obs: expected the ranks of teff")
    assert line.endswith("(or domains.matched=false)")


def test_ids_are_read_alike_as_texts_bytes_and_numbers(files):
    numbers = np.arange(60) + 100
    rewrite(files[0], id=numbers[::-1])
    rewrite(files[1], id=numbers.astype("S"))
    whole = of_files(files, matched=False).synth.matched("val").flux
    assert torch.equal(of_files(files).synth.matched("val").flux, whole.flip(0))


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
        ((19, 20), 20, "domains.synth: expected at least 20 spectra in 'train', as fewer .*, got 19"),
        (
            (20, 19),
            20,
            "domains.obs: expected at least 20 spectra in 'train', as .* by a mean shift, got 19",
        ),
        ((79, 20), 80, "domains.synth: expected at least 80 spectra in 'train', as .*, got 79"),
    ],
)
def test_too_few_stars_to_train_on_are_told(sky, stars, fewest, told):
    sides = (sky.synth, sky.val_synth), (sky.obs, sky.val_obs)
    few = [SkyDomain(side.rows(slice(count)), matched) for (side, matched), count in zip(sides, stars, strict=True)]
    with pytest.raises(InputError, match=told):
        check(*few, fewest)

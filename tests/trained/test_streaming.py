"""cyclegan/trained/streaming.py: a file comes out as the translator makes each star of it, whatever its size."""

import math

import h5py
import numpy as np
import pytest
import torch
from transfers import contents, run_transfer

from cyclegan.spectra.files import SpectraFile
from cyclegan.trained.familiarity import Familiarity, features


@pytest.fixture
def spoilt_file(synth_file, tmp_path):
    """Masked pixels of three kinds in some stars, one star without any usable one, and two subsets more."""
    path = tmp_path / "spoilt.h5"
    path.write_bytes(synth_file.read_bytes())
    with h5py.File(path, "r+") as file:
        file["mask test"][2, 20:30] = False
        file["spectra test"][3, 40:50] = math.nan
        file["spectra_err test"][4, 60:70] = 0.3
        file["spectra_err test"][5] = math.inf
        for name in ("spectra", "spectra_err"):
            file[f"{name} train"] = file[f"{name} test"][:7]
            file[f"{name} val"] = file[f"{name} test"][:0]
    return path


@pytest.mark.parametrize("direction", ["synth_to_obs", "obs_to_synth"])
def test_a_file_holds_what_the_translator_gives(direction, payne2payne_run, trained, synth_file, tmp_path, forty_stars):
    output = tmp_path / "out.h5"
    run_transfer(checkpoint=payne2payne_run, input=synth_file, output=output, direction=direction)
    found, given, t = contents(output), contents(synth_file), trained.translator
    if direction == "synth_to_obs":
        shared = t.encode_synth(t.space_s.project(forty_stars).flux)
        split = trained.split_sample.mean(dim=0).expand(40, -1)
        flux = t.synth_to_obs(forty_stars, split)
    else:
        shared, split = t.encoder_o(t.space_o.project(forty_stars).flux)
        flux = t.obs_to_synth(forty_stars)
    assert np.array_equal(found.pop("spectra test"), flux)
    assert np.array_equal(found.pop("latent_shared test"), shared)
    assert np.array_equal(found.pop("latent_split test"), split)
    distance = found.pop("distance test")
    assert np.array_equal(found.pop("counterpart test"), distance <= 1)
    familiar = Familiarity.from_record(trained.record, direction[: direction.index("_")], trained.device)
    space = t.space_s if direction == "synth_to_obs" else t.space_o
    expected = familiar.distance(features(t, direction[: direction.index("_")], space.project(forty_stars)))
    np.testing.assert_allclose(distance, expected, rtol=1e-5)
    given.pop("spectra test")
    assert found.keys() == given.keys() == {"wavelength", "spectra_err test", "mask test", "labels test", "id test"}
    assert all(np.array_equal(found[name], given[name]) for name in found)
    with SpectraFile(output) as file:
        assert file.label_names == ("teff", "snr")
        assert file.identities("test")[7] == "star 7"
        assert dict(file.file.attrs)["direction"] == direction
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.h5"]


def test_masks_are_passed_on_and_masked_pixels_have_no_pull(
    spoilt_file, payne2payne_run, trained, forty_stars, tmp_path
):
    run_transfer(checkpoint=payne2payne_run, input=spoilt_file, output=tmp_path / "out.h5")
    found = contents(tmp_path / "out.h5")
    mask = torch.ones(40, forty_stars.flux.shape[1], dtype=torch.bool)
    mask[2, 20:30] = mask[3, 40:50] = mask[4, 60:70] = mask[5] = False
    assert np.array_equal(found["mask test"], mask)
    mask_train = mask[:7].clone()
    mask_train[2] = True
    assert np.array_equal(found["mask train"], mask_train)
    split = trained.split_sample.mean(dim=0).expand(40, -1)
    expected = trained.translator.synth_to_obs(forty_stars._replace(mask=mask), split).numpy()
    seen = np.arange(40) != 5
    assert np.array_equal(found["spectra test"][seen], expected[seen])
    assert np.isnan(found["spectra test"][5]).all()
    assert np.isnan(found["latent_shared test"][5]).all()
    assert np.array_equal(np.isnan(found["distance test"]), ~seen)
    assert not found["counterpart test"][5]
    assert not any(name.endswith(" val") for name in found)
    with SpectraFile(tmp_path / "out.h5") as file:
        assert np.array_equal(file.read("test").mask, mask)


def test_results_do_not_depend_on_the_batches(spoilt_file, payne2payne_run, tmp_path):
    found = {}
    for size in (1, 7, 256):
        run_transfer(checkpoint=payne2payne_run, input=spoilt_file, output=tmp_path / "out.h5", batch_size=size)
        found[size] = contents(tmp_path / "out.h5")
    for size in (1, 7):
        assert found[size].keys() == found[256].keys()
        for name, values in found[256].items():
            if values.dtype.kind == "f":
                # Distances have no unit in which all are of order 1.
                rtol = 1e-4 if name.startswith("distance") else 2e-6  # sixteen roundings
                np.testing.assert_allclose(found[size][name], values, rtol=rtol, atol=5e-6, err_msg=name)
            else:
                assert np.array_equal(found[size][name], values)

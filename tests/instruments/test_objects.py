"""cyclegan/instruments/objects.py: specutils' Spectrum to the layout of files."""

import warnings

import h5py
import numpy as np
import pytest
from apogee_stars import converted, of_all_subsets, star
from astropy import units
from astropy.nddata import InverseVariance, StdDevUncertainty
from sdss5_files import write_mwm
from specutils import Spectrum, SpectrumList

from cyclegan.instruments.objects import convert_objects
from cyclegan.spectra.files import SpectraFile
from emulator.apogee import APOGEE
from emulator.commands.errors import InputError

FLUX_UNIT = units.Unit("1e-17 erg / (s cm2 Angstrom)")
ALL = {"val": 0, "test": 0}


def made(seed, **given):
    flux, error, _ = star(seed)
    given = {"mask": error > 1e9, "uncertainty": StdDevUncertainty(error), "meta": {"obj": f"2M{seed}"}} | given
    return Spectrum(flux=flux * FLUX_UNIT, spectral_axis=APOGEE.wavelength * units.AA, **given)


def test_what_specutils_read_becomes_what_the_files_become(tmp_path):
    paths = []
    for seed in range(2):
        flux, error, bits = star(seed)
        paths.append(write_mwm(tmp_path / f"{seed}.fits", {"APOGEE/APO": (flux, 1 / error**2, bits)}, name=f"2M{seed}"))
    converted(*paths, tmp_path / "files.h5", "--val", 0, "--test", 0, "--pixels", 8575)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spectra = [SpectrumList.read(path, format="SDSS-V mwm")[0] for path in paths]
    report = convert_objects(spectra, tmp_path / "objects.h5", like=tmp_path / "files.h5", **ALL)
    assert report.stars["train"] == {"2M0", "2M1"}
    mask = of_all_subsets(tmp_path / "files.h5", "mask")
    assert mask.mean() > 0.8
    np.testing.assert_array_equal(of_all_subsets(tmp_path / "objects.h5", "mask"), mask)
    for name in ("spectra", "spectra_err"):
        own, expected = (of_all_subsets(tmp_path / f"{which}.h5", name) for which in ("objects", "files"))
        np.testing.assert_allclose(own[mask], expected[mask], rtol=1e-4)


def test_a_list_on_other_axes_is_put_on_one_grid_at_rest(tmp_path):
    flux, error, _ = star(1)
    moving = APOGEE.wavelength * (1 + 1e-3) * units.AA
    uncertainty = InverseVariance(1 / error**2)
    other = Spectrum(flux=flux[::-1] * FLUX_UNIT, spectral_axis=moving[::-1], redshift=1e-3)
    other.uncertainty = InverseVariance(uncertainty.array[::-1])
    convert_objects([made(1), other], tmp_path / "o.h5", ["a", "b"], degree=1, **ALL)
    with SpectraFile(tmp_path / "o.h5") as file:
        spectra = file.read("train")
        np.testing.assert_allclose(file.wavelength, APOGEE.wavelength, rtol=1e-12)
    both = spectra.mask.all(dim=0)
    assert both.double().mean() > 0.8
    np.testing.assert_allclose(*spectra.flux[:, both], atol=2e-3)


def test_names_labels_and_several_stars_in_one(tmp_path):
    flux = np.stack([star(seed)[0] for seed in range(3)])
    cube = Spectrum(flux=flux * FLUX_UNIT, spectral_axis=APOGEE.wavelength * units.AA, meta={"header": {"NAME": "M67"}})
    labels = {"teff": [4000, 5000, 6000, np.nan], "logg": [1, 2, 3, 4]}
    single = Spectrum(flux=flux[0] * FLUX_UNIT, spectral_axis=APOGEE.wavelength * units.AA)
    report = convert_objects([cube, single], tmp_path / "o.h5", labels=labels, **ALL)
    assert not report.errors
    with h5py.File(tmp_path / "o.h5") as file:
        assert list(file["id train"].asstr()) == ["M67", "M67", "M67", "3"]
        assert "spectra_err train" not in file
        assert list(file.attrs["label_names"]) == ["teff", "logg"]
        np.testing.assert_array_equal(file["labels train"][()].T, list(labels.values()))
    convert_objects(made(5), tmp_path / "p.h5", wavelength=APOGEE.cut("7514"), **ALL)
    assert of_all_subsets(tmp_path / "p.h5", "spectra").shape == (1, 7514)


@pytest.mark.parametrize(
    ("spectra", "given", "words"),
    [
        ([], {}, "expected a Spectrum of specutils or a list of them"),
        ([np.ones(5)], {}, "expected a Spectrum of specutils or a list of them"),
        ([made(1), made(2, uncertainty=None)], {}, "expected uncertainties in all of them or in none"),
        ([made(1)], {"names": ["a", "b"]}, "names: expected one for each of 1 stars, got 2"),
        ([made(1)], {"labels": {"teff": []}}, r"labels\['teff'\]: expected one for each of 1 stars, got 0"),
        ([made(1)], {"names": ["\a"]}, r"names of spectra\[0\]: expected a star's name"),
        ([made(1, mask=np.ones(8575, bool))], {}, r"spectra\[0\]: expected usable pixels"),
        ([made(1)], {"wavelength": np.arange(5000.0, 5100)}, r"spectra\[0\]: "),
        ([made(1)], {"wavelength": APOGEE.wavelength[::-1]}, "wavelength: expected positive, ascending wavelengths"),
        ([made(1)], {"wavelength": APOGEE.wavelength[:1]}, "wavelength: expected a list of wavelengths"),
        ([made(1)], {"wavelength": APOGEE.wavelength, "like": "o.h5"}, "like: expected no wavelength beside it"),
        ([made(1)], {"labels": {"teff": ["hot"]}}, r"labels: expected numbers, got others \(could not convert"),
        ([made(1)], {"degree": -1}, "--degree: expected 0 or more, got -1"),
        ([made(1)], {"val": 2}, "--val, --test: expected shares that leave some to train, got 2, 0"),
        ([made(1)], {"val": 0.1}, "expected a star for each subset"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_written(tmp_path, spectra, given, words):
    with pytest.raises(InputError, match=words):
        convert_objects(spectra, tmp_path / "o.h5", **{**ALL, **given})
    assert not (tmp_path / "o.h5").exists()

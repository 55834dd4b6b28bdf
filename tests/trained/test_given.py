"""cyclegan/trained/given.py: Spectra of specutils go through a model as arrays do, and come back as such objects."""

import astropy.units as u
import numpy as np
import pytest
import torch
from astropy.nddata import InverseVariance, StdDevUncertainty, VarianceUncertainty
from faults.good_inputs import write_run
from specutils import Spectrum, SpectrumList

from cyclegan.spectra.resampling import pixel_edges
from cyclegan.trained.loading import load
from emulator.commands.errors import InputError
from emulator.wavelength import vacuum_to_air


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    write_run(folder)
    return load(folder / "last.ckpt", "cpu")


@pytest.fixture(scope="module")
def stars(trained, sky):
    """Flux, error and mask (5, P) of observed stars, with bad pixels of each kind."""
    flux, error, mask = (tensor[:5].numpy().copy() for tensor in sky.val_obs)
    flux[0, 3], flux[1, 5], error[2, 7], error[3, 9], error[4, 11] = np.nan, np.inf, np.nan, 0.0, 0.06
    mask[0, 20:30] = False
    return flux, error, mask


def test_numbers_with_a_unit_are_put_into_their_own_or_refused_by_name(trained, stars):
    flux, error, mask = stars
    expected = trained.obs_to_synth(flux, error, mask)
    found = trained.obs_to_synth(100 * flux * u.percent, 1000 * error * u.Unit(1e-3), mask)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    with pytest.raises(InputError, match=r"flux: expected numbers without a unit, got some in 'Jy' \("):
        trained.obs_to_synth(flux * u.Jy)
    with pytest.raises(InputError, match="error: expected numbers without a unit, got some in 'Jy'"):
        trained.obs_to_synth(flux, error * u.Jy)
    labels = dict(zip(trained.label_names, trained.forward_model.emulator.label_low.tolist(), strict=True))
    plain = trained.synthesize(labels | {"teff": [6000.0, 6100.0]})
    assert np.array_equal(trained.synthesize(labels | {"teff": [6.0, 6.1] * u.kK}), plain)
    with pytest.raises(InputError, match="teff: expected numbers in K, got some in 'eV'"):
        trained.synthesize(labels | {"teff": 0.4 * u.eV})


def spectrum_of(model, flux, error=None, mask=None, unit=u.one, **changes):
    return Spectrum(
        **{"flux": flux * unit, "spectral_axis": model.wavelength.numpy() * u.AA}
        | {"uncertainty": None if error is None else StdDevUncertainty(error), "mask": None if mask is None else ~mask}
        | changes
    )


def test_a_spectrum_is_translated_as_its_arrays_are(trained, stars):
    flux, error, mask = stars
    counts = np.isfinite(flux) & mask & (error > 0) & (error <= 0.05)
    given = spectrum_of(trained, *stars, meta={"star": "sun"})
    for found, expected in (
        (trained.obs_to_synth(given), trained.obs_to_synth(*stars)),
        (trained.synth_to_obs(given), trained.synth_to_obs(*stars)),
    ):
        assert isinstance(found, Spectrum)
        assert found.flux.unit == u.one
        assert found.meta == {"star": "sun"}
        np.testing.assert_array_equal(found.flux.value, expected)
        np.testing.assert_array_equal(found.spectral_axis.to_value("Angstrom"), trained.wavelength.numpy())
        np.testing.assert_array_equal(found.mask, ~counts)
        np.testing.assert_array_equal(found.uncertainty.array[counts], error[counts])
    for found, expected in zip(trained.encode_obs(given), trained.encode_obs(*stars), strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(trained.encode_synth(given), trained.encode_synth(*stars))
    assert given.meta == {"star": "sun"}
    np.testing.assert_array_equal(given.flux.value, flux)


def test_shapes_and_lists_stay_as_they_are(trained, stars):
    expected = trained.obs_to_synth(*stars)
    one = trained.obs_to_synth(spectrum_of(trained, *(array[1] for array in stars)))
    assert one.flux.shape == one.mask.shape == one.uncertainty.array.shape == (len(trained.wavelength),)
    np.testing.assert_array_equal(one.flux.value, trained.obs_to_synth(*(array[1:2] for array in stars))[0])
    parts = [spectrum_of(trained, *(a[r] for a in stars), meta={"r": str(r)}) for r in (0, slice(1, 4), 4)]
    for kind in (list, tuple, SpectrumList):
        found = trained.obs_to_synth(kind(parts))
        assert type(found) is kind
        assert [part.meta for part in found] == [part.meta for part in parts]
        assert [part.flux.shape for part in found] == [part.flux.shape for part in parts]
        np.testing.assert_array_equal(np.vstack([part.flux.value for part in found]), expected)
    columns = spectrum_of(trained, *(array.T for array in stars), spectral_axis_index=0)
    np.testing.assert_array_equal(trained.obs_to_synth(columns).flux.value, expected.T)
    four = [array[:4] for array in stars]
    square = trained.obs_to_synth(spectrum_of(trained, *(a.reshape(2, 2, -1) for a in four), spectral_axis_index=2))
    np.testing.assert_array_equal(square.flux.value, trained.obs_to_synth(*four).reshape(2, 2, -1))


@pytest.mark.parametrize("unit", ["nm", "micron", "m", "GHz", "Hz", "eV", "1/cm"])
def test_units_of_the_axis_make_no_difference(trained, stars, unit):
    expected = trained.obs_to_synth(*stars)
    axis = (trained.wavelength.numpy() * u.AA).to(unit, u.spectral())
    found = trained.obs_to_synth(spectrum_of(trained, *stars, spectral_axis=axis))
    np.testing.assert_array_equal(found.flux.value, expected)
    assert found.spectral_axis.unit == u.AA


def test_uncertainties_of_every_kind_and_flux_in_percent(trained, stars):
    expected = trained.obs_to_synth(*stars)
    flux, error, mask = (array.astype(float) for array in stars)
    with np.errstate(divide="ignore"):
        kinds = (VarianceUncertainty(error**2), InverseVariance(error**-2), StdDevUncertainty(error * 100, unit="%"))
    for uncertainty in kinds:
        found = trained.obs_to_synth(spectrum_of(trained, flux, None, mask > 0, uncertainty=uncertainty))
        np.testing.assert_array_equal(found.flux.value, expected)
        usable = ~found.mask
        np.testing.assert_allclose(found.uncertainty.array[usable], error[usable], rtol=1e-6)
    percent = spectrum_of(trained, flux * 100, None, mask > 0, u.percent, uncertainty=kinds[2])
    np.testing.assert_allclose(trained.obs_to_synth(percent).flux.value, expected, rtol=1e-5)
    bare = trained.obs_to_synth(spectrum_of(trained, flux))
    assert bare.uncertainty is None
    np.testing.assert_array_equal(bare.flux.value, trained.obs_to_synth(flux))


def test_air_and_velocities_are_undone(trained, stars):
    wavelength, expected = trained.wavelength.numpy(), trained.obs_to_synth(*stars)
    for velocity in (None, -300.0, 87.0):
        # Far from rest it was observed, and through air.
        moved = {} if velocity is None else {"radial_velocity": velocity * u.km / u.s}
        factor = np.sqrt((1 + (velocity or 0.0) / 299792.458) / (1 - (velocity or 0.0) / 299792.458))
        vacuum = spectrum_of(trained, *stars, spectral_axis=wavelength * factor * u.AA, **moved)
        np.testing.assert_array_equal(trained.obs_to_synth(vacuum).flux.value, expected)
        axis = vacuum_to_air(wavelength * factor) * u.AA
        air = spectrum_of(trained, *stars, spectral_axis=axis, **moved)
        found = trained.obs_to_synth(air, medium="air")
        np.testing.assert_array_equal(found.flux.value, expected)
        assert float(found.radial_velocity.to_value("km/s")) == 0
        assert not np.array_equal(trained.obs_to_synth(air).flux.value, expected)
    redshift = spectrum_of(trained, *stars, spectral_axis=wavelength * 1.01 * u.AA, redshift=0.01)
    np.testing.assert_array_equal(trained.obs_to_synth(redshift).flux.value, expected)


def test_a_header_that_says_air_is_believed(trained):
    from astropy.wcs import WCS

    low, high = vacuum_to_air(trained.wavelength.numpy()[[0, -1]])
    pixels, flux = 400, 0.9 + 0.1 * np.random.default_rng(0).random(400)
    found = {}
    for kind in ("WAVE", "AWAV"):
        step = (high - low) / (pixels - 1)
        header = {"CTYPE1": kind, "CRVAL1": low, "CDELT1": step, "CRPIX1": 1, "CUNIT1": "Angstrom", "NAXIS1": pixels}
        spectrum = Spectrum(flux=flux * u.one, wcs=WCS(header))
        found[kind] = [trained.obs_to_synth(spectrum, medium=medium).flux.value for medium in (None, "vacuum", "air")]
    np.testing.assert_array_equal(found["WAVE"][0], found["WAVE"][1])
    np.testing.assert_array_equal(found["AWAV"][0], found["AWAV"][2])
    assert not np.array_equal(found["AWAV"][0], found["AWAV"][1])


def test_another_grid_is_resampled_and_what_it_does_not_cover_is_masked(trained, stars):
    wavelength = trained.wavelength.numpy()
    part = slice(40, 150)
    flux, error, mask = (array[:, part] for array in stars)
    found = trained.obs_to_synth(spectrum_of(trained, flux, error, mask, spectral_axis=wavelength[part] * u.AA))
    assert found.mask[:, :40].all()
    assert found.mask[:, 150:].all()
    inside = (np.arange(len(wavelength)) >= 40) & (np.arange(len(wavelength)) < 150)
    np.testing.assert_array_equal(found.flux.value, trained.obs_to_synth(stars[0], stars[1], stars[2] & inside))
    # Each pixel in three: the flux of a pixel is the mean of its thirds, whose errors are sqrt(3) times larger.
    blue, red = pixel_edges(wavelength)
    thirds = (blue[:, None] + (red - blue)[:, None] * np.array([1, 3, 5]) / 6).ravel()
    usable = np.isfinite(stars[0]) & (stars[1] > 0) & (stars[1] < 0.028) & stars[2]
    arrays = [np.repeat(array, 3, axis=1) for array in (stars[0], stars[1] * 3**0.5, usable)]
    finer = trained.obs_to_synth(spectrum_of(trained, *arrays, spectral_axis=thirds * u.AA))
    np.testing.assert_allclose(finer.flux.value, trained.obs_to_synth(stars[0], mask=usable), atol=2e-3)
    both = ~finer.mask & usable
    assert both.mean() > 0.9
    np.testing.assert_allclose(finer.uncertainty.array[both], stars[1][both], rtol=0.05)


def test_an_ensemble_says_how_wrong_each_pixel_may_be(ensemble, stars):
    given = spectrum_of(ensemble, *stars)
    for name, translate in (("synth_to_obs", ensemble.synth_to_obs), ("obs_to_synth", ensemble.obs_to_synth)):
        found, expected = translate(given), ensemble.uncertainty(name, *stars)
        assert isinstance(expected, np.ndarray)
        np.testing.assert_array_equal(found.uncertainty.array, expected)
        np.testing.assert_array_equal(ensemble.uncertainty(name, given), expected)
        assert np.isfinite(expected).all()
        bare = translate(spectrum_of(ensemble, stars[0])).uncertainty.array
        np.testing.assert_array_equal(bare, ensemble.uncertainty(name, stars[0]))


def test_a_star_without_a_usable_pixel_is_nan_and_masked(trained, stars):
    flux, error, mask = (array.copy() for array in stars)
    mask[2] = False
    found = trained.obs_to_synth(spectrum_of(trained, flux, error, mask))
    assert np.isnan(found.flux.value[2]).all()
    assert found.mask[2].all()
    assert np.isfinite(found.flux.value[[0, 1, 3, 4]]).all()


def test_what_cannot_be_used_is_refused_in_a_line(trained, stars):
    flux, error, mask = stars
    good = spectrum_of(trained, flux)
    for make, words in (
        (lambda: spectrum_of(trained, flux, unit=u.Jy), "flux: expected flux without a unit, divided by.* got Jy"),
        (lambda: spectrum_of(trained, flux, unit=u.ct), "flux: expected flux without a unit.*got ct"),
        (lambda: [good, spectrum_of(trained, flux, unit=u.Jy)], r"flux\[1\]: expected flux without a unit"),
        (lambda: Spectrum(flux=flux[0] * u.one), "flux: expected one axis of wavelengths.*got pix"),
        (
            lambda: spectrum_of(trained, flux, spectral_axis=np.arange(203.0) * u.AA),
            "at least two positive wavelengths",
        ),
        (lambda: spectrum_of(trained, flux, spectral_axis=np.linspace(4e3, 5e3, 203) * u.AA), "flux: .* cover some of"),
        (lambda: [good, flux], "flux: expected an array of numbers"),
        (lambda: spectrum_of(trained, flux * 1e4), "flux: expected flux normalised to a continuum of 1, got a median"),
        (lambda: [good, spectrum_of(trained, flux * 1e4, error * 1e4)], r"flux\[1\]: .* normalised to a continuum"),
        (
            lambda: spectrum_of(trained, flux, radial_velocity=np.arange(5.0) * u.km / u.s),
            r"flux: expected one redshift or radial_velocity for all its stars, got \[0\.",
        ),
        (lambda: spectrum_of(trained, flux, redshift=np.nan), "flux: expected a redshift above -1, got nan"),
    ):
        with pytest.raises(InputError, match=words):
            trained.obs_to_synth(make())
    for call, words in (
        (lambda: trained.obs_to_synth(good, error), "error: expected none beside a Spectrum"),
        (lambda: trained.obs_to_synth(good, mask=mask), "mask: expected none beside a Spectrum"),
        (lambda: trained.obs_to_synth(good, medium="water"), "medium: expected vacuum or air, got water"),
        (lambda: trained.obs_to_synth(flux, medium="air"), "medium: expected none beside arrays"),
        (
            lambda: trained.obs_to_synth(flux, mask=np.where(mask, 0, 4096)),
            "mask: expected True or 1 where a pixel is usable, False or 0 where not, got 4096: of a bit mask",
        ),
        (lambda: trained.obs_to_synth(flux * 1e4), "flux: expected flux normalised to a continuum of 1, got a median"),
        (lambda: trained.obs_to_synth(flux * 1e4, error * 1e4), "flux: expected flux normalised to a continuum of 1"),
    ):
        with pytest.raises(InputError, match=words):
            call()


def test_masks_of_numbers_and_noise_as_large_as_the_flux_are_no_fault(trained, stars):
    flux, error, mask = stars
    np.testing.assert_array_equal(trained.obs_to_synth(flux, error, mask.astype(float)), trained.obs_to_synth(*stars))
    assert np.isnan(trained.obs_to_synth(flux * 1e4, np.full_like(error, 1e4))).all()


def test_tensors_stay_tensors_where_they_lie(trained, stars):
    flux = torch.from_numpy(stars[0])
    found = trained.obs_to_synth(flux, stars[1], stars[2])
    assert isinstance(found, torch.Tensor)
    np.testing.assert_array_equal(found.numpy(), trained.obs_to_synth(*stars))

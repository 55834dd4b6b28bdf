"""cyclegan/instruments/atlas.py: a line of known width at a lower resolution, gaps, velocities, and what files say."""

import numpy as np
import pytest
from apstar import overwrite_card
from astropy.io import fits

from cyclegan.instruments.atlas import Atlas, read_atlas
from emulator.commands.errors import InputError
from emulator.wavelength import LIGHT_SPEED, vacuum_to_air

X = np.exp(np.log(15100.0) + np.arange(0, 2000, 0.5) / LIGHT_SPEED)  # steps of 0.5 km/s
SURVEY = np.exp(np.log(15110.0) + np.arange(350) * 4.14 / LIGHT_SPEED)
CENTRE = X[2000]


def line(wavelength, sigma=3.0, depth=0.4, centre=CENTRE):
    velocity = LIGHT_SPEED * np.log(wavelength / centre)
    return 1 - depth * np.exp(-0.5 * (velocity / sigma) ** 2)


def atlas(keep=slice(None)):
    return Atlas(X[keep], line(X[keep]), np.ones(len(X[keep])), "an atlas")


def test_a_line_becomes_wider_in_quadrature_and_keeps_its_area():
    flux, covered = atlas().smoothed(22500).on(SURVEY)
    assert covered.all()
    sigma = (9 + (LIGHT_SPEED / 22500 / 2.35482) ** 2) ** 0.5
    np.testing.assert_allclose(flux, line(SURVEY, sigma, 0.4 * 3 / sigma), atol=2e-4)


def test_what_is_near_a_gap_or_beyond_an_end_is_not_covered():
    keep = np.r_[0:1500, 1700:4000]
    smoothed = atlas(keep).smoothed(22500)
    there = np.array([15050.0, X[100], X[1480], X[1600], X[1720], X[2000], 15300.0])
    assert smoothed.on(there)[1].tolist() == [False, True, False, False, False, True, False]
    gap = f"{X[0]:.1f} to {X[1499]:.1f}, {X[1700]:.1f} to {X[-1]:.1f}"
    assert atlas(keep).ranges() == gap
    with pytest.raises(InputError, match=rf"some of 16000.0 to 16010.0 A, got one of {gap} A"):
        atlas(keep).check_overlap(np.linspace(16000, 16010, 30))


@pytest.mark.parametrize("velocity", [-87.3, 0.0, 4.6])
def test_a_velocity_is_found_and_taken_out(velocity):
    moved = atlas()._replace(wavelength=X * (1 + velocity / LIGHT_SPEED)).smoothed(22500)
    template = atlas().smoothed(22500).on(SURVEY)[0]
    found = moved.velocity(SURVEY, template)
    assert found == pytest.approx(velocity, abs=0.05)
    flux, covered = moved.on(SURVEY, found)
    np.testing.assert_allclose(flux[covered], template[covered], atol=1e-3)


def test_an_atlas_that_is_no_sharper_than_the_survey_is_refused():
    with pytest.raises(InputError, match=r"pixels of at most 6.66 km/s for a resolution of 22500, got 10 km/s"):
        atlas(slice(None, None, 20)).smoothed(22500)


def test_stars_of_an_npz_file_go_by_their_names(tmp_path):
    path = tmp_path / "atlas.npz"
    np.savez(path, sun_wavelength=X[::-1], sun_flux=line(X)[::-1], other_wavelength=X, other_flux=X)
    found = read_atlas(path, "sun")
    np.testing.assert_array_equal(found.wavelength, X)
    np.testing.assert_array_equal(found.flux, line(X))
    assert found.origin == f"{path}, sun"
    for star in (None, "moon"):
        with pytest.raises(InputError, match=rf"one of sun, other, got {star or 'none'}"):
            read_atlas(path, star)
    flux = np.where(np.arange(len(X)) < 10, np.nan, 1.0)
    np.savez(path, wavelength=vacuum_to_air(X), flux=flux, medium="air")
    np.testing.assert_allclose(read_atlas(path).wavelength, X[10:], rtol=1e-10)


@pytest.mark.parametrize("kind", ["table", "nanometres", "image", "logarithmic", "air"])
def test_fits_files_say_their_wavelengths_in_many_ways(tmp_path, kind):
    path, wavelength = tmp_path / "atlas.fits", np.linspace(15100, 15120, 201)
    if kind in ("table", "nanometres"):
        factor, unit = (0.1, "nm") if kind == "nanometres" else (1, "Angstrom")
        columns = [
            fits.Column("WAVE", "D", unit=unit, array=factor * wavelength),
            fits.Column("Flux", "D", array=line(wavelength)),
        ]
        hdus = [fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]
    else:
        if kind == "logarithmic":
            wavelength = 10 ** (4.179 + 6e-6 * np.arange(201))
        image = fits.PrimaryHDU(line(wavelength))
        values = np.log10(wavelength) if kind == "logarithmic" else wavelength
        image.header.update(CRVAL1=values[1], CDELT1=values[1] - values[0], CRPIX1=2)
        if kind == "air":
            image.header["CTYPE1"] = "AWAV"
        hdus = [image]
    fits.HDUList(hdus).writeto(path)
    found = read_atlas(path)
    expected = wavelength if kind != "air" else None
    read = found.wavelength if kind != "air" else vacuum_to_air(found.wavelength)
    np.testing.assert_allclose(read, wavelength if expected is None else expected, rtol=1e-9)
    np.testing.assert_allclose(found.flux, line(wavelength), rtol=1e-7)


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        ({"flux": X}, "expected arrays wavelength and flux, got flux"),
        ({"wavelength": X, "flux": X[1:]}, "as many fluxes as wavelengths"),
        ({"wavelength": X, "flux": X * np.nan}, "got 0 pixels"),
        ({"wavelength": X, "flux": np.array(["a"] * len(X))}, "got a damaged or other one"),
        ({"wavelength": X, "flux": X, "medium": "water"}, "medium of vacuum or air, got water"),
        ({"wavelength": np.array([{}], dtype=object), "flux": X}, "got a damaged or other one"),
        ({"wavelength": X * 1e9, "flux": X}, r"of 100 to 1e\+07 Angstrom, got 1.51e\+13"),
        ({"wavelength": X / 10, "flux": X, "medium": "air"}, r"of 2000 to 1e\+07 Angstrom, got 1510"),
        (None, "expected an atlas, found no such file"),
        ("text", "got a damaged or other one"),
    ],
)
def test_what_is_no_atlas_is_told(tmp_path, contents, words):
    path = tmp_path / "atlas.npz"
    if isinstance(contents, dict):
        np.savez(path, **contents)
    elif contents:
        path.write_text(contents)
    with pytest.raises(InputError, match=words):
        read_atlas(path)


def test_fits_files_without_a_spectrum_or_with_no_stars_to_choose_from_are_told(tmp_path):
    path = tmp_path / "atlas.fits"
    fits.PrimaryHDU(np.ones(9)).writeto(path)
    with pytest.raises(InputError, match="an image whose header has CRVAL1, got none"):
        read_atlas(path)
    with pytest.raises(InputError, match=r"an .npz file of several stars to take sun from"):
        read_atlas(path, "sun")
    path.write_text("no FITS")
    with pytest.raises(InputError, match="got a damaged or other one"):
        read_atlas(path)


def test_files_that_claim_more_than_they_hold_are_told(tmp_path):
    path = tmp_path / "atlas.fits"
    image = fits.PrimaryHDU(np.ones(9))
    image.header.update(CRVAL1=15100.0, CDELT1=0.1)
    image.writeto(path)
    assert len(read_atlas(path).flux) == 9
    with pytest.raises(InputError, match="got a damaged or other one"):
        read_atlas(overwrite_card(path, "NAXIS1", str(10**12)))
    path = tmp_path / "atlas.NPZ"
    with path.open("wb") as file:
        np.savez(file, wavelength=X, flux=line(X))
    assert len(read_atlas(path).flux) == len(X)
    path.write_bytes(path.read_bytes().replace(b"(4000,)", b"(9999,)"))
    with pytest.raises(InputError, match=r"got a damaged or other one \(an array of shape \(9999,\)"):
        read_atlas(path)

"""cyclegan/instruments/sdss5.py: SDSS-V's files of a star, beside how specutils reads them."""

import warnings

import h5py
import numpy as np
import pytest
from apogee_stars import star
from apstar import overwrite_card
from sdss5_files import BOSS_PIXELS, write_astra, write_mwm
from specutils import SpectrumList

from cyclegan.convert import main
from cyclegan.instruments.apogee import ApogeeReader
from cyclegan.instruments.sdss5 import is_sdss5, read_sdss5
from cyclegan.instruments.velocities import NONE
from emulator.apogee import APOGEE
from emulator.commands.errors import InputError


def table(seed, rows=1):
    """Flux, inverse variance and flags (rows, 8575) of a star."""
    flux, error, bits = star(seed, rows)
    bits = np.atleast_2d(bits)
    bits[:, 1000:1010] = 1 << 12
    return np.atleast_2d(flux), np.atleast_2d(1 / error**2), bits


def boss(rows=1):
    return np.ones((3, rows, BOSS_PIXELS))


def by_specutils(path, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return SpectrumList.read(path, format=f"SDSS-V {kind}")


def test_a_star_is_what_specutils_reads(tmp_path):
    spectra = {"BOSS/APO": boss(), "APOGEE/APO": table(1), "APOGEE/LCO": table(2)}
    path = write_mwm(tmp_path / "any name", spectra, name="2M19534321+6705175", sdss_id=7)
    north, south = read_sdss5(path, "combined")
    _, *theirs = by_specutils(path, "mwm")
    for own, their in zip((north, south), theirs, strict=True):
        np.testing.assert_array_equal(own.flux[0], their.flux.value.ravel())
        np.testing.assert_allclose(own.error[0], their.uncertainty.array.ravel() ** -0.5, rtol=1e-6)
        np.testing.assert_allclose(APOGEE.wavelength, their.spectral_axis.value, rtol=1e-7)
        np.testing.assert_array_equal(own.bits[0] != 0, their.mask.ravel())
        assert own.bits.max() == 1 << 12
        assert own.snr == their.meta["snr"]
        assert (own.name, own.visit) == ("2M19534321+6705175", 0)
    assert [stars.about["TELESCOPE"][0] for stars in (north, south)] == ["apo25m", "lco25m"]
    assert north.about["SDSS_ID"] == "7"


@pytest.mark.parametrize("rows", ["combined", "visits"])
def test_visits_keep_their_numbers_and_those_out_of_the_stack_are_left_out(tmp_path, rows):
    spectra = {"APOGEE/APO": table(1, 4), "APOGEE/LCO": table(2, 2)}
    spectra["APOGEE/LCO"][1][1] = 0  # without an error anywhere
    path = write_mwm(tmp_path / "v.fits", spectra, visits=True)
    north, south = read_sdss5(path, rows)
    assert [north.visit.tolist(), south.visit.tolist()] == [[1, 2, 3, 4], [5]]
    theirs = by_specutils(path, "mwm")[0]
    np.testing.assert_array_equal(north.flux, theirs.flux.value)
    np.testing.assert_allclose(APOGEE.wavelength, theirs.spectral_axis.value, rtol=1e-9)
    spectra = {"APOGEE/APO": table(1, 4)}
    path = write_mwm(tmp_path / "w.fits", spectra, visits=True, in_stack=np.array([True, False, True, False]))
    (north,) = read_sdss5(path, rows)
    assert north.visit.tolist() == [1, 3]
    np.testing.assert_array_equal(north.flux, spectra["APOGEE/APO"][0][[0, 2]].astype("float32"))
    assert north.snr.tolist() == [80, 82]


@pytest.mark.parametrize("visits", [False, True])
def test_models_are_what_specutils_reads_but_for_the_continuum(tmp_path, visits):
    models = table(3, 2 if visits else 1)[0] / 800
    path = write_astra(tmp_path / "a.fits", models, table="APOGEE/LCO", visits=visits)
    (found,) = read_sdss5(path, "visits" if visits else "combined")
    theirs = by_specutils(path, "astra")
    np.testing.assert_allclose(2 * found.flux, [their.flux.value for their in theirs], rtol=1e-6)
    lit = found.flux > 0
    np.testing.assert_allclose(found.error[lit], 0.005 * found.flux[lit], rtol=1e-6)
    assert not found.error[~lit].any()
    assert found.visit.tolist() == ([1, 2] if visits else [0])


def test_models_have_no_errors_and_are_not_mixed_with_spectra(tmp_path, capsys):
    models = table(3)[0] / 800
    write_astra(tmp_path / "a.fits", models, name="2M1")
    write_mwm(tmp_path / "b.fits", {"APOGEE/APO": table(1)}, name="2M2")
    write_astra(tmp_path / "c.fits", models, name="2M3")
    shares = ["--val", "0", "--test", "0"]
    main([*(str(tmp_path / f"{name}.fits") for name in "abc"), str(tmp_path / "theory.h5"), *shares])
    told = capsys.readouterr()
    assert "no errors ('spectra_err SUBSET') in the input" in told.out
    refused = "b.fits: expected models, which have none, as in the files before it, got spectra with errors"
    assert refused in told.err
    with h5py.File(tmp_path / "theory.h5") as file:
        assert sorted(file["id train"].asstr()) == ["2M1", "2M3"]
        assert "spectra_err train" not in file
    main([*(str(tmp_path / f"{name}.fits") for name in "bc"), str(tmp_path / "obs.h5"), *shares])
    assert "c.fits: expected spectra with errors, as in the files before it, got models" in capsys.readouterr().err
    with h5py.File(tmp_path / "obs.h5") as file:
        assert file["spectra_err train"].shape == (1, 7214)


def test_fluxes_that_are_none_and_flags_that_are_none_mask_their_pixels(tmp_path):
    flux, ivar, flags = (values.astype(float) for values in table(1))
    ivar[0, 500:503], flags[0, 510:513] = (np.nan, -1, 0), (np.nan, -1, 1e30)
    (found,) = read_sdss5(write_mwm(tmp_path / "a.fits", {"APOGEE/APO": (flux, ivar, flags)}), "combined")
    assert not found.error[0, [500, 501, 502, 510, 511, 512]].any()
    assert found.error[0, 503] > 0


def test_a_packed_one_and_one_without_a_name_are_read(tmp_path):
    path = write_mwm(tmp_path / "a.fits.gz", {"APOGEE/APO": table(1)}, name="", sdss_id=77)
    assert path.read_bytes().startswith(b"\x1f\x8b")
    (found,) = ApogeeReader().read(path, "combined", NONE)
    assert found.name == "77"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: write_mwm(path, {"BOSS/LCO": boss()}), "expected spectra of APOGEE, got spectra of BOSS alone"),
        (lambda path: write_mwm(path, {}), "expected spectra of APOGEE, got none"),
        (lambda path: write_mwm(path, {"APOGEE/APO": table(1)}), "expected an mwmVisit file"),
        (lambda path: write_astra(path, table(1)[0]), "expected an astraVisit file"),
        (
            lambda path: write_mwm(path, {"APOGEE/APO": table(1)}, visits=True, in_stack=[False]),
            "expected a spectrum with usable pixels, got none",
        ),
        (
            lambda path: overwrite_card(write_mwm(path, {"APOGEE/APO": table(1)}, visits=True), "CDELT", "6.1E-6", 3),
            "expected 8575 pixels from log10(wavelength) 4.179",
        ),
        (
            lambda path: overwrite_card(write_mwm(path, {"APOGEE/APO": table(1)}), "TTYPE7", "'fluxes'", 3),
            "got no flux",
        ),
        (lambda path: write_mwm(path, {"APOGEE/APO": boss()}, visits=True), "expected 8575 numbers in each row"),
        (
            lambda path: overwrite_card(write_mwm(path, {"APOGEE/APO": table(1)}), "NAXIS2", "9000", 3),
            "truncated",
        ),
        (lambda path: write_mwm(path, {"APOGEE/APO": table(1)}, visits=True, obj=["x" * 201]), "printable characters"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path, change, words):
    path = change(tmp_path / "a.fits")
    assert is_sdss5(path)
    with pytest.raises(InputError) as caught:
        list(read_sdss5(path, "visits"))
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_folder_is_converted_and_bad_files_are_named(tmp_path, capsys):
    folder = tmp_path / "spectra"
    folder.mkdir()
    for number in range(3):
        write_mwm(folder / f"{number}.fits", {"APOGEE/APO": table(number)}, name=f"2M{number}", sdss_id=number)
    write_mwm(folder / "boss.fits", {"BOSS/APO": boss()})
    (folder / "cut.fits").write_bytes((folder / "0.fits").read_bytes()[:-5000])
    main([str(folder), str(tmp_path / "o.h5"), "--val", "0", "--test", "0"])
    told = capsys.readouterr()
    assert "train                          3         3" in told.out
    assert "refused                        2" in told.out
    assert [name in told.err for name in ("boss.fits: expected spectra of APOGEE", "cut.fits: expected")] == [True] * 2
    with h5py.File(tmp_path / "o.h5") as file:
        assert sorted(file["id train"].asstr()) == ["2M0", "2M1", "2M2"]
        usable = file["mask train"][()]
        assert abs(np.median(file["spectra train"][()][usable]) - 1) < 0.02
    with pytest.raises(SystemExit) as ended:
        main([str(folder), str(tmp_path / "p.h5"), "--val", "0", "--test", "0", "--strict"])
    assert ended.value.code == 2
    assert not (tmp_path / "p.h5").exists()

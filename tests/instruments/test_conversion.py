"""cyclegan/instruments/conversion.py: an instrument's files through the options of a command to the HDF5 layout."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from apogee_stars import GAPS, PIXELS, converted, of_all_subsets, star
from apstar import write_apstar

from cyclegan.instruments.options import Options
from cyclegan.spectra.continuum import Continuum
from cyclegan.spectra.continuum_files import read_continuum
from cyclegan.spectra.files import SUBSETS, SpectraFile
from cyclegan.spectra.resampling import Resampler
from cyclegan.spectra.spectra import WORST_ERROR, Spectra
from emulator.apogee import APOGEE
from emulator.commands.errors import InputError


def test_spectra_of_a_folder_come_out_normalised_with_all_that_belongs_to_them(folder, tmp_path):
    report = converted(folder, tmp_path / "obs.h5")
    assert sum(report.spectra.values()) == 30
    with SpectraFile(tmp_path / "obs.h5") as file:
        np.testing.assert_allclose(file.wavelength, APOGEE.wavelength[APOGEE.cuts["7214"]], rtol=1e-14)
        assert sum(file.subsets.values()) == 30
        for subset in SUBSETS:
            spectra = file.read(subset)
            assert spectra.mask.all()
            assert (spectra.flux.median(dim=1).values - 1).abs().max() < 0.01
            # The continuum was a slope, noise 1 % of it: what is left of the slope is far less than it was.
            torch.testing.assert_close(spectra.error, torch.full_like(spectra.error, 0.01), rtol=0.02, atol=0)
            assert all(Options((), "").subset_of(name) == subset for name in file.identities(subset))
    assert (of_all_subsets(tmp_path / "obs.h5", "snr") == 100).all()
    assert (of_all_subsets(tmp_path / "obs.h5", "visit") == 0).all()


@pytest.mark.parametrize("pixels", APOGEE.cuts)
def test_the_pixels_kept_are_those_asked_for(tmp_path, pixels):
    flux, error, bits = star(0)
    given = np.ones(len(APOGEE.cuts[pixels]), bool)  # found ones would hang on rounding
    np.save(tmp_path / "given.npy", given)
    path = write_apstar(tmp_path / "a.fits", flux, error, bits)
    options = ("--pixels", pixels, "--continuum", tmp_path / "given.npy", "--val", 0, "--test", 0)
    converted(path, tmp_path / "o.h5", *options)
    starts = np.searchsorted(APOGEE.wavelength[APOGEE.cuts[pixels]], [15860, 16440])
    expected = Continuum(APOGEE.wavelength[APOGEE.cuts[pixels]], pixels=given, starts=starts)
    flux, error = (torch.from_numpy(values[APOGEE.cuts[pixels]]).float()[None] for values in (flux, error))
    one = Spectra(flux, error, error < 1e9)
    with h5py.File(tmp_path / "o.h5") as file:
        assert file["spectra train"].shape == (1, int(pixels))
        assert (file["mask train"][0] == ~np.isin(APOGEE.cuts[pixels], GAPS)).all()
        usable = file["mask train"][0]
        np.testing.assert_allclose(file["spectra train"][0][usable], expected.normalize(one).flux[0][usable], rtol=1e-5)


def test_visits_are_read_and_stay_in_one_subset(tmp_path):
    files = []
    for number in range(12):
        rows = 1 if number % 3 == 0 else 2 + 2 + number % 2
        name = f"2M{number:08d}-1111111"
        files.append(write_apstar(tmp_path / f"apStar-r12-{name}.fits", *star(number, rows), name=name))
    converted(*files, tmp_path / "visits.h5", "--rows", "visits", "--val", 0.3, "--test", 0.3)
    with SpectraFile(tmp_path / "visits.h5") as file:
        names = {subset: file.identities(subset) for subset in SUBSETS}
        assert sum(file.subsets.values()) == sum(1 if n % 3 == 0 else 2 + n % 2 for n in range(12))
    assert sum(len(set(n)) for n in names.values()) == len(set().union(*names.values())) == 12
    visit, snr = of_all_subsets(tmp_path / "visits.h5", "visit"), of_all_subsets(tmp_path / "visits.h5", "snr")
    assert visit.tolist() == [v + 1 for n in range(12) for v in range(1 if n % 3 == 0 else 2 + n % 2)]
    np.testing.assert_allclose(snr, 50 + visit)


def test_what_masks_a_pixel(tmp_path):
    flux, error, bits = star(3)
    kept = APOGEE.cuts["7214"]
    for bit in range(16):
        bits[kept[100 + 3 * bit]] = 1 << bit if bit < 15 else -(1 << 15)
    flux[kept[200]], error[kept[201]], error[kept[202]], error[kept[203]] = np.nan, 0, np.nan, -1
    error[kept[204]] = 0.06 * flux[kept[204]]
    path = write_apstar(tmp_path / "a.fits", flux, error, bits)
    for chosen, masked_bits in ((APOGEE.bad_bits, [*range(8), 12, 13, 14]), (1 << 9 | 1 << 15, [9, 15]), (0, [])):
        report = converted(path, tmp_path / "o.h5", "--val", 0, "--test", 0, "--bits", hex(chosen))
        with h5py.File(tmp_path / "o.h5") as file:
            found = np.flatnonzero(~file["mask train"][0])
            assert np.isfinite(file["spectra train"][()]).all()
            assert (file["spectra_err train"][()] > 0).all()
        assert found.tolist() == [100 + 3 * bit for bit in masked_bits] + [200, 201, 202, 203, 204]
        assert report.masked["no flux or no error"] * 7214 == pytest.approx(4)
        assert report.masked[f"error above {WORST_ERROR}"] * 7214 == pytest.approx(1)
        assert report.masked.get("PERSIST_HIGH", 0.0) * 7214 == pytest.approx(float(9 in masked_bits))
        assert report.usable * 7214 == pytest.approx(7214 - len(found))


def test_resampling_conserves_flux_and_masks(tmp_path):
    flux, error, bits = star(4)
    bits[5000] = 1
    np.save(tmp_path / "grid.npy", target := np.linspace(16000.0, 16200.0, 500))
    path = write_apstar(tmp_path / "a.fits", flux, error, bits)
    options = ("--wavelength", tmp_path / "grid.npy", "--val", 0, "--test", 0, "--degree", 1)
    converted(path, tmp_path / "o.h5", *options)
    raw = Spectra(*(torch.from_numpy(a)[None] for a in (flux, error, bits == 0)))
    expected = Continuum(target, 1).normalize(Resampler(APOGEE.wavelength, target)(raw))
    with SpectraFile(tmp_path / "o.h5") as file:
        torch.testing.assert_close(file.read("train").flux, expected.flux.float(), rtol=1e-5, atol=1e-5)
        assert torch.equal(file.read("train").mask, expected.mask)
        assert 0 < (~expected.mask).sum() < 4


def test_subsets_go_by_the_star_alone():
    names = [f"2M{number:08d}+0000000" for number in range(5000)]
    options = Options((), "out.h5", val=0.2)
    first = [options.subset_of(name) for name in names]
    assert first == [Options(("more",), "other.h5", val=0.2, test=0.1, seed=1).subset_of(name) for name in names]
    assert first != [replace(options, seed=2).subset_of(name) for name in names]
    share = {subset: first.count(subset) / 5000 for subset in SUBSETS}
    for subset, expected in zip(SUBSETS, (0.7, 0.2, 0.1), strict=True):
        assert abs(share[subset] - expected) < 4 * (expected * (1 - expected) / 5000) ** 0.5
    # A larger share of val takes no star out of it.
    more = replace(options, val=0.3)
    assert all(more.subset_of(name) == "val" for name, subset in zip(names, first, strict=True) if subset == "val")


def write_theory(path, wavelength, n=8):
    """Noiseless spectra on a slope, twice as bright, with what else a file of them holds."""
    spectra = {
        subset: np.stack([star(1000 + 50 * k + i, noise=0.01)[0] for i in range(n)]) for k, subset in enumerate(SUBSETS)
    }
    with h5py.File(path, "w") as file:
        file["wavelength"] = wavelength
        file.attrs["label_names"] = ["teff", "logg"]
        for number, subset in enumerate(SUBSETS):
            ones = np.interp(wavelength, APOGEE.wavelength, np.ones(PIXELS))
            flux = ones * spectra[subset][:, : len(wavelength)] + 50
            file[f"spectra {subset}"], file[f"spectra_err {subset}"] = flux, np.full(flux.shape, 4.0)
            file[f"labels {subset}"] = number + np.arange(2.0 * n).reshape(n, 2)
            file[f"id {subset}"] = [f"{subset}{i}" for i in range(n)]
            file[f"seed {subset}"] = np.arange(n)
    return path


@pytest.mark.parametrize("how", ["given pixels", "clipping", "another grid"])
def test_theory_gets_the_treatment_that_observed_spectra_got(folder, tmp_path, how):
    options = []
    if how == "given pixels":
        np.save(tmp_path / "pixels.npy", np.arange(7214) % 5 == 0)
        options = ["--continuum", tmp_path / "pixels.npy", "--degree", 2]
    if how == "another grid":
        np.save(tmp_path / "grid.npy", np.linspace(15900.0, 16400.0, 1500))
        options = ["--wavelength", tmp_path / "grid.npy"]
    converted(folder, tmp_path / "obs.h5", *options)
    theory = write_theory(tmp_path / "theory.h5", APOGEE.wavelength)
    report = converted(theory, tmp_path / "synth.h5", "--like", tmp_path / "obs.h5")
    assert dict(report.spectra) == {"train": 8, "val": 8, "test": 8}
    with SpectraFile(tmp_path / "obs.h5") as obs, SpectraFile(tmp_path / "synth.h5") as synth, h5py.File(theory) as raw:
        assert torch.equal(obs.wavelength, synth.wavelength)
        wavelength = obs.wavelength.numpy()
        continuum = read_continuum(obs.file, wavelength)
        for subset in SUBSETS:
            flux, error = (
                torch.from_numpy(raw[f"{k} {subset}"][()].astype("float32")) for k in ("spectra", "spectra_err")
            )
            one = Spectra(flux, error, torch.ones_like(flux, dtype=torch.bool))
            expected = continuum.normalize(Resampler(APOGEE.wavelength, wavelength)(one))
            found = synth.read(subset)
            torch.testing.assert_close(found.flux[found.mask], expected.flux[found.mask])
            assert found.mask.double().mean() > 0.9
            assert synth.identities(subset) == raw[f"id {subset}"].asstr()[()].tolist()
            assert (synth.labels(subset).numpy() == raw[f"labels {subset}"][()]).all()
            assert (synth.file[f"seed {subset}"][()] == np.arange(8)).all()
        assert synth.label_names == ("teff", "logg")
        assert read_continuum(synth.file, wavelength).degree == continuum.degree


@pytest.mark.parametrize("unit", [1.0, 1e-17])
@pytest.mark.parametrize("options", [(), ("--pixels", "8575")])
def test_theory_without_errors_is_normalised_as_if_all_were_the_same_and_has_none_then(tmp_path, unit, options):
    theory = write_theory(tmp_path / "theory.h5", APOGEE.wavelength[::2] if options else APOGEE.wavelength)
    with h5py.File(theory, "r+") as file:
        for subset in SUBSETS:
            file[f"spectra_err {subset}"][...] = 1e-4
    converted(theory, tmp_path / "same.h5", *options)
    with h5py.File(theory, "r+") as file:
        for subset in SUBSETS:
            del file[f"spectra_err {subset}"]
            file[f"spectra {subset}"][...] *= unit
    report = converted(theory, tmp_path / "none.h5", *options)
    assert "no errors ('spectra_err SUBSET') in the input: the output has none" in report.table()
    with SpectraFile(tmp_path / "none.h5") as none, SpectraFile(tmp_path / "same.h5") as same:
        assert same.has_errors
        assert not none.has_errors
        for subset in SUBSETS:
            found, expected = none.read(subset), same.read(subset)
            assert torch.equal(found.mask, expected.mask)
            assert found.mask.double().mean() > 0.9
            torch.testing.assert_close(found.flux[found.mask], expected.flux[found.mask], rtol=1e-4, atol=0)
            assert none.identities(subset) == same.identities(subset)


def test_bad_options_are_told(folder, tmp_path):
    np.savetxt(tmp_path / "optical.txt", np.linspace(5000, 6000, 100))
    converted(folder, tmp_path / "obs.h5")
    (tmp_path / "void").mkdir()
    obs, out = tmp_path / "obs.h5", tmp_path / "out.h5"
    theory = write_theory(tmp_path / "theory.h5", APOGEE.wavelength, n=2)
    for arguments, words in (
        ([folder, folder / "x.fits"], "OUT: expected a file name ending in .h5"),
        ([tmp_path / "void", out], "astraVisit and Parquet files in this folder, found none"),
        ([tmp_path / "nowhere.fits", out], "1 refused and no other"),
        ([folder, out, "--val", "0.6", "--test", "0.5"], "--val, --test"),
        ([folder, out, "--val", "0.001"], "none of 30 for 'val'"),
        ([folder, out, "--degree", "-1"], "--degree: expected 0 or more"),
        ([folder, out, "--pixels", "7000"], "--pixels: expected 7214 or 7514 or 8575, of APOGEE, got '7000'"),
        ([folder, out, "--bits", "many"], "argument --bits: expected a whole number, got 'many'"),
        ([folder, out, "--seed", "1e9"], "argument --seed: expected a whole number, got '1e9'"),
        ([folder, out, "--val", "few"], "argument --val: expected a number from 0 to 1, got 'few'"),
        ([folder, out, "--typo"], "unrecognized arguments: --typo"),
        ([out], "the following arguments are required: OUT.h5"),
        (
            [folder, out, "--wavelength", tmp_path / "optical.txt"],
            "optical.txt: expected spectra that cover some of 5000.0",
        ),
        (
            [theory, out, "--wavelength", tmp_path / "optical.txt"],
            "optical.txt: expected spectra that cover some of 50",
        ),
        ([theory, out, "--rows", "visits", "--bits", "0"], "--rows, --bits: expected files of an instrument beside it"),
        ([theory, out, "--val", "0.1"], "--val: expected files of an instrument beside it, got HDF5"),
        ([theory, out, "--test", "0", "--seed", "2"], "--test, --seed: expected files of an instrument beside it"),
        ([folder, out, "--like", obs, "--degree", "2"], "--like: expected no --degree"),
        ([folder, out, "--like", theory], "expected a file that this command wrote"),
        ([folder, out, "--like", tmp_path / "nowhere.h5"], "found no such file"),
        ([folder, theory, out], "one HDF5 file"),
        ([theory, theory], "expected another file to write than"),
        ([folder, out, "--labels", theory], "expected a table of labels in FITS, CSV or Parquet"),
        ([folder, out, "--labels", tmp_path / "nowhere.fits"], "expected a table of labels in FITS, CSV or Parquet"),
    ):
        with pytest.raises(InputError) as caught:
            converted(*arguments)
        assert words in str(caught.value), str(caught.value)
        assert not out.exists()


def test_names_of_a_table_are_cleaned_or_told(folder, tmp_path):
    theory = write_theory(tmp_path / "theory.h5", APOGEE.wavelength)
    with h5py.File(theory, "r+") as file:
        del file["id val"]
        file["id val"] = np.array([f" {number} ".encode() for number in range(8)], "S5")
    converted(theory, tmp_path / "synth.h5")
    with SpectraFile(tmp_path / "synth.h5") as file:
        assert file.identities("val") == [str(number) for number in range(8)]
    with h5py.File(theory, "r+") as file:
        file["id val"][3] = b"a\0b"
    with pytest.raises(
        InputError, match=r"expected names in UTF-8 in 'id val', .* got 'a.x00b', 3 characters, in row 3"
    ):
        converted(theory, tmp_path / "synth.h5")

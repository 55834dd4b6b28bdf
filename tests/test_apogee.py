"""APOGEE files in the survey's layouts, written here, through the command to the HDF5 layout."""

import gzip
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from astropy.io import fits
from astropy.table import Table
from conftest import write_apstar
from scipy.optimize import least_squares

from cyclegan.apogee import BAD_BITS, StarLabels, convert, main, parser, read_star, split_of
from cyclegan.continuum import Continuum
from cyclegan.files import SPLITS, SpectraFile
from cyclegan.resampling import Resampler
from cyclegan.spectra import WORST_ERROR, Spectra
from emulator.command import InputError
from emulator.labels import LABELS
from emulator.wavelength import APOGEE_CUTS, APOGEE_WAVELENGTH

REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "reference"
PIXELS = len(APOGEE_WAVELENGTH)
GAPS = np.setdiff1d(np.arange(PIXELS), APOGEE_CUTS["7514"])
LINE = 0.5 * np.exp(-0.5 * (np.arange(-8, 9) / 1.6) ** 2)
SLOPE = 1 + 0.2 * np.linspace(-1, 1, PIXELS)


def star(seed, rows=1, noise=0.01):
    """Flux, error and bits (rows, 8575) with lines, in the survey's unit; nothing between the chips."""
    rng = np.random.default_rng(seed)
    spikes = np.zeros(PIXELS)
    spikes[rng.integers(0, PIXELS, 200)] = rng.uniform(0, 1, 200)
    lines = np.exp(-np.convolve(spikes, LINE, mode="same"))
    flux = 800 * SLOPE * (lines + noise * rng.standard_normal((rows, PIXELS)))
    error = np.broadcast_to(800 * SLOPE * noise, flux.shape).copy()
    bits = np.zeros(flux.shape, int)
    flux[:, GAPS], error[:, GAPS] = 0, 1e10
    return (flux, error, bits) if rows > 1 else (flux[0], error[0], bits[0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Thirty stars of one visit each: enough for a star in each split. To be read, not changed."""
    path = tmp_path_factory.mktemp("stars")
    for seed in range(30):
        write_apstar(path / f"apStar-dr17-2M{seed:08d}+0000000.fits", *star(seed), name=f"2M{seed:08d}+0000000")
    return path


def run(*arguments):
    return convert(parser().parse_args([str(argument) for argument in arguments]))


def whole(path, name):
    """All splits of a dataset, as one array, in the order of the stars' names."""
    with h5py.File(path) as file:
        names = np.concatenate([file[f"id {split}"].asstr()[()] for split in SPLITS if f"id {split}" in file])
        values = np.concatenate([file[f"{name} {split}"][()] for split in SPLITS if f"id {split}" in file])
    return values[np.argsort(names, kind="stable")]


def test_spectra_of_a_folder_come_out_normalised_with_all_that_belongs_to_them(folder, tmp_path):
    report = run(folder, tmp_path / "obs.h5")
    assert sum(report.spectra.values()) == 30
    with SpectraFile(tmp_path / "obs.h5") as file:
        np.testing.assert_allclose(file.wavelength, APOGEE_WAVELENGTH[APOGEE_CUTS["7214"]], rtol=1e-14)
        assert sum(file.splits.values()) == 30
        for split in SPLITS:
            spectra = file.read(split)
            assert spectra.mask.all()
            assert (spectra.flux.median(dim=1).values - 1).abs().max() < 0.01
            # The continuum was a slope, noise 1 % of it: what is left of the slope is far less than it was.
            torch.testing.assert_close(spectra.error, torch.full_like(spectra.error, 0.01), rtol=0.02, atol=0)
            assert all(split_of(name, 0.1, 0.1, 1) == split for name in file.identities(split))
    assert (whole(tmp_path / "obs.h5", "snr") == 100).all()
    assert (whole(tmp_path / "obs.h5", "visit") == 0).all()


@pytest.mark.parametrize("pixels", APOGEE_CUTS)
def test_the_pixels_kept_are_those_asked_for(tmp_path, pixels):
    flux, error, bits = star(0)
    given = np.ones(len(APOGEE_CUTS[pixels]), bool)  # found ones would hang on rounding
    np.save(tmp_path / "given.npy", given)
    run(write_apstar(tmp_path / "a.fits", flux, error, bits), tmp_path / "o.h5", "--pixels", pixels,
        "--continuum", tmp_path / "given.npy", "--val", 0, "--test", 0)  # fmt: skip
    starts = np.searchsorted(APOGEE_WAVELENGTH[APOGEE_CUTS[pixels]], [15860, 16440])
    expected = Continuum(APOGEE_WAVELENGTH[APOGEE_CUTS[pixels]], pixels=given, starts=starts)
    flux, error = (torch.from_numpy(values[APOGEE_CUTS[pixels]]).float()[None] for values in (flux, error))
    one = Spectra(flux, error, error < 1e9)
    with h5py.File(tmp_path / "o.h5") as file:
        assert file["spectra train"].shape == (1, int(pixels))
        assert (file["mask train"][0] == ~np.isin(APOGEE_CUTS[pixels], GAPS)).all()
        usable = file["mask train"][0]
        np.testing.assert_allclose(file["spectra train"][0][usable], expected.normalize(one).flux[0][usable], rtol=1e-5)


def test_visits_are_read_and_stay_in_one_split(tmp_path):
    files = []
    for number in range(12):
        rows = 1 if number % 3 == 0 else 2 + 2 + number % 2
        name = f"2M{number:08d}-1111111"
        files.append(write_apstar(tmp_path / f"apStar-r12-{name}.fits", *star(number, rows), name=name))
    run(*files, tmp_path / "visits.h5", "--rows", "visits", "--val", 0.3, "--test", 0.3)
    with SpectraFile(tmp_path / "visits.h5") as file:
        names = {split: file.identities(split) for split in SPLITS}
        assert sum(file.splits.values()) == sum(1 if n % 3 == 0 else 2 + n % 2 for n in range(12))
    assert sum(len(set(n)) for n in names.values()) == len(set().union(*names.values())) == 12
    visit, snr = whole(tmp_path / "visits.h5", "visit"), whole(tmp_path / "visits.h5", "snr")
    assert visit.tolist() == [v + 1 for n in range(12) for v in range(1 if n % 3 == 0 else 2 + n % 2)]
    np.testing.assert_allclose(snr, 50 + visit)


def test_the_first_row_is_the_combined_one_and_the_third_the_first_visit(tmp_path):
    flux, error, bits = star(1, rows=5)
    bits[0, 5], bits[3, 7] = 1, 4096
    path = write_apstar(tmp_path / "apStar-r5-2M00000000+0000000.fits", flux, error, bits)
    combined, visits = read_star(path), read_star(path, "visits")
    np.testing.assert_array_equal(combined.flux, flux[:1].astype("float32"))
    np.testing.assert_array_equal(combined.bits, bits[:1])
    np.testing.assert_array_equal(visits.flux, flux[2:].astype("float32"))
    np.testing.assert_array_equal(visits.bits, bits[2:])
    assert combined.name == visits.name == "2M00000000+0000000"


def test_aspcapstar_has_no_bits_and_names_its_star_in_a_table_or_its_file(tmp_path):
    flux, error, _ = star(2)
    named = write_apstar(tmp_path / "aspcapStar-dr17-x.fits", flux, error, name="2M12345678-1234567", snr=77.0)
    found = read_star(named)
    assert (found.name, float(found.snr[0]), found.bits.any()) == ("2M12345678-1234567", 77.0, False)
    with fits.open(named) as hdus:
        for name in ("r5-v603", "r8-l31c.2", "r12", "dr17"):
            hdus[:4].writeto(path := tmp_path / f"aspcapStar-{name}-2M17193684-2748495.fits")
            assert read_star(path).name == "2M17193684-2748495"
    with pytest.raises(InputError, match="expected an apStar file, which holds visits"):
        read_star(named, "visits")


def test_what_masks_a_pixel(tmp_path):
    flux, error, bits = star(3)
    kept = APOGEE_CUTS["7214"]
    for bit in range(16):
        bits[kept[100 + 3 * bit]] = 1 << bit if bit < 15 else -(1 << 15)
    flux[kept[200]], error[kept[201]], error[kept[202]], error[kept[203]] = np.nan, 0, np.nan, -1
    error[kept[204]] = 0.06 * flux[kept[204]]
    path = write_apstar(tmp_path / "a.fits", flux, error, bits)
    for chosen, masked_bits in ((BAD_BITS, [*range(8), 12, 13, 14]), (1 << 9 | 1 << 15, [9, 15]), (0, [])):
        report = run(path, tmp_path / "o.h5", "--val", 0, "--test", 0, "--bits", hex(chosen))
        with h5py.File(tmp_path / "o.h5") as file:
            found = np.flatnonzero(~file["mask train"][0])
            assert np.isfinite(file["spectra train"][()]).all()
            assert (file["spectra_err train"][()] > 0).all()
        assert found.tolist() == [100 + 3 * bit for bit in masked_bits] + [200, 201, 202, 203, 204]
        assert report.masked["no flux or no error"] * 7214 == pytest.approx(4)
        assert report.masked[f"error above {WORST_ERROR}"] * 7214 == pytest.approx(1)
        assert report.masked["PERSIST_HIGH"] * 7214 == pytest.approx(float(9 in masked_bits))
        assert report.usable * 7214 == pytest.approx(7214 - len(found))


def test_resampling_conserves_flux_and_masks(tmp_path):
    flux, error, bits = star(4)
    bits[5000] = 1
    np.save(tmp_path / "grid.npy", target := np.linspace(16000.0, 16200.0, 500))
    run(write_apstar(tmp_path / "a.fits", flux, error, bits), tmp_path / "o.h5", "--wavelength", tmp_path / "grid.npy",
        "--val", 0, "--test", 0, "--degree", 1)  # fmt: skip
    raw = Spectra(*(torch.from_numpy(a)[None] for a in (flux, error, bits == 0)))
    expected = Continuum(target, 1).normalize(Resampler(APOGEE_WAVELENGTH, target)(raw))
    with SpectraFile(tmp_path / "o.h5") as file:
        torch.testing.assert_close(file.read("train").flux, expected.flux.float(), rtol=1e-5, atol=1e-5)
        assert torch.equal(file.read("train").mask, expected.mask)
        assert 0 < (~expected.mask).sum() < 4


BAD = {
    "no.fits": ("not FITS", lambda path: path.write_text("hello")),
    "empty.fits": ("empty", lambda path: path.write_bytes(b"")),
    "cut.fits": ("truncated", None),
    "cut_late.fits": ("truncated", None),
    "table.fits": ("BinTableHDU", lambda path: Table({"loglam": [3.6], "flux": [1.0]}).write(path)),
    "sdss.fits": ("4000 from 3.5 in steps of 0.0001", None),
    "pixels.fits": ("got 8000", lambda path: write_apstar(path, np.ones(8000), np.ones(8000), np.ones(8000))),
    "two.fits": ("1 spectrum, or 2 combined ones", lambda path: write_apstar(path, *star(0, rows=2))),
    "masked.fits": ("masked throughout", None),
    "nan.fits": ("masked throughout", None),
    "visits_of_three.fits": ("shapes", None),
    "damaged.fits.gz": ("damaged", None),
}


def write_bad(path):
    good = path.with_name("good.fits")
    if not good.exists():
        write_apstar(good, *star(0))
    flux, error, bits = star(0)
    if path.name.startswith("cut"):
        path.write_bytes(good.read_bytes()[: 60000 if path.name == "cut.fits" else -5000])
    elif path.name == "sdss.fits":
        header = fits.Header({"CRVAL1": 3.5, "CDELT1": 1e-4})
        images = [fits.ImageHDU(np.ones(4000, "float32"), header) for _ in range(3)]
        fits.HDUList([fits.PrimaryHDU(), *images]).writeto(path)
    elif path.name == "masked.fits":
        write_apstar(path, flux, error, bits | 1)
    elif path.name == "nan.fits":
        write_apstar(path, flux * np.nan, error, bits)
    elif path.name == "visits_of_three.fits":
        write_apstar(path, np.ones((5, PIXELS)), np.ones((4, PIXELS)), np.ones((5, PIXELS)))
    elif path.name == "damaged.fits.gz":
        packed = gzip.compress(good.read_bytes(), mtime=0)
        path.write_bytes(packed[:20] + b"\xff" * 64 + packed[84:])  # in the tables that all of it is unpacked with
    else:
        BAD[path.name][1](path)
    good.unlink()
    return path


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_named_and_skipped_and_fatal_if_strict(folder, tmp_path, capsys, name):
    bad = write_bad(tmp_path / name)
    report = run(folder, bad, tmp_path / "obs.h5")
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"refused: {bad}")
    assert name in ("no.fits", "empty.fits") or BAD[name][0] in line
    assert (report.refused, sum(report.spectra.values())) == (1, 30)
    with pytest.raises(InputError, match=name):
        run(folder, bad, tmp_path / "strict.h5", "--strict")
    with pytest.raises(InputError, match="got 1 refused and no other"):
        run(bad, tmp_path / "strict.h5")
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix == ".h5") == ["obs.h5"]


def all_star(path, release="DR17", n=30):
    """An allStar table: DR17 has X_FE and named turbulences, DR12 X_H and PARAM. Star 3 is there three times."""
    number = np.r_[np.arange(n), 3, 3]
    order = np.random.default_rng(0).permutation(len(number))
    columns = {
        "APOGEE_ID": np.array([f"2M{i:08d}+0000000" for i in number]),
        "FIELD": np.array(["M67"] * n + ["M13", "M92"]),
        "SNR": np.r_[np.full(n, 50.0), 40.0, 90.0],
        "TEFF": np.r_[4000.0 + number[:n], 1.0, 2.0],
        "LOGG": np.where(number == 5, np.nan, 2.5),
        "FE_H": 0.01 * number,
    }
    columns |= {"TELESCOPE": np.full(len(number), "apo25m")}
    if release == "DR17":
        columns |= {"VMICRO": np.full(len(number), 1.5), "VMACRO": np.where(number == 6, -9999.0, 4.0)}
        columns |= {"MG_FE": np.where(number == 7, -9999.99, 0.2)}
    else:
        columns |= {
            "PARAM": np.where(number == 8, -9999.0, np.log10(1.5))[:, None] * np.ones(7),
            "MG_H": 0.3 + 0 * number,
        }
    Table({key: values[order] for key, values in columns.items()}).write(path)
    return path


@pytest.mark.parametrize("release", ["DR12", "DR17"])
def test_labels_are_joined(folder, tmp_path, capsys, release):
    other = write_apstar(tmp_path / "unknown.fits", *star(99), name="VESTA")
    main(
        [
            str(folder),
            str(other),
            str(tmp_path / "obs.h5"),
            "--labels",
            str(all_star(tmp_path / "allStar.fits", release)),
        ]
    )
    printed = capsys.readouterr().out
    missing = [f"{x.lower()}_h" for x in ("C", "N", "O", "Na", "Al", "Si", "S", "K", "Ca", "Ti", "Cr", "Mn", "Ni")]
    missing = ", ".join((["vmacro"] if release == "DR12" else []) + missing)
    assert f"labels for 30 of 31 stars, no column for {missing}" in printed
    with h5py.File(tmp_path / "obs.h5") as file:
        assert tuple(file.attrs["label_names"]) == LABELS
    found = dict(zip(LABELS, whole(tmp_path / "obs.h5", "labels").T, strict=True))
    number = np.arange(30.0)
    expected = 4000 + number
    expected[3] = 2.0  # no row tells its field: the one of the best SNR
    assert found["teff"].tolist() == [*expected.tolist(), pytest.approx(np.nan, nan_ok=True)]
    np.testing.assert_allclose(found["fe_h"][:30], 0.01 * number, rtol=1e-6)
    gone = {name: np.flatnonzero(np.isnan(found[name])).tolist() for name in ("logg", "vmic", "vmacro", "mg_h")}
    if release == "DR17":
        assert gone == {"logg": [5, 30], "vmic": [30], "vmacro": [6, 30], "mg_h": [7, 30]}
        np.testing.assert_allclose(np.delete(found["mg_h"], [7, 30]), 0.2 + 0.01 * np.delete(number, 7), rtol=1e-6)
    else:
        assert gone == {"logg": [5, 30], "vmic": [8, 30], "vmacro": list(range(31)), "mg_h": [30]}
        np.testing.assert_allclose(found["mg_h"][:30], 0.3, rtol=1e-6)
    np.testing.assert_allclose(np.delete(found["vmic"], [8, 30]), 1.5, rtol=1e-6)


def test_of_several_rows_that_of_the_same_field_counts(tmp_path):
    labels = StarLabels(all_star(tmp_path / "allStar.fits"))
    found = []
    for field in ("M67", "M13", "M92", "M5"):
        path = write_apstar(tmp_path / f"{field}.fits", *star(0), name="2M00000003+0000000", FIELD=field)
        found.append(read_star(path))
    assert labels.find(found)[:, 0].tolist() == [4003.0, 1.0, 2.0, 2.0]


def test_splits_go_by_the_star_alone():
    names = [f"2M{number:08d}+0000000" for number in range(5000)]
    first = [split_of(name, 0.2, 0.1, seed=1) for name in names]
    assert first == [split_of(name, 0.2, 0.1, seed=1) for name in names]
    assert first != [split_of(name, 0.2, 0.1, seed=2) for name in names]
    share = {split: first.count(split) / 5000 for split in SPLITS}
    for split, expected in zip(SPLITS, (0.7, 0.2, 0.1), strict=True):
        assert abs(share[split] - expected) < 4 * (expected * (1 - expected) / 5000) ** 0.5
    # A larger share of val takes no star out of it.
    assert all(split_of(n, 0.3, 0.1, 1) == "val" for n, s in zip(names, first, strict=True) if s == "val")


def write_theory(path, wavelength, n=8):
    """Noiseless spectra on a slope, twice as bright, with what else a file of them holds."""
    spectra = {
        split: np.stack([star(1000 + 50 * k + i, noise=0.01)[0] for i in range(n)]) for k, split in enumerate(SPLITS)
    }
    with h5py.File(path, "w") as file:
        file["wavelength"] = wavelength
        file.attrs["label_names"] = ["teff", "logg"]
        for number, split in enumerate(SPLITS):
            ones = np.interp(wavelength, APOGEE_WAVELENGTH, np.ones(PIXELS))
            flux = ones * spectra[split][:, : len(wavelength)] + 50
            file[f"spectra {split}"], file[f"spectra_err {split}"] = flux, np.full(flux.shape, 4.0)
            file[f"labels {split}"] = number + np.arange(2.0 * n).reshape(n, 2)
            file[f"id {split}"] = [f"{split}{i}" for i in range(n)]
            file[f"seed {split}"] = np.arange(n)
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
    run(folder, tmp_path / "obs.h5", *options)
    theory = write_theory(tmp_path / "theory.h5", APOGEE_WAVELENGTH)
    report = run(theory, tmp_path / "synth.h5", "--like", tmp_path / "obs.h5")
    assert dict(report.spectra) == {"train": 8, "val": 8, "test": 8}
    with SpectraFile(tmp_path / "obs.h5") as obs, SpectraFile(tmp_path / "synth.h5") as synth, h5py.File(theory) as raw:
        assert torch.equal(obs.wavelength, synth.wavelength)
        wavelength = obs.wavelength.numpy()
        continuum = Continuum.read(obs.file, wavelength)
        for split in SPLITS:
            flux, error = (
                torch.from_numpy(raw[f"{k} {split}"][()].astype("float32")) for k in ("spectra", "spectra_err")
            )
            one = Spectra(flux, error, torch.ones_like(flux, dtype=torch.bool))
            expected = continuum.normalize(Resampler(APOGEE_WAVELENGTH, wavelength)(one))
            found = synth.read(split)
            torch.testing.assert_close(found.flux[found.mask], expected.flux[found.mask])
            assert found.mask.double().mean() > 0.9
            assert synth.identities(split) == raw[f"id {split}"].asstr()[()].tolist()
            assert (synth.labels(split).numpy() == raw[f"labels {split}"][()]).all()
            assert (synth.file[f"seed {split}"][()] == np.arange(8)).all()
        assert synth.label_names == ("teff", "logg")
        assert Continuum.read(synth.file, wavelength).degree == continuum.degree


def test_bad_options_are_told(folder, tmp_path):
    np.savetxt(tmp_path / "optical.txt", np.linspace(5000, 6000, 100))
    run(folder, tmp_path / "obs.h5")
    (tmp_path / "void").mkdir()
    obs, out = tmp_path / "obs.h5", tmp_path / "out.h5"
    theory = write_theory(tmp_path / "theory.h5", APOGEE_WAVELENGTH, n=2)
    for arguments, words in (
        ([folder, folder / "x.fits"], "OUT: expected a file name ending in .h5"),
        ([tmp_path / "void", out], "expected FITS files in this folder, found none"),
        ([tmp_path / "nowhere.fits", out], "1 refused and no other"),
        ([folder, out, "--val", "0.6", "--test", "0.5"], "--val, --test"),
        ([folder, out, "--val", "0.001"], "none of 30 for 'val'"),
        ([folder, out, "--degree", "-1"], "--degree: expected 0 or more"),
        ([folder, out, "--pixels", "7000"], "invalid choice: '7000'"),
        ([folder, out, "--bits", "many"], "argument --bits: invalid bit_mask value: 'many'"),
        ([folder, out, "--typo"], "unrecognized arguments: --typo"),
        ([out], "the following arguments are required: OUT.h5"),
        ([folder, out, "--wavelength", tmp_path / "optical.txt"], "5000.0 to 6000.0 A, got 15100.8"),
        ([folder, out, "--like", obs, "--degree", "2"], "--like: expected no --degree"),
        ([folder, out, "--like", theory], "expected a file that this command wrote"),
        ([folder, out, "--like", tmp_path / "nowhere.h5"], "found no such file"),
        ([folder, theory, out], "one HDF5 file"),
        ([theory, theory], "another than OUT"),
        ([folder, out, "--labels", theory], "expected an allStar table in FITS"),
        ([folder, out, "--labels", tmp_path / "nowhere.fits"], "expected an allStar table in FITS"),
    ):
        with pytest.raises(InputError) as caught:
            run(*arguments)
        assert words in str(caught.value), str(caught.value)
        assert not out.exists()


def test_the_command_itself(folder, tmp_path):
    bad = write_bad(tmp_path / "no.fits")

    def command(*arguments):
        line = [sys.executable, "-m", "cyclegan.apogee", *map(str, arguments)]
        return subprocess.run(line, capture_output=True, text=True, cwd=Path(__file__).parents[1], check=False)

    good = command(folder, bad, tmp_path / "obs.h5")
    assert good.returncode == 0, good.stderr
    assert good.stderr.startswith(f"refused: {bad}: expected a FITS file")
    assert "train" in good.stdout
    assert good.stdout.splitlines()[-1].split() == ["usable", "in", "the", "end", "100.00%"]
    failed = command(folder, bad, tmp_path / "strict.h5", "--strict")
    assert failed.returncode == 2
    assert failed.stderr.startswith(f"error: {bad}")
    assert len(failed.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "strict.h5").exists()


def real(name, flux, error, path):
    """Real flux and error (rows, 7214) as an apStar file; of several visits, the coadds are their mean."""
    rows = np.full((len(flux), PIXELS), 0.0), np.full((len(flux), PIXELS), 1e10)
    for row, values in zip(rows, (flux, error), strict=True):
        row[:, APOGEE_CUTS["7214"]] = values
    if len(flux) > 1:
        rows = [np.concatenate([row.mean(axis=0, keepdims=True).repeat(2, axis=0), row]) for row in rows]
    else:
        rows = [row[0] for row in rows]
    return write_apstar(path, *rows, np.zeros(rows[0].shape), name=name)


@pytest.fixture
def reference():
    if not REFERENCE.exists():
        pytest.skip(f"REAL SPECTRA NOT TESTED: there is no {REFERENCE}")
    return REFERENCE


@pytest.mark.reference
def test_a_real_star_has_its_continuum_at_one_and_its_lines_where_they_belong(reference, tmp_path):
    with np.load(reference / "apogee_2M13012770+5754582.npz") as star:
        path = real("2M13012770+5754582", star["spectrum"][None], star["spec_err"][None], tmp_path / "a.fits")
    run(path, tmp_path / "o.h5", "--val", 0, "--test", 0)
    with SpectraFile(tmp_path / "o.h5") as file:
        flux, error, mask = (tensor[0].numpy() for tensor in file.read("train"))
    with np.load(reference / "continuum_pixels.npz") as pixels:
        calm = pixels["pixels_cannon"] & mask
    assert 0.9 < mask.mean() < 1
    assert abs(np.median(flux[calm]) - 1) < 0.01
    # Normalised spectra of other APOGEE dwarfs, as a net gives them for five labels: those that fit this star best.
    with np.load(reference / "apogee_normalized_nn.npz") as net:
        net = dict(net)

    def model(labels):
        hidden = 1 / (1 + np.exp(-(net["w_array_0"] @ labels + net["b_array_0"])))
        return (net["w_array_1"] * hidden).sum(axis=1) + net["b_array_1"]

    best = least_squares(lambda labels: ((model(labels) - flux) / error)[mask], np.zeros(5), bounds=(-0.6, 0.6))
    residual = (flux - model(best.x))[mask]
    assert np.corrcoef(flux[mask], model(best.x)[mask])[0, 1] > 0.95
    assert abs(residual.mean()) < 0.01
    assert residual.std() < 0.02


@pytest.mark.reference
def test_visits_of_a_real_star_have_one_continuum(reference, tmp_path):
    with np.load(reference / "apogee_visits_2M06133561+2433362.npz") as star:
        path = real("2M06133561+2433362", star["spectra"], star["spec_errs"], tmp_path / "a.fits")
    run(path, tmp_path / "o.h5", "--rows", "visits", "--val", 0, "--test", 0)
    with SpectraFile(tmp_path / "o.h5") as file:
        flux, error, mask = (tensor.numpy() for tensor in file.read("train"))
    assert len(flux) == 3
    # The star is a double-lined binary, so that its lines move from visit to visit. Stretches of 200 pixels hold both.
    usable = mask.all(axis=0)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        difference = np.where(usable, flux[one] - flux[other], 0.0)[:7200].reshape(36, 200).sum(axis=1)
        mean = difference / usable[:7200].reshape(36, 200).sum(axis=1)
        assert abs(np.median(mean)) < 0.005
        assert mean.std() < 0.01
    # Where none of them has a line, noise is all that is left of their differences.
    calm = usable & (np.abs(flux - 1) < 3 * error).all(axis=0)
    assert calm.sum() > 1000
    pull = (flux[1] - flux[2])[calm] / np.hypot(error[1], error[2])[calm]
    assert 0.5 < (pull**2).mean() < 1.5

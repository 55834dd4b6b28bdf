"""cyclegan/spectra/files.py: what is read is what was written, and what is wrong with a file is told."""

import math
import re

import h5py
import numpy as np
import pytest
import torch

from cyclegan.spectra.files import SpectraFile
from cyclegan.spectra.spectra import ERROR_FLOOR, WORST_ERROR, Spectra
from cyclegan.spectra.writer import written_spectra
from emulator.commands.errors import InputError
from emulator.wavelength import vacuum_to_air

PIXELS = 30
WAVELENGTH = torch.linspace(15200, 15260, PIXELS, dtype=torch.float64)


def some_spectra(n, seed=0):
    random = torch.Generator().manual_seed(seed)
    flux = 1 + 0.1 * torch.randn(n, PIXELS, generator=random)
    return Spectra(flux, torch.full_like(flux, 0.01), torch.rand(n, PIXELS, generator=random) < 0.8)


@pytest.fixture
def path(tmp_path):
    """Two subsets, written in pieces."""
    with written_spectra(tmp_path / "stars.h5", "a test", WAVELENGTH, ["teff", "logg"]) as writer:
        for seed, n in ((1, 70), (2, 5)):
            labels = torch.full((n, 2), float(seed))
            writer.append("train", some_spectra(n, seed), labels=labels, id=[f"star {i}" for i in range(n)])
        writer.append("val", some_spectra(4, 3), labels=torch.full((4, 2), torch.nan), id=["a", "b", "c", "d"])
    return tmp_path / "stars.h5"


def test_what_was_written_is_read(path):
    with SpectraFile(path) as file:
        assert torch.equal(file.wavelength, WAVELENGTH)
        assert file.subsets == {"train": 75, "val": 4}
        assert file.label_names == ("teff", "logg")
        for name, first, second in zip(Spectra._fields, some_spectra(70, 1), some_spectra(5, 2), strict=True):
            assert torch.equal(getattr(file.read("train"), name), torch.cat([first, second])), name
        assert file.labels("train")[:, 0].tolist() == [1.0] * 70 + [2.0] * 5
        assert file.labels("val").isnan().all()
        assert file.identities("val") == ["a", "b", "c", "d"]


def test_chunks_are_the_whole_in_order(path):
    with SpectraFile(path, skip_pixels=3) as file:
        chunks = list(file.chunks("train", 32))
        assert [len(chunk.flux) for chunk in chunks] == [32, 32, 11]
        assert torch.equal(torch.cat([chunk.flux for chunk in chunks]), file.read("train").flux)
        assert file.read("train").flux.shape == (75, PIXELS - 3)


def test_pixels_of_no_use_are_masked_whatever_the_reason(path):
    with h5py.File(path, "r+") as file:
        file["mask val"][...] = True
        file["mask val"][0, 0] = False
        file["spectra val"][0, 1] = np.nan
        file["spectra_err val"][0, 2] = np.inf
        file["spectra_err val"][0, 3] = 2 * WORST_ERROR
        file["spectra_err val"][0, 0] = 0  # a masked pixel's error is nobody's business
    with SpectraFile(path) as file:
        spectra = file.read("val")
    assert (~spectra.mask).nonzero().tolist() == [[0, 0], [0, 1], [0, 2], [0, 3]]
    assert spectra.flux.isfinite().all()
    assert (spectra.error > 0).all()
    assert spectra.error.isfinite().all()


def test_infinite_errors_are_masked_however_large_an_error_may_be(path):
    with h5py.File(path, "r+") as file:
        file["mask val"][...] = True
        file["spectra_err val"][0, 2] = np.inf
    with SpectraFile(path, worst_error=np.inf) as file:
        assert (~file.read("val").mask).nonzero().tolist() == [[0, 2]]


@pytest.mark.parametrize("value", [1e30, -1e30, 101.0, -2.0])
def test_a_flux_that_nothing_has_is_masked_where_it_is_normalised(path, value):
    with h5py.File(path, "r+") as file:
        file["mask val"][...] = True
        file["spectra val"][0, 2] = value
    with SpectraFile(path) as file:
        spectra = file.read("val")
        assert (~spectra.mask).nonzero().tolist() == [[0, 2]]
        assert spectra.flux[0, 2] == 1
    with SpectraFile(path, normalised=False) as file:
        spectra = file.read("val")
        assert spectra.mask.all()
        assert spectra.flux[0, 2] == np.float32(value)


def flattened(file, name):
    values = file[name][()][None]
    del file[name]
    file[name] = values


def renamed(file, subset, names):
    del file[f"id {subset}"]
    file[f"id {subset}"] = names


def test_stars_may_be_named_by_numbers(path):
    with h5py.File(path, "r+") as file:
        renamed(file, "val", np.arange(4) + 2**60)
    with SpectraFile(path) as file:
        assert file.identities("val")[:2] == [str(2**60), str(2**60 + 1)]


def test_a_usable_pixel_without_error_is_told_with_its_row_in_the_file(path):
    with h5py.File(path, "r+") as file:
        file["mask train"][41, 6] = True
        file["spectra_err train"][41, 6] = 0
    with SpectraFile(path) as file, pytest.raises(InputError, match=r"got 0 in row 41, pixel 6 \(1 in all\)"):
        list(file.chunks("train", 32))


def test_air_wavelengths_become_vacuum(path):
    with h5py.File(path, "r+") as file:
        file.attrs["medium"] = "air"
        file["wavelength"][...] = vacuum_to_air(WAVELENGTH.numpy())
    with SpectraFile(path) as file:
        torch.testing.assert_close(file.wavelength, WAVELENGTH, rtol=0, atol=1e-8)


def test_wavelengths_may_lie_in_a_file_of_their_own(path, tmp_path):
    with h5py.File(path, "r+") as file:
        del file["wavelength"]
    with pytest.raises(InputError, match="expected a dataset 'wavelength', or wavelength=FILE"):
        SpectraFile(path)
    np.save(tmp_path / "wave.npy", WAVELENGTH.numpy())
    with SpectraFile(path, wavelength_file=tmp_path / "wave.npy") as file:
        assert torch.equal(file.wavelength, WAVELENGTH)
    np.save(tmp_path / "short.npy", WAVELENGTH.numpy()[:-1])
    with pytest.raises(InputError, match=r"shape \(n, 29\) \(spectra, pixels\), got \(75, 30\)"):
        SpectraFile(path, wavelength_file=tmp_path / "short.npy")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda file: file.attrs.update(medium="water"), ["medium = vacuum or air", "water"]),
        (lambda file: file.attrs.update(label_names=["teff"]), ["'labels train' of shape (75, 1)", "(75, 2)"]),
        (
            lambda file: file.move("spectra_err val", "error val"),
            ["'spectra_err val'", "all subsets or in none", "error val"],
        ),
        (lambda file: flattened(file, "spectra_err val"), ["'spectra_err val' of shape (4, 30)", "(1, 4, 30)"]),
        (lambda file: [file.move(f"spectra {s}", f"flux {s}") for s in ("train", "val")], ["'spectra SUBSET'"]),
        (lambda file: file["wavelength"].write_direct(np.ones(PIXELS)), ["ascending"]),
        (lambda file: file["wavelength"].write_direct(np.arange(PIXELS) - 5.0), ["above 0", "-5.000"]),
        (lambda file: file["wavelength"].write_direct(np.r_[1.0 : PIXELS - 1, 99, np.inf]), ["finite", "to inf"]),
        (lambda file: flattened(file, "wavelength"), ["'wavelength' of shape (pixels,)", "(1, 30)"]),
        (lambda file: renamed(file, "train", np.arange(3)), ["'id train' of shape (75,)", "(3,)"]),
    ],
)
def test_what_is_wrong_with_a_file_is_told_in_one_line(path, spoil, words):
    with h5py.File(path, "r+") as file:
        spoil(file)
    with pytest.raises(InputError) as caught:
        SpectraFile(path)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in ["expected", str(path), *words]), message


def test_flux_that_is_not_normalised_is_told_unless_it_may_be_so(path):
    with h5py.File(path, "r+") as file:
        file["spectra train"][...] *= 3000
        file["spectra_err train"][...] *= 3000
    with SpectraFile(path) as file, pytest.raises(InputError) as caught:
        file.read("train")
    words = r"expected flux normalised to a continuum of 1 in 'spectra train', got a median of \d+"
    assert re.fullmatch(f"{path}: {words}", str(caught.value))
    with SpectraFile(path, normalised=False, worst_error=math.inf) as file:
        assert file.read("train").flux.median() > 1000


def spoilt_flux(flux, error):
    """Sound spectra in which much is wrong, but not the continuum."""
    flux[:, ::3] = 0.0  # a third of the pixels as deep as lines can be
    flux[:, 1::3][:, ::2] = np.nan
    flux[0] = 1e9


def most_pixels_bad(flux, error):
    """As surveys mark them: without flux, and with an error that nobody believes."""
    flux[:, : 2 * PIXELS // 3], error[:, : 2 * PIXELS // 3] = 0.0, 1e10
    flux[:, :5], error[:, :5] = 0.0, np.nan


def last_star_dark(flux, error):
    flux[-1], error[-1] = 0.0, 0.01


@pytest.mark.parametrize("spoil", [spoilt_flux, most_pixels_bad, last_star_dark])
@pytest.mark.parametrize("size", [1, 37, 74, 75])
def test_what_is_not_the_continuum_does_not_look_like_another_however_a_file_is_cut(path, spoil, size):
    with h5py.File(path, "r+") as file:
        flux, error = file["spectra train"][()], file["spectra_err train"][()]
        spoil(flux, error)
        file["spectra train"][...], file["spectra_err train"][...] = flux, error
    with SpectraFile(path) as file:
        assert sum(len(chunk.flux) for chunk in file.chunks("train", size)) == 75
        assert file.not_normalised("train") is None


def test_numbers_that_stand_for_no_label_are_unknown(path):
    with h5py.File(path, "r+") as file:
        file["labels train"][3] = [-9999, -999]
        file["labels train"][4, 0] = np.inf
    with SpectraFile(path) as file:
        labels = file.labels("train")
    assert labels.isnan().nonzero().tolist() == [[3, 0], [3, 1], [4, 0]]
    assert labels[5].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("kind", ["bool", "i1", "u4", ">u2"])
def test_a_mask_may_be_of_booleans_or_of_ones_and_zeros(path, kind):
    with SpectraFile(path) as file:
        expected = file.read("train").mask
    with h5py.File(path, "r+") as file:
        values = file.pop("mask train")[()]
        file["mask train"] = values.astype(kind)
    with SpectraFile(path) as file:
        assert torch.equal(file.read("train").mask, expected)


@pytest.mark.parametrize(
    ("value", "kind", "got"),
    [(4096, "i4", "got 4096 in row 50, pixel 7"), (-1, "i8", "got -1 in row 50, pixel 7"), (1, "f4", "got float32")],
)
def test_a_mask_of_anything_else_is_refused(path, value, kind, got):
    with h5py.File(path, "r+") as file:
        values = file.pop("mask train")[()].astype(kind)
        values[50, 7] = value
        file["mask train"] = values
    with pytest.raises(InputError, match=f"{path}: expected True or 1 where a pixel is usable, .*, {got}"):  # noqa: SIM117
        with SpectraFile(path, skip_pixels=2) as file:
            list(file.chunks("train", 32))


def test_a_mask_the_wrong_way_round_is_suspected(path):
    with SpectraFile(path) as file:
        assert file.mostly_masked("train") is None
    with h5py.File(path, "r+") as file:
        file["mask train"][...] = ~file["mask train"][()]
    with SpectraFile(path) as file:
        assert re.search("'mask train', got 8[0-9]% masked: is it the wrong way round", file.mostly_masked("train"))


def test_a_file_that_reads_others_is_refused(path):
    with h5py.File(path, "r+") as file:
        file.move("labels val", "labels of others")
        file["labels val"] = h5py.ExternalLink("others.h5", "/labels")
    with pytest.raises(InputError, match="expected an HDF5 file of spectra, got 'labels val', a link to another file"):
        SpectraFile(path)


def test_values_that_are_damaged_are_told_when_they_are_read(path):
    with h5py.File(path, "r+") as file:
        values = file.pop("spectra train")[()]
        dataset = file.create_dataset("spectra train", data=values, chunks=(25, PIXELS), compression="gzip")
        dataset.id.write_direct_chunk((50, 0), b"no deflated values")
    with SpectraFile(path, normalised=False) as file:
        assert len(file.read("train", slice(0, 50)).flux) == 50
        with pytest.raises(InputError, match=r"stars.h5: expected an HDF5 file of spectra, got a damaged one"):
            file.read("train")


def test_ids_that_are_all_blank_are_none(path):
    with h5py.File(path, "r+") as file:
        file["id val"][...] = [" ", "", "", ""]
    with SpectraFile(path) as file:
        assert file.identities("val") is None
        assert len(file.identities("train")) == 75


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (np.array([b"teff", b"\xe9"]), "got '.udce9' among 2"),
        (np.array([b"teff", b"a\x1b[1m"]), r"got 'a.x1b\[1m' among 2"),
        (["teff", ""], "got an empty one among 2"),
    ],
)
def test_label_names_that_are_none_are_told(path, names, words):
    with h5py.File(path, "r+") as file:
        file.attrs["label_names"] = names
    with pytest.raises(InputError, match=f"expected names of labels in attribute label_names, {words}"):
        SpectraFile(path)


def test_label_names_may_be_bytes_in_utf_8(path):
    with h5py.File(path, "r+") as file:
        file.attrs["label_names"] = np.array([b"teff", "[\u03b1/M]".encode()])
    with SpectraFile(path) as file:
        assert file.label_names == ("teff", "[\u03b1/M]")


def without_errors(path):
    with h5py.File(path, "r+") as file:
        for name in [name for name in file if name.startswith("spectra_err")]:
            del file[name]


def test_errors_that_a_file_does_not_have_are_the_floor(path):
    with h5py.File(path, "r+") as file:
        file["spectra train"][3, 7] = np.nan
    without_errors(path)
    with SpectraFile(path, skip_pixels=2) as file:
        assert not file.has_errors
        spectra = file.read("train")
        flux = torch.cat([some_spectra(70, 1).flux, some_spectra(5, 2).flux])[:, 2:]
        mask = torch.cat([some_spectra(70, 1).mask, some_spectra(5, 2).mask])[:, 2:]
        mask[3, 5], flux[3, 5] = False, 1.0
        assert torch.equal(spectra.mask, mask)
        assert torch.equal(spectra.flux, flux)
        assert (spectra.error[spectra.mask] == ERROR_FLOOR).all()
        assert torch.equal(torch.cat([chunk.error for chunk in file.chunks("train", 32)]), spectra.error)
        file.pick(file.wavelength[3:20:2])
        assert file.read("train").error.shape == (75, 9)


def test_of_flux_in_any_unit_they_are_in_that_unit(path):
    with h5py.File(path, "r+") as file:
        file["spectra train"][...] *= 3e-17
        file["spectra train"][2] = 0.0
    without_errors(path)
    with SpectraFile(path, normalised=False) as file:
        spectra = file.read("train")
    level = spectra.flux.median(dim=1, keepdim=True).values.clone()
    level[2] = 1.0  # of no flux anything may be the unit
    expected = (1e-6 * level).expand_as(spectra.error)
    torch.testing.assert_close(spectra.error, expected, rtol=1e-6, atol=0)

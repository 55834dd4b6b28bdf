"""cyclegan/spectra/writer.py: files that appear whole or not at all, in no more room than they need."""

import gc

import h5py
import numpy as np
import pytest
import torch
from small_disk import room_for

from cyclegan.spectra.files import SpectraFile
from cyclegan.spectra.spectra import Spectra
from cyclegan.spectra.writer import written_spectra
from emulator.commands.errors import InputError
from emulator.commands.writing_hdf5 import written_hdf5

PIXELS = 30
WAVELENGTH = torch.linspace(15200, 15260, PIXELS, dtype=torch.float64)


def some_spectra(n, seed=0):
    random = torch.Generator().manual_seed(seed)
    flux = 1 + 0.1 * torch.randn(n, PIXELS, generator=random)
    return Spectra(flux, torch.full_like(flux, 0.01), torch.rand(n, PIXELS, generator=random) < 0.8)


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    def broken_off():
        with written_spectra(tmp_path / "out.h5", "a test", WAVELENGTH) as writer:
            writer.append("train", some_spectra(3))
            raise KeyError

    with pytest.raises(KeyError):
        broken_off()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("counts", [None, {"train": 300}])
def test_what_is_the_same_in_all_pixels_takes_no_room_and_reads_the_same(tmp_path, counts):
    flux = torch.rand(300, PIXELS)
    same = Spectra(flux, torch.full_like(flux, 0.01), torch.ones_like(flux, dtype=torch.bool))
    other = same._replace(error=same.error.clone(), mask=same.mask.clone())
    other.error[170, 3], other.mask[210, 5] = 0.02, False  # one pixel, in the second piece and in the third
    sizes = []
    for name, spectra in (("same", same), ("other", other)):
        with written_spectra(tmp_path / f"{name}.h5", "a test", WAVELENGTH, counts=counts) as writer:
            for chunk in spectra.chunks(100):
                writer.append("train", chunk)
        with SpectraFile(tmp_path / f"{name}.h5") as file:
            for written, read in zip(spectra, file.read("train"), strict=True):
                assert torch.equal(written, read)
        with h5py.File(tmp_path / f"{name}.h5") as file:
            sizes.append([file[f"{name} train"].id.get_storage_size() for name in ("spectra_err", "mask")])
    assert sizes[0] == [0, 0]
    assert all(sizes[1])


@pytest.mark.parametrize("room", [0, 100, 5000, 10**5, 3 * 10**5])
@pytest.mark.parametrize("counts", [None, {"train": 4000}])
def test_a_full_disk_ends_in_a_line_and_no_file_is_left(tmp_path, room, counts):
    """HDF5 used to end the process instead, by a segmentation fault."""

    def write():
        with written_spectra(tmp_path / "out.h5", "a test", WAVELENGTH, counts=counts) as writer:
            for _ in range(40):
                writer.append("train", some_spectra(100), id=[f"star {row}" for row in range(100)])

    expected = r"out\.h5: expected room for more than [\d.]+ MB in .* \('File too large'\)"
    with room_for(room), pytest.raises(InputError, match=expected):
        write()
    gc.collect()  # what HDF5 could not close it closes now
    assert list(tmp_path.iterdir()) == []


def test_work_for_nothing_does_not_go_on(tmp_path):
    written = []

    def write():
        with written_hdf5(tmp_path / "out.h5") as output:
            rows = output.create_dataset("rows", (100, 10**4))
            for row in range(100):
                rows[row] = row
                output.check()
                written.append(row)

    with room_for(10**5), pytest.raises(InputError):
        write()
    assert len(written) == 2  # of 40 kB each


def test_what_will_not_fit_is_told_before_the_work(tmp_path):
    stars = 10**12
    with (
        pytest.raises(InputError, match=rf"expected room for more than {stars * PIXELS * 4 / 1e6:.1f} MB"),
        written_spectra(tmp_path / "out.h5", "a test", WAVELENGTH, counts={"train": stars}),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_another_command_made_stays(tmp_path):
    path = tmp_path / "out.h5"
    for command in ("transfer", "transfer"):
        with written_spectra(path, command, WAVELENGTH) as writer:
            writer.append("train", some_spectra(3))
    before = path.read_bytes()
    with (
        pytest.raises(
            InputError, match=r"out\.h5: expected a file that atlas wrote, or none, got another's: it is kept"
        ),
        written_spectra(path, "atlas", WAVELENGTH),
    ):
        pass
    assert path.read_bytes() == before


def test_names_and_numbers_go_with_their_spectra(tmp_path):
    with written_spectra(tmp_path / "out.h5", "a test", WAVELENGTH, ("teff",)) as writer:
        for first in (0, 2):
            rows = np.arange(first, first + 2)
            writer.append("test", some_spectra(2), id=[f"star {row}" for row in rows], seed=rows)
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["id test"].asstr()[()].tolist() == ["star 0", "star 1", "star 2", "star 3"]
        assert file["seed test"][()].tolist() == [0, 1, 2, 3]
        assert (file.attrs["medium"], file.attrs["label_names"].tolist()) == ("vacuum", ["teff"])
        np.testing.assert_array_equal(file["wavelength"], WAVELENGTH)

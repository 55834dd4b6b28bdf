"""cyclegan/spectra/writer.py: files that appear whole or not at all, in no more room than they need."""

import errno
import os

import h5py
import numpy as np
import pytest
import torch

from cyclegan.spectra.files import SpectraFile
from cyclegan.spectra.spectra import Spectra
from cyclegan.spectra.writer import written_spectra
from emulator.commands.errors import InputError

PIXELS = 30
WAVELENGTH = torch.linspace(15200, 15260, PIXELS, dtype=torch.float64)


def some_spectra(n, seed=0):
    random = torch.Generator().manual_seed(seed)
    flux = 1 + 0.1 * torch.randn(n, PIXELS, generator=random)
    return Spectra(flux, torch.full_like(flux, 0.01), torch.rand(n, PIXELS, generator=random) < 0.8)


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    def broken_off():
        with written_spectra(tmp_path / "out.h5", WAVELENGTH) as writer:
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
        with written_spectra(tmp_path / f"{name}.h5", WAVELENGTH, counts=counts) as writer:
            for chunk in spectra.chunks(100):
                writer.append("train", chunk)
        with SpectraFile(tmp_path / f"{name}.h5") as file:
            for written, read in zip(spectra, file.read("train"), strict=True):
                assert torch.equal(written, read)
        with h5py.File(tmp_path / f"{name}.h5") as file:
            sizes.append([file[f"{name} train"].id.get_storage_size() for name in ("spectra_err", "mask")])
    assert sizes[0] == [0, 0]
    assert all(sizes[1])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_disk_without_room_is_told_and_no_file_is_left(tmp_path, number):
    with (
        pytest.raises(InputError, match=rf"out\.h5: expected room to write, got '{os.strerror(number)}'"),
        written_spectra(tmp_path / "out.h5", WAVELENGTH),
    ):
        raise OSError(number, "")
    assert list(tmp_path.iterdir()) == []


def test_other_troubles_of_the_system_keep_their_traceback(tmp_path):
    with pytest.raises(PermissionError), written_spectra(tmp_path / "out.h5", WAVELENGTH):
        raise PermissionError(errno.EACCES, "")


def test_names_and_numbers_go_with_their_spectra(tmp_path):
    with written_spectra(tmp_path / "out.h5", WAVELENGTH, ("teff",)) as writer:
        for first in (0, 2):
            rows = np.arange(first, first + 2)
            writer.append("test", some_spectra(2), id=[f"star {row}" for row in rows], seed=rows)
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["id test"].asstr()[()].tolist() == ["star 0", "star 1", "star 2", "star 3"]
        assert file["seed test"][()].tolist() == [0, 1, 2, 3]
        assert (file.attrs["medium"], file.attrs["label_names"].tolist()) == ("vacuum", ["teff"])
        np.testing.assert_array_equal(file["wavelength"], WAVELENGTH)

"""emulator/array_files.py: arrays that claim more than their file holds, or unpack to far more, are refused."""

import io
import zipfile

import numpy as np
import pytest
from numpy.lib import format as npy

from emulator import array_files
from emulator.array_files import check_arrays


def header(shape, kind="<f8") -> bytes:
    """The beginning of an .npy file of such an array."""
    file = io.BytesIO()
    npy.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
    return file.getvalue()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_good_files_pass(tmp_path, save):
    save(tmp_path / "a.npz", a=np.zeros(10**5), b=np.array("text"), c=np.array(["x"]), d=np.zeros((0, 4)))
    check_arrays(tmp_path / "a.npz")
    np.save(tmp_path / "a.npy", np.arange(5, dtype="float32"))
    check_arrays(tmp_path / "a.npy")
    (tmp_path / "other.npz").write_text("neither")
    check_arrays(tmp_path / "other.npz")


@pytest.mark.parametrize(("shape", "kind"), [((10**12,), "<f8"), ((10**12,), "|S0"), ((10**6, 10**7), "<f4")])
def test_a_shape_that_the_file_does_not_hold_is_refused(tmp_path, shape, kind):
    (tmp_path / "a.npy").write_bytes(header(shape, kind) + bytes(800))
    with pytest.raises(ValueError, match=r"an array of shape \(1000000"):
        check_arrays(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("flux.npy", header(shape, kind) + bytes(800))
    with pytest.raises(ValueError, match=r"an array of shape \(1000000"):
        check_arrays(tmp_path / "a.npz")


def test_what_unpacks_to_far_more_than_its_file_is_refused(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", flux=np.zeros(10**5))
    monkeypatch.setattr(array_files, "MOST_UNPACKED", 10**5)
    with pytest.raises(ValueError, match=r"flux.npy of 800128 bytes in a file of \d+"):
        check_arrays(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", flux=np.zeros(10**5))
    check_arrays(tmp_path / "a.npz")

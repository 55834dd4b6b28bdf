"""emulator/hdf5.py: what is wrong with a file of others is told in time, and what is merely large is read."""

import os
import signal
import struct
import threading
import time
import zlib

import h5py
import numpy as np
import pytest
from reference import REFERENCE

from emulator import hdf5
from emulator.commands.errors import InputError
from emulator.hdf5 import is_hdf5, open_hdf5, read_all, read_label_names


def sound(path):
    with h5py.File(path, "w") as file:
        file.attrs["label_names"] = ["teff", "logg"]
        file["wavelength"], file["id train"] = np.arange(5.0), [f"star {number}" for number in range(20)]
    return path


def looping(path):
    """An object of length 0 in the heap of texts, over which libhdf5 never gets."""
    content = bytearray(sound(path).read_bytes())
    first = content.index(b"GCOL") + 16
    second = first + 16 + -(-struct.unpack("<Q", content[first + 8 : first + 16])[0] // 8) * 8
    content[second : second + 16] = bytes(16)
    path.write_bytes(content)


def claiming(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("spectra train", (10**12, 200), "f4", chunks=(1, 200))


def packed(path):
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("labels", (10**6, 100), "f4", chunks=(10**4, 100), compression="gzip")
        chunk = zlib.compress(bytes(4 * 10**6))
        for row in range(0, 10**6, 10**4):
            dataset.id.write_direct_chunk((row, 0), chunk)


def one_large_chunk(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("spectra train", (1, 200), "f4", chunks=(10**6, 200), maxshape=(None, 200))


def packed_twice(path):
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_chunk((10, 10))
    creation.set_deflate(9)
    creation.set_deflate(9)
    with h5py.File(path, "w") as file:
        h5py.h5d.create(file.id, b"spectra", h5py.h5t.NATIVE_FLOAT, h5py.h5s.create_simple((10, 10)), creation)


def inflated_chunk(path):
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("spectra", (10, 10), "f4", chunks=(10, 10), compression="gzip")
        dataset.id.write_direct_chunk((0, 0), bytes(10**6))


def external_link(path):
    with h5py.File(path, "w") as file:
        file["spectra"] = h5py.ExternalLink("other.h5", "/spectra")


def external_storage(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("spectra", (10,), "f4", external=[("/etc/hostname", 0, 40)])


def virtual(path):
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "spectra", (3,))
    with h5py.File(path, "w") as file:
        file.create_group("group").create_virtual_dataset("spectra", layout)


def looping_links(path):
    with h5py.File(path, "w") as file:
        file["a"], file["b"] = h5py.SoftLink("/b"), h5py.SoftLink("/a")


def dangling_link(path):
    with h5py.File(path, "w") as file:
        file["a"] = h5py.SoftLink("/nothing")


def truncated(path):
    path.write_bytes(sound(path).read_bytes()[:-100])


BAD = {
    looping: "which HDF5 does not get through in 1 s",
    claiming: r"'spectra train' of shape \(1000000000000, 200\), of which next to nothing is stored",
    packed: r"'labels' of shape \(1000000, 100\), of which next to nothing is stored",
    one_large_chunk: "'spectra train' in chunks of 763 MiB",
    packed_twice: "'spectra', packed twice",
    inflated_chunk: "'spectra' with a chunk that is larger than it can be",
    external_link: "'spectra', a link to another file",
    external_storage: "'spectra', whose values are in other files",
    virtual: "'group/spectra', whose values are in other files",
    looping_links: "a truncated or other file .*too many links",
    dangling_link: "'a', a link that leads nowhere",
    truncated: "a truncated or other file",
    lambda path: path.write_text("flux"): "a truncated or other file",
    lambda path: path.mkdir(): "found no such file",
    lambda path: None: "found no such file",
}


@pytest.mark.parametrize("damage", list(BAD))
def test_a_bad_file_is_refused_in_time_and_in_one_line(tmp_path, damage):
    path = tmp_path / "a.h5"
    damage(path)
    start = time.process_time(), os.times().children_user
    with pytest.raises(InputError, match=f"^{path}: expected spectra, .*{BAD[damage]}") as caught:
        open_hdf5(path, "spectra")
    assert "\n" not in str(caught.value)
    assert time.process_time() - start[0] + os.times().children_user - start[1] < 4


def test_values_that_never_were_written_are_read_beside_flux_of_the_same_shape(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5, "SMALL", 1000)
    flux = np.random.default_rng(0).normal(1, 0.1, (50, 40))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["spectra train"] = flux
        file.create_dataset("spectra_err train", flux.shape, "f8", fillvalue=0.01)
        file.create_dataset("mask train", flux.shape, bool, chunks=(10, 40), fillvalue=True)
    with open_hdf5(tmp_path / "a.h5", "spectra") as file:
        assert (file["spectra_err train"][()] == 0.01).all()
        assert file["mask train"][()].all()
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["spectra train"]
    with pytest.raises(InputError, match="next to nothing is stored"):
        open_hdf5(tmp_path / "a.h5", "spectra")


def test_what_hdf5_files_may_hold_is_no_fault(tmp_path):
    path = sound(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        group = file.create_group("more")
        group["up"], group["wavelength"] = file["/"], h5py.SoftLink("/wavelength")
        group["text"], group["none"], group.attrs["none"] = "text", h5py.Empty("f4"), h5py.Empty("f4")
        group.create_dataset("packed", data=np.ones((10, 4)), shuffle=True, fletcher32=True, compression="lzf")
        group["row"] = np.array([(1.0, "x")], [("a", "f4"), ("b", h5py.string_dtype())])
        group["no rows"] = np.zeros((0, 3))
    with open_hdf5(path, "spectra") as file:
        assert read_all(file["more/wavelength"]).tolist() == [0, 1, 2, 3, 4]
        assert read_label_names(file) == ("teff", "logg")
    assert is_hdf5(path)
    assert not is_hdf5(tmp_path)


def test_a_file_that_was_mended_is_read(tmp_path):
    path = tmp_path / "a.h5"
    dangling_link(path)
    with pytest.raises(InputError):
        open_hdf5(path, "spectra")
    sound(path)
    open_hdf5(path, "spectra").close()


def test_what_does_not_fit_into_memory_is_not_read(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("spectra", (10**9, 10**4), "f4", chunks=(1, 10**4))
        with pytest.raises(InputError, match=r"a.h5: expected 'spectra' to fit into memory, got 37252.9 GiB"):
            read_all(file["spectra"])


def test_an_empty_name_of_a_label_is_refused(tmp_path):
    with h5py.File(sound(tmp_path / "a.h5"), "a") as file:
        file.attrs["label_names"] = ["teff", " "]
        with pytest.raises(InputError, match=r"a.h5: expected names of labels .* got an empty one among 2"):
            read_label_names(file)


def test_an_interrupt_ends_a_walk_and_its_process(tmp_path, monkeypatch):
    walkers, fork = [], os.fork
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it in the background
    monkeypatch.setattr(os, "fork", lambda: walkers.append(fork()) or walkers[-1])
    monkeypatch.setattr(hdf5, "SECONDS", 20)
    path = tmp_path / "a.h5"
    looping(path)
    timer = threading.Timer(0.5, signal.pthread_kill, [threading.main_thread().ident, signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        open_hdf5(path, "spectra")
    timer.join()
    signal.signal(signal.SIGINT, before)
    with pytest.raises(ChildProcessError):  # it is not there any more
        os.waitpid(walkers[0], os.WNOHANG)


@pytest.mark.parametrize("name", ["huge.h5", "bomb.h5", "hang.h5"])
def test_files_that_did_harm_are_refused(name):
    path = REFERENCE.parent / "cases" / name
    if not path.is_file():
        pytest.skip(f"A FILE THAT DID HARM NOT TESTED: there is no {path}")
    with pytest.raises(InputError, match=name):
        open_hdf5(path, "spectra")

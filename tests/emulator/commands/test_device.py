"""emulator/commands/device.py: the device that is asked for, and threads that are given back."""

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from emulator.commands.device import find_device, processor_threads
from emulator.commands.errors import InputError


def blas_threads():
    """Of the libraries that NumPy computes with."""
    np.ones((2, 2)) @ np.ones((2, 2))
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


@pytest.fixture(autouse=True)
def two_threads():
    """Another number than any test asks for, whatever machine this is."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_so_many_threads_work_as_are_asked_for_and_as_many_as_before_afterwards():
    before = blas_threads()
    with processor_threads(1):
        assert torch.get_num_threads() == 1
        assert set(blas_threads()) == {1}
    assert torch.get_num_threads() == 2
    assert blas_threads() == before
    with processor_threads(3):
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == 2


def test_threads_are_given_back_after_an_error():
    before = blas_threads()
    with pytest.raises(ZeroDivisionError), processor_threads(1):
        raise ZeroDivisionError
    assert torch.get_num_threads() == 2
    assert blas_threads() == before


def test_without_a_number_threads_stay_as_they_are():
    before = blas_threads()
    with processor_threads(None):
        assert torch.get_num_threads() == 2
        assert blas_threads() == before
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(("gpu", "found"), [(True, "cuda"), (False, "cpu")])
def test_auto_takes_a_gpu_where_there_is_one(monkeypatch, gpu, found):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert find_device("auto", "device") == found
    assert find_device("cpu", "device") == "cpu"


@pytest.mark.parametrize("device", ["gpu", "tpu"])
def test_a_device_that_is_not_here_is_told_with_where_it_was_asked_for(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=f"^config key 'device': expected cpu or auto, got {device}, and there is"):
        find_device(device, "config key 'device'")

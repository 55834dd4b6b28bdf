"""emulator/commands/saving.py: files of torch, of others too."""

import zipfile

import pytest
import torch

from emulator.commands.errors import InputError
from emulator.commands.saving import load_saved, saved
from emulator.commands.writing import write_whole
from emulator.payne import Payne


def test_what_is_saved_is_loaded(tmp_path):
    write_whole(tmp_path / "a.pt", saved({"weights": torch.arange(4.0), "name": "a"}))
    found = load_saved(tmp_path / "a.pt")
    assert found["name"] == "a"
    assert torch.equal(found["weights"], torch.arange(4.0))


def test_a_packed_file_is_refused_before_it_is_unpacked(tmp_path):
    """A megabyte would have become a gigabyte."""
    bomb = tmp_path / "bomb.pt"
    write_whole(tmp_path / "a.pt", saved({"weights": torch.zeros(5 * 10**6)}))
    with zipfile.ZipFile(tmp_path / "a.pt") as plain, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    assert torch.load(bomb, weights_only=True)["weights"].numel() == 5 * 10**6  # torch itself takes it
    with pytest.raises(ValueError, match="a packed file"):
        load_saved(bomb)
    with pytest.raises(InputError, match=r"bomb\.pt: expected a file written by Payne\.save"):
        Payne.load(bomb)

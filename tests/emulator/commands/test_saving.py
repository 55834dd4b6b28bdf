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


def test_what_holds_itself_is_loaded(tmp_path):
    contents = {"a": [torch.ones(2, dtype=torch.bool), (1.0, "text", None)]}
    contents["itself"] = contents
    write_whole(tmp_path / "a.pt", saved(contents))
    found = load_saved(tmp_path / "a.pt")
    assert found["itself"] is found
    assert found["a"][1] == (1.0, "text", None)


@pytest.mark.parametrize("kind", ["complex", "sparse", "quantised", "without values"])
@pytest.mark.filterwarnings("ignore")  # of PyTorch, about quantised tensors
def test_a_tensor_that_is_no_array_of_real_numbers_is_refused_wherever_it_is(tmp_path, kind):
    tensor = {
        "complex": lambda: torch.zeros(3, dtype=torch.complex64),
        "sparse": lambda: torch.eye(3).to_sparse(),
        "quantised": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
        "without values": lambda: torch.empty(3, device="meta"),
    }[kind]()
    write_whole(tmp_path / "a.pt", saved({"state": [({"weights": tensor},)]}))
    with pytest.raises(ValueError, match=r"^a tensor of"):
        load_saved(tmp_path / "a.pt")
    with pytest.raises(InputError, match=r"a\.pt: expected a file written by Payne\.save"):
        Payne.load(tmp_path / "a.pt")


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

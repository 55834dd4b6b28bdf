"""cyclegan/__init__.py: what a user imports."""

import subprocess
import sys

import torch
from faults.good_inputs import write_run

import cyclegan
from cyclegan.spectra import spectra
from cyclegan.trained import loading, model


def test_a_run_is_loaded_and_used_by_one_import(payne2payne_run, forty_stars):
    found = cyclegan.load(payne2payne_run, "cpu")
    assert isinstance(found, cyclegan.TrainedModel)
    again = cyclegan.load(payne2payne_run / "last.ckpt", device="cpu")
    assert torch.equal(found.synth_to_obs(forty_stars.flux), again.synth_to_obs(forty_stars.flux))


def test_names_are_those_of_their_rooms():
    assert cyclegan.load is loading.load
    assert cyclegan.TrainedModel is model.TrainedModel
    assert cyclegan.Spectra is spectra.Spectra
    assert set(cyclegan.__all__) == {"Spectra", "TrainedModel", "__version__", "load"}
    assert all(hasattr(cyclegan, name) for name in cyclegan.__all__)


def test_the_version_is_told():
    assert cyclegan.__version__ == "0.2.0"


def test_an_ensemble_is_loaded_without_what_only_compilers_need(tmp_path):
    """That takes longer to import than PyTorch itself."""
    write_run(tmp_path)
    code = f"import sys, cyclegan; m = cyclegan.load({str(tmp_path)!r}, 'cpu'); print(len(m.errors))\n"
    code += "print([name for name in ('torch._dynamo', 'sympy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "2\n[]\n"


def test_an_import_brings_neither_commands_nor_training_nor_pictures():
    """Whoever translates does not wait for what only commands, training and reports need."""
    others = (
        *("hydra", "omegaconf", "yaml", "pytorch_lightning", "lightning_fabric", "lightning_utilities", "torchmetrics"),
        *("wandb", "sklearn", "matplotlib", "astropy", "specutils", "pandas"),
        *("scipy", "h5py"),  # with which come a tenth to a third of a second
        "cyclegan.training",
        "cyclegan.figures",
        "cyclegan.evaluation",
        "cyclegan.fitting",
    )
    code = f"import sys, cyclegan; print([name for name in {others} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

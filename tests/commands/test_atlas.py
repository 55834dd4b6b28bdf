"""python -m cyclegan.atlas, as a user meets it: a file that `fit` takes and draws, and what is refused."""

import h5py
import numpy as np
import pytest
import torch


@pytest.fixture(scope="module")
def atlas(trained, tmp_path_factory):
    """A star of the toy's emulator, five times as finely sampled, in the first chip alone."""
    low, high = trained.emulator.label_low, trained.emulator.label_high
    with torch.no_grad():
        flux = trained.from_labels(((low + high) / 2)[None])[0].numpy()
    wavelength = trained.wavelength.numpy()
    fine = np.linspace(wavelength[0] - 1, wavelength[99] + 1, 600)
    path = tmp_path_factory.mktemp("atlas") / "atlas.npz"
    np.savez(path, sun_wavelength=fine, sun_flux=np.interp(fine, wavelength, flux), x_wavelength=fine, x_flux=fine)
    return path


def test_the_command(start, payne2payne_run, trained, atlas, tmp_path):
    def process(name, *overrides):
        (tmp_path / name).mkdir()
        arguments = [f"checkpoint={payne2payne_run}", f"input={atlas}", "resolution=60000", "output=sun.h5"]
        return start(tmp_path / name, *arguments, *overrides, module="cyclegan.atlas")

    started = {
        "good": process("good", "star=sun", "velocity=0"),
        "moved": process("moved", "star=sun"),
        "star": process("star"),
        "coarse": process("coarse", "star=sun", "resolution=1e6"),
        "error": process("error", "star=sun", "error=0.2"),
        "same": process("same", "star=sun", f"output={atlas}"),
    }
    commands = {name: process.wait() for name, process in started.items()}
    assert {name: command.code for name, command in commands.items()} == {
        "good": 0, "moved": 0, "star": 2, "coarse": 2, "error": 2, "same": 2
    }, {name: command.err for name, command in commands.items()}  # fmt: skip
    assert "one of sun, x, got none" in commands["star"].err
    assert "expected pixels of at most" in commands["coarse"].err
    assert "at most 0.05" in commands["error"].err
    assert "another file to write than 'input'" in commands["same"].err
    assert not (tmp_path / "coarse" / "sun.h5").exists()
    with h5py.File(tmp_path / "good" / "sun.h5") as file:
        mask, error = file["mask test"][0], file["spectra_err test"][0]
        assert file["id test"].asstr()[0] == "sun"
    assert "0.0 km/s taken out" in commands["good"].out
    assert mask[5:95].all()
    assert not mask[100:].any()
    assert (error == np.float32(0.003)).all()
    fitted = start(
        tmp_path,
        f"checkpoint={payne2payne_run}",
        f"input={tmp_path / 'good' / 'sun.h5'}",
        f"output={tmp_path / 'fit'}",
        "device=cpu",
        "continuum=1",  # also on the chip of which nothing is known
        module="cyclegan.fit",
    ).wait()
    assert fitted.code == 0, fitted.err
    assert (tmp_path / "fit" / "spectra_test.png").read_bytes().startswith(b"\x89PNG")
    with h5py.File(tmp_path / "fit" / "labels.h5") as file:
        errors = file["translator/labels_err test"][0]
        assert np.isfinite(errors).all()
        assert (errors < (trained.emulator.label_high - trained.emulator.label_low).numpy()).all()
        assert file["translator/continuum test"].shape == (1, 4)
        np.testing.assert_allclose(file["translator/continuum test"][0, 2:], 0, atol=1e-6)

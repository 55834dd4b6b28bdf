"""python -m cyclegan.fit, as a user meets it: tables, files and pictures, and what it refuses."""

import csv
import json

import h5py
import numpy as np
import pytest
import torch

from cyclegan.fitting.fitter import Fitter
from cyclegan.fitting.forward import TRANSLATOR, SpectrumModel
from cyclegan.spectra.spectra import Spectra
from cyclegan.spectra.writer import written_spectra
from cyclegan.trained.sources import LabelSource


def write_observed(trained, path):
    """Spectra of sixty labelled stars into `val` and `test` of a file."""
    low, high = trained.emulator.label_low, trained.emulator.label_high
    labels = low + (high - low) * (0.3 + 0.4 * torch.rand(60, len(low), generator=torch.Generator().manual_seed(3)))
    flux = trained.from_labels(labels)
    spectra = Spectra(flux, torch.full_like(flux, 0.01), torch.ones_like(flux, dtype=torch.bool))
    with written_spectra(path, "a test", trained.wavelength, trained.label_names) as writer:
        for subset in ("val", "test"):
            writer.append(subset, spectra, labels=labels, id=[f"star {i}" for i in range(60)])
    return spectra


def test_the_command(start, payne2payne_run, files_run, trained, tmp_path):
    """A file of an emulator's own spectra, with labels: results, pictures, and nothing where something is wrong."""
    spectra = write_observed(trained, tmp_path / "obs.h5")
    low, high = trained.emulator.label_low, trained.emulator.label_high
    before = (tmp_path / "obs.h5").read_bytes()

    def process(name, *overrides, run=payne2payne_run):
        (tmp_path / name).mkdir()
        arguments = [f"checkpoint={run}", f"input={tmp_path / 'obs.h5'}", f"output={tmp_path / name / 'found'}"]
        return start(tmp_path / name, *arguments, "device=cpu", "starts=1", *overrides, module="cyclegan.fit")

    started = {
        "good": process("good", "subset=test", "known=val"),
        "alone": process("alone", "subset=test", "known=val", "through=translator"),
        "files": process("files", run=files_run),
        "twice": process("twice", "emulator=other.pt"),
        "subset": process("subset", "subset=train"),
        "typo": process("typo", "start=4"),
    }
    commands = {name: process.wait() for name, process in started.items()}
    codes = {name: command.code for name, command in commands.items()}
    assert codes == {"good": 0, "alone": 0, "files": 2, "twice": 2, "subset": 2, "typo": 2}, {
        n: c.err for n, c in commands.items()
    }
    assert "an emulator of it" in commands["files"].err
    assert "which brings its own" in commands["twice"].err
    assert "expected one of val, test, got train" in commands["subset"].err
    assert (tmp_path / "obs.h5").read_bytes() == before
    assert not (tmp_path / "files" / "found").exists()
    output = tmp_path / "good" / "found"
    summary = json.loads((output / "fit.json").read_text())
    assert set(summary["subsets"]) == {"test"}
    assert set(summary["subsets"]["test"]["translator"]["labels"]) == set(trained.label_names)
    with (output / "translator.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert {row["subset"] for row in rows} == {"test"}
    assert [row["id"] for row in rows] == [f"star {i}" for i in range(60)]
    alone = tmp_path / "alone" / "found"
    assert not (alone / "emulator.csv").exists()
    assert (alone / "translator.csv").read_bytes() == (output / "translator.csv").read_bytes()
    with h5py.File(alone / "labels.h5") as file:
        assert "emulator" not in file
    with h5py.File(output / "labels.h5") as file:
        stored = file["translator/labels test"][()]
        assert file["emulator/covariance test"].shape == (60, len(low), len(low))
        distance, counterpart = file["distance test"][()], file["counterpart test"][()]
    np.testing.assert_array_equal(counterpart, distance <= 1)
    np.testing.assert_allclose([float(row["distance"]) for row in rows], distance, rtol=1e-5)
    assert [row["counterpart"] for row in rows] == [str(int(one)) for one in counterpart]
    assert summary["without_counterpart"] == {"test": pytest.approx(1 - counterpart.mean())}
    assert f"{(~counterpart).sum()} stars have no counterpart" in commands["good"].out + commands["good"].err
    np.testing.assert_array_equal(LabelSource(output / "translator.csv", trained).labels, stored)
    fitter = Fitter(SpectrumModel(trained.forward_model, TRANSLATOR), 1, 0)
    found = fitter(Spectra(trained.from_labels(high.expand(2, -1)) - 0.02, spectra.error[:2], spectra.mask[:2]))
    assert found.at_bound.any()
    trained.emulator.check_labels(found.labels)  # at the end of the range is not beyond it
    for name in ("fitted", "residuals", "pulls"):
        assert (output / f"{name}_test.png").read_bytes().startswith(b"\x89PNG")

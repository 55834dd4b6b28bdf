"""cyclegan/fitter.py and fit.py: labels of a toy sky, whose translation is a known shift and whose theory is linear."""

import csv
import json

import h5py
import numpy as np
import pytest
import scipy.optimize
import torch
from conftest import LINE_WIDTH, linear_payne, toy_wavelength
from omegaconf import OmegaConf

from cyclegan.checkpoint import Trained
from cyclegan.files import written_spectra
from cyclegan.fit import compare, map_covariance, widened
from cyclegan.fitter import EMULATOR, TRANSLATOR, Fitted, Fitter, Model
from cyclegan.spectra import Components, Spectra
from cyclegan.transfer import Transfer
from cyclegan.translator import build_translator
from emulator.command import InputError

NAMES = ("teff", "logg", "fe_h")
NOISE = 0.005
STARS = 150


class Toy:
    """Theory is linear in three labels; the translator is exact: a gap, in part like a change of labels."""

    def __init__(self) -> None:
        random = torch.Generator().manual_seed(5)
        wavelength = toy_wavelength()
        pixels, K = len(wavelength), len(NAMES)
        ripple = torch.linspace(0, 9, pixels)[:, None] * torch.tensor([1.0, 1.7, 2.3])
        profile = torch.exp(-0.5 * (torch.arange(-6, 7) / LINE_WIDTH) ** 2)[None, None]
        bumps = torch.nn.functional.conv1d(torch.randn(K + 1, 1, pixels + 12, generator=random), profile)[:, 0].T
        lines = 0.1 * torch.sin(ripple) + 0.02 * bumps[:, :K]
        self.lines = lines
        payne = linear_payne(lines, wavelength, NAMES).requires_grad_(False)
        self.gap = lines @ torch.tensor([0.1, -0.05, 0.08]) + 0.004 * bumps[:, K]
        weight = torch.full((pixels,), 1 / NOISE)
        basis = torch.linalg.qr(lines).Q
        mean = torch.full((pixels,), 0.9)
        spaces = Components(mean, weight, basis), Components(mean + self.gap, weight, basis)
        networks = OmegaConf.create({"kind": "dense", "shared": K, "split": 0, "components": K, "width": 4})
        translator = build_translator(networks, spaces, torch.ones(K)).eval().requires_grad_(False)
        config = OmegaConf.create({"domains": {"synth": {"path": None}, "obs": {"path": None}}})
        trained = Trained(translator, wavelength, payne, {}, None, torch.empty(9, 0), True, config, 1)
        self.transfer = Transfer(trained, "the toy")
        self.labels = payne.label_low + (payne.label_high - payne.label_low) * (
            0.15 + 0.7 * torch.rand(STARS, K, generator=random)
        )
        clean = payne(self.labels) + self.gap
        error = NOISE * (0.5 + torch.rand(STARS, pixels, generator=random))
        flux = clean + error * torch.randn(STARS, pixels, generator=random)
        self.spectra = Spectra(flux, error, torch.ones_like(flux, dtype=torch.bool))

    def fit(self, through=TRANSLATOR, spectra=None, starts=2, **terms) -> Fitted:
        return Fitter(Model(self.transfer, through, **terms), starts, 0)(self.spectra if spectra is None else spectra)


@pytest.fixture(scope="module")
def toy():
    return Toy()


def pulls(toy, fitted):
    return ((fitted.labels - toy.labels) / fitted.error).double()


def test_labels_come_back_with_the_errors_they_say(toy):
    fitted = toy.fit()
    assert fitted.converged.all()
    assert not fitted.at_bound.any()
    assert (fitted.agreeing == 1).all()
    off = pulls(toy, fitted)
    assert off.mean(dim=0).abs().max() < 4 / STARS**0.5
    assert ((off.std(dim=0) - 1).abs() < 4 / (2 * STARS) ** 0.5).all()
    assert (fitted.chi2 / (fitted.pixels - 3)).mean().item() == pytest.approx(1, abs=0.05)


def test_theory_alone_takes_the_gap_for_labels(toy):
    """Each star is off by the change of labels that, by its own errors, is most like the gap."""
    fitted, payne = toy.fit(EMULATOR), toy.transfer.emulator
    weight = toy.spectra.error[:, :, None] ** -1
    mistaken = torch.linalg.lstsq(weight * toy.lines, weight * toy.gap[:, None]).solution[:, :, 0]
    off = fitted.labels - toy.labels - mistaken * (payne.label_high - payne.label_low)
    assert (off / fitted.error).mean(dim=0).abs().max() < 4 / STARS**0.5
    assert ((fitted.labels - toy.labels) / fitted.error).mean(dim=0).abs().min() > 3


def test_components_stand_for_pixels(toy):
    """What is left of a spectrum in the space of components has the chi-square and the labels of all its pixels."""
    model = Model(toy.transfer, TRANSLATOR)
    assert model.linear
    short = Fitter(model, 1, 0)(toy.spectra)
    model.linear = False
    long = Fitter(model, 1, 0)(toy.spectra)
    assert ((short.labels - long.labels) / long.error).abs().max() < 0.1
    torch.testing.assert_close(short.chi2, long.chi2, rtol=1e-3, atol=0)
    torch.testing.assert_close(short.error, long.error, rtol=1e-3, atol=0)


def test_one_star_as_scipy_fits_it(toy):
    fitted, model = toy.fit(), Model(toy.transfer, TRANSLATOR)
    flux, error = toy.spectra.flux[4], toy.spectra.error[4]

    def residuals(labels):
        return ((toy.transfer.observed(torch.from_numpy(labels).float()[None])[0] - flux) / error).numpy()

    low, high = (model.middle + side * model.width for side in (model.low, model.high))
    scales = {"bounds": (low.numpy(), high.numpy()), "x_scale": model.width.numpy(), "diff_step": 1e-3}
    one = scipy.optimize.least_squares(residuals, model.middle.numpy(), **scales)
    assert (np.abs(fitted.labels[4].numpy() - one.x) < 0.1 * fitted.error[4].numpy()).all()
    covariance = np.linalg.inv(one.jac.T @ one.jac)
    np.testing.assert_allclose(fitted.covariance[4].numpy(), covariance, rtol=0.02, atol=1e-3 * covariance.max())


def test_masked_pixels_have_no_pull(toy):
    flux, mask = toy.spectra.flux.clone(), toy.spectra.mask.clone()
    flux[:, 20:60], mask[:, 20:60] = 5.0, False
    fitted = toy.fit(spectra=toy.spectra._replace(flux=flux, mask=mask))
    assert fitted.converged.all()
    assert (fitted.pixels == mask.sum(dim=1)).all()
    assert (pulls(toy, fitted).std(dim=0) < 1.3).all()


def test_a_star_without_pixels_is_told(toy):
    mask = toy.spectra.mask.clone()
    mask[7] = False
    fitted = toy.fit(spectra=toy.spectra._replace(mask=mask))
    assert not fitted.converged[7]
    assert fitted.converged.sum() == STARS - 1


def test_a_label_that_changes_nothing_is_as_uncertain_as_its_range(toy):
    model = Model(toy.transfer, TRANSLATOR)
    model.layer = model.layer.clone()
    model.layer[1] = 0  # each unit of the toy's layers is a label
    fitted = Fitter(model, 1, 0)(toy.spectra)
    torch.testing.assert_close(fitted.error[:, 1], (model.width[1] / 12**0.5).expand(STARS).double())
    assert (fitted.error[:, 0] < 0.1 * model.width[0]).all()


def test_a_star_beyond_the_range_ends_at_its_bound(toy):
    payne = toy.transfer.emulator
    labels = toy.labels[:5].clone()
    labels[:, 2] = payne.label_high[2] + 0.5
    flux = payne(labels) + toy.gap
    fitted = toy.fit(spectra=toy.spectra.rows(slice(5))._replace(flux=flux))
    assert fitted.at_bound.all()
    torch.testing.assert_close(fitted.labels[:, 2], payne.label_high[2].expand(5))


def test_a_velocity_and_a_continuum_are_found(toy):
    model = Model(toy.transfer, TRANSLATOR, velocity=True, continuum=1)
    assert not model.linear
    scaled = (toy.labels - model.middle) / model.width
    shifts = torch.linspace(-8, 8, STARS)[:, None]
    terms = torch.tensor([1.0, -0.5, 2.0, 0.7]).expand(STARS, -1)
    spectra = toy.spectra._replace(
        flux=model(torch.cat([scaled, shifts, terms], dim=1)), error=torch.full_like(toy.spectra.flux, 1e-3)
    )
    fitted = toy.fit(spectra=spectra, velocity=True, continuum=1)
    assert fitted.converged.all()
    assert (fitted.velocity - shifts[:, 0]).abs().max() < 0.3
    assert pulls(toy, fitted).abs().max() < 0.3


def test_the_maps_own_errors_are_learnt_from_known_stars(toy):
    """Labels that are off by more than noise: half of the stars tell by how much, the others' pulls are right again."""
    spread = torch.tensor([[60.0, 0.02, 0.0], [0.0, 0.1, 0.0], [0.0, 0.0, 0.05]])
    random = torch.Generator().manual_seed(2)
    truth = toy.labels + torch.randn(STARS, 3, generator=random) @ spread
    fitted = toy.fit()
    halves = [(Fitted(*(values[rows] for values in fitted)), truth[rows]) for rows in (slice(0, 75), slice(75, None))]
    own = map_covariance(*halves[0])
    np.testing.assert_allclose(own.diagonal().sqrt().numpy(), spread.square().sum(dim=0).sqrt().numpy(), rtol=0.3)
    before, after = (compare(one, halves[1][1], NAMES) for one in (halves[1][0], widened(halves[1][0], own)))
    assert all(before[name]["pull"] > 2 for name in NAMES)
    assert all(abs(after[name]["pull"] - 1) < 3 / 75**0.5 for name in NAMES)  # each half is good to 1 / sqrt(150)
    with pytest.raises(InputError, match="more than 3"):
        map_covariance(Fitted(*(values[:3] for values in fitted)), truth[:3])


def test_the_command(start, payne2payne_run, files_run, tmp_path):
    """A file of an emulator's own spectra, with labels: results, pictures, and nothing where something is wrong."""
    from cyclegan.transfer import LabelTable, load

    model = load(payne2payne_run, "cpu")
    low, high = model.emulator.label_low, model.emulator.label_high
    labels = low + (high - low) * (0.3 + 0.4 * torch.rand(60, len(low), generator=torch.Generator().manual_seed(3)))
    flux = model.from_labels(labels)
    spectra = Spectra(flux, torch.full_like(flux, 0.01), torch.ones_like(flux, dtype=torch.bool))
    with written_spectra(tmp_path / "obs.h5", model.wavelength, model.label_names) as writer:
        for split in ("val", "test"):
            writer.append(split, spectra, labels=labels, id=[f"star {i}" for i in range(60)])
    before = (tmp_path / "obs.h5").read_bytes()

    def process(name, *overrides, run=payne2payne_run):
        (tmp_path / name).mkdir()
        arguments = [f"checkpoint={run}", f"input={tmp_path / 'obs.h5'}", f"output={tmp_path / name / 'found'}"]
        return start(tmp_path / name, *arguments, "device=cpu", "starts=1", *overrides, module="cyclegan.fit")

    started = {
        "good": process("good", "split=test", "known=val"),
        "files": process("files", run=files_run),
        "twice": process("twice", "emulator=other.pt"),
        "split": process("split", "split=train"),
        "typo": process("typo", "start=4"),
    }
    commands = {name: process.wait() for name, process in started.items()}
    codes = {name: command.code for name, command in commands.items()}
    assert codes == {"good": 0, "files": 2, "twice": 2, "split": 2, "typo": 2}, {n: c.err for n, c in commands.items()}
    assert "an emulator of it" in commands["files"].err
    assert "which brings its own" in commands["twice"].err
    assert "expected one of val, test, got train" in commands["split"].err
    assert (tmp_path / "obs.h5").read_bytes() == before
    assert not (tmp_path / "files" / "found").exists()
    output = tmp_path / "good" / "found"
    summary = json.loads((output / "fit.json").read_text())
    assert set(summary["splits"]) == {"test"}
    assert set(summary["splits"]["test"]["translator"]["labels"]) == set(model.label_names)
    with (output / "translator.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert [row["id"] for row in rows] == [f"star {i}" for i in range(60)]
    with h5py.File(output / "labels.h5") as file:
        stored = file["translator/labels test"][()]
        assert file["emulator/covariance test"].shape == (60, len(low), len(low))
    np.testing.assert_array_equal(LabelTable(output / "translator.csv", model).labels, stored)
    fitter = Fitter(Model(model, TRANSLATOR), 1, 0)
    found = fitter(Spectra(model.from_labels(high.expand(2, -1)) - 0.02, spectra.error[:2], spectra.mask[:2]))
    assert found.at_bound.any()
    model.emulator.check_labels(found.labels)  # at the end of the range is not beyond it
    for name in ("fitted", "residuals", "pulls"):
        assert (output / f"{name}_test.png").read_bytes().startswith(b"\x89PNG")

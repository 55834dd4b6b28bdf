"""A small good file of every kind that is read, to be damaged."""

import gzip
import json
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pyarrow
import torch
import yaml
from apogee_stars import star
from apstar import write_apstar, write_apvisit
from astropy.io import fits
from astropy.table import Table
from galah import write_star as write_galah
from handmade import make_checkpoint, save_checkpoint
from omegaconf import OmegaConf
from parquet_files import write_parquet
from pyarrow import parquet
from sdss5_files import write_astra, write_mwm
from skies import PIXELS, Sky, linear_payne, make_sky, toy_wavelength, write_domain

from cyclegan.domains.domains import Stars
from cyclegan.linear.maps import controls
from cyclegan.spectra.continuum import Continuum
from cyclegan.spectra.continuum_files import write_continuum
from cyclegan.spectra.spaces import projected_on
from cyclegan.spectra.spectra import Spectra, exact
from cyclegan.spectra.writer import written_spectra
from cyclegan.trained.familiarity import Familiarity
from cyclegan.trained.uncertainty import errors_of
from cyclegan.translator.dense import Dense
from cyclegan.translator.translator import build_translator, ensemble_of
from emulator.commands.config import config_folder
from emulator.line_lists import read_lines
from emulator.lines import LINES
from emulator.list_formats import write_list
from emulator.payne import Payne

NAMES = ("teff", "logg", "fe_h")
STARS = 40  # for training, and half as many of each other subset
COMPONENTS = 8


def write_good_inputs(folder: Path) -> Path:
    """All of them in one folder."""
    _write_spectra(folder)
    _write_wavelengths(folder)
    _write_emulators(folder)
    write_run(folder)
    _write_tables(folder)
    _write_line_lists(folder)
    _write_fits(folder)
    return folder


@cache
def good_emulator() -> Payne:
    """Theory, linear in three labels."""
    response = 0.1 * torch.randn(PIXELS, len(NAMES), generator=torch.Generator().manual_seed(1))
    payne = linear_payne(response, toy_wavelength(), NAMES).requires_grad_(False)
    payne.lines = LINES.chosen(np.arange(0, len(LINES.wavelength), len(LINES.wavelength) // 20))
    return payne


def good_labels(stars: int) -> torch.Tensor:
    """Labels (stars, L) well within the emulator's ranges."""
    low, high = good_emulator().label_low, good_emulator().label_high
    draws = torch.Generator().manual_seed(2)
    return low + (high - low) * (0.2 + 0.6 * torch.rand(stars, len(NAMES), generator=draws))


def _write_spectra(folder: Path) -> None:
    wavelength, continuum = toy_wavelength(), Continuum(toy_wavelength().numpy(), 1)
    with written_spectra(folder / "spectra.h5", "fuzz", wavelength, NAMES) as writer:
        for subset, count in {"train": STARS, "val": STARS // 2, "test": STARS // 2}.items():
            labels = good_labels(count)
            flux = good_emulator()(labels)
            spectra = Spectra(flux, torch.full_like(flux, 0.01), torch.ones_like(flux, dtype=torch.bool))
            spectra.mask[::7, ::5] = False
            names = [f"2M{number:04d}" for number in range(count)]
            errors = 0.01 * labels.abs() + 0.01
            writer.append(subset, spectra, labels=labels, labels_err=errors, id=names)
        write_continuum(continuum, writer.file)
    with written_spectra(folder / "exact.h5", "fuzz", wavelength, errors=False) as writer:
        for subset in ("train", "val", "test"):
            writer.append(subset, exact(good_emulator()(good_labels(STARS))))
    labels = good_labels(60)
    with h5py.File(folder / "grid.h5", "w") as file:
        file.attrs.update(format_version=1, medium="vacuum", label_names=list(NAMES))
        file["wavelength"], file["labels"] = wavelength.numpy(), labels.double().numpy()
        packed = {"chunks": (20, PIXELS), "compression": "gzip", "shuffle": True}
        file.create_dataset("spectra", data=good_emulator()(labels).numpy(), **packed)


def _write_wavelengths(folder: Path) -> None:
    wavelength = toy_wavelength().numpy()
    np.save(folder / "wavelength.npy", wavelength)
    np.savez_compressed(folder / "wavelength.npz", wavelength=wavelength)
    np.savetxt(folder / "wavelength.txt", wavelength, fmt="%.5f")
    with h5py.File(folder / "wavelength.h5", "w") as file:
        file["wavelength"] = wavelength
    pixels = np.arange(PIXELS) % 3 > 0
    np.save(folder / "continuum.npy", pixels)
    np.savez(folder / "continuum.npz", pixels)
    np.savetxt(folder / "continuum.txt", wavelength[pixels], fmt="%.5f")


def _write_emulators(folder: Path) -> None:
    payne = good_emulator()
    payne.save(folder / "emulator.pt")
    state = payne.state_dict()
    layers = [state[f"{layer}.{part}"] for layer in ("hidden.0", "hidden.2", "output") for part in ("weight", "bias")]
    names = [f"{letter}_array_{number}" for number in range(3) for letter in "wb"]
    arrays = {name: layer.numpy() for name, layer in zip(names, layers, strict=True)}
    np.savez(folder / "published.npz", **arrays, x_min=payne.label_low.numpy(), x_max=payne.label_high.numpy())
    others = {f"layer{number}.{kind}": layers[2 * number + at] for number in range(3) for at, kind in enumerate(KINDS)}
    ranges = {"x_min": payne.label_low.numpy().astype("float64"), "x_max": payne.label_high}
    torch.save({"state_dict": others, **ranges, "epoch": 3}, folder / "published.pt")


KINDS = ("weight", "bias")


def write_run(folder: Path) -> None:
    """What an ensemble of two leaves: checkpoint, configuration, metrics and scores; and the file of its stars."""
    sky = make_sky(stars=60)
    torch.manual_seed(0)
    networks = Dense(shared=3, split=1, components=COMPONENTS, width=8)
    spaces = networks.spaces(sky.synth, sky.obs)
    seen = [projected_on(*pair).flux for pair in zip(spaces, (sky.synth, sky.obs), strict=True)]
    scale = torch.cat(seen).std(dim=0).clamp_min(1e-3)
    ensemble = ensemble_of([build_translator(networks, spaces, scale) for _ in range(2)])
    axes = ensemble.find_axes(*seen)
    checkpoint = make_checkpoint(ensemble, networks, toy_wavelength(), torch.randn(30, 1), good_emulator())
    record = checkpoint.record
    record.config = _config(networks, record.config["domains"])
    record.axes, record.kept_step, record.offset = axes, 2, torch.eye(len(NAMES))
    record.hidden = {"synth": torch.arange(PIXELS) % 50 == 0}
    record.continuum = Continuum(toy_wavelength().numpy(), 1).contents()
    record.population = {"labels": good_labels(30), "smoothing": 0.1, "scatter": torch.zeros(len(NAMES))}
    record.controls = controls(spaces[1].mean - spaces[0].mean, {})
    as_one = ensemble.turned(axes)
    record.errors = errors_of(as_one, Stars(sky.val_synth, sky.val_obs), True, sky.truth)
    record.familiar = _familiar(as_one, sky)
    save_checkpoint(checkpoint, folder / "last.ckpt")
    (folder / "config.yaml").write_text(yaml.safe_dump(record.config, sort_keys=False))
    write_domain(folder / "synth.h5", sky.synth, sky.val_synth, toy_wavelength())
    rows = [f"{step},{step // 10},{1 / step:.6f},,0.5" for step in range(1, 60, 2)]
    rows = ["step,epoch,train/loss,z_synth,x_synth_obs", *rows, "60,6,,0.4,1.0"]
    (folder / "metrics.csv").write_text("\n".join(rows) + "\n")
    scores = {"steps": 60, "x_synth_obs": 1.05, "x_obs_synth": 0.1, "z_shared": None, "device": "cpu", "kept": [1, 2]}
    (folder / "scores.json").write_text(json.dumps(scores, indent=2))


def _familiar(translator, sky: Sky) -> dict[str, dict[str, torch.Tensor]]:
    sides = {"synth": (translator.space_s, sky.synth), "obs": (translator.space_o, sky.obs)}
    found = {name: Familiarity.of(translator, name, projected_on(*side)) for name, side in sides.items()}
    return {name: one.to_plain() for name, one in found.items() if one is not None}


def _config(networks: Dense, domains: dict) -> dict:
    """The configuration of a run that `networks` and `domains` are of."""
    folder = Path(config_folder())
    parts = {part: OmegaConf.load(folder / part / "default.yaml") for part in ("trainer", "logger")}
    whole = OmegaConf.merge(OmegaConf.load(folder / "train.yaml"), parts)
    for key in ("hydra", "defaults"):
        whole.pop(key)
    own = {name: getattr(networks, name) for name in ("shared", "split", "components", "width")}
    whole.networks = {"_target_": "cyclegan.translator.dense.Dense"} | own
    whole.domains, whole.name, whole.ensemble = domains, "by hand", 2
    return OmegaConf.to_container(whole)


def _write_tables(folder: Path) -> None:
    labels, names = good_labels(30), [f"2M{number:04d}" for number in range(30)]
    columns = {"id": names, **{name: [f"{v:.4f}" for v in labels[:, i]] for i, name in enumerate(NAMES)}}
    _write_csv(folder / "labels.csv", columns)
    errors = {f"{name}_err": ["0.1"] * 30 for name in NAMES}
    rows = {"obs": [str(number) for number in range(30)]}
    _write_csv(folder / "known.csv", rows | {name: columns[name] for name in NAMES} | errors)
    _write_csv(folder / "anchors.csv", columns | rows)
    _write_csv(folder / "velocities.csv", {"id": names, "velocity": [str(number) for number in range(30)]})
    places = [f"{value:.3f}" for value in toy_wavelength()[::20].tolist()]
    lines = {"wavelength_air": places, "species": ["Fe I"] * len(places), "width": ["0.5"] * len(places)}
    _write_csv(folder / "known_lines.csv", lines)
    starts = range(0, 20 * len(places) - 20, 20)
    features = {"element": ["Fe"] * len(starts), "start": starts, "stop": [start + 4 for start in starts]}
    _write_csv(folder / "hidden.csv", features | {"wavelength": places[:-1], "response": ["-0.2"] * len(starts)})


def _write_csv(path: Path, columns: dict) -> None:
    rows = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join(["# made by hand", ",".join(columns), *rows]) + "\n")


def _write_line_lists(folder: Path) -> None:
    lines = good_emulator().lines
    for form in ("moog", "vald"):
        write_list(folder / f"{form}.txt", lines, form)
        read_lines(folder / f"{form}.txt")


def _write_sdss5(folder: Path) -> None:
    flux, error, bits = star(1, rows=2)
    values = flux, 1 / error**2, bits
    one = tuple(array[:1] for array in values)
    write_mwm(folder / "mwmStar.fits", {"APOGEE/APO": one, "APOGEE/LCO": one})
    write_mwm(folder / "mwmVisit.fits", {"APOGEE/LCO": values}, visits=True)
    write_astra(folder / "astraStar.fits", flux[0] / 800)
    write_parquet(folder / "spectra.parquet", flux, error, bits, teff=[4000.0, 5000.0], fe_h=[0.1, None], snr=[50, 60])
    number = np.arange(30)
    columns = {
        "sdss_id": number,
        "obj": [f"2M{i:04d}" for i in number],
        "teff": number + 4500.0,
        "v_micro": 0.1 * number,
    }
    Table(columns).write(folder / "astraAllStar.fits")
    parquet.write_table(pyarrow.table(columns), folder / "labels.parquet")
    _write_csv(folder / "own_labels.csv", columns)


def _write_fits(folder: Path) -> None:
    write_apstar(folder / "apStar.fits", *star(1, rows=3), name="2M0001")
    write_apstar(folder / "aspcapStar.fits", *star(2)[:2], name="2M0002")
    wavelength = np.linspace(16950, 15150, 3 * 512).reshape(3, 512)
    write_apvisit(folder / "apVisit.fits", wavelength, *np.ones((2, 3, 512)), np.zeros((3, 512)), VRAD=20.0)
    _write_sdss5(folder)
    (folder / "packed.fits.gz").write_bytes(gzip.compress((folder / "apStar.fits").read_bytes(), mtime=0))
    count = 30
    number = np.arange(count)
    columns = {"APOGEE_ID": [f"2M{i:04d}" for i in number], "TELESCOPE": ["apo25m"] * count, "FIELD": ["M67"] * count}
    columns |= {"SNR": number + 50.0, "TEFF": number + 4500.0, "LOGG": np.full(count, 2.5), "FE_H": 0.01 * number}
    columns |= {"PARAM": np.full((count, 7), 0.1), "MG_FE": np.full(count, 0.1), "VMACRO": np.full(count, 4.0)}
    Table(columns).write(folder / "allStar.fits")
    write_galah(folder, 170418003701205, lambda wavelength: 1e3 + wavelength, arms=(1,))
    columns = {"sobject_id": 170418003701205 + np.arange(9), "teff": np.full(9, 5e3), "fe_h": np.zeros(9)}
    columns |= {"mg_fe": np.full(9, 0.1), "flag_sp": np.arange(9) % 2, "rv_galah": np.full(9, 12.0)}
    Table(columns).write(folder / "galah.fits")
    wavelength = np.linspace(15100.0, 15300.0, 400)
    flux = 1 - 0.3 * np.exp(-0.5 * ((wavelength - 15200) / 0.5) ** 2)
    np.savez(folder / "atlas.npz", sun_wavelength=wavelength, sun_flux=flux, medium="air")
    Table({"wavelength": wavelength, "flux": flux}, units=("Angstrom", None)).write(folder / "atlas.fits")
    image = fits.PrimaryHDU(flux.astype("float32"))
    image.header.update(CRVAL1=15100.0, CDELT1=0.5, CRPIX1=1.0, CTYPE1="AWAV", CUNIT1="Angstrom")
    image.writeto(folder / "atlas_image.fits")

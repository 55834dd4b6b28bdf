"""python -m cyclegan.discover truth=...: lines beside known ones and beside a star, and what is refused."""

import csv
import json

import numpy as np
import pytest
import torch


@pytest.fixture(scope="module")
def inputs(trained, tmp_path_factory):
    """Tables and atlases of the toy sky, good ones and bad ones."""
    folder = tmp_path_factory.mktemp("truth")
    emulator, wavelength = trained.emulator, trained.wavelength.numpy()
    labels = ((emulator.label_low + emulator.label_high) / 2).tolist()
    names = trained.label_names
    hidden = wavelength[np.flatnonzero(trained.hidden["synth"].numpy())]
    rows = "".join(f"{place:.3f},Fe I\n" for place in hidden[::3])
    (folder / "lines.csv").write_text(f"wavelength_vacuum,species\n{rows}")
    (folder / "no_lines.csv").write_text("species\nFe I\n")
    (folder / "foreign.csv").write_text(f"# bands, vacuum\nwavelength,name,width\n{wavelength[50]:.3f},a band,8\n")
    (folder / "one.csv").write_text(",".join(names) + "\n" + ",".join(map(str, labels)) + "\n")
    fine = np.linspace(wavelength[0] - 1, wavelength[-1] + 1, 1200)
    with torch.no_grad():
        flux = np.interp(fine, wavelength, emulator(torch.tensor([labels]))[0].numpy())
    np.savez(folder / "atlas.npz", sun_wavelength=fine, sun_flux=flux)
    np.savez(folder / "far.npz", wavelength=fine + 500, flux=flux)
    star = ",".join(f"{name}:{value}" for name, value in zip(names, labels, strict=True))
    return folder, f"truth_labels={{{star}}}"


def test_the_command(start, payne2payne_run, files_run, payne_file, inputs, tmp_path):
    folder, labels = inputs
    table, atlas = f"truth={folder / 'lines.csv'}", f"truth={folder / 'atlas.npz'}"

    def process(name, *overrides, run=payne2payne_run):
        (tmp_path / name).mkdir()
        arguments = [f"checkpoint={run}", f"output={tmp_path / name / 'found'}", "stars=4", "depth=0.005"]
        return start(tmp_path / name, *arguments, "false_discoveries=0.5", *overrides, module="cyclegan.discover")

    star = (atlas, labels, "truth_resolution=60000")
    one = f"labels={folder / 'one.csv'}"
    started = {
        "table": (0, "", process("table", table, f"foreign={folder / 'foreign.csv'}")),
        "atlas": (0, "", process("atlas", *star)),
        "files": (0, "", process("files", f"emulator={payne_file}", run=files_run)),
        "runs": (0, "", process("runs", one, f"others=[{payne2payne_run}]")),
        "star": (2, "expected other runs beside one star", process("star", one)),
        "no lines": (2, "one column of wavelengths", process("no lines", f"truth={folder / 'no_lines.csv'}")),
        "foreign": (2, "one column of wavelengths", process("foreign", f"foreign={folder / 'no_lines.csv'}")),
        "far": (2, "got one of 156", process("far", f"truth={folder / 'far.npz'}", labels)),
        "no labels": (2, "expected the labels teff", process("no labels", atlas)),
        "labels": (2, "'truth_labels': expected an atlas to go with it", process("labels", table, labels)),
        "suffix": (2, "a table, .csv, or an atlas", process("suffix", "truth=lines.txt")),
    }
    for name, (code, words, process_) in started.items():
        command = process_.wait()
        assert command.code == code, (name, command.err)
        assert words in command.err
        assert (tmp_path / name / "found").exists() == (code == 0)
        assert code == 0 or len(command.err.splitlines()) == 1

    found = {
        name: json.loads((tmp_path / name / "found" / "discovery.json").read_text()) for name in ("table", "atlas")
    }
    rows = {}
    for name in found:
        with (tmp_path / name / "found" / "lines.csv").open() as file:
            rows[name] = list(csv.DictReader(file))
    truth = found["table"]["truth"]
    foreign = [row for row in rows["table"] if row["foreign"]]
    assert found["table"]["foreign"] == len(foreign) > 0
    assert {row["foreign"] for row in foreign} == {"a band"}
    assert {row["element"] for row in foreign} == {""}
    assert truth["right"] == sum(row["known"] == "Fe I" and not row["foreign"] for row in rows["table"])
    assert 0 < truth["recall"] <= 1
    truth = found["atlas"]["truth"]
    assert truth["atlas"].endswith("atlas.npz")
    confirmed = [row["confirmed"] for row in rows["atlas"]]
    assert truth["confirmed"]["all"]["confirmed"] == confirmed.count("True") > 0
    assert truth["confirmed"]["all"]["reported"] == len(confirmed) - confirmed.count("")
    assert (tmp_path / "atlas" / "found" / "summary.png").read_bytes().startswith(b"\x89PNG")

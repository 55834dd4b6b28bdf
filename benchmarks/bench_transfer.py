"""Translating files of full spectra beside the networks' own arithmetic: pytest -s benchmarks/bench_transfer.py.

The arithmetic: project, encode, generate and restore as many spectra that lie in memory. Unwritten: read flux and
error, check and translate them. The whole also writes flux, error, mask and latents to a new file. All in turns in one
process, medians of wall-clock and CPU seconds. Errors are the same everywhere, as in synthetic spectra, and then take
no room in the output, or differ, as in observed ones. Memory: the command's peak for a thousand spectra and for a
hundred thousand (7 GB of disk).
"""

import shutil
import statistics
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
import torch
from handmade import make_checkpoint, save_checkpoint
from transfers import run_transfer

from cyclegan.spectra.files import SpectraFile
from cyclegan.spectra.spaces import Components
from cyclegan.trained.loading import load
from cyclegan.trained.model import BATCH, SYNTH_TO_OBS
from cyclegan.translator.dense import Dense
from cyclegan.translator.translator import build_translator
from emulator.apogee import apogee_wavelength

SPECTRA, ROUNDS = 4096, 7
LEAST = 2000  # spectra a second
MOST_GROWTH = 1.15  # of peak memory, from a thousand to a hundred thousand spectra


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Dense networks of the sizes of payne2payne, as they start: what they hold does not change what they cost."""
    wavelength = torch.from_numpy(np.asarray(apogee_wavelength(), "float64"))
    pixels, K = len(wavelength), 128
    networks = Dense(shared=20, split=1, components=K, width=128)
    basis = torch.linalg.qr(torch.randn(pixels, K)).Q
    spaces = [Components(torch.full((pixels,), 0.9), torch.full((pixels,), 100.0), basis) for _ in "so"]
    translator = build_translator(networks, tuple(spaces), torch.ones(K))
    made = make_checkpoint(translator, networks, wavelength, torch.randn(100, 1))
    return save_checkpoint(made, tmp_path_factory.mktemp("run") / "last.ckpt")


@pytest.mark.parametrize("errors", ["same", "different"])
@pytest.mark.parametrize("threads", [1, 2])
def test_files_beside_arithmetic(benchmark, checkpoint, threads, errors, tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    model = load(checkpoint, "cpu")
    with h5py.File(tmp_path / "input.h5", "w") as file:
        file["wavelength"] = model.wavelength.numpy()
        random = np.random.default_rng(0).random((SPECTRA, len(model.wavelength)), "float32")
        file["spectra test"] = 0.9 + 0.05 * random
        file["spectra_err test"] = np.full_like(random, 0.01) if errors == "same" else 0.01 + 0.01 * random
    paths = {"checkpoint": checkpoint, "input": tmp_path / "input.h5", "output": tmp_path / "output.h5"}
    with SpectraFile(tmp_path / "input.h5") as file:
        batches = file.read("test").chunks(BATCH)
    split = model.mean_split().expand(BATCH, -1)
    seconds = {name: ([], []) for name in ("alone", "unwritten", "whole")}

    def measure(name, work):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        for values, value in zip(seconds[name], (time.perf_counter() - wall, time.process_time() - cpu), strict=True):
            values.append(value)

    @torch.inference_mode()
    def arithmetic():
        for batch in batches:
            model.translator.synth_to_obs(batch, split)

    @torch.inference_mode()
    def unwritten():
        with SpectraFile(tmp_path / "input.h5") as file:
            for batch in file.chunks("test", BATCH):
                model.translate(SYNTH_TO_OBS, batch._replace(error=batch.error[:, :1]), split)

    def before_each() -> None:
        (tmp_path / "output.h5").unlink(
            missing_ok=True
        )  # replacing a file waits for the disk, where a new one does not
        measure("alone", arithmetic)
        measure("unwritten", unwritten)

    benchmark.pedantic(lambda: measure("whole", lambda: run_transfer(**paths)), setup=before_each, rounds=ROUNDS)
    torch.set_num_threads(before)
    medians = {name: [statistics.median(values) for values in both] for name, both in seconds.items()}
    benchmark.extra_info.update(medians)
    print(f"\n{threads} threads, errors {errors}:", end="")
    for name, (wall, cpu) in medians.items():
        ratios = [value / alone for value, alone in zip((wall, cpu), medians["alone"], strict=True)]
        print(f"  {name} {SPECTRA / wall:.0f}/s, {ratios[0]:.2f} (wall), {ratios[1]:.2f} (CPU)", end="")
    assert SPECTRA / medians["whole"][0] >= LEAST


def peak_memory(checkpoint, folder, count):
    """MiB of a process that translates `count` spectra."""
    pixels = len(apogee_wavelength())
    with h5py.File(folder / "input.h5", "w") as file:  # values that are never stored: a file of no size
        file["wavelength"] = apogee_wavelength()
        file.create_dataset("spectra test", (count, pixels), "float32", fillvalue=0.9)
        file.create_dataset("spectra_err test", (count, pixels), "float32", fillvalue=0.01)
    command = ["-m", "cyclegan.transfer", f"checkpoint={checkpoint}", "input=input.h5", "output=output.h5"]
    # A process of its own that has this one child: RUSAGE_CHILDREN keeps the largest of all there ever were.
    code = f"import resource, subprocess, sys; subprocess.run([sys.executable, *{command}], check=True)"
    code += "; print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    (folder / "output.h5").unlink()
    return int(done.stdout.split()[-1]) / (1024 if sys.platform == "linux" else 1024**2)


def test_memory_is_flat(checkpoint, tmp_path):
    if shutil.disk_usage(tmp_path).free < 10e9:
        pytest.skip("needs 10 GB of disk")
    few, many = (peak_memory(checkpoint, tmp_path, count) for count in (1_000, 100_000))
    print(f"\npeak memory: {few:.0f} MiB for 1 000 spectra, {many:.0f} MiB for 100 000")
    assert many <= MOST_GROWTH * few

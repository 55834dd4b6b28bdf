"""python -m benchmarks.gpu --emulator models/payne.pt --out DIR: all that an accelerator is to be good for, measured.

At most 8 minutes. Every part stands alone: one that fails costs no other, and DIR/figures.json is written after each,
so that the script can be ended at any time. docs/performance.md says what the figures mean.
"""

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch

from benchmarks import gpu_runs, gpu_steps
from benchmarks import rates as rates_of_devices
from benchmarks.rates import copy_rate, product_rate
from benchmarks.report import Report, as_lines
from emulator.commands.device import find_device

SECONDS = 440.0  # after which no part is begun
APART = 90.0  # seconds for a part in a process of its own
LARGE, QUICK = 8192, 256  # matrices whose product is timed
COPIED = {False: 2**28, True: 2**20}  # numbers whose copy is timed


def card(device: torch.device) -> dict[str, object]:
    """What the figures were measured on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "the processor"
    return {
        "device": name,
        "torch": torch.__version__,
        "cuda": str(torch.version.cuda),
        "python": platform.python_version(),
        "processor threads": torch.get_num_threads(),
    }


def rates(device: torch.device, quick: bool) -> dict[str, float]:
    """What the device can do: 10^12 operations a second of large matrix products, 10^9 bytes of a copy."""
    size, found = QUICK if quick else LARGE, {}
    found["float32 product, TFLOP/s"] = product_rate(device, size) / 1e12
    torch.set_float32_matmul_precision("high")
    found["TF32 product, TFLOP/s"] = product_rate(device, size) / 1e12
    torch.set_float32_matmul_precision("highest")
    found["bfloat16 product, TFLOP/s"] = product_rate(device, size, torch.bfloat16) / 1e12
    found["copy, GB/s"] = copy_rate(device, COPIED[quick]) / 1e9
    return found


class Beside:
    """The same payne2payne on one thread of the processor, meanwhile, in a process of its own."""

    def __init__(self, settings: list[str], folder: Path, known: Path | None) -> None:
        self.folder, self.known, self.process = folder, known, None
        if known is None:
            command = [sys.executable, "-m", "cyclegan.train", *settings, "trainer.accelerator=cpu"]
            log = (folder.parent / "cpu.log").open("w")
            self.process = subprocess.Popen([*command, f"hydra.run.dir={folder}"], stdout=log, stderr=subprocess.STDOUT)

    def scores(self, seconds: float) -> Mapping[str, object]:
        """What it ended with, if it ends within so many seconds."""
        if self.process is not None:
            try:
                self.process.wait(max(seconds, 1))
            except subprocess.TimeoutExpired:
                return {"not run": f"the processor's run was not through {seconds:.0f} s later"}
            finally:
                self.process.kill()
        return gpu_runs.told(json.loads((self.known or self.folder / "scores.json").read_text()))


def apart(part: Callable[..., Mapping[str, object]], device: torch.device, quick: bool) -> Mapping[str, object]:
    """Measure in a process of its own: a graph that cannot be captured leaves a device that computes no more."""
    if device.type != "cuda":
        return part(device, quick)
    with get_context("spawn").Pool(1) as pool:  # whose end kills the process
        return pool.apply_async(part, (device, quick)).get(APART)


def main(arguments: list[str] | None = None) -> None:
    """Measure every part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--emulator", type=Path, required=True, help="what python -m emulator.train wrote")
    parser.add_argument("--out", type=Path, required=True, help="a folder for figures.json and the runs")
    parser.add_argument("--accelerator", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--cpu-scores", type=Path, help="scores.json of payne2payne on a processor, if it is known")
    parser.add_argument("--synth", type=Path, help="theory's spectra, for theory2data")
    parser.add_argument("--obs", type=Path, help="observed ones")
    parser.add_argument("--quick", action="store_true", help="the same with sizes that time nothing")
    asked = parser.parse_args(arguments)
    device = torch.device(find_device(asked.accelerator, "--accelerator"))
    out, quick = asked.out.resolve(), asked.quick
    if quick:
        rates_of_devices.LEAST_SECONDS = 0.0
    out.mkdir(parents=True, exist_ok=True)
    emulator = asked.emulator.resolve()
    report = Report(out / "figures.json", SECONDS)
    train = partial(gpu_runs.train, device=device, quick=quick)
    missing_lines = ["+experiment=payne2payne", f"domains.emulator={emulator}", *(gpu_runs.QUICK if quick else ())]
    beside = Beside([*missing_lines, "logger.wandb=false"], out / "cpu", asked.cpu_scores)

    def measure(name: str, part: Callable[..., Mapping[str, object]], *given: object, needs: float = 0.0) -> None:
        report.part(name, partial(part, *given), needs)

    try:
        measure("the machine", card, device)
        measure("rates", rates, device, quick)
        measure("dense step", gpu_steps.dense, device, quick)
        measure("waits and launches of a training", gpu_steps.watched, device, quick)
        measure("dense step, captured", apart, gpu_steps.captured, device, quick)
        measure("payne2payne", train, missing_lines, out / "payne2payne")
        measure("conv step", gpu_steps.conv, device, quick)
        measure("emulator", gpu_runs.emulator, emulator, device, quick)
        measure("transfer", gpu_runs.transfer, out / "payne2payne", device, quick)
        measure("fit", gpu_runs.fit, out / "payne2payne", device, quick)
        if asked.synth and asked.obs:
            files = [f"domains.synth.path={asked.synth.resolve()}", f"domains.obs.path={asked.obs.resolve()}"]
            if quick:
                files += [one for one in gpu_runs.QUICK if not one.startswith("domains.")] + ["domains.skip_pixels=0"]
            measure("theory2data", train, ["+experiment=theory2data", *files], out / "theory2data", needs=60)
        needs = 1.1 * float(str(report.figures["payne2payne"]["seconds of this part"]))
        half = gpu_runs.train_in_bfloat16
        measure("payne2payne, bfloat16", half, missing_lines, out / "bfloat16", device, quick, needs=needs)
        measure("dense step, compiled", apart, gpu_steps.compiled, device, quick, needs=100)
        measure("payne2payne on the processor", beside.scores, report.left)
    finally:
        if beside.process is not None:
            beside.process.kill()
    print(f"\n{as_lines(report.figures)}\n\nall of it in {report.path}")


if __name__ == "__main__":
    main()

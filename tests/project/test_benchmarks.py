"""The benchmarks run; here with sizes at which they time nothing."""

import bench_apogee
import bench_files
import bench_fit
import bench_synthesis
import bench_train_step
import bench_transfer
import bench_velocity
import pytest

from cyclegan.trained.model import BATCH

SIZES = {
    bench_apogee: {"FILES": 12, "LEAST": 0},
    bench_files: {"SPECTRA": 3, "LEAST": dict.fromkeys(bench_files.LEAST, 0)},
    bench_fit: {"STARS": 64, "ALONE": 1},
    bench_train_step: {"ROUNDS": 1, "STEPS": 6, "WARM_UP": 2, "MOST": float("inf")},
    bench_transfer: {"SPECTRA": BATCH, "ROUNDS": 1, "LEAST": 0},
    bench_velocity: {"STARS": 2, "GRID": 4, "SIGNAL_TO_NOISE": (100,)},
}
model, parts, checkpoint = bench_fit.model, bench_train_step.parts, bench_transfer.checkpoint


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for benchmark, sizes in SIZES.items():
        for name, value in sizes.items():
            monkeypatch.setattr(benchmark, name, value)


def test_fits(model):
    bench_fit.test_rates(model)


def test_a_train_step(benchmark, parts, tmp_path):
    bench_train_step.test_a_train_step_beside_its_arithmetic(benchmark, parts, tmp_path)


@pytest.mark.parametrize("errors", ["same", "different"])
def test_a_transfer(benchmark, checkpoint, errors, tmp_path):
    bench_transfer.test_files_beside_arithmetic(benchmark, checkpoint, 1, errors, tmp_path)


@pytest.mark.parametrize("how", ["clipping", "given pixels", "another grid"])
def test_a_conversion(tmp_path_factory, tmp_path, how):
    stars = bench_apogee.write_stars(tmp_path_factory.mktemp("stars"))
    bench_apogee.test_conversion(stars, tmp_path, how)


@pytest.mark.parametrize("kind", list(bench_files.LEAST))
def test_reading(tmp_path, kind):
    bench_files.test_reading(tmp_path, kind)


def test_velocities():
    bench_velocity.test_known_velocities("giants")


def test_a_synthesis(benchmark):
    bench_synthesis.test_full_apogee_spectrum(benchmark, (5777.0, 4.44))

"""What measures costs: ratios that are compared with those kept, and how costs grow."""

import pytest
import torch

from benchmarks import bench, growth, ratios
from benchmarks.growth import Cost
from benchmarks.workloads import WORKLOADS, Workload

MATRIX = torch.randn(512, 512)


def product(times):
    """A workload of so many products."""

    def work():
        for _ in range(times):
            MATRIX @ MATRIX

    return Workload(lambda folder: work, products=False)


@pytest.fixture
def few(monkeypatch, tmp_path):
    """Two workloads in place of the real ones, and no ratio kept yet."""
    monkeypatch.setattr(ratios, "KEPT", tmp_path / "kept.json")
    monkeypatch.setattr(bench, "SHORT_ROUNDS", 3)
    monkeypatch.setattr(ratios, "LEAST_SECONDS", 0.01)
    for name in list(WORKLOADS):
        monkeypatch.delitem(WORKLOADS, name)
    monkeypatch.setitem(WORKLOADS, "one", product(1))
    monkeypatch.setitem(WORKLOADS, "another", product(1))


def test_a_part_that_has_become_slower_is_told_and_only_that(few, monkeypatch, capsys):
    assert bench.main(["--short", "--keep"]) == 0
    assert bench.main(["--short"]) == 0
    monkeypatch.setitem(WORKLOADS, "another", product(2))
    assert bench.main(["--short"]) == 1
    out, err = capsys.readouterr()
    assert "another" in out
    (line,) = err.splitlines()
    assert line.startswith("error: another: expected at most 1.25 times the ")


def test_each_processor_has_ratios_of_its_own(few, monkeypatch, capsys):
    assert bench.main(["--short", "--keep"]) == 0
    monkeypatch.setattr(ratios, "processor", lambda: "another")
    monkeypatch.setitem(WORKLOADS, "another", product(4))
    capsys.readouterr()
    assert bench.main(["--short"]) == 0
    assert capsys.readouterr().err == "no ratios are kept of the processor another: nothing is compared\n"
    assert bench.main(["--short", "--keep"]) == 0
    assert len(ratios.kept()) == 2
    assert bench.main(["--short"]) == 0


def test_all_workloads_have_a_ratio_that_is_kept():
    assert all(times.keys() == WORKLOADS.keys() for times in ratios.kept().values())
    assert ratios.kept()


def test_a_product_takes_as_long_as_a_product(monkeypatch, tmp_path):
    large = torch.randn(1024, 1024)
    monkeypatch.setitem(WORKLOADS, "it", Workload(lambda folder: lambda: large @ large, products=True))
    (found,) = ratios.ratios(["it"], tmp_path, 5).values()
    assert found.operations == 2 * 1024**3
    assert found.times == pytest.approx(1, abs=0.3)


def test_exponents():
    costs = {size: Cost(2e-6 * size**1.5, 1 + size / 100) for size in (1000, 4000, 64000)}
    row = growth.row(growth.AXES[0], costs)
    assert row["exponent of time"] == row["of the last two"] == "1.50"
    assert float(row["exponent of memory"]) == pytest.approx(1, abs=0.03)


TINY = {"spectra": 120, "pixels": 240, "components": 30, "latents": 3, "batch": 20, "members": 2}


@pytest.mark.parametrize("axis", growth.AXES, ids=lambda axis: f"{axis.what} with {axis.grows_with}")
def test_what_grows_can_be_measured(axis, monkeypatch, tmp_path):
    monkeypatch.setattr(growth, "SECONDS", 1e-9)
    found = growth.cost(axis, TINY[axis.grows_with], tmp_path)
    assert found.seconds > 0
    assert found.memory >= 0

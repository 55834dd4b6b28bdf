"""cyclegan/discovery/line_list.py: from lines found to a list, and the table beside it."""

import copy
import csv
from dataclasses import replace

import numpy as np
import pytest
import torch

from cyclegan.discovery.line_list import check_outputs, lines_of_theory, remark, synthesiser_labels, write_line_list
from cyclegan.discovery.strengths import Fitted
from emulator.commands.errors import InputError
from emulator.labels import LABELS
from emulator.line_lists import read_lines
from emulator.lines import LINES
from emulator.payne import Payne

IRON = Fitted(15690.75, "Fe I", -0.2, 6.24, 0.01, 0.11, 0.12, 0.98, 0.001, ["Fe II"], usual=False, companion=False)
MOLECULE = Fitted(15705.84, "CN", -1.26, 1.15, 0.02, 0.3, 0.25, 0.99, 0.001, [], usual=True, companion=True)


@pytest.mark.parametrize("form", ["moog", "vald"])
def test_a_list_is_read_again(tmp_path, form):
    write_line_list(tmp_path / "found.txt", form, [IRON, MOLECULE])
    lines = read_lines(tmp_path / "found.txt")
    np.testing.assert_allclose(lines.wavelength, [15690.75, 15705.84], atol=1e-3)
    assert lines.species.tolist() == ["Fe I", "CN"]
    np.testing.assert_allclose(lines.log_gf, [-0.2, -1.26])
    np.testing.assert_allclose(lines.excitation, [6.24, 1.15])


def test_a_table_beside_it_has_all_that_is_known(tmp_path):
    write_line_list(tmp_path / "found.txt", "turbospectrum", [IRON, MOLECULE])
    with (tmp_path / "found.csv").open() as file:
        iron, molecule = csv.DictReader(file)
    assert float(iron["wavelength"]) == IRON.wavelength
    assert 4.0 < float(iron["wavelength"]) - float(iron["air_wavelength"]) < 4.5
    assert (iron["others"], molecule["others"]) == ("Fe II", "")
    assert (molecule["usual"], molecule["companion"]) == ("True", "True")


def test_a_list_says_what_cannot_be_told():
    assert remark(IRON) == "log gf +-0.11, E +-0.12 eV, r 0.98; or Fe II"
    assert remark(MOLECULE).endswith("r 0.99; E as other CN lines")


def test_nothing_found_writes_nothing(tmp_path, caplog):
    write_line_list(tmp_path / "found.txt", "moog", [])
    assert list(tmp_path.iterdir()) == []
    assert "no list" in caplog.text


def test_labels_that_are_not_known_are_usual_ones():
    labels = synthesiser_labels(("fe_h", "logg", "teff"), torch.tensor([[-0.3, 2.0, 4500.0]]))
    star = dict(zip(LABELS, labels[0].tolist(), strict=True))
    assert (star["teff"], star["logg"]) == (4500.0, 2.0)
    assert star["mg_h"] == star["fe_h"] == pytest.approx(-0.3)
    assert star["vmic"] > 0
    with pytest.raises(InputError, match=r"expected labels teff and logg, .* got no logg"):
        synthesiser_labels(("teff", "fe_h"), torch.tensor([[4500.0, 0.0]]))


def test_the_list_of_theory_lacks_what_is_hidden(trained):
    model = copy.copy(trained.forward_model)
    model.emulator = Payne.from_contents(model.emulator.contents(), "toy")
    at = model.wavelength[model.hidden.nonzero()[0, 0]].item()
    own = LINES.chosen(np.array([0, 1]))
    model.emulator.lines = replace(own, wavelength=np.array([at, 16000.0]))
    assert lines_of_theory(model).wavelength.tolist() == [16000.0]
    assert len(lines_of_theory(model.complete()).wavelength) == 2


def test_a_theory_whose_list_is_not_known_has_the_synthesisers(trained, caplog):
    caplog.set_level("INFO")
    assert lines_of_theory(trained.forward_model.complete()) is LINES
    assert "not known" in caplog.text


@pytest.mark.parametrize("name", ["found.csv", "found.json", "found.png"])
def test_a_list_is_not_named_as_what_lies_beside_it(name):
    check_outputs(None, {})
    with pytest.raises(InputError, match=r"'line_list': expected a suffix other than \.csv, \.json, \.png"):
        check_outputs(name, {})


def test_a_list_and_what_lies_beside_it_are_written_over_nothing_of_others(tmp_path):
    (tmp_path / "scores.json").write_text("training's")
    with pytest.raises(InputError, match=r"scores\.json: expected a file that discover wrote, or none, got another's"):
        check_outputs(str(tmp_path / "scores.txt"), {})
    with pytest.raises(InputError, match=r"stars\.csv: expected another file to write than 'labels', got the same"):
        check_outputs(str(tmp_path / "stars.txt"), {"labels": tmp_path / "stars.csv"})
    for name in ("own.txt", "own.csv", "own.json"):
        (tmp_path / name).touch()
    check_outputs(str(tmp_path / "own.txt"), {})  # of an earlier time

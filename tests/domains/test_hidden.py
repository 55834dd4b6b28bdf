"""cyclegan/domains/hidden.py: lines put by hand are found, given to their element, and hidden in the asked share."""

import csv

import pytest
import torch
from skies import LINE_WIDTH, PIXELS, line_pixels, linear_payne, toy_wavelength

from cyclegan.domains.hidden import Feature, draw_hidden, hidden_pixels, read_features, strong_features, write_features
from emulator.commands.errors import InputError
from emulator.labels import ABUNDANCES, LABELS


@pytest.fixture(scope="module")
def features(payne):
    return strong_features(payne)


def test_every_line_is_found_at_its_pixel_and_given_to_its_element(payne, features):
    wavelength = payne.wavelength.tolist()
    found = sorted((feature.element, wavelength.index(feature.wavelength)) for feature in features)
    expected = [(name.removesuffix("_h").capitalize(), pixel) for name in ABUNDANCES for pixel in line_pixels()[name]]
    assert found == sorted(expected)


def test_a_response_is_the_derivative_by_the_abundance(features):
    # 0.5 deep over a range of [X/H] of 2.5 dex
    assert [feature.response for feature in features] == pytest.approx([-0.2] * len(features), rel=1e-3)


def test_a_feature_covers_its_line_and_no_more(payne, features):
    wavelength = payne.wavelength.tolist()
    for feature in features:
        centre = wavelength.index(feature.wavelength)
        assert feature.start <= centre - LINE_WIDTH
        assert feature.stop > centre + LINE_WIDTH
        assert feature.stop - feature.start <= 7 * LINE_WIDTH


def test_weak_lines_and_emission_are_no_features():
    response, silicon = torch.zeros(PIXELS, len(LABELS)), LABELS.index("si_h")
    pixel = torch.arange(PIXELS)
    for centre, depth in ((50, -0.5), (100, -0.05), (150, 0.5)):  # strong, weak (0.02 a dex), rising with abundance
        response[:, silicon] += depth * torch.exp(-0.5 * ((pixel - centre) / LINE_WIDTH) ** 2)
    response[:, 0] = -0.9 * torch.exp(-0.5 * ((pixel - 80) / LINE_WIDTH) ** 2)  # temperature is no element
    found = strong_features(linear_payne(response, toy_wavelength()))
    assert [(feature.element, feature.wavelength) for feature in found] == [("Si", toy_wavelength()[50].item())]


def make_features(counts):
    return [Feature(name, 9 * i, 9 * i + 3, 15000.0 + i, -0.2) for name, n in counts.items() for i in range(n)]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_the_asked_share_of_each_element_is_hidden(share):
    counts = {"Fe": 40, "Si": 11, "Mg": 3, "K": 1}
    hidden = draw_hidden(make_features(counts), share, torch.Generator().manual_seed(1))
    assert len(set(hidden)) == len(hidden)
    for element, count in counts.items():
        assert sum(feature.element == element for feature in hidden) == round(share * count)


def test_which_features_are_hidden_is_drawn_by_seed():
    features = make_features({"Fe": 40})
    first, again, other = (draw_hidden(features, 0.3, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first == again
    assert set(first) != set(other)


def test_hidden_pixels_are_those_of_the_features():
    hidden = hidden_pixels([Feature("Fe", 2, 5, 0.0, -1.0), Feature("Si", 4, 6, 0.0, -1.0)], 10)
    assert hidden.nonzero().flatten().tolist() == [2, 3, 4, 5]


def test_features_are_written_as_a_table(tmp_path, features):
    write_features(features, tmp_path / "features.csv")
    rows = list(csv.DictReader((tmp_path / "features.csv").open()))
    assert [row["element"] for row in rows] == [feature.element for feature in features]
    assert [int(row["start"]) for row in rows] == [feature.start for feature in features]
    assert [float(row["wavelength"]) for row in rows] == [feature.wavelength for feature in features]
    assert read_features(tmp_path / "features.csv") == features


@pytest.mark.parametrize("text", ["element,start\nFe,1\n", "element,start,stop,wavelength,response\nFe,x,2,1.0,-1.0\n"])
def test_another_table_is_none_of_features(tmp_path, text):
    (tmp_path / "features.csv").write_text(text)
    with pytest.raises(InputError, match=r"features.csv: expected (columns|the lines that were hidden)"):
        read_features(tmp_path / "features.csv")


@pytest.mark.parametrize(
    "row", ["-1,2,1.0,-1.0", "3,3,1.0,-1.0", "5,3,1.0,-1.0", "1,2,nan,-1.0", "1,2,inf,0", "1,2,1,nan"]
)
def test_a_line_that_cannot_be_is_refused(tmp_path, row):
    (tmp_path / "features.csv").write_text(f"element,start,stop,wavelength,response\nFe,1,2,5.0,-1.0\nFe,{row}\n")
    with pytest.raises(InputError, match=r"features.csv: expected lines that were hidden, .* in row 1$"):
        read_features(tmp_path / "features.csv")

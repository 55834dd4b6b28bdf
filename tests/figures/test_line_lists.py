"""cyclegan/figures/line_lists.py: what the figure shows."""

import numpy as np

from cyclegan.figures.line_lists import SHOWN, plot_line_list


def test_every_line_is_shown_in_both_panels_and_the_commonest_species_have_colours():
    species = np.array(["Fe I"] * 5 + ["CN"] * 4 + ["CO"] * 3 + ["OH"] * 2 + ["K I", "Na I"])
    values = np.linspace(0.0, 7.0, len(species))
    both, error = np.stack([values, values + 0.1]), np.full(len(species), 0.1)
    figure = plot_line_list(species, both, -both, error, error)
    for axes, true in zip(figure.axes, (values, -values), strict=True):
        drawn = np.concatenate([container[0].get_xdata() for container in axes.containers])
        np.testing.assert_allclose(np.sort(drawn), np.sort(true))
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels[:2] == ["Fe I, 5", "CN, 4"]
    assert labels[-1] == "others, 2"
    assert len(labels) == SHOWN + 1

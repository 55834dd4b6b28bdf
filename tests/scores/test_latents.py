"""cyclegan/scores/latents.py: effects, differences and partial correlations of latents whose meaning is known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cyclegan.figures.labels import plot_latents
from cyclegan.scores.latents import examine_latents, partial_correlations


def some_stars(n=400):
    """Labels that rise and fall together, (n, 3), and latents (n, 2): the first follows only the second label."""
    random = np.random.default_rng(0)
    metallicity = random.normal(size=n)
    labels = np.stack([metallicity + 0.3 * random.normal(size=n) for _ in range(3)], axis=1)
    latents = np.stack([2 * labels[:, 1] + 0.5 * random.normal(size=n), random.normal(size=n)], axis=1)
    return labels, latents


def by_residuals(labels, latents):
    """The definition: correlation of what regressions on all other labels leave of a label and of a latent."""
    found = np.empty((labels.shape[1], latents.shape[1]))
    for i in range(labels.shape[1]):
        others = np.column_stack([np.delete(labels, i, axis=1), np.ones(len(labels))])
        own, left = (x - others @ np.linalg.lstsq(others, x, rcond=None)[0] for x in (labels[:, i], latents))
        found[i] = [np.corrcoef(own, column)[0, 1] for column in left.T]
    return found


def test_partial_correlations_are_those_of_residuals():
    labels, latents = some_stars()
    found = partial_correlations(labels, latents)
    np.testing.assert_allclose(found, by_residuals(labels, latents), atol=1e-10)
    assert found[1, 0] > 0.7
    assert np.abs(found[[0, 2], 0]).max() < 0.2
    assert np.corrcoef(labels[:, 0], latents[:, 0])[0, 1] > 0.7  # as all labels do


def test_unknown_labels_are_left_out():
    labels, latents = some_stars()
    expected = by_residuals(labels[20:, 1:], latents[20:])
    labels[:20, 1] = np.nan  # of some stars: these are left out
    labels[:300, 0] = np.nan  # of most: the label is
    found = partial_correlations(labels, latents)
    assert np.isnan(found[0]).all()
    np.testing.assert_allclose(found[1:], expected, atol=1e-10)


@pytest.mark.parametrize(
    "labels",
    [
        np.full((400, 3), np.nan),
        np.empty((400, 0)),
        np.ones((400, 3)),
        np.where(np.arange(400) < 398, np.nan, 1.0)[:, None],
    ],
)
def test_nothing_is_said_where_nothing_is_known(labels):
    assert np.isnan(partial_correlations(labels, some_stars()[1])).all()


def test_a_latent_that_never_varies_follows_nothing():
    labels, latents = some_stars()
    latents[:, 1] = 3.0
    found = partial_correlations(labels, latents)
    assert np.isnan(found[:, 1]).all()
    assert np.isfinite(found[:, 0]).all()


@pytest.mark.parametrize("matched", [True, False])
def test_effect_difference_and_what_is_followed(matched):
    labels, latents = some_stars()
    z_s = torch.from_numpy(latents).float()
    z_o = z_s + torch.tensor([0.5, 0.0])
    moves = torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.0, 0.1]])
    translator = SimpleNamespace(generate_synth=lambda z: 7 + z @ moves)
    names = {"teff": labels[:, 0], "fe_h": labels[:, 1], "si_h": labels[:, 2]}
    found = examine_latents(translator, z_s, z_o, names, matched)
    np.testing.assert_allclose(found.effect, torch.cat([z_s, z_o]).std(dim=0) * torch.tensor([5.0, 0.1]), rtol=1e-4)
    assert list(found.follows) == (["synthetic", "observed"] if matched else ["observed"])
    first, second = found.rows()
    assert (first["latent"], second["latent"]) == (1, 2)
    assert first["observed"] == "fe_h"
    assert first["observed_correlation"] == pytest.approx(partial_correlations(labels, latents)[1, 0], abs=1e-4)
    if matched:
        reach = torch.cat([z_s, z_o])[:, 0]
        assert first["difference"] == pytest.approx(0.5 / (reach.max() - reach.min()).item(), rel=1e-4)
        assert second["difference"] == pytest.approx(0, abs=1e-6)
    else:
        assert first["difference"] is None
    figure = plot_latents(found)
    maps = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in maps] == [f"latents of {name} spectra" for name in found.follows]
    assert [text.get_text() for text in maps[0].get_yticklabels()] == [r"$T_\mathrm{eff}$", "[Fe/H]", "[Si/H]"]


def test_a_row_names_no_label_where_none_is_known():
    z = torch.from_numpy(some_stars()[1]).float()
    labels = {"teff": np.full(400, np.nan)}
    found = examine_latents(SimpleNamespace(generate_synth=lambda z: z), z, z, labels, matched=False)
    assert [(row["observed"], row["observed_correlation"]) for row in found.rows()] == [(None, None)] * 2
    plot_latents(found)


def test_without_labels_there_are_bars_alone():
    z = torch.from_numpy(some_stars()[1]).float()
    found = examine_latents(SimpleNamespace(generate_synth=lambda z: z), z, z, {}, matched=True)
    assert not any(axes.images for axes in plot_latents(found).axes)
    assert set(found.rows()[0]) == {"latent", "effect", "difference"}

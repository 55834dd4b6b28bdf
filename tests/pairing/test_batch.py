"""cyclegan/pairing/batch.py: partners side by side, every star in turn, anchors beside them."""

import torch

from cyclegan.domains.domains import Stars
from cyclegan.pairing.batch import PairedBatches, Partners
from cyclegan.pairing.transport import Pairs
from cyclegan.spectra.spectra import Spectra

PAIRS = Pairs(torch.arange(30), torch.arange(30).flip(0))


def numbered(n):
    """Spectra whose flux is the number of their row."""
    flux = torch.arange(float(n))[:, None]
    return Spectra(flux, torch.ones(n, 1), torch.ones(n, 1, dtype=torch.bool))


def make_batches(steps=10, size=8, seed=1, anchors=None):
    return PairedBatches(Stars(numbered(30), numbered(30)), [PAIRS], size, steps, seed, anchors)


def stars_of(batches):
    found = [batches[step] for step in range(len(batches))]
    return [(batch.synth.flux[:, 0].tolist(), batch.obs.flux[:, 0].tolist()) for batch in found]


def test_rows_of_a_batch_are_partners():
    for synth, obs in stars_of(make_batches()):
        assert [29 - star for star in synth] == obs


def test_an_epoch_has_its_steps_and_uses_all_stars_in_turn():
    stars = stars_of(make_batches(steps=10))
    assert len(stars) == 10
    assert {len(synth) for synth, _ in stars} == {8}
    for first in range(0, 9, 3):  # three full batches of the thirty stars, then a new order
        assert len({star for synth, _ in stars[first : first + 3] for star in synth}) == 24


def test_fewer_pairs_than_a_batch_make_smaller_batches():
    assert [len(synth) for synth, _ in stars_of(make_batches(steps=3, size=100))] == [30, 30, 30]


def test_the_order_is_drawn_by_seed():
    assert stars_of(make_batches()) == stars_of(make_batches())
    assert stars_of(make_batches()) != stars_of(make_batches(seed=2))


def test_anchors_come_with_every_batch_no_more_than_fit():
    for known, size in ((5, 5), (30, 8)):
        batches = make_batches(anchors=Partners(numbered(known), numbered(known)))
        anchors = [batches[step].anchors for step in range(10)]
        rows = [side.synth.flux[:, 0].tolist() for side in anchors]
        assert [side.obs.flux[:, 0].tolist() for side in anchors] == rows
        assert {len(set(row)) for row in rows} == {size}
        assert len({star for row in rows for star in row}) > 0.8 * known


def test_without_anchors_there_are_none():
    assert make_batches()[3].anchors is None

"""cyclegan/training/data.py: an epoch's stars come with its first turn, and a run goes on at the very next one."""

import pytest
import torch
from skies import SkyDomain

from cyclegan.domains.domains import Domains, Stars
from cyclegan.spectra.spectra import Spectra
from cyclegan.training.data import EpochOfStars, MatchedBatches, SpectraData, Turn


def numbered(n):
    """Spectra whose flux is the number of their row."""
    flux = torch.arange(float(n))[:, None]
    return Spectra(flux, torch.ones(n, 1), torch.ones(n, 1, dtype=torch.bool))


STARS = Stars(numbered(30), numbered(20))


def test_the_first_turn_brings_the_stars_and_the_others_go_on_with_them():
    turns = list(EpochOfStars(lambda: STARS, epoch=2, steps=3))
    assert turns == [Turn(2, 0, STARS), Turn(2, 1, None), Turn(2, 2, None)]


def test_stars_are_drawn_when_the_first_turn_is_asked_for():
    drawn = []
    epoch = EpochOfStars(lambda: drawn.append(1) or STARS, 0, 3)
    assert (len(epoch), drawn) == (3, [])
    list(epoch)
    assert drawn == [1]


@pytest.mark.parametrize("position", [1, 2])
def test_a_run_resumes_at_the_very_next_turn_with_the_stars(position):
    interrupted, resumed = (EpochOfStars(lambda: STARS, 0, 4) for _ in range(2))
    turns = iter(interrupted)
    for _ in range(position):
        next(turns)
    resumed.load_state_dict(interrupted.state_dict())
    rest = list(resumed)
    assert [turn.step for turn in rest] == list(range(position, 4))
    assert rest[0].stars is STARS


def test_a_state_of_an_epoch_that_was_over_begins_the_next_afresh():
    over, fresh = (EpochOfStars(lambda: STARS, epoch, 4) for epoch in (0, 1))
    list(over)
    fresh.load_state_dict(over.state_dict())
    assert [turn.step for turn in fresh] == [0, 1, 2, 3]


def test_matched_stars_come_whole_and_in_order():
    batches = MatchedBatches(Stars(numbered(230), numbered(230)))
    assert len(batches) == len(list(batches)) == 3
    assert [star for batch in batches for star in batch.synth.flux[:, 0].tolist()] == list(range(230))


def make_data(domains, seed=3):
    return SpectraData(Domains(*domains, matched=True), 5, seed)


def test_no_star_is_drawn_for_both_domains(domains):
    """An emulated domain draws the same stars for the same seed: training would not be unpaired."""
    data = make_data(domains)
    for epoch in range(30):
        data.stars(epoch)
    synth, obs = (set(domain.seeds) for domain in domains)
    assert len(synth) == len(obs) == 30
    # The noise of a draw has the seed after that of its stars.
    assert not {seed + noise for seed in synth for noise in (0, 1)} & {seed + noise for seed in obs for noise in (0, 1)}


def test_the_stars_of_an_epoch_are_the_same_whenever_they_are_drawn(domains):
    """What a resumed run relies on: an epoch depends on its number and the seed, not on what came before."""

    def seeds(epoch, seed):
        for domain in domains:
            domain.seeds.clear()
        make_data(domains, seed).stars(epoch)
        return [tuple(domain.seeds) for domain in domains]

    assert seeds(0, 3) == seeds(0, 3)
    assert seeds(0, 3) != seeds(1, 3)
    assert seeds(0, 3) != seeds(0, 4)


def test_stars_to_score_are_as_many_of_either_domain(sky, domains):
    data = make_data((domains[0], SkyDomain(sky.obs, sky.val_obs.rows(slice(50)))))
    assert [len(side.flux) for side in data.scored()] == [50, 50]
    assert data.scored() is data.scored()


def test_stars_to_score_are_moved_and_those_of_an_epoch_stay(domains):
    """'meta' stands for an accelerator: its tensors have shapes and a device."""
    data, device = make_data(domains), torch.device("meta")
    moved = data.transfer_batch_to_device(STARS, device, 0)
    assert {tensor.device.type for side in moved for tensor in side} == {"meta"}
    turn = Turn(0, 0, STARS)
    assert data.transfer_batch_to_device(turn, device, 0) is turn

"""cyclegan/trained/loading.py: parts of a checkpoint that are not of its networks are refused as it is loaded."""

import copy

import pytest
import torch
from faults.good_inputs import write_run

from cyclegan.trained.loading import load
from cyclegan.trained.uncertainty import MAP
from emulator.commands.errors import InputError


@pytest.fixture(scope="module")
def contents(tmp_path_factory):
    """What a checkpoint of an ensemble holds; to be copied, not changed."""
    folder = tmp_path_factory.mktemp("run")
    write_run(folder)
    assert load(folder / "last.ckpt", "cpu").map_error is not None
    return torch.load(folder / "last.ckpt", weights_only=True)


def other_error(**parts):
    return lambda found: found["record"]["errors"]["synth_to_obs"].update(parts)


def other_map(**parts):
    return lambda found: found["record"]["errors"][MAP].update(parts)


def other_stars(**parts):
    return lambda found: found["record"]["familiar"]["obs"].update(parts)


CHANGES = {
    "no map": lambda found: found["record"]["errors"][MAP].pop("own"),
    "a part that no map has": other_map(more=torch.ones(3)),
    "a map of other latents": other_map(spread=torch.ones(3)),
    "a map of other coordinates": other_map(usual=torch.eye(3)),
    "errors of other pixels": other_error(pixel=torch.ones(3)),
    "errors that are none": other_error(pixel=None),
    "errors without end": other_error(powers=torch.full((5,), 1e30)),
    "errors of one direction": lambda found: found["record"]["errors"].pop("obs_to_synth"),
    "stars of other latents": other_stars(centre=torch.zeros(3)),
    "stars infinitely far": other_stars(limits=torch.zeros(2)),
    "too few stars": other_stars(known=torch.zeros(1, 1)),
    "split latents of other networks": lambda found: found["record"].update(split=torch.ones(9, 7)),
    "weights without a name": lambda found: found["state_dict"].update({3: torch.ones(3)}),
    "logged texts": lambda found: found.update(latest={"step": 3, "loss": "low"}),
    "logged at no step": lambda found: found.update(latest={"loss": 1.0}),
    "no weights of pixels": lambda found: found["state_dict"]["translator.space_s.weight"].zero_(),
}


@pytest.mark.parametrize("what", list(CHANGES))
def test_parts_that_are_not_of_the_networks_are_refused(contents, tmp_path, what):
    other = copy.deepcopy(contents)
    CHANGES[what](other)
    torch.save(other, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match=r"other\.ckpt: expected "):
        load(tmp_path / "other.ckpt", "cpu")

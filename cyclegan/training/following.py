"""python -m cyclegan.training.following: another process of a training than the first, which starts it.

It gets networks, weights, pairs and stars from the first, and gives back gradients. It reads and writes no file.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from cyclegan.domains.domains import Stars
from cyclegan.losses.adversarial import SIDES
from cyclegan.pairing.batch import PairedBatches, Partners
from cyclegan.pairing.transport import Pairs
from cyclegan.spectra.spectra import Spectra
from cyclegan.trained.checkpoint import undrawn
from cyclegan.training.schedule import Schedule
from cyclegan.training.updates import Updates
from cyclegan.translator.ensemble import Stacked
from cyclegan.translator.networks import Undrawn, make_networks
from cyclegan.translator.translator import build_discriminators, ensemble_of
from emulator.commands.joining import LOCAL, Place, following
from emulator.commands.ranks import Ranks

NETWORKS = ("translator", "discriminators")  # of updates


def tell_begin(ranks: Ranks, updates: Updates, networks: dict[str, Any], members: int, device: torch.device) -> None:
    """Tell the others what to train; networks: the configuration's, of so many members."""
    begin = {
        "networks": networks,
        "members": members,
        "pixels": len(updates.translator.space_s.mean),
        "weights": dict(updates.weights),
        "schedule": asdict(updates.schedule),
        "device": device.type,
        "threads": torch.get_num_threads(),
    }
    ranks.tell(begin)


def tell_epoch(
    ranks: Ranks, updates: Updates, stars: Stars, pairs: Sequence[Pairs], seed: int, anchors: Partners | None
) -> None:
    """Tell the others an epoch's stars, coordinates (N, K) and (M, K), and its pairs, as `PairedBatches` takes them.

    And all weights: the first pairs start split latents.
    """
    sides = [None if side is None else tuple(map(tuple, side)) for side in (stars, anchors)]
    networks = {name: getattr(updates, name).state_dict() for name in NETWORKS}
    epoch = {"stars": sides[0], "anchors": sides[1], "pairs": [tuple(own) for own in pairs], "seed": seed}
    ranks.tell(epoch | networks)


def updates_of(begin: dict[str, Any]) -> Updates:
    """What `tell_begin` told of, without weights."""
    networks, members = make_networks(begin["networks"]), begin["members"]
    translator, width = undrawn(networks, begin["pixels"])
    with Undrawn():
        judges = build_discriminators(networks, translator, torch.ones(width))
    if members > 1:
        translator = ensemble_of([translator] * members)
        judges = Stacked([judges[0]] * members), Stacked([judges[1]] * members)
    discriminators = nn.ModuleDict(dict(zip(SIDES, judges, strict=True)))
    device = begin["device"]
    return Updates(translator.to(device), discriminators.to(device), begin["weights"], Schedule(**begin["schedule"]))


def batches_of(epoch: dict[str, Any], begin: dict[str, Any], ranks: Ranks) -> PairedBatches:
    """What `tell_epoch` told of."""

    def sides(plain: Any) -> list[Spectra]:
        return [Spectra(*side).to(begin["device"]) for side in plain]

    anchors = None if epoch["anchors"] is None else Partners(*sides(epoch["anchors"]))
    pairs, schedule = [Pairs(*own) for own in epoch["pairs"]], Schedule(**begin["schedule"])
    size, steps = schedule.batch_size, schedule.epoch_steps
    return PairedBatches(Stars(*sides(epoch["stars"])), pairs, size, steps, epoch["seed"], anchors, ranks)


def follow(place: Place) -> None:
    """Work for the first process until that lets go; SystemExit where it ended, or where something went wrong here."""
    with following(place) as ranks:
        orders = ranks.orders()
        begin = next(orders).told
        torch.set_num_threads(begin["threads"])
        updates = updates_of(begin)
        batches: PairedBatches | None = None

        def update(network: nn.Module, loss: Tensor) -> None:
            network.zero_grad()
            loss.backward()
            ranks.collect(network.parameters())
            ranks.spread(network.parameters())

        for order in orders:
            if order.told is not None:
                for name in NETWORKS:
                    getattr(updates, name).load_state_dict(order.told[name])
                batches = batches_of(order.told, begin, ranks)
            else:
                assert batches is not None  # an epoch is told of before its first batch
                updates.make(batches, order.batch, order.step, update)


if __name__ == "__main__":
    number, count, port = map(int, sys.argv[1:])
    follow(Place(number, count, number, LOCAL, port))

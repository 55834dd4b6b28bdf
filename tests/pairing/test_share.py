"""pairing/share.py: parts of a loss that processes work out add up to that of the whole batch."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pytest
import torch

from cyclegan.losses.distances import explained, latent_distance
from cyclegan.pairing.share import Share
from emulator.commands.ranks import Ranks

STARS = 7


@dataclass(frozen=True)
class Threads(Ranks):
    """Processes that are threads of this one: each adds what it has to what all have."""

    added: list = field(default_factory=list)
    barrier: threading.Barrier | None = None

    def total_for_all(self, values):
        self.added.append(values)
        self.barrier.wait()
        total = torch.stack(self.added).sum(dim=0) if self.number == 0 else None
        self.barrier.wait()
        if self.number == 0:
            self.added[:] = [total]
        self.barrier.wait()
        values.copy_(self.added[0])
        self.barrier.wait()
        if self.number == 0:
            self.added.clear()
        self.barrier.wait()
        return values


def together(work, count):
    """What work(share) gives in each of so many threads."""
    first = Threads(0, count, barrier=threading.Barrier(count, timeout=20))
    shares = [Share(STARS, replace(first, number=number)) for number in range(count)]
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, shares))


def rows_of(share, values):
    return share.own(values.mT).mT.detach().clone().requires_grad_()


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("members", [(), (2,)])
@pytest.mark.parametrize("loss", [explained, latent_distance])
def test_a_loss_of_all_latents_has_the_value_and_the_gradient_of_the_whole(loss, members, count):
    draws = torch.Generator().manual_seed(1)
    a, b = (torch.randn(*members, STARS, 2, generator=draws).requires_grad_() for _ in range(2))
    whole = loss(a, b)
    whole.backward()

    def work(share):
        own = [rows_of(share, values) for values in (a, b)]
        part = share.once(loss(*map(share.whole, own)))
        part.backward()
        return part.detach(), [values.grad for values in own]

    found = together(work, count)
    torch.testing.assert_close(sum(part for part, _ in found), whole.detach())
    for place, values in enumerate((a, b)):
        for number, (_, gradients) in enumerate(found):
            torch.testing.assert_close(gradients[place], values.grad[..., number::count, :])


def test_counts_are_shared_as_they_lie_and_stars_as_evenly_as_they_can_be():
    one, usable = torch.tensor(1.0), torch.arange(9) < torch.tensor([3, 0, 9])[:, None]
    assert together(lambda share: share.of_usable(one, usable[share.ranks.number]).item(), 3) == [0.25, 0.0, 0.75]
    assert together(lambda share: share.of_stars(one).item() * STARS, 3) == pytest.approx([3, 2, 2])
    assert together(lambda share: share.own(torch.arange(STARS)).tolist(), 2) == [[0, 2, 4, 6], [1, 3, 5]]
    assert Share().of_usable(one, usable) is Share().of_stars(one) is one  # which takes no time in every step


def test_each_star_has_the_noise_that_it_has_in_one_process():
    whole = Share().noise(torch.zeros(2, STARS, 3), torch.Generator().manual_seed(4))

    def work(share):
        return share.noise(
            torch.zeros(2, len(range(STARS)[share.ranks.number :: 2]), 3), torch.Generator().manual_seed(4)
        )

    for number, own in enumerate(together(work, 2)):
        assert torch.equal(own, whole[:, number::2])

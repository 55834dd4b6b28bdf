"""Training stars that are too many for memory: each epoch reads some of them."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from cyclegan.spectra.files import SpectraFile
from cyclegan.spectra.spectra import Spectra

AT_ONCE = 10_000  # stars of a draw: 650 MB of 7214 pixels; a file with no more is held in memory
TOGETHER = 20  # neighbours in the file that are drawn together: reading single ones takes a disk longer
LARGEST_BLOCK = AT_ONCE // 8  # where what is packed together in the file is more


class StarsOnDisk:
    """The training stars of a file that stays on disk.

    opened: opens it; rows (N,): where in 'train' they are, ascending.
    """

    def __init__(self, opened: Callable[[], SpectraFile], rows: Tensor) -> None:
        self.opened, self.rows = opened, rows
        with opened() as file:
            self.block = min(LARGEST_BLOCK, max(TOGETHER, file.rows_together("train")))

    def __len__(self) -> int:
        return len(self.rows)

    def drawn(self, seed: int) -> Tensor:
        """Which stars (n,) a seed draws, at most AT_ONCE, ascending: blocks of neighbours in the file, none twice."""
        _, sizes = (self.rows // self.block).unique_consecutive(return_counts=True)
        blocks = torch.arange(len(self)).split(sizes.tolist())
        order = torch.randperm(len(blocks), generator=torch.Generator().manual_seed(seed))
        taken = order[sizes[order].cumsum(dim=0) <= AT_ONCE].sort().values
        return torch.cat([blocks[one] for one in taken.tolist()])

    def read(self, stars: Tensor) -> Spectra:
        """The spectra (n, P) of stars (n,), in any order, as often as they are asked for."""
        wanted, place = stars.unique(return_inverse=True)
        rows = self.rows[wanted]
        ends = (rows.diff() != 1).nonzero()[:, 0] + 1
        with self.opened() as file:
            found: Spectra | None = None
            first = 0
            for run in rows.tensor_split(ends):
                piece = file.read("train", slice(int(run[0]), int(run[-1]) + 1))
                if found is None:
                    found = Spectra(*(part.new_empty(len(rows), part.shape[1]) for part in piece))
                for whole, part in zip(found, piece, strict=True):
                    whole[first : first + len(run)] = part
                first += len(run)
        assert found is not None
        return found if torch.equal(place, torch.arange(len(rows))) else found.rows(place)

    def chunks(self) -> Iterator[Spectra]:
        """All of them, as many at a time as a draw has (n, P)."""
        for stars in torch.arange(len(self)).split(AT_ONCE):
            yield self.read(stars)

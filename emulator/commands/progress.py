"""Progress bars: how far long work is, and how long the rest will take."""

from collections.abc import Iterable
from multiprocessing import current_process
from typing import Any

from tqdm import tqdm


def progress(work: Iterable[Any] | None = None, what: str = "", **options: Any) -> tqdm:
    """A bar over `work`, or one to be moved by hand; what: the work, in a word or two; options: of tqdm.

    On a terminal alone: nothing is drawn into a pipe or a file, nor by one of several processes.
    """
    first = current_process().name == "MainProcess"
    return tqdm(work, what, disable=None if first else True, dynamic_ncols=True, **options)

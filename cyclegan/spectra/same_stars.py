"""Whether rows of a subset are the same stars in two files. Training and `validate` both go by this."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from emulator.commands.errors import InputError
from emulator.labels import is_known

# Two pipelines differ by offsets and by units, which ranks do not see, and in labels that one of them measures badly,
# which the mean over labels forgives. `rank_difference` is 1.0 for rows in random order, 0.2 for teff, logg and fe_h of
# two pipelines that err by 100 K and 0.1 dex, 0.35 for these and 16 labels more, and 0.4 for clump stars, which are
# nearly all alike.
OTHER_STARS = 2 / 3
FEWEST_KNOWN = 10  # stars with a label in both files: of fewer, a random order looks right too often
SHUFFLES = 20


class Rows(NamedTuple):
    """What a file says of who the stars of a subset are, row by row.

    where: the file, in messages; stars: how many; identities: their names, where it has them; labels: (stars,) by name,
    NaN where unknown.
    """

    where: str
    stars: int
    identities: Sequence[str] | None
    labels: Mapping[str, Tensor]


class Match(NamedTuple):
    """How rows of two files belong together.

    order (n,): the rows of the first file in the order of the second, None where they stand in it; told: what was done;
    doubt: why the rows may be other stars all the same; None where there is nothing to say.
    """

    order: Tensor | None = None
    told: str | None = None
    doubt: str | None = None


def match_rows(subset: str, one: Rows, other: Rows, otherwise: str) -> Match:
    """Match two files' stars of a subset: by ids where both have them, else row by row.

    otherwise: what may be done if they are other stars. Raises InputError where ids, or else the numbers of stars, say
    that they are. Labels raise a doubt at most: two pipelines never give the same.
    """
    if one.identities is None or other.identities is None:
        if one.stars != other.stars:
            raise InputError(
                f"expected the same stars in '{subset}' of both, got {one.stars} in {one.where}, {other.stars} in"
                f" {other.where}{otherwise}"
            )
        return Match(doubt=_doubt(subset, one, other, otherwise))
    if list(one.identities) == list(other.identities):  # though a star may have several rows, one for each visit
        return Match()
    _check_unique(subset, one, otherwise)
    _check_unique(subset, other, otherwise)
    ours, theirs = ({name: row for row, name in enumerate(rows.identities or ())} for rows in (one, other))
    lacking = [(one, name) for name in theirs if name not in ours]
    lacking += [(other, name) for name in ours if name not in theirs]
    if lacking:
        ids, (rows, name) = len(ours | theirs), lacking[0]
        raise InputError(
            f"expected the same stars in '{subset}' of both, got {ids - len(lacking)} of {ids} ids in both, and no"
            f" '{name}' in {rows.where}{otherwise}"
        )
    order = torch.tensor([ours[name] for name in theirs])
    moved = int((order != torch.arange(len(order))).sum())
    return Match(
        order, f"'{subset}': {len(order)} stars are matched by id, {moved} of them from another row of {one.where}"
    )


def _check_unique(subset: str, rows: Rows, otherwise: str) -> None:
    name, count = Counter(rows.identities).most_common(1)[0]
    if count > 1:
        raise InputError(
            f"expected each id once in '{subset}' of {rows.where}, got '{name}' in {count} rows{otherwise}"
        )


def _doubt(subset: str, one: Rows, other: Rows, otherwise: str) -> str | None:
    shared = {
        name: rank_difference(one.labels[name], other.labels[name]) for name in one.labels if name in other.labels
    }
    told = {name: difference for name, difference in shared.items() if difference is not None}
    if not told or (mean := sum(told.values()) / len(told)) < OTHER_STARS:
        return None
    return (
        f"rows of '{subset}' look like other stars in {one.where} and {other.where}: expected the ranks of"
        f" {', '.join(told)} to differ by less than {OTHER_STARS:.2f} of what a random order gives, got {mean:.2f}"
        f"{otherwise}"
    )


def rank_difference(one: Tensor, other: Tensor) -> float | None:
    """By how much the stars' ranks in a label differ between two files, in units of what a random order gives.

    one, other (n,): the label, NaN where unknown. It is the median over stars that have it in both files. None where
    these are too few, or their labels do not vary.
    """
    both = is_known(one) & is_known(other)
    if both.sum() < FEWEST_KNOWN:
        return None
    a, b = (rankdata(values[both].numpy()) for values in (one, other))
    random = np.random.default_rng(0)
    shuffled = np.median([np.abs(a - random.permutation(b)) for _ in range(SHUFFLES)])
    varies = np.ptp(a) > 0 and np.ptp(b) > 0 and shuffled > 0
    return float(np.median(np.abs(a - b)) / shuffled) if varies else None
